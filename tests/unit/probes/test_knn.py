"""The nearest-neighbour probe: numpy and torch, chunks, ties, memory maps, its options."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.embeddings import Embeddings
from jessl.probes import probe as fit_and_test
from jessl.probes.base import FitRequest
from jessl.probes.kinds import knn


def rows(n: int, d: int = 6, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    centres = np.random.default_rng(99).standard_normal((classes, d))
    return (centres[y] + 0.7 * rng.standard_normal((n, d))).astype(np.float32), y


def by_hand(x: np.ndarray, y: np.ndarray, z: np.ndarray, k: int, temperature: float) -> np.ndarray:
    """Votes in float64, row by row, the largest 1; ties with the k-th vote, too."""
    a = x / np.linalg.norm(x, axis=1, keepdims=True).astype(np.float64)
    b = z / np.linalg.norm(z, axis=1, keepdims=True).astype(np.float64)
    classes = np.unique(y)
    votes = np.zeros((len(z), len(classes)))
    for row, found in zip(b, votes, strict=True):
        cosine = a @ row
        near = cosine >= np.sort(cosine)[-min(k, len(x))] - 1e-6
        weight = np.exp((cosine[near] - cosine.max()) / temperature)
        np.add.at(found, np.searchsorted(classes, y[near]), weight)
    return votes


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize(("k", "temperature"), [(20, 0.07), (1, 0.07), (7, 1.0), (500, 0.1)])
def test_votes_by_hand_in_chunks_of_both_sides(
    monkeypatch: pytest.MonkeyPatch, device: str | None, k: int, temperature: float
) -> None:
    x, y = rows(300)
    z, _ = rows(101, seed=1)
    expected = by_hand(x, y * 3, z, k, temperature)
    probe = knn.build(x, y * 3, k, temperature, device=device)
    np.testing.assert_allclose(probe.decision_function(z), expected, rtol=1e-5, atol=1e-12)
    monkeypatch.setattr(knn, "_ROWS", 64)
    monkeypatch.setattr(knn, "_CHUNK_ENTRIES", 50 * 7)
    np.testing.assert_allclose(probe.decision_function(z), expected, rtol=1e-5, atol=1e-12)
    # chunks of fewer rows than neighbours
    monkeypatch.setattr(knn, "_ROWS", 3)
    np.testing.assert_allclose(probe.decision_function(z), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("chunk", [2, 3, 1000])
def test_all_that_are_as_near_as_the_kth_vote(
    monkeypatch: pytest.MonkeyPatch, device: str | None, chunk: int
) -> None:
    # twelve equal rows stand at the k-th place, in several chunks, some at other lengths
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 40))
    x = np.vstack([np.tile(one, (12, 1)) * np.geomspace(0.1, 10, 12)[:, None], [other], [-one]])
    y = np.array([0, 1, 1] * 4 + [2, 2])
    monkeypatch.setattr(knn, "_ROWS", chunk)
    monkeypatch.setattr(knn, "_CHUNK_ENTRIES", chunk)
    far = np.vstack([one, -other, one + other])
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(len(y))
        votes = knn.build(x[order], y[order], k=3, device=device).decision_function(
            np.vstack([one, other])
        )
        np.testing.assert_allclose(votes[0], [4, 8, 0], rtol=1e-4)
        # the twelve are second to fourteenth nearest of the other
        weight = np.exp((one @ other / np.linalg.norm(one) / np.linalg.norm(other) - 1) / 0.07)
        np.testing.assert_allclose(votes[1], [4 * weight, 8 * weight, 1], rtol=1e-4)
        found = knn.build(x[order], y[order], k=3, device=device).decision_function(far)
        np.testing.assert_allclose(found, by_hand(x, y, far, 3, 0.07), rtol=1e-4)
        cold = knn.build(x[order], y[order], k=3, temperature=1e-30, device=device)
        np.testing.assert_array_equal(
            cold.decision_function(np.vstack([one, other])), [[4, 8, 0], [0, 0, 1]]
        )


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.parametrize("chunk", [2, 37, 1000])
@pytest.mark.parametrize("temperature", [1e-30, 1e-320])
def test_towards_temperature_0_the_nearest_row_votes(
    monkeypatch: pytest.MonkeyPatch, device: str | None, chunk: int, temperature: float
) -> None:
    x, y = rows(200, d=20)
    z, _ = rows(60, d=20, seed=1)
    monkeypatch.setattr(knn, "_ROWS", chunk)
    monkeypatch.setattr(knn, "_CHUNK_ENTRIES", 7 * chunk)
    cold = knn.build(x, y, 20, temperature, device=device).decision_function(z)
    np.testing.assert_array_equal(cold, np.eye(5)[by_hand(x, y, z, 1, 1.0).argmax(axis=1)])
    assert len(np.unique(cold.argmax(axis=1))) == 5


@pytest.mark.parametrize("device", [None, "cpu"])
def test_rows_of_zeros_are_as_near_as_everything(device: str | None) -> None:
    votes = knn.build(np.eye(3), np.arange(3), k=1, device=device).decision_function(
        np.zeros((2, 3))
    )
    np.testing.assert_array_equal(votes, 1)
    constant = knn.build(np.ones((50, 4)), np.arange(50) % 2, k=20, device=device)
    np.testing.assert_allclose(constant.decision_function(np.ones((3, 4))), 25, rtol=1e-4)


def test_numpy_and_torch_agree() -> None:
    x, y = rows(3000, d=64, classes=30)
    x[1000:1500] = x[:500]  # ties
    z, _ = rows(500, d=64, classes=30, seed=1)
    z[:100] = x[:100]
    numpy, torch = (knn.build(x, y, device=device).decision_function(z) for device in (None, "cpu"))
    np.testing.assert_allclose(numpy, torch, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(numpy.argmax(axis=1), torch.argmax(axis=1))


def test_fits_take_the_rows_of_their_masks() -> None:
    x, y = rows(200)
    z, _ = rows(30, seed=1)
    masks = [np.arange(200) % 3 != 0, np.ones(200, bool), y < 2]
    (options,) = knn.candidates({"k": 5})
    assert options == {"k": 5, "temperature": 0.07}
    (found,) = knn.fit_path(FitRequest(x, y, masks, [options]))
    for mask, probe in zip(masks, found, strict=True):
        np.testing.assert_array_equal(
            probe.decision_function(z), knn.build(x[mask], y[mask], 5).decision_function(z)
        )
        assert (probe.converged, probe.probabilistic) == (True, False)
    assert found[2].classes.tolist() == [0, 1]
    assert found[0].device is None
    # any other device is torch's: "cpu:0" is none of numpy's
    (several,) = knn.fit_path(FitRequest(x, y, masks, [options], device="cpu:0"))
    assert several[0].device == "cpu:0"
    np.testing.assert_allclose(
        several[0].decision_function(z), found[0].decision_function(z), rtol=1e-5, atol=1e-12
    )


def test_training_rows_are_not_copied(tmp_path: object) -> None:
    x, y = rows(300)
    stored = np.memmap(f"{tmp_path}/x", np.float32, "w+", shape=x.shape)
    stored[:] = x
    stored.flags.writeable = False
    probe = knn.build(stored, y)
    assert probe.x is stored
    np.testing.assert_array_equal(probe.decision_function(x), knn.build(x, y).decision_function(x))
    on_torch = knn.build(stored, y, device="cpu")
    np.testing.assert_allclose(
        on_torch.decision_function(stored), probe.decision_function(x), rtol=1e-5
    )


def test_numbers_of_numpy_are_numbers() -> None:
    (found,) = knn.candidates({"k": np.int64(3), "temperature": np.float32(0.125)})
    assert found == {"k": 3, "temperature": 0.125}
    assert [type(value) for value in found.values()] == [int, float]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"k": 0}, "k: expected a whole number of at least 1, got 0"),
        ({"k": 2.5}, "k: expected"),
        ({"k": True}, "k: expected"),
        ({"k": np.True_}, "k: expected"),
        ({"k": np.float64(3)}, "k: expected"),
        ({"k": np.int64(0)}, "k: expected"),
        ({"temperature": np.True_}, "temperature: expected"),
        ({"temperature": np.float32("nan")}, "temperature: expected"),
        ({"temperature": 0}, "temperature: expected a finite number above 0, got 0"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        knn.candidates(given)


def test_top5_counts_classes_with_votes_only() -> None:
    x = np.eye(7)
    one = Embeddings(x, np.arange(7))
    # a single neighbour votes for class 6; labels 0 to 3 have no votes
    near = Embeddings(np.tile(x[6], (8, 1)), np.array([0, 1, 2, 3, 4, 5, 6, 6]))
    result = fit_and_test(one, near, kind="knn", k=1)
    assert result.accuracy == 2 / 8
    assert result.top5 == 2 / 8
