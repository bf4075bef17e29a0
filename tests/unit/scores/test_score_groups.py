"""Groups of scores: "spectral" and "all" stand for the names of theirs."""

from __future__ import annotations

import numpy as np

import jessl
from jessl.scores import SCORES, SPECTRAL
from jessl.scores.registry import OF_VIEWS


def test_spectral_names_the_scores_of_the_spectrum() -> None:
    z = np.random.default_rng(0).standard_normal((80, 30))
    results = jessl.score(z, "spectral", jackknife=0)
    assert tuple(results) == SPECTRAL
    again = jessl.score(z, ("rankme", "spectral"), jackknife=0)
    assert [float(r) for r in results.values()] == [float(r) for r in again.values()]


def test_all_leaves_out_what_needs_views() -> None:
    z = np.random.default_rng(0).standard_normal((80, 30))
    assert set(jessl.score(z, "all", jackknife=0)) == set(SCORES) - set(OF_VIEWS)
    ids = np.arange(80) // 2
    twice = jessl.Embeddings(z, ids=ids)
    assert set(jessl.score(twice, "all", jackknife=0)) == set(SCORES) - {"rotation"}
    turned = jessl.Embeddings(z, ids=np.arange(80) // 4, meta={"views": {"rotations": [0]}})
    assert set(jessl.score(turned, "all", jackknife=0)) == set(SCORES)
