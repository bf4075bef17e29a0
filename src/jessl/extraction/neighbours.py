"""The most similar rows of embeddings."""

from __future__ import annotations

import numpy as np

from jessl.embeddings import Embeddings


def nearest_neighbours(embeddings: Embeddings, rows: np.ndarray, count: int) -> np.ndarray:
    """Indices [len(rows), count] of the most similar other rows by cosine, the nearest first.

    Args:
        embeddings: [n, d].
        rows: indices into the n rows.
        count: neighbours of each, below n.

    Example:
        nearest_neighbours(z, np.array([0, 1]), 5)
    """
    z = embeddings.features
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    similarity = z[rows] @ z.T
    similarity[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-similarity, axis=1)[:, :count]
