"""Pixels of views on a device: batched torch operations in torchvision's float semantics.

Each image has its own parameters, without a Python loop over images. An operation that no image
of a batch needs (no blur, no hue shift) is detected in the table on the host and skipped.
Everything is float32; neither autocast nor TF32 changes a pixel (see `jessl.views.gpu.geometry`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch

from jessl.core.devices import to_device
from jessl.views.gpu import geometry as geometry
from jessl.views.gpu.colour import HUE, SATURATION, colour, tone
from jessl.views.gpu.colour import shift_hue as shift_hue
from jessl.views.gpu.geometry import blur_matrices as blur_matrices
from jessl.views.gpu.geometry import resize_weights as resize_weights
from jessl.views.noise import normal_table
from jessl.views.params import COLUMN, COLUMNS
from jessl.views.recipe import View

Table = np.ndarray | torch.Tensor

# most bytes of temporaries; larger batches are made in parts
_BYTES = 2**29
# float32 copies of a view that are held at the same time (measured: 7.4)
_COPIES = 8


@torch.no_grad()
def apply_view(
    view: View,
    images: torch.Tensor | Sequence[torch.Tensor],
    table: Table,
    mean: Sequence[float],
    std: Sequence[float],
) -> torch.Tensor:
    """Make one view of n images: float32 [n, c, size, size], normalised, on the images' device.

    Peak memory on the device, besides images and result: 512 MiB, or that of a single image where
    it is more, 32 c size^2 or (8 c + 8) size x crop height bytes.

    Args:
        view: the recipe, for its sizes and fill; all random numbers come from `table`.
        images: uint8 [n, h, w, c], or n tensors uint8 [h, w, c] of any sizes; c 1..4. One channel
            becomes three equal ones; grey and colour may be mixed.
        table: rows of one view [n, columns] (`jessl.views.params`); it is read on the host, so
            best there.
        mean, std: per channel of the result, or one number for all; in units of the pixel
            range [0, 1].

    Raises:
        ValueError: for a table, box or channels that do not match the images.
    """
    rows = _checked_table(table, len(images))
    if isinstance(images, torch.Tensor):
        return _apply(view, images, rows, mean, std)
    kinds = {int(image.shape[-1]) for image in images}
    if len(kinds) <= 1:
        return _apply(view, list(images), rows, mean, std)
    if kinds != {1, 3}:
        raise ValueError(
            f"images: expected one number of channels, or 1 and 3, got {sorted(kinds)} in one batch"
        )
    out = torch.empty((len(images), 3, view.size, view.size), device=images[0].device)
    for c in kinds:
        group = [k for k, image in enumerate(images) if image.shape[-1] == c]
        out[group] = _apply(view, [images[k] for k in group], rows[group], mean, std)
    return out


@torch.no_grad()
def finish_view(
    view: View, crops: torch.Tensor, table: Table, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Do all that follows the flips: float32 [n, c, size, size], normalised, on the crops' device.

    Args:
        view: the recipe.
        crops: [n, c, size, size], cropped, placed and flipped: uint8, or float in [0, 1].
        table, mean, std: as in `apply_view`.

    Raises:
        ValueError: for a table, size or channels that do not match the crops.
    """
    rows = _checked_table(table, len(crops))
    if crops.dim() != 4 or crops.shape[2:] != (view.size, view.size):
        raise ValueError(
            f"crops: expected [n, c, {view.size}, {view.size}], got {list(crops.shape)}"
        )
    channels = crops.shape[1]
    mean_std = _normalisation(channels, mean, std, crops.device)

    def make(part: slice) -> torch.Tensor:
        x = crops[part].to(torch.float32, copy=True)
        return _finish(view, x / 255 if crops.dtype == torch.uint8 else x, rows[part], *mean_std)

    return _in_parts(view.size, channels, len(crops), 0, crops.device, make)


def _checked_table(table: Table, n: int) -> np.ndarray:
    rows = table.cpu().numpy() if isinstance(table, torch.Tensor) else np.asarray(table)
    if rows.shape != (n, len(COLUMNS)):
        raise ValueError(f"table: expected [{n}, {len(COLUMNS)}], got {list(rows.shape)}")
    return rows


