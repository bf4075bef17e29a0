"""Layouts: the plane of known data, what is refused, what has no map."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from jessl.maps.layouts import check_map, layouts


def test_pca_finds_the_plane_that_the_rows_lie_in() -> None:
    rng = np.random.default_rng(0)
    plane = rng.uniform(-1, 1, (60, 2)) * (0.3, 0.1)
    rows = np.zeros((60, 9))
    rows[:, 2], rows[:, 5], rows[:, 7] = plane[:, 0], plane[:, 1], 4
    rows *= rng.uniform(1, 3, (60, 1))  # lengths do not matter
    (pca,) = layouts(rows, "pca", 0)
    length = np.sqrt(16 + (plane**2).sum(axis=1, keepdims=True))
    expected = plane / length
    expected -= expected.mean(axis=0)
    for k in range(2):
        correlation = np.corrcoef(pca.xy[:, k], expected[:, k])[0, 1]
        assert abs(correlation) > 0.99
    np.testing.assert_allclose(
        np.linalg.norm(pca.xy, axis=1), np.linalg.norm(expected, axis=1), atol=1e-3
    )
    assert "100 %" in pca.about or "and" in pca.about
    assert pca.name == "PCA"


def test_one_feature_lies_on_a_line() -> None:
    (pca,) = layouts(np.array([[1.0], [-1.0], [1.0]]), "pca", 0)
    assert pca.xy.shape == (3, 2)
    assert (pca.xy[:, 1] == 0).all()


@pytest.mark.parametrize("rows", [np.ones((9, 4)), np.zeros((9, 4)), np.eye(2), np.ones((0, 3))])
def test_there_is_no_map_of_equal_or_too_few_rows(rows: np.ndarray) -> None:
    assert layouts(rows, "pca", 0) == []
    assert layouts(np.eye(5), "none", 0) == []


def test_names_of_maps_are_checked() -> None:
    with pytest.raises(ValueError, match="unknown map 'tsne'"):
        check_map("tsne")
    if importlib.util.find_spec("pacmap") is None:
        with pytest.raises(ValueError, match=r"map: pacmap needs the package pacmap"):
            check_map("pacmap")


def test_pacmap_keeps_groups_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package's class replaced where it is not installed: importing it takes long."""
    import sys
    import types

    class Fake:
        def __init__(self, **options: object) -> None:
            assert options["n_components"] == 2
            assert options["n_neighbors"] == 4  # of five rows
            print("a warning of its own")

        def fit_transform(self, rows: np.ndarray, init: str) -> np.ndarray:
            return rows[:, :2]

    module = types.ModuleType("pacmap")
    module.PaCMAP = Fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pacmap", module)
    names = [one.name for one in layouts(np.eye(5), "pacmap", 0, "timm:x")]
    assert names == ["PCA of timm:x", "PaCMAP of timm:x"]
    # the package cannot draw fewer rows or columns
    assert [one.name for one in layouts(np.eye(3), "pacmap", 0)] == ["PCA"]
    assert [one.name for one in layouts(np.eye(5)[:, :1] - 0.5, "pacmap", 0)] == ["PCA"]
