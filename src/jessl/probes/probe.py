"""The function `probe`: fit on labelled embeddings, evaluate on others or by cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.config import Probe
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int, unknown_name
from jessl.embeddings import Embeddings, as_embeddings
from jessl.probes import split
from jessl.probes.base import Evaluation, FitRequest, ProbeKind, check_device, evaluate
from jessl.probes.bootstrap import (
    Resampled,
    percentile_interval,
    resample_balanced_accuracy,
    widened,
)
from jessl.probes.cross_validation import (
    cross_validate,
    pooled_interval,
    rows_per_class,
    variance_factor,
)
from jessl.probes.duplicates import near_duplicates
from jessl.probes.labelled import (
    ClassNames,
    LabelledPair,
    LabelledRows,
    count_rows_of_shared_groups,
    labelled_alone,
    labelled_pair,
)
from jessl.probes.registry import KINDS
from jessl.probes.result import ProbeResult, wilson_interval
from jessl.probes.split_difference import describe_difference, split_difference
from jessl.probes.tuning import row_risks, tune

PROTOCOLS = ("few", "published")


@takes_options(Probe)
@renamed_arguments(told="progress")
def probe(
    train: Embeddings | str | Path,
    test: Embeddings | str | Path | None = None,
    *,
    kind: str = "logistic",
    shots: int | None = None,
    fraction: float | None = None,
    seed: int = 0,
    tuning: str | None = None,
    folds: int | None = None,
    protocol: str = "few",
    duplicates: bool = True,
    device: str = "cpu",
    class_names: ClassNames = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> ProbeResult:
    """Fit a probe on `train` and measure its error on `test`. Rows without labels are left out.

    Without `test` every labelled row of `train` is tested once, by a probe that was fitted without
    it and tuned by other rows (10 folds up to 5,000 rows, else 5); with `shots` or `fraction` the
    rows that were not drawn are the test. So all labels are used.

    Hyperparameters are chosen by training rows only; test rows are used once, for the error.
    Rows of one group (`Embeddings.groups`) or of one image (equal ids) are never on both sides of
    a split of train. Labels are matched by class name (`meta["classes"]`), never by position.
    Classes of test that `train` lacks count as errors. Ties go to the smallest label.

    Example:
        result = jessl.probe(train, test, kind="ridge")
        print(result.error, (result.low, result.high))
        print(jessl.probe("my-embeddings"))  # cross-validated

    Args:
        train, test: Embeddings with labels and the same d, or paths of them.
        progress: called with (hyperparameters tried, of how many).

    Returns:
        ProbeResult.

    Raises:
        ValueError: for missing labels, fewer than two classes, NaN or infinite rows (counted),
            another d, class names on one side only, a class with fewer images than `shots`,
            unknown kinds and options; without `test`, for fewer than two classes with two images.
    """
    train = as_embeddings(train)
    chosen = parse_kind(kind, options)
    check_choice("protocol", protocol, PROTOCOLS)
    seed, device = check_int("seed", seed, 0), check_device(device)
    sampled = None
    if test is None:
        pair = labelled_alone(train, class_names)
        if protocol == "published":
            raise ValueError("protocol: expected a test set with 'published', got none")
        if shots is None and fraction is None:
            if tuning not in (None, "folds"):
                raise ValueError(f"tuning: expected folds without a test set, got {tuning}")
            return _cross_validated(kind, options, pair, folds, seed, device, progress)
        sampled = _few_rows(pair, shots, fraction, seed)
        assert sampled is not None
        pair = LabelledPair(pair.train, _rows_not_drawn(pair.train, sampled), pair.names)
        duplicates = False  # the two parts are of one set
    else:
        test = as_embeddings(test)
        pair = labelled_pair(train, test, class_names)
        sampled = _few_rows(pair, shots, fraction, seed)
    labelled, test_rows = pair.train, pair.test
    train_rows = labelled if sampled is None else labelled.rows(sampled)
    others = None
    if protocol == "published":
        if sampled is None:
            raise ValueError("protocol: expected shots or fraction with 'published', got neither")
        others = _validation_rows(labelled, sampled, seed)
    if len(np.unique(train_rows.y)) < 2:
        raise ValueError(
            f"train: expected at least two classes, got class {train_rows.y[0]} for all "
            f"{len(train_rows.y)} labelled rows"
        )
    tuned = tune(
        chosen,
        train_rows.x,
        train_rows.y,
        options,
        tuning=tuning,
        folds=folds,
        units=train_rows.units,
        others=others,
        seed=seed,
        device=device,
        progress=progress,
        skip_single=True,
    )
    request = FitRequest.of_all_rows(train_rows.x, train_rows.y, [tuned.options], seed, device)
    [fitted] = next(chosen.fit_path(request))
    evaluation = evaluate(fitted, test_rows.x, test_rows.y)
    unseen = sorted(set(test_rows.y.tolist()) - set(fitted.classes.tolist()))
    difference = None
    if duplicates and test_rows.units is None:  # rows of a group are no independent rows
        difference = split_difference(labelled.x, labelled.y, test_rows.x, test_rows.y, seed=seed)
    params: dict[str, object] = {
        "kind": kind,
        **tuned.options,
        **fitted.details,
        "tuned_on": tuned.method,
        "converged": fitted.converged,
        "standardised": chosen.standardisation,
        "train_rows": len(train_rows.y),
        "test_rows": len(test_rows.y),
        "classes": len(fitted.classes),
        "unlabelled_train_rows": labelled.missing,
        "unlabelled_test_rows": test_rows.missing,
        "unseen_classes": unseen,
        "unseen_class_names": [pair.names.get(k, str(k)) for k in unseen],
        "unseen_test_rows": int(np.isin(test_rows.y, unseen).sum()),
        "train_groups": None if train_rows.units is None else len(np.unique(train_rows.units)),
        "near_duplicates": near_duplicates(train_rows.x, test_rows.x) if duplicates else None,
        "test_rows_of_train_groups": None
        if test is None
        else count_rows_of_shared_groups(train, test),
        "split_difference": difference,
        "warnings": describe_difference(difference),
        "shots": None if shots is None else int(shots),
        "fraction": None if fraction is None else float(fraction),
        "protocol": protocol if sampled is not None else None,
        "seed": seed,
        "cross_validated": None,
    }
    return _build_result(
        evaluation, test_rows, fitted.classes, pair.names, params, tuned.curve, seed
    )


def parse_kind(kind: str, options: Iterable[str], argument: str = "kind") -> ProbeKind:
    """A kind by its name, after a check of the names of its options.

    Raises:
        ValueError: for a kind or an option that does not exist.
    """
    chosen = KINDS[check_choice(argument, kind, KINDS)]
    for name in options:
        if name not in chosen.option_names:
            raise ValueError(unknown_name(f"option of the {kind} probe", name, chosen.option_names))
    return chosen


def _cross_validated(
    kind: str,
    options: dict[str, Any],
    pair: LabelledPair,
    folds: int | None,
    seed: int,
    device: str,
    progress: ProgressCallback | None,
) -> ProbeResult:
    """The result without a test set."""
    rows = pair.train
    pooled = cross_validate(
        KINDS[kind],
        rows,
        options,
        folds=folds,
        seed=seed,
        device=device,
        progress=progress,
    )
    unseen = sorted(set(rows.y[pooled.unseen].tolist()))
    alone = f"{len(unseen)} class{'' if len(unseen) == 1 else 'es'}"
    params: dict[str, object] = {
        "kind": kind,
        **{k: v for k, v in pooled.chosen[0].items() if all(one[k] == v for one in pooled.chosen)},
        "tuned_on": "the other folds",
        "converged": pooled.converged,
        "standardised": KINDS[kind].standardisation,
        "train_rows": pooled.train_rows,
        "test_rows": len(rows.y),
        "classes": len(pooled.classes),
        "unlabelled_train_rows": rows.missing,
        "unlabelled_test_rows": 0,
        "unseen_classes": [],
        "unseen_class_names": [],
        "unseen_test_rows": 0,
        "train_groups": None if rows.units is None else len(np.unique(rows.units)),
        "near_duplicates": None,
        "test_rows_of_train_groups": None,
        "split_difference": None,
        "warnings": [f"{alone} with all labelled images in one fold: they count as errors"]
        if unseen
        else [],
        "shots": None,
        "fraction": None,
        "protocol": None,
        "seed": seed,
        "cross_validated": pooled.folds,
        "chosen_by_fold": list(pooled.chosen),
    }
    return _build_result(pooled.evaluation, rows, pooled.classes, pair.names, params, None, seed)


def _other_rows(rows: LabelledRows, drawn: NDArray[np.intp]) -> NDArray[np.intp]:
    """Places of the rows that are in no group of those drawn."""
    rest = np.setdiff1d(np.arange(len(rows.y)), drawn)
    if rows.units is not None:
        rest = rest[~np.isin(rows.units[rest], rows.units[drawn])]
    return rest


def _rows_not_drawn(rows: LabelledRows, drawn: NDArray[np.intp]) -> LabelledRows:
    """The rows that may test a probe that was fitted on some: none of their groups.

    Raises:
        ValueError: where none is left.
    """
    rest = _other_rows(rows, drawn)
    if not len(rest):
        raise ValueError(
            "shots, fraction: expected labelled images beside those to fit on, as there is no test "
            "set, got none; use fewer, or leave both out to cross-validate with all labels"
        )
    return rows.rows(rest)


def _build_result(
    evaluation: Evaluation,
    test_rows: LabelledRows,
    classes: NDArray[np.int64],
    names: Mapping[int, str],
    params: dict[str, object],
    curve: dict[str, list[float]] | None,
    seed: int,
) -> ProbeResult:
    m = len(test_rows.y)
    wrong = int(evaluation.wrong.sum())
    labels, place, sizes = np.unique(test_rows.y, return_inverse=True, return_counts=True)
    by_class = np.bincount(place, evaluation.wrong) / sizes
    rng = np.random.default_rng([seed, 4])
    intervals: dict[str, tuple[float, float]] = {}
    if (
        even := resample_balanced_accuracy(evaluation.wrong, place, rng, test_rows.units)
    ) is not None:
        intervals["balanced_accuracy"] = percentile_interval(even)
    top5 = evaluation.top5 if len(classes) >= 6 and evaluation.top5 is not None else None
    for name, values in (("top5", top5), ("log_loss", evaluation.loss)):
        if values is not None:
            drawn = Resampled({name: values.astype(np.float64)}, rng, test_rows.units)[name]
            low, high = percentile_interval(drawn)
            intervals[name] = (max(0.0, low), min(1.0, high) if name == "top5" else high)
    factor = 1.0
    if params["cross_validated"] is not None:
        factor = variance_factor(rows_per_class(test_rows.y))
        independent = m if test_rows.units is None else len(np.unique(test_rows.units))
        low, high = pooled_interval(wrong / m, independent, factor)
        params["interval"] = (
            f"Clopper-Pearson of {independent / factor:.0f} independent rows: over test rows, and "
            "over the training rows that the folds share"
        )
        intervals = {k: widened(*ends, factor) for k, ends in intervals.items()}
        for name in {"top5", "balanced_accuracy"} & set(intervals):
            low_end, high_end = intervals[name]
            intervals[name] = max(0.0, low_end), min(1.0, high_end)
    else:
        low, high = wilson_interval(wrong, m)
        params["interval"] = "Wilson, over test rows"
    params["variance_factor"] = factor
    if params["cross_validated"] is None and test_rows.units is not None:
        low, high = _group_interval(evaluation, test_rows.units, rng)
        params["interval"] = f"bootstrap of the {len(np.unique(test_rows.units))} groups of test"
    return ProbeResult(
        accuracy=(m - wrong) / m,
        error=wrong / m,
        top5=None if top5 is None else float(top5.mean()),
        low=low,
        high=high,
        balanced_accuracy=1.0 - float(by_class.mean()),
        log_loss=None if evaluation.loss is None else float(evaluation.loss.mean()),
        intervals=intervals,
        per_class={
            str(label): {"name": names.get(label), "error": float(error), "n": int(n)}
            for label, error, n in zip(labels.tolist(), by_class, sizes, strict=True)
        },
        params=params,
        curve=curve,
        correct=~evaluation.wrong,
        losses=evaluation.loss,
        ids=test_rows.ids,
        units=test_rows.units,
    )


def _group_interval(
    evaluation: Evaluation, units: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """The interval of the error by resampled groups.

    With few groups, or where all agree, it is at least that of as many rows as there are groups.
    """
    groups = len(np.unique(units))
    error = float(evaluation.wrong.mean())
    low, high = percentile_interval(
        Resampled({"e": row_risks(evaluation, "error")}, rng, units)["e"]
    )
    if groups < _FEW_GROUPS or low == high:
        least, most = wilson_interval(round(error * groups), groups)
        low, high = min(low, least), max(high, most)
    return min(max(0.0, low), error), max(min(1.0, high), error)


# below this many groups their bootstrap interval is too narrow
_FEW_GROUPS = 10


def _few_rows(
    pair: LabelledPair, shots: int | None, fraction: float | None, seed: int
) -> NDArray[np.intp] | None:
    y = pair.train.y
    if shots is not None and fraction is not None:
        raise ValueError(f"shots, fraction: expected one of them, got {shots} and {fraction}")
    if shots is not None:
        return split.sample_per_class(y, shots, seed, pair.names)
    if fraction is None:
        return None
    if not (isinstance(fraction, Real) and 0 < fraction <= 1) or fraction is True:
        raise ValueError(f"fraction: expected a share above 0 and at most 1, got {fraction}")
    return split.stratified_sample(y, round(float(fraction) * len(y)), seed, at_least=1)


# labelled images that the published few-shot protocol validates on
_PUBLISHED_ROWS = 50_000


def _validation_rows(
    labelled: LabelledRows, sampled: NDArray[np.intp], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rest = _other_rows(labelled, sampled)
    if not len(rest):
        raise ValueError(
            "protocol: expected further labelled training rows for 'published', got none"
        )
    if len(rest) > _PUBLISHED_ROWS:
        rest = rest[split.stratified_sample(labelled.y[rest], _PUBLISHED_ROWS, seed)]
    return labelled.x[rest], labelled.y[rest]