def _apply(
    view: View,
    images: torch.Tensor | list[torch.Tensor],
    table: np.ndarray,
    mean: Sequence[float],
    std: Sequence[float],
) -> torch.Tensor:
    """`apply_view` for images of one number of channels."""
    if not len(images):
        device = images.device if isinstance(images, torch.Tensor) else None
        return torch.empty((0, 3, view.size, view.size), device=device)
    if isinstance(images, torch.Tensor):
        sizes = np.tile(images.shape[1:3], (len(images), 1))
    else:
        sizes = np.array([image.shape[:2] for image in images])
    box = _integers(table, _sides("crop"))
    place = _integers(table, _sides("place"))
    place[place[:, 2] == 0] = (0, 0, view.size, view.size)
    _inside("crop", box, sizes)
    _inside("place", place, np.full_like(sizes, view.size))
    device, channels = images[0].device, int(images[0].shape[-1])
    mean_std = _normalisation(channels, mean, std, device)

    def make(part: slice) -> torch.Tensor:
        x = _crop(view, images[part], sizes[part], box[part], place[part], table[part])
        return _finish(view, x, table[part], *mean_std)

    line = (8 * channels + 8) * view.size * int(box[:, 2].max())
    return _in_parts(view.size, channels, len(images), line, device, make)


