"""The temperature: known answers in a world whose probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.classification.calibration import calibration_error, fit_temperature
from jessl.probes.held_out import log_softmax


def _world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits [n, 5] whose softmax is the truth, and labels that are drawn from it."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, 5))
    cumulative = np.exp(log_softmax(logits)).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulative[:, :-1]).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_the_world_comes_back(temperature: float) -> None:
    logits, y = _world(20_000)
    assert fit_temperature(temperature * logits, y) == pytest.approx(temperature, rel=0.03)


def test_few_rows_stay_near_one() -> None:
    logits, y = _world(3)
    many = fit_temperature(3 * _world(20_000)[0], _world(20_000)[1])
    few = fit_temperature(3 * logits, y)
    assert 1 / 2 < few < many
    assert fit_temperature(np.empty((0, 5)), np.empty(0, np.int64)) == 1.0


def test_the_calibration_error_counts_the_gap() -> None:
    probability = np.array([0.95] * 10 + [0.55] * 10)
    right = np.array([True] * 10 + [False] * 10)
    # bins of ten rows each: |.95 - 1| and |.55 - 0|
    assert calibration_error(probability, right) == pytest.approx((0.05 + 0.55) / 2)


def test_a_temperature_mends_what_is_too_sure() -> None:
    logits, y = _world(20_000)
    right = logits.argmax(axis=1) == y
    sure = 3 * logits
    before = calibration_error(np.exp(log_softmax(sure)).max(axis=1), right)
    temperature = fit_temperature(sure, y)
    after = calibration_error(np.exp(log_softmax(sure, temperature)).max(axis=1), right)
    assert before > 0.05
    assert after < 0.02
