"""The hidden folder in which an unfinished embedding keeps its finished parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.checksums import check_file, write_checksums
from jessl.core.files import atomic_directory, contained, read_json, write_json
from jessl.core.leftovers import other_names, remove_leftovers, remove_tree
from jessl.core.log import Log, log
from jessl.core.numpy_files import map_npy, write_npy
from jessl.extraction.extract import Forward

PARTS = ".embedding"
_STATE = "state.json"
_FORMAT = "jessl.embedding"
_PART = re.compile(r"\d{9,}")


class DamagedPart(ValueError):
    """A part that is not as it was written; it is removed, and computed by the next call."""


@dataclass(frozen=True, eq=False)
class PartRows:
    """What belongs to the rows of a part.

    Attributes:
        index: int64 [rows], their images.
        unreadable: the place of each image that cannot be read, and the reason.
        forwards: of the encoder, where they are measured.
    """

    index: NDArray[np.int64]
    unreadable: Mapping[str, str]
    forwards: Sequence[Forward] = ()


class PartFolder:
    """Finished parts of embeddings, numbered; each appears whole or not at all.

    A part is a folder with LAYER.npy (float32 [rows, d]) for each layer, index.npy (int64 [rows],
    the images of the rows), part.json (the images that cannot be read, the time of the encoder)
    and checksums.

    Args:
        out: the folder of the embeddings; the parts lie in it, so that they go with it.
        log: gets a note where parts cannot be used.
    """

    def __init__(self, out: Path, log: Log = log) -> None:
        self.out = out
        self.path = out / PARTS
        self._log = log

    def check(self) -> None:
        """Refuse a folder that holds something else.

        Raises:
            ValueError: naming what it holds.
        """
        if not self.path.exists() and not self.path.is_symlink():
            return
        strange = [
            name for name in other_names(self.path) if name != _STATE and not _PART.fullmatch(name)
        ]
        if self.path.is_symlink() or not self.path.is_dir() or strange:
            what = f", which holds {min(strange)}" if strange else ""
            raise ValueError(f"out: {self.path}{what} is not of an unfinished jessl embed; move it")

    def begin(self, key: str) -> set[int]:
        """The numbers of the finished parts with this key; parts of another key are removed."""
        if self.path.is_dir():
            remove_leftovers(self.path)
            if (self.path / _STATE).is_file() and self._key() == key:
                return {int(name) for name in other_names(self.path) if name != _STATE}
            self._log.note(
                f"the parts in {self.path} are of other images, weights or options; embedded again"
            )
            self.remove()
        self.path.mkdir()
        write_json(self.path / _STATE, {"format": _FORMAT, "version": 1, "key": key})
        return set()

    def _key(self) -> object:
        try:
            state = read_json(contained(self.path, _STATE))
        except ValueError:
            return None
        return state.get("key") if isinstance(state, dict) else None

    def write(
        self,
        number: int,
        features: Mapping[str, NDArray[np.float32]],
        rows: PartRows,
    ) -> None:
        """Keep a finished part; features: by layer, empty where it has no rows."""
        with atomic_directory(self._part(number)) as part:
            arrays: dict[str, NDArray[Any]] = {"index": rows.index, **features}
            for name, array in arrays.items():
                write_npy(part / f"{name}.npy", array)
            about = {"unreadable": dict(rows.unreadable), "forwards": list(rows.forwards)}
            write_json(part / "part.json", about)
            write_checksums(part, ["part.json", *(f"{name}.npy" for name in arrays)])

    def rows(self, number: int) -> PartRows:
        """What belongs to the rows of a part.

        Raises:
            DamagedPart: for one that is damaged, which is removed.
            ValueError: for one that is missing.
        """
        index = self._array(number, "index")
        try:
            about = read_json(self._sound(number, "part.json"))
            # parts that older versions wrote have no times
            return PartRows(index, about["unreadable"], about.get("forwards", []))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(number, error) from None

    def features(self, number: int, layer: str) -> NDArray[np.float32]:
        """The rows of a part at a layer: float32 [rows, d].

        Raises:
            DamagedPart: for one that is damaged, which is removed.
            ValueError: for one that is missing.
        """
        return self._array(number, layer)

    def remove(self) -> None:
        """Remove all parts."""
        if self.path.is_dir():
            self.check()
            remove_tree(self.path)

    def _part(self, number: int) -> Path:
        return contained(self.path, f"{number:09d}")

    def _sound(self, number: int, name: str) -> Path:
        file = contained(self._part(number), name)
        check_file(file)
        return file

    def _array(self, number: int, name: str) -> NDArray[Any]:
        try:
            return np.array(map_npy(self._sound(number, f"{name}.npy")))
        except FileNotFoundError:
            raise ValueError(
                f"out: {self._part(number)} is missing; the folder has to be on a disk that all "
                "processes see"
            ) from None
        except ValueError as error:
            raise self._damaged(number, error) from None

    def _damaged(self, number: int, error: Exception) -> DamagedPart:
        remove_tree(self._part(number))
        return DamagedPart(f"{error}; this part is removed: the same command computes it again")
