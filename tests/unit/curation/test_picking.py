"""What to label first: one image a cluster, known answers, completion of given labels."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.curation.nearest import nearest_rows
from jessl.curation.outliers import mean_distance
from jessl.curation.picking import coverage
from jessl.curation.picking.base import Pool
from jessl.curation.picking.methods import METHODS, label_first
from jessl.curation.space import space_of

CLUSTERS, N = 6, 240


def pool_of(
    x: np.ndarray, labelled: list[int] | None = None, allowed: np.ndarray | None = None
) -> Pool:
    near = nearest_rows(space := space_of(x))
    allowed = np.ones(len(x), bool) if allowed is None else allowed
    rows = np.array(labelled or [], np.int64)
    allowed[rows] = False
    return Pool(
        space.rows, mean_distance(near, np.ones(len(x), bool), 20), rows, allowed, classes=0
    )


def clustered(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clusters on different axes, of unlike sizes."""
    rng = np.random.default_rng(seed)
    y = np.sort(rng.choice(CLUSTERS, N, p=np.array([8, 4, 4, 4, 2, 2]) / 24))
    return 5 * np.eye(20)[y] + 0.3 * rng.standard_normal((N, 20)), y


@pytest.mark.parametrize("method", ["typicality", "coverage", "k-centre", "medoids"])
def test_one_image_of_each_cluster_is_chosen(method: str) -> None:
    x, y = clustered()
    first = label_first(pool_of(x), CLUSTERS, method)
    assert sorted(y[first.rows].tolist()) == list(range(CLUSTERS))
    assert first.represents.tolist() == np.bincount(y)[y[first.rows]].tolist()


@pytest.mark.parametrize("method", ["typicality", "coverage", "k-centre", "medoids"])
def test_given_labels_are_completed(method: str) -> None:
    x, y = clustered()
    labelled = [int(np.flatnonzero(y == c)[0]) for c in (0, 3)]
    first = label_first(pool_of(x, labelled), CLUSTERS - 2, method)
    assert sorted(y[first.rows].tolist()) == [1, 2, 4, 5]


@pytest.mark.parametrize("method", sorted(METHODS))
def test_only_allowed_rows_each_once_and_the_same_again(method: str) -> None:
    x, _ = clustered(1)
    allowed = np.random.default_rng(0).random(N) < 0.2
    budget = int(allowed.sum())
    first = label_first(pool_of(x, allowed=allowed.copy()), budget, method, seed=3)
    assert sorted(first.rows.tolist()) == np.flatnonzero(allowed).tolist()
    again = label_first(pool_of(x, allowed=allowed.copy()), budget, method, seed=3)
    assert np.array_equal(first.rows, again.rows)


def test_typical_is_the_middle_of_a_cluster_and_not_an_outlier() -> None:
    x, y = clustered()
    x[:3] = -5 * np.eye(20)[10:13]
    pool = pool_of(x)
    chosen = label_first(pool, CLUSTERS, "typicality").rows
    assert not set(chosen.tolist()) & {0, 1, 2}
    for row in chosen.tolist():
        rank = (pool.density_distance[y == y[row]] < pool.density_distance[row]).mean()
        assert rank < 0.1
    # k-centre takes what is far from everything
    assert {0, 1, 2} <= set(label_first(pool, CLUSTERS + 3, "k-centre").rows.tolist())


def test_coverage_is_greedy_by_hand() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((60, 3))
    rows = space_of(x).rows
    radius = 0.15
    within = 1 - rows @ rows.T < radius
    np.fill_diagonal(within, True)
    covered = np.zeros(60, bool)
    expected = []
    for _ in range(5):
        expected.append(int((within & ~covered).sum(axis=1).argmax()))
        covered |= within[expected[-1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coverage, "_pure_radius", lambda _rows, _cluster: radius)
        assert label_first(pool_of(x), 5, "coverage").rows.tolist() == expected


def test_the_radius_is_that_of_pure_balls() -> None:
    rows = space_of(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])).rows
    radius = coverage._pure_radius(rows, np.array([0, 0, 1, 1]))
    distance = 1 - rows @ rows.T
    assert radius == pytest.approx(
        np.quantile(np.where(np.eye(2).repeat(2, 0).repeat(2, 1) > 0, 9, distance).min(1), 0.05)
    )


def test_coverage_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "SAMPLED_ROWS", 60)
    x, y = clustered(2)
    labelled = [int(np.flatnonzero(y == 0)[0])]
    first = label_first(pool_of(x, labelled), CLUSTERS - 1, "coverage")
    assert sorted(y[first.rows].tolist()) == list(range(1, CLUSTERS))


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="unknown method 'typical'; did you mean 'typicality'"):
        label_first(pool_of(np.eye(5)), 1, "typical")
