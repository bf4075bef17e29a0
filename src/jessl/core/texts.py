"""Many short texts, such as the names of a million images, in two arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

# rows of which the bytes are copied at once, with 16 bytes of memory for each
_ROWS = 2**16


class Texts(Sequence[str]):
    """Many short texts in two arrays; no Python object each.

    Example:
        >>> names = Texts.of(["a.png", "b.png"])
        >>> names[1], len(names), list(names.take(np.array([1, 0])))
        ('b.png', 2, ['b.png', 'a.png'])

    Attributes:
        blob: uint8 [bytes], the texts in UTF-8 without separators; file names that are no UTF-8
            keep their bytes.
        ends: int64 [n + 1], text i is blob[ends[i]:ends[i + 1]].
    """

    __slots__ = ("blob", "ends")

    def __init__(self, blob: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self.blob = blob
        self.ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """The texts of a list."""
        coded = [text.encode("utf-8", "surrogateescape") for text in texts]
        ends = np.zeros(len(coded) + 1, dtype=np.int64)
        np.cumsum(np.fromiter(map(len, coded), np.int64, len(coded)), out=ends[1:])
        return cls(np.frombuffer(b"".join(coded), dtype=np.uint8), ends)

    @classmethod
    def joined(cls, parts: list[Texts]) -> Texts:
        """The texts of all parts, one after the other."""
        lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.ends) for part in parts)])
        return cls(np.concatenate([part.blob for part in parts]), np.cumsum(lengths))

    @classmethod
    def of_arrays(cls, blob: NDArray[Any], ends: NDArray[Any], what: str) -> Texts:
        """The texts of arrays that come from a file.

        Raises:
            ValueError: for arrays of other types or shapes, and places outside the blob.
        """
        if not (
            blob.dtype == np.uint8
            and ends.dtype == np.int64
            and blob.ndim == ends.ndim == 1
            and len(ends)
            and ends[0] == 0
            and ends[-1] == len(blob)
            and (np.diff(ends) >= 0).all()
        ):
            raise ValueError(f"its texts {what} are damaged")
        return cls(blob, ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, i: int) -> str: ...

    @overload
    def __getitem__(self, i: slice) -> Texts: ...

    def __getitem__(self, i: int | slice) -> str | Texts:
        if isinstance(i, slice):
            return self.take(np.arange(len(self))[i])
        row = range(len(self))[i]
        return bytes(self.blob[self.ends[row] : self.ends[row + 1]]).decode(
            "utf-8", "surrogateescape"
        )

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Texts):
            return np.array_equal(self.ends, other.ends) and np.array_equal(self.blob, other.blob)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(repr(text) for text in self[:3])
        return f"Texts({len(self):,}: {shown}{', ...' if len(self) > 3 else ''})"

    def take(self, rows: NDArray[np.integer[Any]]) -> Texts:
        """The texts of some rows (whole numbers [m] in 0..n-1), in their order."""
        starts = self.ends[:-1][rows]
        lengths = self.ends[1:][rows] - starts
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        blob = np.empty(ends[-1], np.uint8)
        for first in range(0, len(rows), _ROWS):
            part = slice(first, first + _ROWS)
            begin, end = ends[first], ends[min(first + _ROWS, len(rows))]
            shift = np.repeat(starts[part] - ends[:-1][part], lengths[part])
            blob[begin:end] = self.blob[shift + np.arange(begin, end)]
        return Texts(blob, ends)
