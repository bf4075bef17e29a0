"""Two encoders by view retrieval on the same views."""

from __future__ import annotations

import numpy as np
import pytest

from jessl import Embeddings
from jessl.scores import score
from jessl.scores.paired_views import paired_view_retrieval

IMAGES, VIEWS = 120, 2


def _views(noise: float, seed: int, images: int = IMAGES) -> Embeddings:
    """Images at random places, and views around them."""
    places = np.random.default_rng(5).standard_normal((images, 8))
    rng = np.random.default_rng([seed, 1])
    rows = np.repeat(places, VIEWS, axis=0)
    rows = rows + noise * rng.standard_normal(rows.shape)
    return Embeddings(rows.astype(np.float32), None, np.repeat(np.arange(images), VIEWS))


def test_it_is_the_difference_of_the_scores() -> None:
    good, bad = _views(0.3, 0), _views(1.0, 1)
    result = paired_view_retrieval(good, bad)
    assert result is not None
    values = [score(z, "view_retrieval")["view_retrieval"].value for z in (good, bad)]
    assert result[0] == pytest.approx(values[0] - values[1], abs=1e-12)
    assert 0 < result[1] < result[0] < result[2]


def test_equal_encoders_do_not_differ() -> None:
    z = _views(0.6, 0)
    assert paired_view_retrieval(z, z) == (0, 0, 0)


def test_the_interval_covers_no_difference() -> None:
    worlds = 40
    inside = 0
    for seed in range(worlds):
        result = paired_view_retrieval(_views(0.6, 2 * seed), _views(0.6, 2 * seed + 1))
        assert result is not None
        inside += result[1] <= 0 <= result[2]
    assert inside >= 36


def test_few_images_and_other_images() -> None:
    assert paired_view_retrieval(_views(0.5, 0, 30), _views(0.5, 1, 30)) is None
    with pytest.raises(ValueError, match="images of first"):
        paired_view_retrieval(_views(0.5, 0), _views(0.5, 0, 100))
