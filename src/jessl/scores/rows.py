"""Checks of incoming rows that every score shares, and the jackknife block of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from jessl.core.hashing import splitmix64
from jessl.embeddings import Embeddings

if TYPE_CHECKING:
    import torch

# float32 or float64 [n, d] or [views, n, d]: numpy, or a tensor on a CUDA device
Rows: TypeAlias = "NDArray[np.floating] | torch.Tensor"

# of float64 values, so that sums of their squares over many rows neither overflow nor vanish
_LARGEST_SAFE = 1e150


def is_cuda_tensor(z: object) -> TypeGuard[torch.Tensor]:
    """Whether `z` is a torch tensor on a CUDA device."""
    return hasattr(z, "detach") and hasattr(z, "device") and z.device.type == "cuda"


def as_rows(z: object) -> Rows:
    """`z` as a matrix: float32 or float64 [n, d] numpy, or the tensor itself on a CUDA device.

    float64 stays float64; whole numbers become float64, other types of numbers float32.

    Raises:
        ValueError: unless z is an array, a tensor or Embeddings of shape [n, d] with n and d of
            at least 1, all finite; rows with NaN or infinities are counted.
    """
    if isinstance(z, Embeddings):
        z = z.features
    rows: Rows
    if is_cuda_tensor(z):
        tensor = z.detach()
        if tensor.is_complex():
            raise ValueError(f"z: expected real numbers, got {tensor.dtype}")
        if not tensor.is_floating_point():
            tensor = tensor.double()
        elif tensor.element_size() < 4:
            tensor = tensor.float()
        rows = tensor
    else:
        rows = _as_numpy(z)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ValueError(f"z: expected shape [n, d] with at least one row, got {tuple(rows.shape)}")
    bad = _count_nonfinite_rows(rows)
    if bad:
        raise ValueError(f"z: {bad} of {len(rows)} rows hold NaN or infinite values")
    if rows.dtype.itemsize == 8:  # squares of float32 always fit
        top = max(float(rows.max()), -float(rows.min()))
        if top > _LARGEST_SAFE:
            raise ValueError("z: values so large that their squares overflow float64; rescale them")
        if 0 < top < 1 / _LARGEST_SAFE:
            raise ValueError("z: values so small that their squares vanish; rescale them")
    return rows


def to_numpy(rows: Rows) -> NDArray[np.floating]:
    """The rows as numpy, copied from the GPU where they are a tensor."""
    if isinstance(rows, np.ndarray):
        return rows
    array: NDArray[np.floating] = rows.cpu().numpy()
    return array


def low_precision_dtype(z: object) -> str | None:
    """ "bfloat16" or "float16" where features were stored in that precision, else None."""
    if isinstance(z, Embeddings):
        kind = z.meta.get("stored_as")
    else:
        kind = str(getattr(z, "dtype", "")).removeprefix("torch.")
    return kind if kind in ("bfloat16", "float16") else None


def as_ids(ids: object, n: int) -> NDArray[np.int64]:
    """`ids` as int64 [n].

    Raises:
        ValueError: for another shape, or values that are not whole numbers.
    """
    array = np.asarray(ids.detach().cpu() if hasattr(ids, "detach") else ids)
    if array.shape != (n,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"ids: expected {n} whole numbers, one per row, got {array.dtype} {array.shape}"
        )
    return array.astype(np.int64)


def jackknife_blocks(ids: NDArray[np.int64], blocks: int, seed: int) -> NDArray[np.int64]:
    """The block 0 .. blocks-1 of each id: a seeded hash, so that the order of rows is irrelevant.

    splitmix64 (Steele, Lea and Flood 2014) of the id shifted by splitmix64 of the seed. Blocks
    of consecutive rows would bias data that are sorted by class by several percent.
    """
    shift = splitmix64(np.array([seed & (2**64 - 1)], np.uint64))
    return (splitmix64(ids.astype(np.uint64) + shift) % np.uint64(blocks)).astype(np.int64)


def _as_numpy(z: object) -> NDArray[np.floating]:
    if hasattr(z, "detach"):
        tensor: torch.Tensor = z.detach().cpu()
        is_half = tensor.is_floating_point() and tensor.element_size() < 4
        z = (tensor.float() if is_half else tensor).numpy()
    try:
        array = np.asarray(z)
    except ValueError as error:
        raise ValueError(f"z: expected a matrix of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"z: expected real numbers, got {array.dtype}")
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _count_nonfinite_rows(z: Rows) -> int:
    if is_cuda_tensor(z):
        return int((~z.isfinite().all(dim=1)).sum())
    assert isinstance(z, np.ndarray)
    step = max(1, 2**22 // z.shape[1])
    parts = (z[start : start + step] for start in range(0, len(z), step))
    return sum(int((~np.isfinite(part).all(axis=1)).sum()) for part in parts)
