"""Checks of what embeddings are made of; each returns the value in the form that is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from jessl.core.texts import Texts

Scalar = TypeVar("Scalar", bound=np.generic)


def checked_features(value: object) -> NDArray[np.float32]:
    """[n, d] float32, C-contiguous; not copied where it is that already."""
    array = _as_array("features", value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"features: expected real numbers, got {array.dtype}")
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"features: expected shape [n, d] with d of at least 1, got {array.shape}")
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(array, np.float32)
    if array.dtype.itemsize > 4 and array.size:
        overflows = np.isfinite(array).all() and not np.isfinite(features).all()
        if overflows or (array.any() and not features.any()):
            raise ValueError("features: values beyond what float32 holds (1e-45 to 3e38); rescale")
    return features


def checked_labels(value: object, n: int) -> NDArray[np.int64]:
    """[n] int64, -1 where a label is missing."""
    labels = checked_integers("labels", value, n)
    if labels.min(initial=0) < -1:
        raise ValueError(f"labels: expected -1 (missing) or 0, 1, ..., got {labels.min()}")
    return labels


def checked_integers(argument: str, value: object, n: int) -> NDArray[np.int64]:
    """[n] int64; whole numbers of any type are converted."""
    array = _as_array(argument, value)
    if array.shape != (n,):
        raise ValueError(f"{argument}: expected shape ({n},), one per row, got {array.shape}")
    if n and array.dtype.kind not in "iubf":
        raise ValueError(f"{argument}: expected whole numbers, got {array.dtype}")
    if array.dtype == bool:
        array = array.astype(np.int64)
    if array.dtype.kind == "f":
        is_whole = np.isfinite(array) & (array == np.rint(array))
        if not is_whole.all():
            raise ValueError(f"{argument}: expected whole numbers, got {array[~is_whole][0]}")
    if n and not -(2**63) <= array.max() < 2**63:
        raise ValueError(f"{argument}: expected whole numbers of 64 bits, got {array.max()}")
    return np.ascontiguousarray(array, np.int64)


def checked_meta(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy that consists of JSON values."""
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"meta: expected a dict of JSON values, got {type(value).__name__}")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(value or {}, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"meta: expected JSON values: {error}") from None
    return copy


def checked_names(value: object, n: int) -> Texts:
    """n texts."""
    if not isinstance(value, Texts):
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError(f"names: expected a sequence of texts, got {type(value).__name__}")
        texts = list(value)
        odd = next((text for text in texts if not isinstance(text, str)), None)
        if odd is not None:
            raise ValueError(f"names: expected texts, got {odd!r}")
        value = Texts.of(texts)
    if len(value) != n:
        raise ValueError(f"names: expected {n}, one per row, got {len(value)}")
    return value


def checked_index(value: object, n: int) -> NDArray[Any]:
    """A row of indices in -n .. n-1, or a mask of length n."""
    index = np.asarray(value)
    if index.size == 0 and index.dtype != bool:
        index = index.astype(np.int64)
    if index.ndim != 1 or index.dtype.kind not in "iub":
        raise ValueError(
            f"indices: expected a row of whole numbers or a mask, got {index.dtype} {index.shape}"
        )
    if index.dtype == bool:
        if len(index) != n:
            raise ValueError(f"indices: expected a mask of {n} entries, got {len(index)}")
    elif index.size and not -n <= index.min() <= index.max() < n:
        raise ValueError(f"indices: expected {-n} .. {n - 1}, got {index.min()} .. {index.max()}")
    return index


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """A view that cannot be written to."""
    view = array.view()
    view.setflags(write=False)
    return view


def _as_array(argument: str, value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a torch tensor; torch itself need not be imported here
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{argument}: expected an array of numbers: {error}") from None
