"""The labels that some images of the pool have: of a CSV file, or of the embeddings themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.hashing import checksum
from jessl.data import Source, UnreadableImage
from jessl.data.labels import number_cells, read_label_cells
from jessl.embeddings import Embeddings
from jessl.extraction.image_map import row_names


class PoolRows(Source):
    """The rows of embeddings by their names, for the reader of labels; they have no pixels.

    Args:
        embeddings: the rows.
        name: of the pool, for messages.
        images: what resolves paths as users write them; None: names as they are.
    """

    def __init__(self, embeddings: Embeddings, name: str, images: Source | None) -> None:
        self.name = name
        self.ids = embeddings.ids
        self._names = row_names(embeddings, images)
        self._images = images

    def key(self, index: int) -> str:
        """The name of a row, see `row_names`."""
        return self._names[index]

    def find(self, key: str) -> str:
        """The name of the row that a user calls `key`."""
        return super().find(key) if self._images is None else self._images.find(key)

    def where(self, index: int) -> str:
        """The row, for messages."""
        return f"row {index} of {self.name}"

    def read(self, index: int) -> np.ndarray:
        """There are no pixels: UnreadableImage."""
        raise UnreadableImage(self.where(index), "embeddings hold no pixels")

    def fingerprint(self) -> str:
        """Of the names of the rows."""
        return checksum("rows", *map(self.key, range(len(self.ids))))


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """Labels of some rows.

    Attributes:
        labels: int64 [n], -1 without one.
        classes: their names.
        texts: row -> its label as written.
    """

    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    texts: Mapping[int, str]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that have a label."""
        return np.flatnonzero(self.labels >= 0)


def given_labels(
    rows: PoolRows, embeddings: Embeddings, path: str | Path | None, *, allow_missing: bool
) -> GivenLabels:
    """The labels of a file, or without one those of the embeddings; possibly none.

    Raises:
        ValueError: as `jessl.data.labels.read_label_cells`.
    """
    n = len(embeddings)
    cells = (
        _own_cells(embeddings)
        if path is None
        else read_label_cells(rows, path, allow_missing=allow_missing).cells
    )
    labels, classes = number_cells(cells, n) if cells else (None, None)
    if labels is None or classes is None:
        return GivenLabels(np.full(n, -1), (), {})
    texts = {i: text for i, text in cells.items() if labels[i] >= 0}
    return GivenLabels(labels.astype(np.int64), classes, texts)


def _own_cells(embeddings: Embeddings) -> dict[int, str]:
    names = embeddings.label_names() or []
    return {i: name for i, name in enumerate(names) if name is not None}
