"""Outliers: planted ones come first, and a pool of one kind has next to none."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.curation import outliers
from jessl.curation.nearest import nearest_rows
from jessl.curation.outliers import Outliers, find_outliers, mean_distance
from jessl.curation.space import space_of


def outliers_of(x: np.ndarray) -> Outliers:
    return find_outliers(x)


def pool(seed: int, n: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 4 * np.eye(30)[rng.integers(0, 4, n)] + 0.3 * rng.standard_normal((n, 30))


def test_planted_outliers_are_listed_and_nothing_else() -> None:
    x = pool(0)
    x[:5] = -4 * np.eye(30)[10:15] + 0.3 * np.random.default_rng(1).standard_normal((5, 30))
    found = outliers_of(x)
    assert set(found.rows.tolist()) == set(range(5))
    assert (np.diff(found.score[found.rows]) <= 0).all()


def test_a_pool_of_one_kind_has_next_to_none() -> None:
    assert sum(len(outliers_of(pool(seed)).rows) for seed in range(5)) <= 2


def test_outliers_of_one_kind_do_not_hide_each_other() -> None:
    """Twelve near each other: more than the ten neighbours of the rule before."""
    x = pool(0, 600)
    x[:12] = 1.5 + 0.3 * np.random.default_rng(1).standard_normal((12, 30))
    assert set(outliers_of(x).rows.tolist()) == set(range(12))


def test_a_long_vector_of_a_usual_direction_is_far() -> None:
    x = pool(0)
    x[7] *= 6
    assert outliers_of(x).rows.tolist()[:1] == [7]


def test_wide_features_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.tile(pool(0), 10)
    x[:3] = -np.roll(x[:3], 5, axis=1)
    assert set(outliers_of(x).rows.tolist()) >= {0, 1, 2}
    # a copy is no neighbour of its row; a constant feature has no scale of its own
    twice = np.concatenate([x, x[:3]])
    twice[:, 4] = 2.0
    counted = np.arange(len(twice)) < len(x)
    monkeypatch.setattr(outliers, "_SAMPLE", 300)
    assert set(find_outliers(twice, counted).rows.tolist()) >= {0, 1, 2, 400, 401, 402}


def test_few_rows_have_none() -> None:
    assert len(outliers_of(np.eye(10)).rows) == 0


def test_copies_are_not_counted_as_neighbours() -> None:
    near = nearest_rows(space_of(np.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])))
    counted = np.array([True, False, True, True])
    assert np.allclose(mean_distance(near, counted)[0], (1 + 2) / 2)
    # where no neighbour counts: the last
    assert mean_distance(near, np.zeros(4, bool))[0] == near.distance[0, -1]
