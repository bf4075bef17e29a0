"""Scores and ridge probes of rows that two processes share are those of one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from helpers.groups import together
from jessl.probes.kinds import ridge
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
