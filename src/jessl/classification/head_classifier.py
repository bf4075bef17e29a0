"""A fine-tuned head as a classifier of features, like one that is fitted on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jessl.classification.accuracy import ExpectedAccuracy, expected_accuracy, share_interval
from jessl.classification.calibration import calibration_error, fit_temperature
from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.distance import LabelledNeighbours
from jessl.probes.base import Features
from jessl.probes.held_out import log_softmax
from jessl.probes.linear import LinearProbe


def classifier_of_head(
    weights: NDArray[np.float64],
    bias: NDArray[np.float64],
    classes: Sequence[str],
    *,
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    features: Features,
    folds: int = 1,
    each: float = 1,
    alone: int = 0,
    seed: int = 0,
) -> EmbeddingClassifier:
    """A fitted `EmbeddingClassifier` whose probe is a given linear layer on the features.

    Accuracy, confusion and temperature come from held-out rows: of one part, or of several folds,
    each by the network that was trained without it.

    Args:
        weights: [classes, d]; bias: [classes].
        classes: names, in the order of the logits.
        logits: [m, classes] of held-out rows; labels: int64 [m], places in `classes`.
        features: [n, d] of all labelled images, which distances refer to.
        folds: that the held-out rows come from; 1: one part was held out.
        each: labelled rows of the median class.
        alone: classes with a single labelled row, which no fold holds out.
        seed: of the sample of many of them.
    """
    order = np.argsort(np.array(classes))
    place = np.argsort(order)[labels]
    logits = logits[:, order]
    fitted = EmbeddingClassifier(seed=seed)
    fitted.classes_ = np.array(classes)[order]
    d = weights.shape[1]
    fitted.n_features_in_ = d
    fitted.probe_ = LinearProbe(
        np.arange(len(classes)),
        np.zeros(d),
        np.ones(d),
        weights[order].T.astype(np.float64),
        bias[order].astype(np.float64),
        True,
        True,
    )
    # no penalty was chosen
    fitted.C_, fitted.curve_ = 0.0, None
    fitted.temperature_ = fit_temperature(logits, place)
    right = logits.argmax(axis=1) == place
    fitted.expected_accuracy_ = _expected(right, folds, each, alone)
    before, after = (np.exp(log_softmax(logits, t)).max(axis=1) for t in (1.0, fitted.temperature_))
    fitted.calibration_error_ = (
        calibration_error(before, right),
        calibration_error(after, right),
    )
    fitted.confusion_ = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(fitted.confusion_, (place, logits.argmax(axis=1)), 1)
    fitted.held_out_confidence_, fitted.held_out_wrong_ = after, ~right
    fitted.abstention_ = None
    fitted.neighbours_ = LabelledNeighbours.of(features, seed)
    return fitted


def _expected(right: NDArray[np.bool_], folds: int, each: float, alone: int) -> ExpectedAccuracy:
    """As of the folds of a probe; rows that one training held out are independent."""
    if folds > 1:
        known = np.arange(len(right) + alone) < len(right)
        wrong = np.concatenate([~right, np.ones(alone, bool)])
        return expected_accuracy(wrong, known, folds, each=each, alone=alone)
    low, high = share_interval(float(right.sum()), len(right))
    value, n = float(right.mean()), len(right)
    return ExpectedAccuracy(value, low, high, n, float(n), 1, alone)
