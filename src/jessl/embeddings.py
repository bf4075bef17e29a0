"""The waist of the library: features of images, with labels, ids, groups and where they came from.

Everything that extracts features writes `Embeddings`; everything that judges features reads them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.files import atomic_directory, read_json, write_json

FORMAT = "jessl.embeddings"
_FEATURE_KEYS = ("features", "z", "x", "embeddings")
_LABEL_KEYS = ("labels", "y")
_ROW_KEYS = ("ids", "groups")
_SAFETENSORS = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


class Embeddings:
    """Features of n images: immutable, float32, with optional labels, ids, groups and provenance.

    Args:
        features: [n, d] numbers, array or torch tensor of any real dtype on any device; kept as
            float32, C-contiguous, read-only. An array that is this already is not copied: do not
            change it afterwards. NaN and infinities are kept (scores and probes refuse them).
        labels: [n] whole numbers from 0, -1 where the label is missing; None: no labels at all.
        ids: [n] whole numbers that name the images across files; None: 0 .. n-1. Two rows may
            share an id (two views of one image).
        meta: JSON values that say where the features came from: encoder, layer, data, classes.
        groups: [n] whole numbers: rows of one group (a patient, a camera) belong on one side of
            every split; -1 where none is known, such a row is a group by itself. None: no groups.

    Raises:
        ValueError: for anything else, naming the argument and what came in.
    """

    __slots__ = ("_features", "_groups", "_ids", "_labels", "_meta")

    def __init__(
        self,
        features: Any,
        labels: Any = None,
        ids: Any = None,
        meta: dict[str, Any] | None = None,
        groups: Any = None,
    ) -> None:
        self._features = _read_only(_as_features(features))
        n = len(self._features)
        self._labels = None if labels is None else _read_only(_as_labels(labels, n))
        self._ids = _read_only(np.arange(n) if ids is None else _as_whole("ids", ids, n))
        self._meta = _as_meta(meta)
        self._groups = None if groups is None else _read_only(_as_whole("groups", groups, n))

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
    def meta(self) -> dict[str, Any]:
        """A copy of the provenance."""
        return json.loads(json.dumps(self._meta))

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
        known = (
            "no labels" if self._labels is None else f"{int((self._labels >= 0).sum())} labelled"
        )
        return f"Embeddings(n={self.n}, d={self.d}, {known})"

    def subset(self, indices: Any) -> Embeddings:
        """The rows `indices` (whole numbers or a boolean mask of length n), in that order.

        Raises:
            ValueError: for indices outside of -n .. n-1 or a mask of another length.
        """
        index = np.asarray(indices)
        if index.size == 0 and index.dtype != bool:
            index = index.astype(np.int64)
        if index.ndim != 1 or index.dtype.kind not in "iub":
            raise ValueError(
                f"indices: needs a row of whole numbers or a mask, got {index.dtype} {index.shape}"
            )
        if index.dtype == bool:
            if len(index) != self.n:
                raise ValueError(f"indices: a mask needs {self.n} entries, got {len(index)}")
        elif index.size and not -self.n <= index.min() <= index.max() < self.n:
            allowed = f"{-self.n} .. {self.n - 1}"
            raise ValueError(f"indices: allowed are {allowed}, got {index.min()} .. {index.max()}")
        labels = None if self._labels is None else self._labels[index]
        groups = None if self._groups is None else self._groups[index]
        return Embeddings(self._features[index], labels, self._ids[index], self._meta, groups)

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
        """Write a folder (features.npy, ids.npy, meta.json), whole or not at all.

        With labels.npy and groups.npy where there are labels and groups. Embeddings that lie at
        `path` already are replaced.

        Raises:
            ValueError: when `path` is a file, or a folder that holds something else.
        """
        path = Path(path)
        if path.exists() and not _replaceable(path):
            raise ValueError(f"path: {path} exists and does not hold embeddings; not replaced")
        with atomic_directory(path) as part:
            np.save(part / "features.npy", self._features.astype("<f4", copy=False))
            np.save(part / "ids.npy", self._ids)
            if self._labels is not None:
                np.save(part / "labels.npy", self._labels)
            if self._groups is not None:
                np.save(part / "groups.npy", self._groups)
            head = {"format": FORMAT, "version": 1, "n": self.n, "d": self.d}
            kept = {"labels": self._labels is not None, "groups": self._groups is not None}
            told = {**head, **kept, "sha256": self.checksum(), "meta": self._meta}
            write_json(part / "meta.json", told)
        return path

    @classmethod
    def load(cls, path: str | Path, mmap: bool = False) -> Embeddings:
        """Read a folder that `save` wrote, or a bare .npy [n, d], .npz or .safetensors file.

        Args:
            path: the folder or the file. Names inside .npz and .safetensors: features, z, x or
                embeddings; labels or y, ids and groups (optional). Nothing is ever unpickled.
            mmap: leave the features of a folder or a float32 .npy on disk and read them as they
                are used; then the checksum is not verified.

        Raises:
            ValueError: naming the file and the reason: missing, truncated, changed since it was
                written, wrong dimensions or types.
        """
        path = Path(path)
        if path.is_dir():
            return _load_folder(path, mmap)
        if not path.exists():
            raise ValueError(f"no file or folder {path}")
        if path.suffix not in (".npy", ".npz", ".safetensors"):
            raise ValueError(
                f"{path}: allowed are a folder of embeddings, .npy, .npz and .safetensors"
            )
        meta = {"file": path.name}
        if path.suffix == ".npy":
            rows = _named(path, lambda: _read_npy(path, mmap))
            return _named(path, lambda: cls(rows, meta={**meta, **_few_digits(rows)}))
        read = _read_npz if path.suffix == ".npz" else _read_safetensors
        arrays = _named(path, lambda: read(path, (*_FEATURE_KEYS, *_LABEL_KEYS, *_ROW_KEYS)))
        features = next((arrays[key] for key in _FEATURE_KEYS if key in arrays), None)
        if features is None:
            raise ValueError(f"{path}: holds none of the arrays {', '.join(_FEATURE_KEYS)}")
        labels = next((arrays[key] for key in _LABEL_KEYS if key in arrays), None)
        meta |= _few_digits(features)
        ids, groups = (arrays.get(key) for key in _ROW_KEYS)
        return _named(path, lambda: cls(features, labels, ids, meta, groups))


def _load_folder(path: Path, mmap: bool) -> Embeddings:
    inside = path / "embeddings"
    if inside.is_dir() and not (path / "meta.json").exists():
        found = " or ".join(str(p) for p in sorted(inside.iterdir()) if p.is_dir())
        raise ValueError(f"{path} is a run; its embeddings are {found or 'not there yet'}")
    head = read_json(path / "meta.json")
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError(f"{path / 'meta.json'}: not the head of a folder of embeddings")
    arrays = {}
    # an older folder says nothing of groups
    for name in ("features", "ids", *(key for key in ("labels", "groups") if head.get(key))):
        file = path / f"{name}.npy"
        if not file.exists():
            raise ValueError(f"no file {file}")
        arrays[name] = _named(file, lambda f=file, n=name: _read_npy(f, mmap and n == "features"))
    found = _named(path, lambda: Embeddings(**arrays, meta=head.get("meta")))
    if (found.n, found.d) != (head.get("n"), head.get("d")):
        raise ValueError(
            f"{path}: meta.json says {head.get('n')} x {head.get('d')}, "
            f"features.npy is {found.n} x {found.d}"
        )
    if not mmap and found.checksum() != head.get("sha256"):
        raise ValueError(f"{path / 'features.npy'}: changed since it was written (SHA-256 differs)")
    return found


def _few_digits(features: Any) -> dict[str, str]:
    """What scores warn of: features that were kept with fewer digits than float32."""
    kind = str(features.dtype).removeprefix("torch.")
    return {"stored_as": kind} if kind in ("float16", "bfloat16") else {}


def _read_npy(path: Path, mmap: bool) -> NDArray[Any]:
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("not a .npy file")
    # mapping first compares the announced size with the file, before any memory is taken
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(mapped) if mmap else np.array(mapped)


def _read_npz(path: Path, keys: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    # np.load leaves a file that it opened itself open when the archive is damaged
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            raise ValueError("not a .npz file")
        file.seek(0)
        with np.load(file, allow_pickle=False) as held:
            return {key: held[key] for key in keys if key in held.files}


def _read_safetensors(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as held:
        present = [key for key in keys if key in held.keys()]  # noqa: SIM118 (not a dict)
        dtypes = {key: held.get_slice(key).get_dtype() for key in present}
        for key, dtype in dtypes.items():
            if dtype not in _SAFETENSORS:
                raise ValueError(f"{key} is {dtype}; allowed are {', '.join(_SAFETENSORS)}")
        if "BF16" not in dtypes.values():
            return {key: held.get_tensor(key) for key in present}
    # numpy has no bfloat16
    with safe_open(path, framework="pt") as held:
        return {key: held.get_tensor(key) for key in present}


def _named(path: Path, read: Any) -> Any:
    """The result of `read`; whatever a damaged file makes it raise becomes one ValueError."""
    import tokenize
    import zipfile
    import zlib

    from safetensors import SafetensorError

    damaged = (
        tokenize.TokenError,  # the header of a .npy file is a Python literal
        OSError,
        ValueError,
        EOFError,
        KeyError,
        OverflowError,
        zipfile.BadZipFile,
        zlib.error,
    )
    try:
        return read()
    except (*damaged, SafetensorError, NotImplementedError) as error:
        raise ValueError(f"{path}: {error or type(error).__name__}") from error


def _replaceable(path: Path) -> bool:
    if not path.is_dir():
        return False
    if not any(path.iterdir()):
        return True
    try:
        head = read_json(path / "meta.json")
    except ValueError:
        return False
    return isinstance(head, dict) and head.get("format") == FORMAT


def _as_array(argument: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor; torch itself need not be imported here
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{argument}: not an array of numbers: {error}") from None


def _as_features(value: Any) -> NDArray[np.float32]:
    array = _as_array("features", value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"features: needs real numbers, got {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"features: needs shape [n, d] with d of at least 1, got {array.shape}")
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(array, np.float32)
    if array.dtype.itemsize > 4 and array.size:
        lost = np.isfinite(array).all() and not np.isfinite(kept).all()
        if lost or (array.any() and not kept.any()):
            raise ValueError("features: values beyond what float32 holds (1e-45 to 3e38); rescale")
    return kept


def _as_whole(argument: str, value: Any, n: int) -> NDArray[np.int64]:
    array = _as_array(argument, value)
    if array.shape != (n,):
        raise ValueError(f"{argument}: needs shape ({n},), one a row, got {array.shape}")
    if n and array.dtype.kind not in "iubf":
        raise ValueError(f"{argument}: needs whole numbers, got {array.dtype}")
    if array.dtype == bool:
        array = array.astype(np.int64)
    whole = array.dtype.kind != "f" or bool((np.isfinite(array) & (array == np.rint(array))).all())
    if not whole:
        odd = array[~(np.isfinite(array) & (array == np.rint(array)))][0]
        raise ValueError(f"{argument}: needs whole numbers, got {odd}")
    if n and not -(2**63) <= array.max() < 2**63:
        raise ValueError(f"{argument}: needs whole numbers that 64 bits hold, got {array.max()}")
    return np.ascontiguousarray(array, np.int64)


def _as_labels(value: Any, n: int) -> NDArray[np.int64]:
    labels = _as_whole("labels", value, n)
    if labels.min(initial=0) < -1:
        raise ValueError(f"labels: allowed are -1 (missing) and 0, 1, ..., got {labels.min()}")
    return labels


def _as_meta(value: dict[str, Any] | None) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"meta: needs a dict of JSON values, got {type(value).__name__}")
    try:
        return json.loads(json.dumps(value or {}, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"meta: needs JSON values: {error}") from None


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view