def _in_parts(
    size: int,
    channels: int,
    n: int,
    least: int,
    device: torch.device,
    make: Callable[[slice], torch.Tensor],
) -> torch.Tensor:
    """Make the views of n images in parts of `_BYTES`, at `least` bytes for each image."""
    out = torch.empty((n, 3 if channels == 1 else channels, size, size), device=device)
    step = max(1, _BYTES // max(least, 4 * _COPIES * channels * size**2))
    for k in range(0, n, step):
        out[k : k + step] = make(slice(k, k + step))
    return out


def _crop(
    view: View,
    images: torch.Tensor | list[torch.Tensor],
    sizes: np.ndarray,
    box: np.ndarray,
    place: np.ndarray,
    table: np.ndarray,
) -> torch.Tensor:
    """float32 [n, c, size, size] in [0, 1]; images of different sizes are concatenated flat."""
    if isinstance(images, torch.Tensor):
        pixels = images.reshape(-1, images.shape[3])
    else:
        pixels = torch.cat([image.reshape(-1, image.shape[2]) for image in images])
    area = sizes.prod(axis=1)
    flips = _column(table, "flipped", "vflipped") > 0
    taps = np.ceil(2 * np.maximum(1, box[:, 2:] / place[:, 2:])).astype(int).max(axis=0)
    return geometry.crop(
        pixels,
        *_moved(pixels.device, np.cumsum(area) - area, sizes[:, 1], box, place, flips),
        size=view.size,
        fill=view.fill,
        rows=int(box[:, 2].max()),
        taps=(int(taps[0]), int(taps[1])),
    )


def _finish(
    view: View, x: torch.Tensor, table: np.ndarray, mean: torch.Tensor, std: torch.Tensor
) -> torch.Tensor:
    """Do all that follows the flips; x is overwritten."""
    device = x.device
    with torch.autocast(device.type, enabled=False):
        degrees, sigma, spread = (
            table[:, COLUMN[name]] for name in ("rotation_degrees", "blur_sigma_px", "noise_sigma")
        )
        moves = _integers(table, ["shift_down_px", "shift_right_px"])
        turn, by, soft = _moved(device, degrees, moves, sigma)
        _some(x, degrees != 0, lambda p, k: geometry.rotate(p, turn[k], view.fill))
        _some(x, moves[:, 0] | moves[:, 1], lambda p, k: geometry.shift(p, by[k], view.fill))
        x = colour(x, *_jitter(table, x.shape[1], device), _flag(table, "grayed", x))
        _some(x, sigma > 0, lambda p, k: geometry.blur(p, soft[k], view.kernel_px))
        erase = _integers(table, _sides("erase"))
        drawn = spread > 0
        return tone(
            x,
            mean,
            std,
            _flag(table, "solarized", x),
            _moved(device, spread)[0] if drawn.any() else None,
            _moved(device, _integers(table, ["noise_seed"])[:, 0])[0],
            _normal(device),
            _flag(table, "noise_shared", x),
            _moved(device, erase)[0] if erase[:, 2].any() else None,
        )


def _some(
    x: torch.Tensor,
    mask: np.ndarray,
    change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    """Change in place the images of x that the mask selects."""
    if mask.any():
        (rows,) = _moved(x.device, np.flatnonzero(mask))
        x.index_copy_(0, rows, change(x[rows], rows))


def _jitter(
    table: np.ndarray, channels: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, int]:
    """Arguments of `colour`: each image's blends, those before its hue shift first."""
    names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_shift")
    order = _integers(table, [f"jitter_order_{k}" for k in range(4)])
    values = np.take_along_axis(_column(table, *names), order, axis=1)
    active = values != np.array([1.0, 1.0, 1.0, 0.0])[order]
    if channels != 3:
        active &= order < SATURATION
    turned = active & (order == HUE)
    # an image without a hue shift has all its blends before it
    early = active & ~turned & (np.cumsum(turned, axis=1) == 0)
    late = active & ~turned & ~early
    counts = [int(part.sum(axis=1).max(initial=0)) for part in (early, late)]
    kinds = np.zeros((len(table), sum(counts)), np.int64)
    factors = np.ones((len(table), sum(counts)))
    for part, first in ((early, 0), (late, counts[0])):
        image, place = np.nonzero(part)
        slot = first + np.cumsum(part, axis=1)[image, place] - 1
        kinds[image, slot] = order[image, place]
        factors[image, slot] = values[image, place]
    shift = np.where(turned, values, 0).sum(axis=1)
    on_device = _moved(device, kinds, factors, shift)
    return on_device[0], on_device[1], on_device[2] if turned.any() else None, counts[0]


def _flag(table: np.ndarray, name: str, x: torch.Tensor) -> torch.Tensor | None:
    """bool [n] of a column; None when no image has it, or none can: grayscale needs colour."""
    mask = table[:, COLUMN[name]] > 0
    if not mask.any() or (name == "grayed" and x.shape[1] != 3):
        return None
    return _moved(x.device, mask)[0]


def _sides(box: str) -> list[str]:
    return [f"{box}_{side}_px" for side in ("top", "left", "height", "width")]


def _column(table: np.ndarray, *names: str) -> np.ndarray:
    return table[:, [COLUMN[name] for name in names]]


def _integers(table: np.ndarray, names: Sequence[str]) -> np.ndarray:
    return _column(table, *names).astype(np.int64)


def _moved(device: torch.device, *arrays: np.ndarray) -> list[torch.Tensor]:
    """Arrays on the device; floating-point ones as float32."""
    real = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]
    return [to_device(torch.from_numpy(np.ascontiguousarray(a)), device) for a in real]


def _inside(name: str, box: np.ndarray, sizes: np.ndarray) -> None:
    """Refuse boxes [n, 4] that are empty or not within their frames [n, 2] (height, width)."""
    bad = (box[:, :2] < 0) | (box[:, 2:] < 1) | (box[:, :2] + box[:, 2:] > sizes)
    if bad.any():
        k = int(np.flatnonzero(bad.any(axis=1))[0])
        raise ValueError(
            f"{name} of image {k}: expected a box within {sizes[k][0]} x {sizes[k][1]} pixels, got "
            f"(top, left, height, width) {tuple(int(v) for v in box[k])}"
        )


def _normalisation(
    channels: int, mean: Sequence[float], std: Sequence[float], device: torch.device
) -> list[torch.Tensor]:
    """float32 [channels of the result], twice."""
    wanted = 3 if channels == 1 else channels
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, wanted):
            raise ValueError(
                f"{name}: expected {wanted} numbers for {wanted} channels, got {tuple(values)}"
            )
    return [_constant(tuple(values), device).expand(wanted) for values in (mean, std)]


@cache
def _constant(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """float32 on the device, copied once."""
    return torch.tensor(values, dtype=torch.float32, device=device)


@cache
def _normal(device: torch.device) -> torch.Tensor:
    return torch.tensor(normal_table(), device=device)
