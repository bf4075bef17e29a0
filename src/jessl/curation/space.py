"""Features as rows of length 1 in few dimensions, in which neighbours and clusters are computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.resources import check_memory
from jessl.probes.base import Features
from jessl.probes.standardize import release_pages

# principal axes that are kept; below this width all features are
MOST_AXES = 256
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Space:
    """Rows of a pool of images.

    The cosine of the features as they are: after centring or standardisation fewer images of
    another kind are far (benchmarks/records, classify).

    Attributes:
        features: [n, d], as they are; an array or a memory map.
        rows: float32 [n, r], of length 1, in the r principal axes of the features of length 1.
    """

    features: Features
    rows: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)


def space_of(features: Features) -> Space:
    """The space of features [n, d]: all of them up to 256, else the first 256 principal axes.

    Time n d^2 above 256 features; memory 4 n r bytes beside blocks.

    Raises:
        ValueError: for fewer than two rows, NaN or infinite values, and rows that are all equal.
    """
    n, d = features.shape
    if n < 2:
        raise ValueError(f"embeddings: expected at least two images, got {n}")
    axes = min(d, MOST_AXES)
    check_memory(5 * n * axes, f"curating {n:,} images")
    bad, first, varies = 0, -1, False
    gram = np.zeros((d, d)) if d > MOST_AXES else None
    for start, part in _chunks(features):
        wrong = ~np.isfinite(part).all(axis=1)
        if wrong.any():
            first = start + int(wrong.argmax()) if first < 0 else first
            bad += int(wrong.sum())
        elif not bad:
            varies = varies or bool((part != features[:1]).any())
            if gram is not None:
                unit = unit_rows(part)
                gram += unit.T @ unit
    if bad:
        raise ValueError(
            f"embeddings: {bad} of {n} rows hold NaN or infinite values, the first is row {first}"
        )
    if not varies:
        raise ValueError(
            f"embeddings: all {n} rows are equal: nothing can be ranked; is the encoder collapsed?"
        )
    basis = None if gram is None else np.linalg.eigh(gram)[1][:, -axes:].astype(np.float32)
    rows = np.empty((n, axes), np.float32)
    for start, part in _chunks(features):
        unit = unit_rows(part)
        rows[start : start + len(part)] = unit if basis is None else unit_rows(unit @ basis)
    return Space(features, rows)


def _chunks(x: Features) -> Iterator[tuple[int, Features]]:
    for start in range(0, len(x), _CHUNK):
        yield start, np.asarray(x[start : start + _CHUNK])
        release_pages(x)


def unit_rows(x: Features) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay zeros."""
    z = np.asarray(x, np.float32)
    largest = np.abs(z).max(axis=1, keepdims=True)
    # by the largest value first: squares of large values overflow
    z = np.divide(z, np.where(largest > 0, largest, 1), dtype=np.float32)
    length = np.linalg.norm(z, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(z, np.where(length > 0, length, 1), dtype=np.float32)
    return unit
