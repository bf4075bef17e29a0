"""Neighbours: by hand, in blocks, in cells, and near rows to all digits."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.curation import nearest
from jessl.curation.nearest import nearest_rows
from jessl.curation.space import space_of


def by_hand(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    np.fill_diagonal(distance, np.inf)
    order = np.argsort(distance, axis=1)[:, :count]
    return order, np.take_along_axis(distance, order, axis=1)


def test_they_are_those_by_hand_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((101, 7))
    order, distance = by_hand(x, 20)
    for rows, columns in ((1024, 8192), (17, 13)):
        monkeypatch.setattr(nearest, "_ROWS", rows)
        monkeypatch.setattr(nearest, "_COLUMNS", columns)
        monkeypatch.setattr(nearest, "_GATHERED", 1000)
        near = nearest_rows(space_of(x))
        assert near.exact
        assert np.array_equal(near.index, order)
        assert near.distance == pytest.approx(distance, abs=1e-6)


def test_more_features_than_axes_lose_no_near_row() -> None:
    rng = np.random.default_rng(1)
    # a spectrum that falls, as that of embeddings does
    x = rng.standard_normal((300, 400)) / np.arange(1, 401)
    x[290:] = x[:10] + 1e-6 * rng.standard_normal((10, 400))
    near = nearest_rows(space_of(x))
    assert np.array_equal(near.index[290:, 0], np.arange(10))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    exact = ((unit[290:] - unit[:10]) ** 2).sum(axis=1) / 2
    assert near.distance[290:, 0] == pytest.approx(exact, rel=0.05)
    order, _ = by_hand(x, 5)
    shared = [len(set(a) & set(b)) for a, b in zip(near.index[:, :5], order, strict=True)]
    assert np.mean(shared) > 4.8


def test_in_cells_nearly_all_neighbours_are_the_exact_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(2).standard_normal((2000, 4))
    space = space_of(x)
    exact = nearest_rows(space)
    monkeypatch.setattr(nearest, "EXACT_ROWS", 100)
    near = nearest_rows(space)
    assert not near.exact
    same = [len(set(a) & set(b)) for a, b in zip(near.index, exact.index, strict=True)]
    assert np.mean(same) > 19.5
    assert np.array_equal(near.index, nearest_rows(space).index)


def test_of_few_rows_all_others_are_neighbours() -> None:
    near = nearest_rows(space_of(np.eye(3)))
    assert near.index.shape == (3, 2)


def test_rows_of_zeros_and_large_values_have_distances() -> None:
    near = nearest_rows(space_of(np.array([[0, 0], [1e30, 0], [1, 0], [0, 3]])))
    assert near.distance[1, 0] == pytest.approx(0, abs=1e-6)
    assert np.isfinite(near.distance).all()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3)), "embeddings: expected at least two images, got 1"),
        (np.ones((5, 3)), "embeddings: all 5 rows are equal"),
        (np.array([[1, 2], [np.nan, 1], [1, 1]]), "1 of 3 rows hold NaN .*, the first is row 1"),
    ],
)
def test_what_cannot_be_curated_is_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        space_of(x)
