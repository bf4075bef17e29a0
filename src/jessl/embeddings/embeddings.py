"""The class `Embeddings`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.checksums import json_sum, sha256_of
from jessl.core.files import atomic_directory, read_json
from jessl.core.leftovers import set_aside
from jessl.core.notebook import html_table
from jessl.core.texts import Texts
from jessl.embeddings._checks import (
    checked_features,
    checked_index,
    checked_integers,
    checked_labels,
    checked_meta,
    checked_names,
    read_only,
)
from jessl.embeddings._columns import DETECTED, Columns
from jessl.embeddings._files import (
    SUFFIXES,
    errors_naming,
    low_precision,
    read_arrays,
    read_npy,
)
from jessl.embeddings._tables import check_table, label_texts, write_table
from jessl.embeddings.folder import (
    CHECKSUM,
    ENDS,
    FORMAT,
    UTF8,
    is_replaceable,
    stored_arrays,
    write_folder,
)

if TYPE_CHECKING:
    import pandas as pd


class Embeddings:
    """Features of n images: immutable, float32, with optional labels, ids, names and provenance.

    Example:
        z = jessl.Embeddings(np.random.randn(100, 16), labels=np.arange(100) % 5)
        z.save("my-embeddings")
        jessl.Embeddings.load("my-embeddings").subset(z.labels == 3)

    Args:
        features: [n, d] numbers, array or torch tensor of any real dtype on any device; stored as
            float32, C-contiguous, read-only. An array that has this form already is not copied: do
            not change it afterwards. NaN and infinities stay (scores and probes refuse them).
        labels: [n] whole numbers from 0, -1 where the label is missing; None: no labels at all.
        ids: [n] whole numbers that identify the images across files; None: 0 .. n-1. Two rows may
            share an id (two views of one image).
        meta: JSON values that say where the features came from: encoder, layer, data, classes.
        groups: [n] whole numbers: rows of one group (a patient, a camera) belong on one side of
            every split; -1 for a row that is a group by itself. None: no groups.
        names: n texts, what the images are called in their data: paths relative to the folder,
            keys in shards, row numbers of arrays. Two rows may share a name. None: no names.

    Raises:
        ValueError: for anything else, naming the argument.
    """

    __slots__ = ("_features", "_groups", "_ids", "_labels", "_meta", "_names")

    def __init__(
        self,
        features: object,
        labels: object = None,
        ids: object = None,
        meta: dict[str, Any] | None = None,
        groups: object = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self._features = read_only(checked_features(features))
        n = len(self._features)
        self._labels = None if labels is None else read_only(checked_labels(labels, n))
        self._ids = read_only(np.arange(n) if ids is None else checked_integers("ids", ids, n))
        self._meta = checked_meta(meta)
        self._groups = None
        if groups is not None:
            self._groups = read_only(checked_integers("groups", groups, n))
        self._names = None if names is None else checked_names(names, n)

    @property
    def features(self) -> NDArray[np.float32]:
        """float32 [n, d], read-only."""
        return self._features

    @property
    def labels(self) -> NDArray[np.int64] | None:
        """int64 [n], read-only, -1 where missing; None without labels."""
        return self._labels

    @property
    def ids(self) -> NDArray[np.int64]:
        """int64 [n], read-only."""
        return self._ids

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """int64 [n], read-only, -1 for a row that is a group by itself; None without groups."""
        return self._groups

    @property
    def names(self) -> Texts | None:
        """n texts, a sequence of str; None without names."""
        return self._names

    @property
    def meta(self) -> dict[str, Any]:
        """A copy of the provenance."""
        copy: dict[str, Any] = json.loads(json.dumps(self._meta))
        return copy

    @property
    def n(self) -> int:
        """Number of rows."""
        return self._features.shape[0]

    @property
    def d(self) -> int:
        """Number of features of a row."""
        return self._features.shape[1]

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        labels = "no labels"
        if self._labels is not None:
            labels = f"{int((self._labels >= 0).sum())} labelled"
        return f"Embeddings(n={self.n}, d={self.d}, {labels})"

    def subset(self, indices: Sequence[int] | NDArray[Any]) -> Embeddings:
        """The rows `indices` (whole numbers or a boolean mask of length n), in that order.

        Raises:
            ValueError: for indices outside -n .. n-1 or a mask of another length.
        """
        index = checked_index(indices, self.n)
        labels = None if self._labels is None else self._labels[index]
        groups = None if self._groups is None else self._groups[index]
        names = None if self._names is None else self._names.take(np.arange(self.n)[index])
        return Embeddings(
            self._features[index], labels, self._ids[index], self._meta, groups, names
        )

    def labelled(self) -> Embeddings:
        """The rows that have a label (none of them where there are no labels)."""
        if self._labels is None:
            return self.subset(np.zeros(self.n, bool))
        return self if self._labels.min(initial=0) >= 0 else self.subset(self._labels >= 0)

    def checksum(self) -> str:
        """SHA-256 of the features as little-endian float32, row after row (hexadecimal)."""
        digest = hashlib.sha256()
        step = max(1, 2**22 // self.d)
        for start in range(0, self.n, step):
            digest.update(np.ascontiguousarray(self._features[start : start + step], "<f4").data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write a folder (features.npy, ids.npy, meta.json with their checksums) atomically.

        With labels.npy, groups.npy, names_utf8.npy and names_ends.npy where there are any.
        Existing embeddings at `path` are replaced.

        Raises:
            ValueError: when `path` is a file, or a folder that holds something else.
        """
        path = Path(path)
        if path.exists() and not is_replaceable(path):
            raise ValueError(
                f"path: expected a new folder or one of embeddings, got {path}; not replaced"
            )
        with atomic_directory(path) as part:
            write_folder(
                part,
                [self._features],
                (self.n, self.d),
                ids=self._ids,
                labels=self._labels,
                groups=self._groups,
                names=self._names,
                meta=self._meta,
            )
        return path

    def to_pandas(self) -> pd.DataFrame:
        """A frame with the columns name, label (class names where they are known), f0, f1, ...

        Columns without content are left out; a missing label is NA. The features are copied.

        Example:
            jessl.Embeddings.load("my-embeddings").to_pandas().groupby("label").mean("f0")
        """
        import pandas as pd

        columns: dict[str, Any] = {}
        if self._names is not None:
            columns["name"] = list(self._names)
        if self._labels is not None:
            kind = "Int64" if self._classes() is None else "string"
            cells = label_texts(self._labels, self._classes())
            columns["label"] = pd.array([pd.NA if x is None else x for x in cells], dtype=kind)
        features = pd.DataFrame(self._features, columns=[f"f{k}" for k in range(self.d)])
        return pd.concat([pd.DataFrame(columns, index=features.index), features], axis=1)

    def _repr_html_(self) -> str:
        origin = {k: str(self._meta.get(k) or "") for k in ("encoder", "weights", "layer", "data")}
        labels = 0 if self._labels is None else int((self._labels >= 0).sum())
        return html_table(
            [
                ("rows", f"{self.n:,}"),
                ("features", f"{self.d:,}"),
                ("labelled", f"{labels:,}"),
                *origin.items(),
            ]
        )

    def label_names(self) -> list[str | None] | None:
        """The label of each row as text, None where it is missing; None without labels.

        Example:
            >>> Embeddings(np.eye(3), [1, -1, 0], meta={"classes": ["cat", "dog"]}).label_names()
            ['dog', None, 'cat']
        """
        if self._labels is None:
            return None
        texts = label_texts(self._labels, self._classes())
        return [None if text is None else str(text) for text in texts]

    def write_table(self, path: str | Path) -> Path:
        """Write the columns of `to_pandas` as CSV or Parquet, by the suffix, atomically.

        Block by block: the memory does not depend on the number of rows. Features keep all their
        digits. In a CSV file names that a spreadsheet would run begin with an apostrophe.

        Example:
            jessl.Embeddings.load("my-embeddings").write_table("my-embeddings.parquet")

        Raises:
            ValueError: for another suffix.
        """
        path = check_table("path", path)
        write_table(path, self._features, self._labels, self._classes(), self._names)
        return path

    def _classes(self) -> list[str] | None:
        """Names of the labels 0, 1, ...; the metadata may be a stranger's."""
        classes = self._meta.get("classes")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            return None
        return classes or None

    @classmethod
    def load(
        cls,
        path: str | Path,
        mmap: bool = False,
        *,
        features_columns: str | None = None,
        label_column: str | None = None,
        name_column: str | None = None,
    ) -> Embeddings:
        """Read a folder that `save` wrote, or a .npy, .npz, .safetensors, .csv or .parquet file.

        Args:
            path: the folder or the file. Names inside .npz and .safetensors: features, z, x or
                embeddings; labels or y, ids, groups and names (optional). In a table the features
                are a column of lists, columns with numbered names (f0, f1, ...), or else all other
                columns of numbers; a line on standard error says which. Labels that are texts
                become classes in sorted order. Nothing is ever unpickled.
            mmap: leave the features of a folder or a float32 .npy file on disk and read them as
                they are used; their checksum is not verified then, those of the other files are.
            features_columns: of a table: names apart by commas, FIRST:LAST, or PREFIX*; of another
                file the name of the array.
            label_column, name_column: column or array of the labels and of the names.

        Example:
            z = jessl.Embeddings.load("clip.parquet", features_columns="emb_*", label_column="cls")

        Raises:
            ValueError: naming the file and the reason: missing, truncated, changed since it was
                written, wrong dimensions or types, columns that are missing or ambiguous.
        """
        path = Path(path)
        columns = Columns(features_columns, label_column, name_column)
        if path.is_dir():
            if columns != DETECTED:
                raise ValueError(f"{path}: a folder of embeddings has no columns to choose")
            return _load_folder(path, mmap)
        if not path.exists():
            if (aside := set_aside(path)) is not None:
                raise ValueError(
                    f"no folder {path}: its replacement was interrupted, and it lies in {aside}; "
                    f"jessl doctor {path.parent} --clean brings it back"
                )
            raise ValueError(f"no file or folder {path}")
        if path.suffix not in SUFFIXES:
            raise ValueError(
                f"{path}: expected a folder of embeddings, {', '.join(SUFFIXES[:-1])} or "
                f"{SUFFIXES[-1]}"
            )
        arrays = read_arrays(path, mmap=mmap, columns=columns)
        classes = arrays.pop("classes", None)
        meta = {
            "file": path.name,
            **({} if classes is None else {"classes": list(classes)}),
            **low_precision(arrays["features"]),
        }
        with errors_naming(path):
            return cls(**arrays, meta=meta)


