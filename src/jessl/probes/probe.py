"""The verb `probe`: fit on embeddings with labels, judge on others."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.deprecation import renamed_arguments
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int, unknown_name
from jessl.embeddings import Embeddings
from jessl.probes import split
from jessl.probes.base import Evaluation, Kind, checked_device, evaluate
from jessl.probes.bootstrap import Resampled, balanced, interval
from jessl.probes.duplicates import near_duplicates
from jessl.probes.labelled import LabelledRows, comparable, labelled_rows, shared_groups
from jessl.probes.registry import KINDS
from jessl.probes.result import ProbeResult, wilson
from jessl.probes.tuning import settle, values_of

PROTOCOLS = ("few", "published")


@renamed_arguments(told="progress")
def probe(
    train: Embeddings,
    test: Embeddings,
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
    progress: ProgressCallback | None = None,
    **options: Any,
) -> ProbeResult:
    """Fit a probe on `train` and measure its error on `test`. Rows without labels are left out.

    Hyperparameters come from the training rows alone: test rows are used once, for the error.
    Rows of one group (`Embeddings.groups`) or of one image (equal ids) are never on both sides of
    a split of train. Equal votes go to the smallest label; labels that `train` lacks count as
    errors.

    Args:
        train, test: Embeddings with labels and the same d.
        kind: "logistic": multinomial logistic regression on features standardised with the
            training rows; `C` by cross-validation over 1e-6 .. 10.
            "ridge": least squares on one-hot labels; `penalty` by leave-one-out in closed form.
            "mlp": a perceptron, `hidden` "2048-2048"; its `weight_decay` on a held-out fifth.
            "knn": the `k` (20) nearest training rows by cosine vote with exp(cosine /
            `temperature`) (.07).
        shots: use so many training images of each class, chosen by the seed.
        fraction: use this share of each class (0..1), at least one image of each.
        seed: of the chosen images, of the folds and of what is random in a fit.
        tuning: "folds", "leave-one-out" (ridge) or "part" (a stratified fifth of train, held
            out); None: as told at each kind.
        folds: of the cross-validation; None: 10 up to 5,000 rows, else 5.
        protocol: what a few-shot probe is tuned on: "few": its few images only; "published": the
            other training labels (at most 50,000), as the tables of Dubois et al. 2023 were made.
        duplicates: count test rows that are (nearly) training rows.
        device: "cpu", "cuda" or "cuda:N", for logistic, mlp and knn.
        progress: called with (hyperparameters tried, of how many).
        options: C for logistic; penalty for ridge; hidden, weight_decay, lr, epochs for mlp; k,
            temperature for knn.

    Returns:
        ProbeResult.

    Raises:
        ValueError: for missing labels, fewer than two classes, NaN or infinite rows (counted),
            another d, a class with fewer images than `shots`, unknown kinds and options.
    """
    chosen = kind_of(kind, options)
    check_choice("protocol", protocol, PROTOCOLS)
    seed, device = check_int("seed", seed, 0), checked_device(device)
    given, asked = labelled_rows("train", train), labelled_rows("test", test)
    comparable(train, test, "test")
    kept = _few(given.y, shots, fraction, seed)
    few = given if kept is None else given.rows(kept)
    others = None
    if protocol == "published":
        if kept is None:
            raise ValueError("protocol: 'published' is of few-shot probes; give shots or fraction")
        others = _others(given, kept, seed)
    if len(np.unique(few.y)) < 2:
        raise ValueError(
            f"train: needs at least two classes, all {len(few.y)} labelled rows are class "
            f"{few.y[0]}"
        )
    tuned = settle(
        chosen,
        few.x,
        few.y,
        options,
        tuning=tuning,
        folds=folds,
        units=few.units,
        others=others,
        seed=seed,
        device=device,
        progress=progress,
    )
    every = [np.ones(len(few.y), bool)]
    [fitted] = next(chosen.fits(few.x, few.y, every, [tuned.options], seed, device))
    said = evaluate(fitted, asked.x, asked.y)
    unseen = sorted(set(asked.y.tolist()) - set(fitted.classes.tolist()))
    params: dict[str, Any] = {
        "kind": kind,
        **tuned.options,
        **fitted.details,
        "tuned_on": tuned.how,
        "converged": fitted.converged,
        "standardised": chosen.standardise,
        "train_rows": len(few.y),
        "test_rows": len(asked.y),
        "classes": len(fitted.classes),
        "unlabelled_train_rows": given.missing,
        "unlabelled_test_rows": asked.missing,
        "unseen_classes": unseen,
        "unseen_test_rows": int(np.isin(asked.y, unseen).sum()),
        "train_groups": None if few.units is None else len(np.unique(few.units)),
        "near_duplicates": near_duplicates(few.x, asked.x) if duplicates else None,
        "test_rows_of_train_groups": shared_groups(train, test),
        "shots": None if shots is None else int(shots),
        "fraction": None if fraction is None else float(fraction),
        "protocol": protocol if kept is not None else None,
        "seed": seed,
    }
    names = test.meta.get("classes") or train.meta.get("classes")
    return _result(said, asked, fitted.classes, names, params, tuned.curve, seed)


def kind_of(kind: str, options: Iterable[str], argument: str = "kind") -> Kind:
    """A kind by its name, and whether it takes the options.

    Raises:
        ValueError: for a kind or an option that does not exist.
    """
    chosen = KINDS[check_choice(argument, kind, KINDS)]
    for name in options:
        if name not in chosen.takes:
            raise ValueError(unknown_name(f"option of the {kind} probe", name, chosen.takes))
    return chosen


def _result(
    said: Evaluation,
    asked: LabelledRows,
    classes: NDArray[np.int64],
    names: Any,
    params: dict[str, Any],
    curve: dict[str, list[float]] | None,
    seed: int,
) -> ProbeResult:
    m = len(asked.y)
    wrong = int(said.wrong.sum())
    found, place, sizes = np.unique(asked.y, return_inverse=True, return_counts=True)
    by_class = np.bincount(place, said.wrong) / sizes
    rng = np.random.default_rng([seed, 4])
    intervals: dict[str, tuple[float, float]] = {}
    if (even := balanced(said.wrong, place, rng, asked.units)) is not None:
        intervals["balanced_accuracy"] = interval(even)
    top5 = said.top5 if len(classes) >= 6 else None
    for name, values in (("top5", top5), ("log_loss", said.loss)):
        if values is not None:
            drawn = Resampled({name: values.astype(np.float64)}, rng, asked.units)[name]
            low, high = interval(drawn)
            intervals[name] = (max(0.0, low), min(1.0, high) if name == "top5" else high)
    low, high = wilson(wrong, m)
    params["interval"] = "Wilson, over test rows"
    if asked.units is not None:
        low, high = _of_groups(said, asked.units, rng)
        params["interval"] = f"bootstrap of the {len(np.unique(asked.units))} groups of test"
    return ProbeResult(
        accuracy=(m - wrong) / m,
        error=wrong / m,
        top5=None if top5 is None else float(top5.mean()),
        low=low,
        high=high,
        balanced_accuracy=1.0 - float(by_class.mean()),
        log_loss=None if said.loss is None else float(said.loss.mean()),
        intervals=intervals,
        per_class={
            str(label): {"name": _name(names, label), "error": float(error), "n": int(n)}
            for label, error, n in zip(found.tolist(), by_class, sizes, strict=True)
        },
        params=params,
        curve=curve,
        correct=~said.wrong,
        losses=said.loss,
        ids=asked.ids,
        units=asked.units,
    )


def _of_groups(
    said: Evaluation, units: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """The interval of the error by groups; where all groups agree, or there are few, at least that
    of as many rows as there are groups."""
    groups = len(np.unique(units))
    error = float(said.wrong.mean())
    low, high = interval(Resampled({"e": values_of(said, "error")}, rng, units)["e"])
    if groups < _FEW_GROUPS or low == high:
        least, most = wilson(round(error * groups), groups)
        low, high = min(low, least), max(high, most)
    return min(max(0.0, low), error), max(min(1.0, high), error)


# below so many groups their bootstrap is too narrow
_FEW_GROUPS = 10


def _name(names: Any, label: int) -> str | None:
    return str(names[label]) if isinstance(names, list) and label < len(names) else None


def _few(
    y: NDArray[np.int64], shots: int | None, fraction: float | None, seed: int
) -> NDArray[np.intp] | None:
    if shots is not None and fraction is not None:
        raise ValueError(f"shots, fraction: one of them, got {shots} and {fraction}")
    if shots is not None:
        return split.shots(y, shots, seed)
    if fraction is None:
        return None
    if not (isinstance(fraction, Real) and 0 < fraction <= 1) or fraction is True:
        raise ValueError(f"fraction: needs a share above 0 and at most 1, got {fraction}")
    return split.stratified(y, round(float(fraction) * len(y)), seed, at_least=1)


# labelled images that the published few-shot protocol validates on
_PUBLISHED_ROWS = 50_000


def _others(
    given: LabelledRows, kept: NDArray[np.intp], seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rest = np.setdiff1d(np.arange(len(given.y)), kept)
    if given.units is not None:
        rest = rest[~np.isin(given.units[rest], given.units[kept])]
    if not len(rest):
        raise ValueError("protocol: 'published' needs other labelled training rows, none are left")
    if len(rest) > _PUBLISHED_ROWS:
        rest = rest[split.stratified(given.y[rest], _PUBLISHED_ROWS, seed)]
    return given.x[rest], given.y[rest]
