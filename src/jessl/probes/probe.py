"""The verb `probe`: fit on embeddings with labels, judge on others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.names import one_of, unknown
from jessl.probes import split
from jessl.probes.kinds import KINDS
from jessl.probes.result import ProbeResult, wilson


def probe(
    train: Embeddings,
    test: Embeddings,
    *,
    kind: str = "logistic",
    shots: int | None = None,
    fraction: float | None = None,
    seed: int = 0,
    **options: float,
) -> ProbeResult:
    """Fit a probe on `train` and measure its error on `test`. Rows without labels are left out.

    Hyperparameters come from the training rows alone: test rows are used once, for the error.
    Equal votes go to the smallest label; labels that `train` lacks count as errors.

    Args:
        train, test: Embeddings with labels and the same d.
        kind: "logistic": multinomial logistic regression (L-BFGS) on features standardised with
            the training rows; C by 3-fold cross-validation over 1e-5 .. 10, or set by `C`.
            "knn": the `k` (20) nearest training rows by cosine vote with exp(cosine /
            `temperature`) (.07).
        shots: use so many training images of each class, chosen by the seed.
        fraction: use this share of each class (0..1), at least one image of each.
        seed: of the chosen images and of the folds.
        options: C for logistic; k, temperature for knn.

    Returns:
        ProbeResult.

    Raises:
        ValueError: for missing labels, fewer than two classes, NaN or infinite rows (counted),
            another d, a class with fewer images than `shots`, unknown kinds and options.
    """
    chosen = KINDS[one_of("kind", kind, KINDS)]
    for name in options:
        if name not in chosen.takes:
            raise ValueError(unknown(f"option of the {kind} probe", name, chosen.takes))
    x, y, missing_train = labelled_rows("train", train)
    x_test, y_test, missing_test = labelled_rows("test", test)
    comparable(train, test, "test")
    kept = _few(y, shots, fraction, seed)
    if kept is not None:
        x, y = x[kept], y[kept]
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"train: needs at least two classes, all {len(y)} labelled rows are class {y[0]}"
        )
    used, curve = chosen.tune(x, y, seed, options)
    fitted = chosen.fit(x, y, **used)
    votes = fitted.votes(x_test)
    correct = fitted.classes[votes.argmax(axis=1)] == y_test
    m = len(y_test)
    errors = m - int(correct.sum())
    low, high = wilson(errors, m)
    unseen = sorted(set(y_test.tolist()) - set(fitted.classes.tolist()))
    params: dict[str, Any] = {
        "kind": kind,
        **used,
        "tuned_on": "3-fold cross-validation of train" if curve else None,
        "converged": fitted.converged,
        "standardised": chosen.standardise,
        "interval": "Wilson, over test rows",
        "train_rows": len(y),
        "test_rows": m,
        "classes": len(fitted.classes),
        "unlabelled_train_rows": missing_train,
        "unlabelled_test_rows": missing_test,
        "unseen_classes": unseen,
        "unseen_test_rows": int(np.isin(y_test, unseen).sum()),
        "shots": shots,
        "fraction": fraction,
        "seed": seed,
    }
    return ProbeResult(
        accuracy=(m - errors) / m,
        error=errors / m,
        top5=_top5(votes, fitted.classes, y_test),
        low=low,
        high=high,
        params=params,
        curve=curve,
        correct=correct,
    )


def labelled_rows(
    argument: str, data: Embeddings
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Features and labels of the labelled rows, and how many rows have no label.

    Raises:
        ValueError: without labelled rows, and for NaN or infinite features (counted).
    """
    if not isinstance(data, Embeddings):
        raise ValueError(f"{argument}: needs Embeddings, got {type(data).__name__}")
    kept = data.labelled()
    if kept.labels is None or not len(kept):
        raise ValueError(f"{argument}: none of the {len(data)} rows has a label")
    bad = int((~np.isfinite(kept.features).all(axis=1)).sum())
    if bad:
        raise ValueError(
            f"{argument}: {bad} of {len(kept)} labelled rows hold NaN or infinite values"
        )
    return kept.features, kept.labels, len(data) - len(kept)


def comparable(train: Embeddings, other: Embeddings, argument: str) -> None:
    """Refuse embeddings that no probe can be carried over to.

    Raises:
        ValueError: for another number of features, another encoder, weights or layer, or labels
            that mean other classes, as far as the provenance of both tells.
    """
    if train.d != other.d:
        raise ValueError(f"{argument}: needs {train.d} features as train has, got {other.d}")
    one, two = train.meta, other.meta
    for what in ("encoder", "weights", "layer", "classes"):
        a, b = one.get(what), two.get(what)
        if a is not None and b is not None and a != b:
            raise ValueError(f"{argument}: its {what} is {_brief(b)}, that of train is {_brief(a)}")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _few(
    y: NDArray[np.int64], shots: int | None, fraction: float | None, seed: int
) -> NDArray[np.intp] | None:
    if shots is not None and fraction is not None:
        raise ValueError(f"shots, fraction: one of them, got {shots} and {fraction}")
    if shots is not None:
        return split.shots(y, shots, seed)
    if fraction is None:
        return None
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: needs a share above 0 and at most 1, got {fraction}")
    return split.stratified(y, round(fraction * len(y)), seed, at_least=1)


def _top5(
    votes: NDArray[np.float64], classes: NDArray[np.int64], y: NDArray[np.int64]
) -> float | None:
    if len(classes) < 6:
        return None
    best = classes[np.argsort(-votes, axis=1, kind="stable")[:, :5]]
    return float((best == y[:, None]).any(axis=1).mean())
