"""The verb `decompose` (Dubois, Hashimoto, Liang; ICML 2023, arXiv 2302.03068)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.names import one_of
from jessl.probes.kinds import KINDS, Fitted
from jessl.probes.probe import comparable, labelled_rows
from jessl.risk import terms
from jessl.risk.bootstrap import RESAMPLES, Resampled, interval
from jessl.risk.result import NAMES, Estimate, RiskDecomposition

FOLDS = 5
ORDERS = ("published", "union")
ESTIMATORS = ("crossfit", "published")
# not knn: each training row is its own nearest neighbour, so its train error says nothing
PROBES = ("logistic",)
# multiples of 2^-51 below 4 add up without rounding
_GRID = 2.0**51
_REGULARISATION = "chosen once on train by cross-validation, used in every risk"


def decompose(
    train: Embeddings,
    test: Embeddings,
    *,
    supervised: tuple[Embeddings, Embeddings] | None = None,
    probe: str = "logistic",
    estimator: str = "crossfit",
    order: str = "published",
    n_sub: int | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> RiskDecomposition:
    """Split the error of an encoder and a probe into four components.

    With R(fitted on -> judged on) the 0-1 error of a probe on one encoder's embeddings:

    - approximation = R(supervised train -> supervised train)
    - usability = R(train -> train) - approximation
    - published order: probe generalization = R(rest of train -> held-out part of train)
      - R(train -> train); encoder generalization = R(train -> test) - R(rest -> part)
    - union order: encoder generalization = R(train and test -> test) - R(train -> train); probe
      generalization = R(train -> test) - R(train and test -> test)

    The two orders agree on probe generalization (Spearman .93 over ten models) but not on
    encoder generalization (.03): both are computed, the other one is in `params`.
    The probe's hyperparameters are chosen once, on train, by cross-validation, and used in every
    risk: the train error depends strongly on them, and so does the cut between the components.

    Intervals: percentiles of 2000 paired resamples of train and of test items with fixed probes.
    They cover the expected plug-in estimate. The train error underestimates the best error of
    the probe's family when n is not far above d; `params["midpoint"]`, the mean of the train
    and the held-out error, estimates that one better.

    Args:
        train: Embeddings with labels of the images the encoder was trained on.
        test: Embeddings with labels of images that neither encoder nor probe has seen.
        supervised: (train, test) embeddings of the same architecture trained with labels.
        probe: "logistic" (kNN counts a training row as its own neighbour and has no train error).
        estimator: of R(rest -> part): "crossfit" pools the errors of `folds` (5) stratified
            folds; "published" uses one stratified part of `n_sub` rows
            (min(test rows, train rows / 5)) and is two to three times noisier.
        order: "published" or "union".
        n_sub, folds: see `estimator`; each only with its own.
        seed: of folds, parts and resamples.

    Returns:
        RiskDecomposition; its components add up to `risk` exactly.

    Raises:
        ValueError: for missing labels, fewer than two classes with two rows in train, another
            d, NaN or infinite rows (counted), and values that are not allowed.
    """
    kind = KINDS[one_of("probe", probe, PROBES)]
    one_of("estimator", estimator, ESTIMATORS)
    one_of("order", order, ORDERS)
    x, y, missing_train = labelled_rows("train", train)
    x_test, y_test, missing_test = labelled_rows("test", test)
    comparable(train, test, "test")
    if (np.unique(y, return_counts=True)[1] >= 2).sum() < 2:
        raise ValueError("train: needs at least two classes with two labelled rows each")
    n_sub, folds = _sizes(estimator, n_sub, folds, y, len(y_test))
    options, curve = kind.tune(x, y, seed, {})
    settled: list[bool] = []

    def fit(rows: terms.Rows, labels: terms.Labels) -> Fitted:
        fitted = kind.fit(rows, labels, **options)
        settled.append(fitted.converged)
        return fitted

    seen, unseen = terms.train_and_test(fit, x, y, x_test, y_test)
    if folds is not None:
        held = terms.held_out_folds(fit, x, y, folds, seed)
    else:
        held = terms.held_out_split(fit, x, y, n_sub or 0, seed)
    on_train = {"train_train": seen, "part_rest": held}
    on_test = {"train_test": unseen, "union_test": terms.union(fit, x, y, x_test, y_test)}
    twin, paired, twin_test = _twin(fit, supervised, train)
    if twin is not None and paired:
        on_train["supervised_train_train"] = twin

    rng = np.random.default_rng([seed, 3])
    draws: dict[str, NDArray[np.float64]] = {}
    groups = [on_train, on_test]
    if twin is not None and not paired:
        groups.append({"supervised_train_train": twin})
    for group in groups:
        resampled = Resampled(group, rng)
        draws.update({name: resampled[name] for name in group})
    risks = {n: float(np.nanmean(wrong)) for group in groups for n, wrong in group.items()}
    parts = {one: _components(risks, draws, one, twin is not None) for one in ORDERS}
    other = ORDERS[1 - ORDERS.index(order)]
    params: dict[str, Any] = {
        "probe": probe,
        **options,
        "regularisation": _REGULARISATION if curve else "none to choose",
        "tuning_curve": curve,
        "standardised": kind.standardise,
        "converged": all(settled),
        "estimator": estimator,
        "folds": folds,
        "n_sub": n_sub,
        "seed": seed,
        "interval": f"percentiles of {RESAMPLES} paired resamples of items, probes fixed",
        "train_rows": len(y),
        "test_rows": len(y_test),
        "unlabelled_train_rows": missing_train,
        "unlabelled_test_rows": missing_test,
        "unseen_test_rows": int((~np.isin(y_test, y)).sum()),
        "risks": risks,
        "midpoint": (risks["train_train"] + risks["part_rest"]) / 2,
        f"{other}_order": {name: parts[other][name].value for name in NAMES[2:]},
        "supervised_paired": paired if twin is not None else None,
        "supervised_test_risk": twin_test,
    }
    return RiskDecomposition(**parts[order], order=order, params=params, merged=twin is None)


def _components(
    risks: dict[str, float], draws: dict[str, NDArray[np.float64]], order: str, twin: bool
) -> dict[str, Estimate]:
    start = "supervised_train_train" if twin else None
    # the corners of the path; each component is the step from one to the next
    corner = "part_rest" if order == "published" else "union_test"
    steps: dict[str, tuple[str | None, str | None]] = {
        "approximation": (None, start),
        "usability": (start, "train_train"),
        "probe_generalization": ("train_train", corner),
        "encoder_generalization": (corner, "train_test"),
        "risk": (None, "train_test"),
    }
    if order == "union":
        steps["encoder_generalization"] = ("train_train", corner)
        steps["probe_generalization"] = (corner, "train_test")
    found = {}
    for name, (a, b) in steps.items():
        value = (_on_grid(risks[b]) if b else 0.0) - (_on_grid(risks[a]) if a else 0.0)
        spread = (draws[b] if b else np.zeros(1)) - (draws[a] if a else 0.0)
        found[name] = Estimate(value, *interval(spread))
    return found


def _on_grid(risk: float) -> float:
    return round(risk * _GRID) / _GRID


def _sizes(
    estimator: str, n_sub: int | None, folds: int | None, y: terms.Labels, n_test: int
) -> tuple[int | None, int | None]:
    n, classes = len(y), len(np.unique(y))
    if estimator == "crossfit":
        if n_sub is not None:
            raise ValueError("n_sub: belongs to estimator='published', not to 'crossfit'")
        folds = min(FOLDS, n) if folds is None else folds
        if not 2 <= folds <= n:
            raise ValueError(f"folds: needs 2 .. {n} (training rows), got {folds}")
        return None, folds
    if folds is not None:
        raise ValueError("folds: belongs to estimator='crossfit', not to 'published'")
    n_sub = max(1, min(n_test, n // 5)) if n_sub is None else n_sub
    # a part so large that a class had no rows left to fit on would answer another question
    if not 1 <= n_sub <= n - classes:
        raise ValueError(f"n_sub: needs 1 .. {n - classes} (rows less classes), got {n_sub}")
    return n_sub, None


def _twin(
    fit: Any, supervised: tuple[Embeddings, Embeddings] | None, train: Embeddings
) -> tuple[NDArray[np.float64] | None, bool, float | None]:
    """The twin's training errors, whether their items are those of `train`, its test error."""
    if supervised is None:
        return None, False, None
    if not isinstance(supervised, (tuple, list)) or len(supervised) != 2:
        raise ValueError("supervised: needs a pair (train, test) of Embeddings")
    x, y, _ = labelled_rows("supervised train", supervised[0])
    x_test, y_test, _ = labelled_rows("supervised test", supervised[1])
    comparable(supervised[0], supervised[1], "supervised test")
    if len(np.unique(y)) < 2:
        raise ValueError("supervised train: needs at least two classes")
    seen, unseen = terms.train_and_test(fit, x, y, x_test, y_test)
    paired = np.array_equal(supervised[0].labelled().ids, train.labelled().ids)
    return seen, paired, float(unseen.mean())
