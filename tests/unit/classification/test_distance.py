"""The distance to the labelled rows: counted by hand, and far from everything."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.classification import distance
from jessl.classification.distance import LabelledNeighbours


def test_it_is_the_count_by_hand() -> None:
    rng = np.random.default_rng(0)
    rows, new = rng.standard_normal((40, 6)), rng.standard_normal((15, 6))
    unit, other = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, new))
    among = unit @ unit.T
    np.fill_diagonal(among, -1)
    nearest = 1 - among.max(axis=1)
    expected = [(nearest < 1 - (unit @ z).max()).mean() for z in other]
    assert LabelledNeighbours.of(rows).quantile(new) == pytest.approx(expected)


def test_rows_of_another_kind_are_far_and_of_the_same_kind_are_not() -> None:
    rng = np.random.default_rng(1)
    centre = np.eye(30)[0] * 10
    rows, same = (centre + rng.standard_normal((n, 30)) for n in (300, 500))
    known = LabelledNeighbours.of(rows)
    elsewhere = known.quantile(np.eye(30)[1] * 10 + rng.standard_normal((500, 30)))
    assert LabelledNeighbours.far(elsewhere).all()
    assert LabelledNeighbours.far(known.quantile(same)).mean() < 0.04
    assert (known.quantile(rows) == 0).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rows, new = rng.standard_normal((50, 4)), rng.standard_normal((33, 4))
    whole = LabelledNeighbours.of(rows)
    monkeypatch.setattr(distance, "_ENTRIES", 300)
    parts = LabelledNeighbours.of(rows)
    assert np.allclose(parts.distances, whole.distances, atol=1e-6)
    assert np.array_equal(parts.quantile(new), whole.quantile(new))


def test_of_many_rows_a_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance, "MOST_ROWS", 20)
    known = LabelledNeighbours.of(np.random.default_rng(3).standard_normal((90, 4)))
    assert known.rows.shape == (20, 4)


def test_the_chance_of_far_rows_is_exact() -> None:
    """Of exchangeable rows it is below .05 in a twentieth of the draws, and never far below."""
    rng = np.random.default_rng(4)
    chances = []
    for _ in range(300):
        rows, new = rng.standard_normal((100, 8)), rng.standard_normal((400, 8))
        known = LabelledNeighbours.of(rows)
        far = int(LabelledNeighbours.far(known.quantile(new)).sum())
        chances.append(LabelledNeighbours.chance_of(far, 400, 100))
    assert 0.02 < np.mean(np.array(chances) < 0.05) < 0.09
    assert min(chances) > 1e-4
    assert LabelledNeighbours.chance_of(79, 1_497, 300) < 1e-3
    assert LabelledNeighbours.chance_of(0, 10, 5) == 1.0
