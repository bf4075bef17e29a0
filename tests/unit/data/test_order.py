"""Orders of an epoch: permutations, the same everywhere, and how well a window mixes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessl.data.loading.order import epoch_order, shuffle_quality


@given(
    n=st.integers(1, 300),
    shards=st.integers(1, 20),
    window=st.one_of(st.none(), st.integers(1, 400)),
    seed=st.integers(0, 2**40),
)
def test_every_order_is_a_permutation(n: int, shards: int, window: int | None, seed: int) -> None:
    segments = np.sort(np.random.default_rng(n).integers(0, shards, n))
    options = {"seed": seed, "epoch": 3, "shuffle": True, "window": window, "segments": segments}
    order = epoch_order(n, **options)
    np.testing.assert_array_equal(np.sort(order), np.arange(n))
    np.testing.assert_array_equal(order, epoch_order(n, **options))


def test_orders_differ_between_epochs_and_seeds() -> None:
    segments = np.repeat(np.arange(10), 100)
    one = {"seed": 0, "epoch": 0, "shuffle": True, "window": 200, "segments": segments}
    for other in ({"seed": 1}, {"epoch": 1}):
        assert (epoch_order(1000, **one) != epoch_order(1000, **{**one, **other})).mean() > 0.9
    np.testing.assert_array_equal(epoch_order(5, seed=0, epoch=1, shuffle=False), [0, 1, 2, 3, 4])


def test_a_window_reads_few_shards_at_a_time() -> None:
    segments = np.repeat(np.arange(50), 100)
    order = epoch_order(5000, seed=0, epoch=0, shuffle=True, window=300, segments=segments)
    for start in range(0, 5000 - 300, 100):
        assert len(set(segments[order[start : start + 300]])) <= 8


def test_quality_knows_the_extremes() -> None:
    n = 20_000
    unshuffled = shuffle_quality(np.arange(n))
    assert unshuffled["displacement"] == 0
    assert unshuffled["neighbour_correlation"] == pytest.approx(1)
    whole = shuffle_quality(epoch_order(n, seed=0, epoch=0, shuffle=True))
    assert whole["displacement"] == pytest.approx(1, abs=0.03)
    assert abs(whole["neighbour_correlation"]) < 0.03


def test_windows_over_random_shards_mix_nearly_as_well() -> None:
    """Neighbours still share windows, so they correlate; places are as far from home as can be."""
    n, segments = 20_000, np.repeat(np.arange(100), 200)
    found = [
        shuffle_quality(epoch_order(n, seed=0, epoch=e, shuffle=True, window=w, segments=segments))
        for w in (200, 2000, 20_000)
        for e in range(4)
    ]
    means = np.array([[q["neighbour_correlation"], q["displacement"]] for q in found])
    small, middle, large = means.reshape(3, 4, 2).mean(axis=1)
    assert small[0] > middle[0] > large[0]
    assert middle[0] < 0.2
    assert (means[:, 1] > 0.9).all()
