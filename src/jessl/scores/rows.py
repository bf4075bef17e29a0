"""Rows that come in: one check for every score, and the rows' places in the jackknife blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.hashing import splitmix64
from jessl.embeddings import Embeddings

# of float64 values, so that sums of their squares over many rows neither overflow nor vanish
_LARGEST = 1e150


def on_cuda(z: Any) -> bool:
    """Whether `z` is a torch tensor on a CUDA device."""
    return hasattr(z, "detach") and z.device.type == "cuda"


def as_rows(z: Any) -> Any:
    """`z` as a matrix: float32 or float64 [n, d] numpy, or the tensor itself on a CUDA device.

    float64 stays float64, other types of numbers become float32 or, whole numbers, float64.

    Raises:
        ValueError: unless z is an array, a tensor or Embeddings of shape [n, d] with n and d of
            at least 1, all finite; rows with NaN or infinities are counted.
    """
    if isinstance(z, Embeddings):
        z = z.features
    if on_cuda(z):
        z = z.detach()
        if z.is_complex():
            raise ValueError(f"z: needs real numbers, got {z.dtype}")
        if not z.is_floating_point():
            z = z.double()
        elif z.element_size() < 4:
            z = z.float()
    else:
        z = _as_numpy(z)
    if z.ndim != 2 or 0 in z.shape:
        raise ValueError(f"z: needs shape [n, d] with at least one row, got {tuple(z.shape)}")
    bad = _rows_not_finite(z)
    if bad:
        raise ValueError(f"z: {bad} of {len(z)} rows hold NaN or infinite values")
    if _width(z) == 8:  # squares of float32 always fit
        top = float(abs(z).max())
        if top > _LARGEST:
            raise ValueError("z: values so large that their squares overflow float64; rescale them")
        if 0 < top < 1 / _LARGEST:
            raise ValueError("z: values so small that their squares vanish; rescale them")
    return z


def stored_as(z: Any) -> str | None:
    """ "bfloat16" or "float16" where features were kept with so few digits, else None."""
    if isinstance(z, Embeddings):
        kind = z.meta.get("stored_as")
    else:
        kind = str(getattr(z, "dtype", "")).removeprefix("torch.")
    return kind if kind in ("bfloat16", "float16") else None


def _width(z: Any) -> int:
    return int(z.element_size()) if on_cuda(z) else int(z.dtype.itemsize)


def as_ids(ids: Any, n: int) -> NDArray[np.int64]:
    """`ids` as int64 [n].

    Raises:
        ValueError: for another shape or for what are not whole numbers.
    """
    array = np.asarray(ids.detach().cpu() if hasattr(ids, "detach") else ids)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"ids: needs {n} whole numbers, one a row, got {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)


def block_of(ids: NDArray[np.int64], blocks: int, seed: int) -> NDArray[np.int64]:
    """The block 0 .. blocks-1 of each id: a seeded hash, so that no order of arrival matters.

    splitmix64 (Steele, Lea and Flood 2014) of the id shifted by splitmix64 of the seed. Blocks
    of consecutive rows would bias data that are sorted by class by several percent.
    """
    shift = splitmix64(np.array([seed & (2**64 - 1)], np.uint64))
    return (splitmix64(ids.astype(np.uint64) + shift) % np.uint64(blocks)).astype(np.int64)


def _as_numpy(z: Any) -> NDArray[Any]:
    if hasattr(z, "detach"):
        z = z.detach().cpu()
        z = (z.float() if z.is_floating_point() and z.element_size() < 4 else z).numpy()
    try:
        array = np.asarray(z)
    except ValueError as error:
        raise ValueError(f"z: not a matrix of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"z: needs real numbers, got {array.dtype}")
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _rows_not_finite(z: Any) -> int:
    if on_cuda(z):
        return int((~z.isfinite().all(dim=1)).sum())
    bad = 0
    step = max(1, 2**22 // z.shape[1])
    for start in range(0, len(z), step):
        bad += int((~np.isfinite(z[start : start + step]).all(axis=1)).sum())
    return bad
