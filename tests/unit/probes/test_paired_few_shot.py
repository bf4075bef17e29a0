"""Two encoders by few-shot probes on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from jessl import Embeddings
from jessl.probes import probe
from jessl.probes.paired_few_shot import paired_few_shot

CLASSES, TRAIN, TEST = 3, 60, 90


def _pair(noise: float, seed: int) -> tuple[Embeddings, Embeddings]:
    """Class means plus noise, in 6 dimensions: training and test rows."""
    rng = np.random.default_rng(seed)
    y = np.arange(TRAIN + TEST) % CLASSES
    x = np.eye(6)[y] + noise * rng.standard_normal((len(y), 6))
    z = Embeddings(x.astype(np.float32), y, np.arange(len(y)))
    return z.subset(range(TRAIN)), z.subset(range(TRAIN, TRAIN + TEST))


def test_equal_encoders_do_not_differ() -> None:
    pair = _pair(0.7, 0)
    result = paired_few_shot(pair, pair, draws=3)
    assert (result.difference.value, result.difference.low, result.difference.high) == (0, 0, 0)
    assert (result.n, result.shots, result.draws) == (TEST, 5, 3)


def test_the_better_one_is_better_and_signs_turn() -> None:
    good, bad = _pair(0.2, 0), _pair(1.5, 1)
    forth, back = (paired_few_shot(a, b, draws=5) for a, b in ((good, bad), (bad, good)))
    assert forth.difference.low > 0.1
    assert forth.difference.value == pytest.approx(forth.first - forth.second)
    assert back.difference.value == pytest.approx(-forth.difference.value)
    assert forth.first > 0.95


def test_the_interval_covers_no_difference() -> None:
    """Encoders of one quality with errors of their own: 0 is inside in about 95 % of worlds."""
    worlds = 12
    inside = 0
    for seed in range(worlds):
        d = paired_few_shot(_pair(0.9, 2 * seed), _pair(0.9, 2 * seed + 1), draws=3).difference
        inside += d.low <= 0 <= d.high
    assert inside >= 9


def test_other_images_are_refused() -> None:
    train, test = _pair(0.5, 0)
    other = Embeddings(test.features, test.labels, test.ids + 1)
    with pytest.raises(ValueError, match="images of first"):
        paired_few_shot((train, test), (train, other))


def test_equal_draws_leave_the_spread_of_the_test_images() -> None:
    """All images of each class in every draw: the interval is that of a mean over test images."""
    good, bad = _pair(0.6, 0), _pair(1.1, 1)
    result = paired_few_shot(good, bad, shots=TRAIN // CLASSES, draws=2)
    right = [
        probe(*pair, kind="ridge", shots=TRAIN // CLASSES, duplicates=False).correct.astype(float)
        for pair in (good, bad)
    ]
    gain = right[0] - right[1]
    assert result.difference.value == pytest.approx(gain.mean())
    width = result.difference.high - result.difference.low
    assert width == pytest.approx(2 * 1.96 * gain.std() / np.sqrt(TEST), rel=0.15)
