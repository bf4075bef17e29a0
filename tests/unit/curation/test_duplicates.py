"""Near-duplicates: planted ones are all in a group, and independent rows are in none."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.curation.duplicates import Duplicates, near_duplicates
from jessl.curation.nearest import nearest_rows
from jessl.curation.space import space_of


def duplicates_of(x: np.ndarray, preferred: np.ndarray | None = None) -> Duplicates:
    return near_duplicates(
        nearest_rows(space_of(x)), x, np.zeros(len(x)) if preferred is None else preferred
    )


def planted(seed: int, copies: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = 3 * rng.standard_normal((5, 32))
    x = centres[rng.integers(0, 5, 300)] + rng.standard_normal((300, 32))
    again = [x[:20] + 0.05 * rng.standard_normal((20, 32)) for _ in range(copies)]
    return np.concatenate([x, *again])


@pytest.mark.parametrize("copies", [1, 3])
def test_planted_copies_are_groups_and_the_others_are_not(copies: int) -> None:
    found = duplicates_of(planted(0, copies))
    expected = {
        frozenset(
            range(k, 300 + 20 * copies, 300)
            if copies == 1
            else [k, *(300 + 20 * c + k for c in range(copies))]
        )
        for k in range(20)
    }
    assert {frozenset(group.tolist()) for group in found.groups} == expected
    assert len(found.surplus) == 20 * copies
    assert np.isnan(found.distance[100])


def test_independent_rows_have_no_duplicates() -> None:
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((400, 8))
        assert not duplicates_of(x).groups


def test_the_preferred_row_is_kept() -> None:
    x = planted(1, 1)
    sizes = np.zeros(len(x))
    sizes[300:] = 1
    kept = {int(group[0]) for group in duplicates_of(x, sizes).groups}
    assert kept == set(range(300, 320))
    assert {int(group[0]) for group in duplicates_of(x).groups} == set(range(20))


def test_equal_rows_are_copies_also_in_a_small_pool() -> None:
    [group] = duplicates_of(np.array([[1.0, 0], [0, 1], [1, 0], [1, 1]])).groups
    assert group.tolist() == [0, 2]


def test_many_equal_rows_are_one_group() -> None:
    x = np.random.default_rng(3).standard_normal((100, 16))
    x[:60] = x[0]
    [group] = duplicates_of(x).groups
    assert sorted(group.tolist()) == list(range(60))
