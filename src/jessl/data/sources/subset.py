"""Some images of a source, as a source."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jessl.core.hashing import checksum
from jessl.core.texts import Texts
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.sources.base import Source


class Subset(Source):
    """Some images of a source, in the order of `indices`; ids, labels and groups stay the same.

    Args:
        source: all images, n of them.
        indices: integers [m] in 0..n-1, each at most once.

    Raises:
        ValueError: for indices that are out of range, repeated or not integers.
    """

    def __init__(self, source: Source, indices: npt.ArrayLike) -> None:
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ValueError(f"indices: expected integers [m], got {rows.dtype} {list(rows.shape)}")
        rows = rows.astype(np.int64)
        if rows.size and not (rows.min() >= 0 and rows.max() < len(source)):
            raise ValueError(
                f"indices: expected 0..{len(source) - 1} in {source.name}, "
                f"got {rows.min()}..{rows.max()}"
            )
        if len(np.unique(rows)) != len(rows):
            raise ValueError("indices: expected each image at most once, got repetitions")
        self.name = source.name
        self.source = source
        self.indices = rows
        self.ids = source.ids[rows]
        self.labels = None if source.labels is None else _none_if_missing(source.labels[rows])
        self.classes = None if self.labels is None else source.classes
        self.notes = source.notes
        self.value_range = source.value_range
        self.bands = source.bands
        self.segments = None if source.segments is None else source.segments[rows]
        if source.groups is not None and (source.groups[rows] != -1).any():
            self.groups = source.groups[rows]
            self.groups_column = source.groups_column

    def read(self, index: int) -> np.ndarray:
        return self.source.read(int(self.indices[index]))

    def key(self, index: int) -> str:
        return self.source.key(int(self.indices[index]))

    def names(self, indices: np.ndarray | None = None) -> Texts:
        return self.source.names(self.indices if indices is None else self.indices[indices])

    def where(self, index: int) -> str:
        return self.source.where(int(self.indices[index]))

    def size(self, index: int) -> tuple[int, int]:
        return self.source.size(int(self.indices[index]))

    def facts(self, index: int) -> FileFacts:
        return self.source.facts(int(self.indices[index]))

    def stored_values(self, index: int) -> StoredValues | None:
        return self.source.stored_values(int(self.indices[index]))

    def encoded(self, index: int) -> bytes | None:
        return self.source.encoded(int(self.indices[index]))

    def find(self, key: str) -> str:
        return self.source.find(key)

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        return self.source.rows(self.indices[indices])

    def fingerprint(self) -> str:
        return checksum(self.source.fingerprint(), self.indices)


def _none_if_missing(labels: np.ndarray) -> np.ndarray | None:
    return labels if (labels >= 0).any() else None
