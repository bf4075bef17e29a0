"""Successive halving: where runs are compared, who goes on, and what that saves."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jessl.sweeps.pruning import goes_on, rungs

MERITS = st.lists(st.floats(-1e6, 1e6) | st.just(-math.inf), min_size=1, max_size=40, unique=True)
SHARES = st.floats(0.02, 0.98)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ((100, 10, 0.5, 1), [10, 20, 40, 80]),
        ((81, 3, 1 / 3, 1), [3, 9, 27]),
        ((80, 10, 0.5, 1), [10, 20, 40]),  # none at the end, where nothing is left to save
        ((100, 10, 0.5, 30), [30, 60, 90]),
        ((100, 1, 0.5, 25), [25, 50, 75]),
        ((10, 10, 0.5, 1), []),
        ((10, 25, 0.5, 1), []),
        ((10, 1, 0.5, 10), []),
        ((10, 9, 0.5, 2), []),  # the first judgement after the grace is the end
        ((1, 1, 0.5, 1), []),
        ((5, 1, 0.99, 1), [1, 2, 3, 4]),
    ],
)
def test_rungs_are_the_grace_and_then_further_and_further_apart(
    asked: tuple[int, int, float, int], found: list[int]
) -> None:
    assert rungs(*asked) == found


@given(st.integers(1, 400), st.integers(1, 60), SHARES, st.integers(1, 20))
def test_rungs_are_where_a_run_is_judged(epochs: int, grace: int, share: float, every: int) -> None:
    found = rungs(epochs, grace, share, every)
    assert found == sorted(set(found))
    assert all(grace <= e < epochs and e % every == 0 for e in found)
    assert bool(found) == (every * math.ceil(grace / every) < epochs)
    for before, after in pairwise(found):  # none left out
        assert after <= every * math.ceil(before / share / every + 1e-6)


def test_a_share_next_to_one_or_zero_takes_no_time() -> None:
    assert rungs(300, 1, 1 - 1e-9, 1) == list(range(1, 300))
    assert rungs(300, 1, 1e-300, 1) == [1]


@given(MERITS, SHARES)
def test_of_all_that_are_compared_at_most_the_share_goes_on(
    merits: list[float], share: float
) -> None:
    on = [m for k, m in enumerate(merits) if goes_on(m, merits[:k] + merits[k + 1 :], share)]
    assert len(on) == max(1, math.ceil(share * len(merits) - 1e-9))
    assert sorted(on) == sorted(merits)[-len(on) :]


@given(MERITS, SHARES, st.randoms())
def test_the_best_always_goes_on_and_whoever_comes_first(
    merits: list[float], share: float, rng: random.Random
) -> None:
    rng.shuffle(merits)
    assert goes_on(merits[0], [], share)
    best = merits.index(max(merits))
    assert goes_on(merits[best], merits[:best], share)
    assert goes_on(merits[best], merits[best + 1 :], share)


@given(MERITS, SHARES, st.integers(0, 20))
def test_no_number_is_the_worst_and_never_goes_on(
    merits: list[float], share: float, nans: int
) -> None:
    assert not goes_on(math.nan, merits, share)
    assert not goes_on(math.nan, [], share)
    worst = [-math.inf] * nans
    assert goes_on(merits[0], [*merits[1:], *[math.nan] * nans], share) == goes_on(
        merits[0], [*merits[1:], *worst], share
    )


@pytest.mark.parametrize(("share", "n", "kept"), [(0.5, 4, 2), (1 / 3, 9, 3), (0.1, 10, 1)])
def test_shares_that_floats_cannot_hold_are_whole_all_the_same(
    share: float, n: int, kept: int
) -> None:
    merits = [float(k) for k in range(n)]
    assert sum(goes_on(m, [o for o in merits if o != m], share) for m in merits) == kept


def _replayed(noise: float, order: list[int], share: float) -> tuple[int, list[int]]:
    """Epochs that 64 runs of 64 epochs take with halving, and the runs that came to their end."""
    rng = random.Random(5)
    reached: dict[int, list[float]] = {}
    taken, finished = 0, []
    at = rungs(64, 4, share, 4)
    for run in order:
        for epoch in at:
            merit = run * (1 - math.exp(-epoch / 8)) + rng.gauss(0, noise)
            others = reached.setdefault(epoch, [])
            stays = goes_on(merit, others, share)
            others.append(merit)
            if not stays:
                taken += epoch
                break
        else:
            taken += 64
            finished.append(run)
    return taken, finished


@pytest.mark.parametrize("noise", [0.0, 1.0])
@pytest.mark.parametrize("share", [0.5, 0.25])
def test_a_study_saves_most_epochs_and_keeps_its_best_run(noise: float, share: float) -> None:
    order = list(range(64))
    random.Random(1).shuffle(order)
    taken, finished = _replayed(noise, order, share)
    assert taken < 0.5 * 64 * 64
    assert 63 in finished
    assert len(finished) < 20


def test_in_the_order_of_the_merit_nothing_would_be_saved() -> None:
    # why a study that stops runs shuffles them
    taken, finished = _replayed(0.0, list(range(64)), 0.5)
    assert taken == 64 * 64
    assert len(finished) == 64
