"""A source with other labels or groups than its own."""

from __future__ import annotations

import numpy as np

from jessl.core.hashing import checksum
from jessl.core.texts import Texts
from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.sources.base import Source


class SourceWithLabels(Source):
    """A source with other labels, or other groups.

    Args:
        source: the images.
        labels: int64 [n], -1 where missing, or None.
        classes: names of the labels 0, 1, ..., or None.
        notes: lines to add to those of the source.
        groups: int64 [n], -1 where unknown; None: those of the source.
        groups_column: the column that defines them.
    """

    def __init__(
        self,
        source: Source,
        labels: np.ndarray | None,
        classes: tuple[str, ...] | None,
        notes: tuple[str, ...] = (),
        groups: np.ndarray | None = None,
        groups_column: str | None = None,
    ) -> None:
        self.name = source.name
        self.source = source
        self.ids = source.ids
        self.labels = labels
        self.classes = classes
        self.notes = (*source.notes, *notes)
        self.value_range = source.value_range
        self.bands = source.bands
        self.segments = source.segments
        self._regrouped = groups is not None
        self.groups = groups if self._regrouped else source.groups
        self.groups_column = groups_column if self._regrouped else source.groups_column

    def read(self, index: int) -> np.ndarray:
        return self.source.read(index)

    def key(self, index: int) -> str:
        return self.source.key(index)

    def names(self, indices: np.ndarray | None = None) -> Texts:
        return self.source.names(indices)

    def where(self, index: int) -> str:
        return self.source.where(index)

    def size(self, index: int) -> tuple[int, int]:
        return self.source.size(index)

    def facts(self, index: int) -> FileFacts:
        return self.source.facts(index)

    def stored_values(self, index: int) -> StoredValues | None:
        return self.source.stored_values(index)

    def encoded(self, index: int) -> bytes | None:
        return self.source.encoded(index)

    def find(self, key: str) -> str:
        return self.source.find(key)

    def rows(self, indices: np.ndarray) -> np.ndarray | None:
        return self.source.rows(indices)

    def fingerprint(self) -> str:
        groups = (self.groups,) if self._regrouped else ()
        return checksum(self.source.fingerprint(), self.labels, repr(self.classes), *groups)


def unlabelled(source: Source) -> Source:
    """A source without its labels, for pretraining."""
    return SourceWithLabels(source, None, None)
