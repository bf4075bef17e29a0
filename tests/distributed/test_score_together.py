"""Scores, ridge sums and neighbours of rows that two processes share are those of one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from helpers.groups import together
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
