"""Embeddings of images turned by 0, 90, 180 and 270 degrees, for the rotation probe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from jessl.core.hashing import checksum
from jessl.core.progress import ProgressCallback
from jessl.core.texts import Texts
from jessl.data import Source, Subset
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extraction.extract import extract

# what the metadata name as the recipe of the views
ROTATIONS = "rotations"
TURNS = 4


class _Turned(Subset):
    """A source whose images are turned by quarter turns, anticlockwise."""

    def __init__(self, source: Source, turns: int) -> None:
        super().__init__(source, np.arange(len(source)))
        self._turns = turns

    def read(self, index: int) -> npt.NDArray[np.generic]:
        return np.ascontiguousarray(np.rot90(super().read(index), self._turns))

    def size(self, index: int) -> tuple[int, int]:
        height, width = super().size(index)
        return (width, height) if self._turns % 2 else (height, width)

    # the encoded bytes and the array behind a source hold the upright image
    def encoded(self, index: int) -> bytes | None:
        return None

    def rows(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.generic] | None:
        return None

    def fingerprint(self) -> str:
        return checksum(super().fingerprint(), np.array([self._turns]))


def embed_rotations(
    encoder: Encoder,
    source: Source,
    *,
    batch_size: int = 256,
    workers: int | None = None,
    begin: Callable[[], ProgressCallback | None] = lambda: None,
) -> Embeddings:
    """Four rows an image, in the order of the rotations; rows of one image share its id.

    Example:
        turned = embed_rotations(encoder, source)
        jessl.score(turned, "rotation")

    Args:
        begin: called before each of the four; gives the callback that follows it.

    Raises:
        NothingReadable: when not one image can be read.
    """
    parts = [
        extract(
            encoder,
            None,
            _Turned(source, turns),
            layers=("backbone",),
            batch_size=batch_size,
            workers=workers,
            progress=begin(),
        )["backbone"]
        for turns in range(TURNS)
    ]
    meta = {**parts[0].meta, "views": {ROTATIONS: [90 * k for k in range(TURNS)]}}
    return Embeddings(
        np.concatenate([part.features for part in parts]),
        None,
        np.concatenate([part.ids for part in parts]),
        meta,
        names=Texts.joined([part.names for part in parts if part.names is not None]),
    )
