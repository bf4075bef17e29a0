"""Near duplicates: against every pair, near by chance, the promised misses, hard searches."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jessl.probes import duplicates
from jessl.probes.duplicates import near_duplicates


def gauss(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def every_pair(
    train: np.ndarray, test: np.ndarray, share: float, of_nearest: float = 0.2
) -> tuple[int, int, list[list]]:
    """The same counts by all distances in float64, medians over all pairs and all rows."""
    scale = train.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1
    a, b = train / scale, test / scale
    among = np.sqrt(((a[:, None] - a[None]) ** 2).sum(axis=2))
    typical = np.median(among[np.triu_indices(len(a), 1)])
    nearest = np.median(np.where(np.eye(len(a), dtype=bool), np.inf, among).min(axis=1))
    across = np.sqrt(((b[:, None] - a[None]) ** 2).sum(axis=2)) / typical
    identical = (test[:, None] == train[None]).all(axis=2).any(axis=1)
    best = across.min(axis=1)
    near = best < min(share, of_nearest * nearest / typical)
    order = np.argsort(best, kind="stable")[: int(near.sum())][:10]
    pairs = [[int(i), int(across[i].argmin()), float(best[i])] for i in order]
    return int(identical.sum()), int((near & ~identical).sum()), pairs


@pytest.mark.parametrize("d", [5, 8, 9, 40])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_as_by_every_pair(d: int, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # so many pairs that their median is that of all
    monkeypatch.setattr(duplicates, "PAIRS", 300_000)
    train = gauss(400, d) * np.geomspace(1e-2, 1e2, d, dtype=np.float32) + 3
    test = gauss(120, d, 1) * np.geomspace(1e-2, 1e2, d, dtype=np.float32) + 3
    test[:4] = train[10:14]
    # neighbours from well within to well outside of both bounds
    away = np.geomspace(0.005, 1, 60, dtype=np.float32)[:, None]
    test[4:64] = train[20:80] + away * train.std(axis=0) * gauss(60, d, 2)
    found = near_duplicates(train, test, share=share)
    identical, near, pairs = every_pair(train, test, share)
    assert (found["identical"], found["near"]) == (identical, near)
    assert identical == 4
    assert near > 10
    assert found["complete"] is True
    assert (found["test_rows"], found["share"]) == (120, share)
    assert [pair[:2] for pair in found["pairs"]] == [pair[:2] for pair in pairs]
    np.testing.assert_allclose(
        [pair[2] for pair in found["pairs"]], [pair[2] for pair in pairs], rtol=3e-3
    )
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("d", [5, 8, 16, 64])
def test_independent_rows_are_not_near_and_copies_are(d: int) -> None:
    for seed in range(6):
        train, test = gauss(1000, d, seed), gauss(1000, d, 100 + seed)
        assert near_duplicates(train, test)["near"] <= 1
        test[:50] = train[200:250] + 0.01 * gauss(50, d, 200 + seed)
        found = near_duplicates(train, test)
        assert 50 <= found["near"] <= 51
        assert all(pair[1] == pair[0] + 200 for pair in found["pairs"])


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_in_few_dimensions_near_is_not_told(d: int) -> None:
    train, test = gauss(1000, d), gauss(1000, d, 1)
    test[:6] = train[:6]
    constant = np.full((1000, 20), 0.3, np.float32)
    for hold in (np.empty((1000, 0), np.float32), constant):
        found = near_duplicates(np.hstack([train, hold]), np.hstack([test, hold]))
        assert (found["identical"], found["near"], found["complete"]) == (6, None, True)
        assert found["pairs"] == [[i, i, 0.0] for i in range(6)]
    if d < 4:  # of four the estimate of 512 rows is between 3.7 and 4.9
        axes = gauss(d, 64, 9)
        assert near_duplicates(train @ axes, test @ axes)["near"] is None
    axes = gauss(6, 64, 9)
    assert near_duplicates(gauss(1000, 6) @ axes, gauss(1000, 6, 1) @ axes)["near"] == 0


@pytest.mark.parametrize("value", [1e4, 1e8])
@pytest.mark.parametrize("where", [(3, 2), (3, slice(None))])
def test_an_outlier_makes_nothing_near(value: float, where: tuple) -> None:
    train, test = gauss(1000, 16), gauss(100, 16, 1)
    plain = near_duplicates(train, test)
    train[where] = value
    assert near_duplicates(train, test)["near"] == plain["near"] == 0
    test[:30] = train[10:40] + 0.01 * gauss(30, 16, 2)
    assert near_duplicates(train, test)["near"] == 30
    test[:5] = train[50:55]
    # takes all digits of the others
    for value in (1e19, 1e30):
        train[3] = value
        found = near_duplicates(train, test)
        assert (found["identical"], found["near"]) == (5, None)


def test_a_pair_just_near_enough_is_missed_once_in_a_thousand() -> None:
    train, away = gauss(20_000, 64), gauss(20_000, 64, 1)
    scale = train.std(axis=0)
    # independent directions: each pair is a draw of its own, though the projection is one
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    pairs = near_duplicates(train, train[:100] + 0.1 * away[:100] * scale, seed=3)["pairs"]
    typical = 0.1 / pairs[-1][2]
    assert typical == pytest.approx(np.sqrt(2 * 64), rel=0.01)
    away *= 0.9999 * 0.05 * typical
    found = near_duplicates(train, train + away * scale, seed=3)
    missed = 20_000 - found["near"]
    # expected 20; a smaller radius would miss more, a needlessly large one none
    assert 4 <= missed <= 40
    assert found["complete"] is True
    away *= 1.001
    assert near_duplicates(train, train + away * scale, seed=3)["near"] == 0


def test_minus_zero_is_zero_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = gauss(300, 12), gauss(90, 12, 1)
    train[:, 0] = np.sign(train[:, 0])
    train[7] = 0
    test[5] = -0.0
    test[10:40] = train[:30] + 0.02 * gauss(30, 12, 2)
    whole = near_duplicates(train, test)
    assert whole["identical"] == 1
    assert whole["pairs"][0] == [5, 7, 0.0]
    assert whole["near"] == 30
    monkeypatch.setattr(duplicates, "CHUNK", 70)
    monkeypatch.setattr(duplicates, "_ROWS", 17)
    monkeypatch.setattr(duplicates, "_TOGETHER", 100)
    parts = near_duplicates(train, test)
    assert [pair[:2] for pair in parts["pairs"]] == [pair[:2] for pair in whole["pairs"]]
    assert {**parts, "pairs": 0} == {**whole, "pairs": 0}


@pytest.mark.parametrize("within", [0.1, 1e-3, 1e-5])
@pytest.mark.parametrize("against_all", [False, True])
def test_collapsed_classes_are_not_near_throughout(
    within: float, against_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if against_all:  # few rounds among many candidates leave most rows to the products
        monkeypatch.setattr(duplicates, "ROUNDS", (2, 2))
        monkeypatch.setattr(duplicates, "COVERAGE", 1.0)
    centres = gauss(10, 128, 5)
    rows = np.arange(3000) % 10
    train = centres[rows] + np.float32(within) * gauss(3000, 128)
    test = centres[rows[:900]] + np.float32(within) * gauss(900, 128, 1)
    test[:40] = train[:40] + np.float32(0.01 * within) * gauss(40, 128, 2)
    found = near_duplicates(train, test)
    assert (found["identical"], found["near"], found["complete"]) == (0, 40, True)
    assert all(i == j for i, j, _ in found["pairs"])
    distances = [pair[2] for pair in found["pairs"]]
    assert distances == sorted(distances)
    assert 0 < distances[0] < 0.01


def crowded() -> tuple[np.ndarray, np.ndarray]:
    """Rows of a class are all candidates for each other, and hardly any of them is near."""
    centres = gauss(3, 64, 5)
    rows = np.arange(600) % 3
    train = centres[rows] + 0.08 * gauss(600, 64)
    test = centres[rows[:200]] + 0.08 * gauss(200, 64, 1)
    test[:20] = train[:20] + 1e-4 * gauss(20, 64, 2)
    return train, test


def test_rows_with_very_many_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = crowded()
    monkeypatch.setattr(duplicates, "ROUNDS", (2, 4))
    monkeypatch.setattr(duplicates, "_ROWS", 70)
    monkeypatch.setattr(duplicates, "PAIRS", 300_000)
    # else no share would let rows of a class be near
    monkeypatch.setattr(duplicates, "OF_NEAREST", 9.0)
    identical, near, pairs = every_pair(train, test, 0.05, 9.0)
    assert (identical, near) == (0, 20)
    found = near_duplicates(train, test)
    assert (found["near"], found["complete"]) == (20, True)
    assert [pair[:2] for pair in found["pairs"]] == [pair[:2] for pair in pairs]
    shares = {share: every_pair(train, test, share, 9.0)[1] for share in (0.12, 0.13)}
    assert 20 < shares[0.12] < shares[0.13] < 200
    for share, near in shares.items():
        assert near_duplicates(train, test, share=share)["near"] == near


def test_a_search_that_would_take_too_long_is_ended_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = crowded()
    monkeypatch.setattr(duplicates, "ROUNDS", (2, 4))
    monkeypatch.setattr(duplicates, "OF_NEAREST", 9.0)
    whole = near_duplicates(train, test, share=0.13)
    monkeypatch.setattr(duplicates, "PRODUCTS", 600 * 64 * 10)
    found = near_duplicates(train, test, share=0.13)
    assert (whole["complete"], found["complete"]) == (True, False)
    assert 20 <= found["near"] < whole["near"]


@pytest.mark.parametrize("test_equal", [True, False])
def test_rows_that_are_all_equal(test_equal: bool) -> None:
    train = np.full((5000, 16), 0.1, np.float32)
    test = train[:50] if test_equal else gauss(50, 16)
    found = near_duplicates(train, test)
    assert found["identical"] == (50 if test_equal else 0)
    assert (found["near"], found["complete"]) == (None, True)
    assert found["pairs"] == ([[i, 0, 0.0] for i in range(10)] if test_equal else [])


def test_one_row_no_row_and_constant_features() -> None:
    one = gauss(1, 4)
    assert near_duplicates(one, np.vstack([one, one + 1e-6]))["identical"] == 1
    assert near_duplicates(one, one[:0])["test_rows"] == 0
    train = np.hstack([gauss(200, 6), np.full((200, 5), 0.3, np.float32)])
    found = near_duplicates(train, train[:30] + np.float32(1e-3))
    assert (found["identical"], found["near"]) == (0, 30)
    # equal training rows are one: their distance to each other is none of two rows
    often = np.repeat(train, 40, axis=0)
    assert near_duplicates(often, train[:30] + np.float32(1e-3))["near"] == 30
    with pytest.raises(ValueError, match="train: expected at least one row"):
        near_duplicates(one[:0], one)


def test_equal_rows_in_a_memory_map_and_float64(tmp_path: object) -> None:
    x = gauss(500, 20)
    stored = np.memmap(f"{tmp_path}/x", np.float32, "w+", shape=x.shape)
    stored[:] = x
    found = near_duplicates(stored, x[100:200].astype(np.float64))
    assert (found["identical"], found["near"]) == (100, 0)


def test_mistakes_are_named() -> None:
    x = gauss(10, 4)
    told = near_duplicates(x, x, share=np.float32(0.25))["share"]
    assert type(told) is float
    for share in (0, 1, -0.1, float("nan"), True):
        with pytest.raises(ValueError, match="share: expected"):
            near_duplicates(x, x, share=share)
    for train, test in ((x, x[:, :3]), (x[0], x), (x, x[0]), (x[:, :0], x[:, :0])):
        with pytest.raises(ValueError, match=r"expected shapes \[n, d\] and \[m, d\]"):
            near_duplicates(train, test)
    broken = x.copy()
    broken[3, 1] = np.inf
    with pytest.raises(ValueError, match="test: 1 of 10 rows hold NaN"):
        near_duplicates(x, broken)