def as_embeddings(value: Embeddings | str | Path) -> Embeddings:
    """Embeddings as they are, or loaded from their path."""
    return Embeddings.load(value) if isinstance(value, str | Path) else value


def _load_folder(path: Path, mmap: bool) -> Embeddings:
    header = _read_header(path)
    # folders that older versions wrote have checksums of the features alone
    files = header.get("files", {})
    if not isinstance(files, dict):
        raise ValueError(f"{path / 'meta.json'}: files: expected an object of checksums")
    arrays = {}
    for name in stored_arrays(header):
        file = path / f"{name}.npy"
        if not file.exists():
            raise ValueError(f"no file {file}")
        if file.name in files and sha256_of(file) != files[file.name]:
            raise ValueError(f"{file}: changed since it was written (SHA-256 differs)")
        with errors_naming(file):
            arrays[name] = read_npy(file, mmap=mmap and name == "features")
    with errors_naming(path):
        names = None
        if UTF8 in arrays:
            names = Texts.of_arrays(arrays.pop(UTF8), arrays.pop(ENDS), "names")
        embeddings = Embeddings(**arrays, meta=header.get("meta"), names=names)
    if (embeddings.n, embeddings.d) != (header.get("n"), header.get("d")):
        raise ValueError(
            f"{path / 'features.npy'}: expected {header.get('n')} x {header.get('d')}, as in "
            f"meta.json, got {embeddings.n} x {embeddings.d}"
        )
    if not mmap and embeddings.checksum() != header.get("sha256"):
        raise ValueError(f"{path / 'features.npy'}: changed since it was written (SHA-256 differs)")
    return embeddings


def _read_header(path: Path) -> dict[str, Any]:
    inside = path / "embeddings"
    if inside.is_dir() and not (path / "meta.json").exists():
        folders = " or ".join(str(p) for p in sorted(inside.iterdir()) if p.is_dir())
        raise ValueError(f"{path} is a run; its embeddings are {folders or 'not there yet'}")
    header = read_json(path / "meta.json")
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"{path / 'meta.json'}: not the header of a folder of embeddings")
    if header.get(CHECKSUM, "") not in ("", json_sum(header, without=CHECKSUM)):
        raise ValueError(f"{path / 'meta.json'}: changed since it was written (SHA-256 differs)")
    return header
