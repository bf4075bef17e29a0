"""The function `decompose` (Dubois, Hashimoto, Liang; ICML 2023, arXiv 2302.03068)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.config import Decompose
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int
from jessl.embeddings import Embeddings, as_embeddings
from jessl.probes import split
from jessl.probes.base import check_device
from jessl.probes.bootstrap import RESAMPLES, Estimate
from jessl.probes.duplicates import near_duplicates
from jessl.probes.labelled import (
    ClassNames,
    LabelledRows,
    check_comparable,
    count_rows_of_shared_groups,
    labelled_rows,
    names_of_unnamed,
)
from jessl.probes.probe import parse_kind
from jessl.probes.result import wilson_interval
from jessl.probes.split_difference import describe_difference, split_difference
from jessl.probes.tuning import default_folds
from jessl.risk.components import ORDERS, bounded, components, differences, dominant
from jessl.risk.resampling import SupervisedTwin, resampled, warnings_of_resampling
from jessl.risk.result import RiskDecomposition
from jessl.risk.terms import DecompositionPlan, measure, measure_few
from jessl.schema import COMPONENT_NAMES

ESTIMATORS = ("crossfit", "published")
TUNINGS = ("shared", "per-term")
RISKS = ("error", "log_loss")
DRAWS = 5
_TUNING = {
    "shared": "chosen once on train, used for every risk",
    "per-term": "separate for each risk: those of a probe on its own rows by their training error, "
    "the others by cross-validation of train",
}


# train and test, or their paths
_Pair = tuple[Embeddings | str | Path, Embeddings | str | Path]


@takes_options(Decompose)
@renamed_arguments(told="progress")
def decompose(
    train: Embeddings | str | Path,
    test: Embeddings | str | Path,
    *,
    supervised: _Pair | None = None,
    probe: str = "logistic",
    estimator: str = "crossfit",
    order: str = "published",
    n_sub: int | None = None,
    folds: int | None = None,
    seed: int = 0,
    tuning: str = "shared",
    risk: str = "error",
    shots: int | None = None,
    fraction: float | None = None,
    draws: int = DRAWS,
    duplicates: bool = True,
    device: str = "cpu",
    class_names: ClassNames = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> RiskDecomposition:
    """Split the error of an encoder and a probe into four components.

    With R(fitted on -> evaluated on) the risk of a probe on one encoder's embeddings:

    - approximation = R(supervised train -> supervised train)
    - usability = R(train -> train) - approximation
    - published order: probe generalization = R(rest of train -> held-out part of train)
      - R(train -> train); encoder generalization = R(train -> test) - R(rest -> part)
    - union order: encoder generalization = R(train and test -> test) - R(train -> train); probe
      generalization = R(train -> test) - R(train and test -> test)

    The two orders agree on probe generalization (Spearman .93 over ten models) but not on
    encoder generalization (.03). Both are computed; the other one is in `params`.

    With `shots` or `fraction` the probe has few labels (few-shot decomposition): the rest is the
    few rows, the part all other training rows, and train -> test is few -> test, over several
    draws; usability remains that of all labels.

    Intervals: percentiles of 2000 paired resamples of train and of test items (whole groups where
    there are groups) and of draws, with fixed probes. Each resample repeats the choice of
    hyperparameters (except for the fits on train and test together, and with the published
    estimator). The interval of an error on test only is Wilson's. They are intervals for the
    expected value of the estimate. The held-out risk of the best of several candidates is too
    small: the bootstrap's estimate of that is added (`params["optimism"]`). The train error
    underestimates the best error of the probe's family when n is not far above d: `bias` gives the
    amount, and `midpoint`, the mean of the train and the held-out error, estimates that best error.

    Example:
        result = jessl.decompose(train, test, probe="ridge")
        print(result.table())

    Args:
        train: Embeddings with labels of images that the encoder was trained on.
        test: Embeddings with labels of images that neither encoder nor probe has seen.
        progress: called with (steps done, of how many).

    Returns:
        RiskDecomposition; its components sum to `risk` exactly.

    Raises:
        ValueError: for missing labels, fewer than two classes with two rows in train, another
            d, NaN or infinite rows (counted), class names on one side only, and values out of
            range.
    """
    train, test = as_embeddings(train), as_embeddings(test)
    kind = parse_kind(probe, options, "probe")
    if kind.memorises_training_rows:
        raise ValueError(
            f"probe: expected logistic, ridge or mlp, got {probe}, which has no train error"
        )
    for name, value, allowed in (
        ("estimator", estimator, ESTIMATORS),
        ("order", order, ORDERS),
        ("tuning", tuning, TUNINGS),
        ("risk", risk, RISKS),
    ):
        check_choice(name, value, allowed)
    twins = _loaded_twins(supervised)
    names = names_of_unnamed(class_names, train=train, test=test, **twins)
    train_rows = labelled_rows("train", train, names)
    test_rows = labelled_rows("test", test, names)
    check_comparable(train, test, "test")
    test_rows, matched = test_rows.matched_to(train_rows)
    if (np.unique(train_rows.y, return_counts=True)[1] >= 2).sum() < 2:
        raise ValueError(
            "train: expected at least two classes with two labelled rows each, got fewer"
        )
    seed, draws, device = (
        check_int("seed", seed, 0),
        check_int("draws", draws, 1),
        check_device(device),
    )
    n_sub = _sizes(estimator, n_sub, folds, train_rows.y, len(test_rows.y))
    plan = DecompositionPlan(
        kind, options, risk, tuning == "shared", folds, n_sub, seed, device, progress
    )  # fmt: skip
    few = shots is not None or fraction is not None
    if few:
        if n_sub is not None:
            raise ValueError("estimator: expected crossfit with shots or fraction, got published")
        sample = _sampler(train_rows, shots, fraction, matched.names)
        terms = measure_few(plan, train_rows, test_rows, sample, draws)
    else:
        terms = measure(plan, train_rows, test_rows)
    twin = SupervisedTwin(terms, twins, train_rows, risk, names) if twins else None
    risks, samples, optimism = resampled(terms, train_rows, test_rows, twin, seed)
    has_twin = twin is not None
    parts = {one: components(risks, samples, one, has_twin, risk) for one in ORDERS}
    other = ORDERS[1 - ORDERS.index(order)]
    held = "all_part_rest" if few else "part_rest"
    middle = (samples["train_train"] + samples[held]) / 2
    midpoint = (risks["train_train"] + risks[held]) / 2
    pairs = differences(*parts[order], has_twin)
    warnings, weak = warnings_of_resampling(terms, train_rows, test_rows, twin)
    difference = None
    if duplicates and test_rows.units is None:  # rows of a group are no independent rows
        difference = split_difference(
            train_rows.x, train_rows.y, test_rows.x, test_rows.y, seed=seed
        )
        unlike = describe_difference(difference)
        warnings += unlike
        weak = weak or bool(unlike)
    if risk == "error" and not few and test_rows.units is None:
        # the bootstrap interval of few or equal outcomes has no width
        wrong = int(terms.on_test["train_test"].sum())
        for estimates, _ in parts.values():
            estimates["risk"] = Estimate(
                estimates["risk"].value, *wilson_interval(wrong, len(test_rows.y))
            )
    params: dict[str, object] = {
        "probe": probe,
        **terms.params,
        "risk": risk,
        "tuning": tuning,
        "regularisation": _TUNING[tuning] if terms.params["tuning_curve"] else "none to choose",
        "standardised": kind.standardisation,
        "converged": terms.converged,
        "estimator": "few-shot" if few else estimator,
        "folds": _number_of_folds(plan, train_rows)
        if estimator == "crossfit" and not few
        else None,
        "n_sub": terms.params.get("n_sub"),
        "shots": None if shots is None else int(shots),
        "fraction": None if fraction is None else float(fraction),
        "draws": draws if few else None,
        "seed": seed,
        "interval": f"percentiles of {RESAMPLES} paired resamples of items, probes fixed"
        + (" but for the draws" if few else ""),
        "train_rows": len(train_rows.y),
        "test_rows": len(test_rows.y),
        "unlabelled_train_rows": train_rows.missing,
        "unlabelled_test_rows": test_rows.missing,
        "unseen_test_rows": int((~np.isin(test_rows.y, train_rows.y)).sum()),
        "unseen_class_names": list(matched.absent),
        "near_duplicates": near_duplicates(train_rows.x, test_rows.x) if duplicates else None,
        "test_rows_of_train_groups": count_rows_of_shared_groups(train, test),
        "split_difference": difference,
        "risks": risks,
        "optimism": optimism,
        "warnings": warnings,
        f"{other}_order": {name: parts[other][0][name].value for name in COMPONENT_NAMES[2:]},
        "supervised_paired": None if twin is None else twin.paired,
        "supervised_test_risk": None if twin is None else twin.test_risk,
    }
    return RiskDecomposition(
        **parts[order][0],
        midpoint=bounded(midpoint, middle, 0.0 if risk == "error" else None),
        bias=bounded(risks["train_train"] - midpoint, samples["train_train"] - middle, None),
        differences=pairs,
        dominant=None if weak else dominant(pairs),
        order=order,
        params=params,
        merged=not has_twin,
    )


def _sizes(
    estimator: str, n_sub: int | None, folds: int | None, y: NDArray[np.int64], n_test: int
) -> int | None:
    """Rows of the published part; None for pooled folds."""
    n, classes = len(y), len(np.unique(y))
    if folds is not None and not 2 <= check_int("folds", folds, None) <= n:
        raise ValueError(f"folds: expected 2 .. {n} (training rows), got {folds}")
    if estimator == "crossfit":
        if n_sub is not None:
            raise ValueError("n_sub: expected estimator='published', got 'crossfit'")
        return None
    if folds is not None:
        raise ValueError("folds: expected estimator='crossfit', got 'published'")
    n_sub = max(1, min(n_test, n // 5)) if n_sub is None else check_int("n_sub", n_sub, None)
    # a larger part could leave a class without rows to fit on
    if not 1 <= n_sub <= n - classes:
        raise ValueError(f"n_sub: expected 1 .. {n - classes} (rows less classes), got {n_sub}")
    return n_sub


def _number_of_folds(plan: DecompositionPlan, train: LabelledRows) -> int:
    if plan.folds is not None:
        return int(plan.folds)
    leave_one_out = (
        plan.kind.leave_one_out is not None and train.units is None and plan.by == "error"
    )
    return len(train.y) if leave_one_out else default_folds(len(train.y), train.units)


def _sampler(
    train: LabelledRows, shots: int | None, fraction: float | None, names: Mapping[int, str]
) -> Callable[[int], NDArray[np.intp]]:
    if shots is not None and fraction is not None:
        raise ValueError(f"shots, fraction: expected one of them, got {shots} and {fraction}")
    if shots is not None:
        return lambda seed: split.sample_per_class(train.y, shots, seed, names)
    if not isinstance(fraction, Real) or not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a share above 0 and below 1, got {fraction}")
    rows = round(float(fraction) * len(train.y))
    return lambda seed: split.stratified_sample(train.y, rows, seed, at_least=1)


def _loaded_twins(supervised: _Pair | None) -> dict[str, Embeddings]:
    """The embeddings of the supervised twin by their names in messages; empty without one."""
    if supervised is None:
        return {}
    if not isinstance(supervised, (tuple, list)) or len(supervised) != 2:
        raise ValueError(
            "supervised: expected a pair (train, test) of Embeddings, got "
            f"{type(supervised).__name__}"
        )
    return {
        "supervised_train": as_embeddings(supervised[0]),
        "supervised_test": as_embeddings(supervised[1]),
    }
