"""Scores and probes of rows that two processes share are those of one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from helpers.groups import together
from jessl.probes import knn_together as knn_together_module
from jessl.probes.kinds import knn, ridge
from jessl.probes.knn_together import knn_together
from jessl.probes.ridge_together import ridge_together
from jessl.scores import SPECTRAL
from jessl.scores.score_together import score_together

PLACE = "JESSL_TEST_EMBEDDINGS"
KEYS = ("value", "sd", "debiased", "low", "high")


def _share(rank: int) -> dict[str, torch.Tensor]:
    z = jessl.Embeddings.load(os.environ[PLACE], mmap=True)
    results = score_together(z, SPECTRAL, seed=3)
    return {name: _numbers(result) for name, result in results.items()}


def _numbers(result: jessl.scores.ScoreResult) -> torch.Tensor:
    values = [getattr(result, key) for key in KEYS]
    return torch.tensor([float("nan") if v is None else v for v in values], dtype=torch.float64)


def _of_rows(rank: int) -> bool:
    z = jessl.Embeddings.load(os.environ[PLACE])
    with pytest.raises(ValueError, match="uniformity: expected scores of the spectrum"):
        score_together(z, ("rankme", "uniformity"))
    return True


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> jessl.Embeddings:
    g = np.random.default_rng(0)
    z = g.standard_normal((601, 12)) / np.arange(1, 13) + 0.5
    embeddings = jessl.Embeddings(z, ids=g.permutation(601) + 10**12)
    monkeypatch.setenv(PLACE, str(embeddings.save(tmp_path / "z")))
    return embeddings


def test_scores_of_shares_are_those_of_all_rows(rows: jessl.Embeddings, tmp_path: Path) -> None:
    whole = jessl.score(rows, SPECTRAL, seed=3)
    for share in together(_share, tmp_path):
        for name, result in whole.items():
            torch.testing.assert_close(
                share[name], _numbers(result), rtol=1e-6, atol=1e-9, equal_nan=True
            )


@pytest.mark.usefixtures("rows")
def test_scores_of_rows_are_refused_on_both(tmp_path: Path) -> None:
    assert together(_of_rows, tmp_path) == [True, True]


def _ridge(rank: int) -> dict[str, torch.Tensor]:
    z = jessl.Embeddings.load(os.environ[PLACE], mmap=True)
    found = ridge_together(z.subset(np.arange(400)), z.subset(np.arange(400, 601)))
    assert found.error is not None
    numbers = [found.penalty, found.error, found.n_train, found.n_test]
    return {
        "numbers": torch.tensor(numbers, dtype=torch.float64),
        "left out": torch.tensor(list(found.left_out.values()), dtype=torch.float64),
        "weights": torch.from_numpy(found.probe.weights),
    }


def test_ridge_and_leave_one_out_of_shares_are_those_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    g = np.random.default_rng(1)
    y = np.array([0, 2, 5, -1])[g.integers(0, 4, 601)]  # with missing labels and classes
    z = jessl.Embeddings(g.standard_normal((601, 12)) + g.standard_normal((8, 12))[y], y)
    monkeypatch.setenv(PLACE, str(z.save(tmp_path / "z")))
    whole = _ridge(0)
    train, test = (z.subset(rows).labelled() for rows in (np.arange(400), np.arange(400, 601)))
    path = ridge.candidates({})
    left_out = [w.mean() for _, w in ridge.leave_one_out(train.features, train.labels, path)]
    np.testing.assert_allclose(whole["left out"], left_out)
    assert whole["numbers"][2:].tolist() == [train.n, test.n]
    published = jessl.probe(train, test, kind="ridge", seed=0)
    assert whole["numbers"][1] == pytest.approx(published.error)
    for share in together(_ridge, tmp_path):
        for name, expected in whole.items():
            torch.testing.assert_close(share[name], expected, rtol=1e-9, atol=1e-9)


def test_ridge_of_too_few_rows_is_refused() -> None:
    few = jessl.Embeddings(np.eye(4), [0, 1, 0, -1])
    with pytest.raises(ValueError, match="expected at least 4 labelled rows"):
        ridge_together(few)


def _parts() -> tuple[jessl.Embeddings, jessl.Embeddings]:
    z = jessl.Embeddings.load(os.environ[PLACE], mmap=True)
    return z.subset(np.arange(400)), z.subset(np.arange(400, 601))


def _neighbours(rank: int) -> dict[str, torch.Tensor]:
    knn._ROWS, knn._CHUNK_ENTRIES = 64, 50 * 7  # several blocks of both sides
    knn_together_module._ROWS = 50
    result = knn_together(*_parts(), k=5)
    return {
        "numbers": torch.tensor([result.error, result.n_train, result.n_test, result.k]),
        "predictions": torch.from_numpy(result.predictions),
    }


def _mistakes(rank: int) -> bool:
    train, test = _parts()
    with pytest.raises(ValueError, match="k: expected a whole number of at least 1, got 0"):
        knn_together(train, test, k=0)
    with pytest.raises(ValueError, match="test: expected labelled rows, got none"):
        knn_together(train, jessl.Embeddings(test.features))
    bad = train.features.copy()
    assert train.labels is not None
    bad[np.flatnonzero(train.labels >= 0)[0], 0] = np.nan  # a row of the first process
    with pytest.raises(ValueError, match="train: expected finite"):
        knn_together(jessl.Embeddings(bad, train.labels), test)
    return True


@pytest.fixture
def few_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """601 rows of which many are equal, so that more than k are as near as the k-th."""
    g = np.random.default_rng(1)
    y = np.array([0, 2, 5, -1])[g.integers(0, 4, 601)]  # with missing labels and classes
    z = np.vstack([g.integers(-1, 2, (400, 4)), g.integers(-1, 2, (201, 4))]) + 0.01
    monkeypatch.setenv(PLACE, str(jessl.Embeddings(z, y).save(tmp_path / "z")))


@pytest.mark.usefixtures("few_values")
def test_neighbours_of_shares_are_those_of_all_rows(tmp_path: Path) -> None:
    train, test = (part.labelled() for part in _parts())
    assert train.labels is not None
    one = knn.build(train.features, train.labels, k=5)
    votes = one.decision_function(test.features)
    decided = one.classes[votes.argmax(axis=1)]
    first, second = np.sort(votes, axis=1)[:, -1:-3:-1].T
    clear = first - second > 1e-5  # else the rounding of cosines decides
    assert clear.mean() > 0.9
    published = jessl.probe(train, test, kind="knn", k=5, seed=0)
    for share in together(_neighbours, tmp_path):
        np.testing.assert_array_equal(share["predictions"][clear], decided[clear])
        error, *counts = share["numbers"].tolist()
        assert error == pytest.approx((share["predictions"].numpy() != test.labels).mean())
        assert error == pytest.approx(published.error, abs=1 - clear.mean())
        assert counts == [train.n, test.n, 5]


@pytest.mark.usefixtures("few_values")
def test_what_neighbours_refuse_ends_both(tmp_path: Path) -> None:
    assert together(_mistakes, tmp_path) == [True, True]
