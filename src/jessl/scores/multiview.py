"""Several views of each image, in any accepted form, as one array [views, images, d]."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.scores.rows import Rows, as_ids, as_rows, to_numpy


class MultiView(NamedTuple):
    """z [q, n, d] (or rows [n, d] for scores without views) and the ids [n] of the images."""

    z: Rows
    ids: NDArray[np.int64]


def as_multiview(views: Any, ids: object = None) -> MultiView:
    """Views of images, grouped by image.

    Args:
        views: Embeddings in which rows of one id are views of one image; or a sequence of q of
            [n, d] Embeddings (rows are matched by id), arrays or tensors (row i of each is image
            i); or an array or tensor [q, n, d].
        ids: [n] of the images, for arrays; None: row numbers.

    Raises:
        ValueError: unless each image has the same number of views, at least 2, of the same d.
    """
    if isinstance(views, Embeddings):
        return _group_by_image(views)
    parts = list(views) if isinstance(views, Sequence) or hasattr(views, "__len__") else None
    if parts is None or any(getattr(p, "ndim", 2) != 2 for p in parts):
        raise ValueError(
            "views: expected [views, n, d], a list of [n, d], or Embeddings, got "
            f"{type(views).__name__}"
        )
    if len(parts) < 2:
        raise ValueError(f"views: expected at least 2 views of each image, got {len(parts)}")
    if all(isinstance(p, Embeddings) for p in parts):
        parts, ids = _match_by_id(parts)
    rows = [to_numpy(as_rows(p)) for p in parts]
    shapes = sorted({r.shape for r in rows})
    if len(shapes) > 1:
        raise ValueError(f"views: expected one shape, got {' and '.join(map(str, shapes))}")
    z = np.stack(rows)
    return MultiView(z, np.arange(z.shape[1]) if ids is None else as_ids(ids, z.shape[1]))


def has_views(z: object) -> bool:
    """Whether z is Embeddings in which an id occurs more than once."""
    return isinstance(z, Embeddings) and len(np.unique(z.ids)) < z.n


def equal_views(z: object) -> bool:
    """Whether z is Embeddings with the same number of views, at least 2, of each image."""
    if not (isinstance(z, Embeddings) and has_views(z)):
        return False
    counts = np.unique(z.ids, return_counts=True)[1]
    return bool(counts.min() == counts.max())


def recipe_of(z: object) -> Container[str]:
    """What the metadata of embeddings say of their views; empty for everything else."""
    views = z.meta.get("views") if isinstance(z, Embeddings) else None
    return views if isinstance(views, dict) else ()


def _group_by_image(embeddings: Embeddings) -> MultiView:
    rows = to_numpy(as_rows(embeddings))
    ids, counts = np.unique(embeddings.ids, return_counts=True)
    q = int(counts.min())
    if q != counts.max() or q < 2:
        odd = int(ids[np.argmin(counts)])
        raise ValueError(
            "views: expected the same number of views of each image, at least 2, got "
            f"{q} of id {odd} and up to {counts.max()} of others"
        )
    order = np.argsort(embeddings.ids, kind="stable")
    return MultiView(rows[order].reshape(len(ids), q, -1).swapaxes(0, 1), ids)


def _match_by_id(parts: list[Embeddings]) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Rows of each in the order of their ids, which must be equal sets without repeats."""
    ids = np.sort(parts[0].ids)
    if len(np.unique(ids)) < len(ids):
        raise ValueError("views: an id occurs twice within one view; pass one Embeddings instead")
    for part in parts[1:]:
        if not np.array_equal(np.sort(part.ids), ids):
            raise ValueError("views: the views are of different images (their ids differ)")
    return [p.features[np.argsort(p.ids, kind="stable")] for p in parts], ids
