"""Two encoders by view retrieval on the same views: the difference, with its interval."""

from __future__ import annotations

import numpy as np

from jessl.embeddings import Embeddings
from jessl.scores.debiasing import jackknife_estimate, student_t_interval
from jessl.scores.metrics.view_retrieval import compute_view_retrieval
from jessl.scores.multiview import as_multiview
from jessl.scores.rows import jackknife_blocks, to_numpy

_BLOCKS = 20
# fewer images have an interval that says nothing
_FEWEST = 2 * _BLOCKS


def paired_view_retrieval(
    first: Embeddings, second: Embeddings, *, seed: int = 0
) -> tuple[float, float, float] | None:
    """View retrieval of one encoder minus that of another: (difference, low, high), -1..1.

    The 95 % interval is that of the jackknife over the same blocks of images, so images that are
    hard for both do not widen it.

    Example:
        paired_view_retrieval(after, before)

    Args:
        first, second: embeddings in which rows of one id are views of one image, of the same
            images and views.

    Returns:
        None for fewer than 40 images.

    Raises:
        ValueError: where the images or the numbers of views differ.
    """
    both = [as_multiview(z) for z in (first, second)]
    if not np.array_equal(both[0].ids, both[1].ids) or len(both[0].z) != len(both[1].z):
        raise ValueError("second: expected the views of the images of first, got others")
    ids = both[0].ids
    if len(ids) < _FEWEST:
        return None
    blocks = jackknife_blocks(ids, _BLOCKS, seed)
    values, deleted = [], []
    for views in both:
        result = compute_view_retrieval(to_numpy(views.z), blocks)
        values.append(result.value)
        deleted.append(result.deleted)
    if deleted[0] is None or deleted[1] is None:
        return None
    difference = values[0] - values[1]
    _, sd = jackknife_estimate(difference, deleted[0] - deleted[1])
    low, high = student_t_interval(difference, sd, len(deleted[0]))
    return difference, low, high
