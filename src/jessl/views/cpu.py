"""Pixels of views on the CPU: batched torch operations in torchvision's float semantics.

The antialiased crop and the blur are products with small matrices, one pair an image; so a batch
of equally sized images is a handful of matrix products, and the flip is free.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from jessl.views.recipe import View
from jessl.views.sample import Params

# torchvision's weights of red, green and blue in grey
_GRAY = (0.2989, 0.587, 0.114)


def apply_view(
    view: View,
    images: np.ndarray | Sequence[np.ndarray],
    params: Params,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> torch.Tensor:
    """One view of n images: float32 [n, 3, size, size], normalised.

    Args:
        view: the recipe; only its sizes are read, all that is random comes from `params`.
        images: uint8 [n, h, w, c] or n arrays uint8 [h, w, c], c 1 or 3.
        params: arrays of length n as `sample_view` returns them.
        mean, std: per channel, in units of the pixel range [0, 1].
    """
    if isinstance(images, np.ndarray):
        x = _crop_batch(view.size, torch.from_numpy(images), params)
    else:
        x = _crop_each(view.size, images, params)
    x = _jitter(x, params)
    if x.shape[1] == 3 and params["grayed"].any():
        rows = _rows(params["grayed"])
        x[rows] = _luma(x[rows]).expand(-1, 3, -1, -1)
    x = _blur(x, params["blur_sigma_px"], view.blur_kernel_px)
    if params["solarized"].any():
        rows = _rows(params["solarized"])
        x[rows] = torch.where(x[rows] >= 0.5, 1 - x[rows], x[rows])
    shape = (1, 3, 1, 1)
    return (x - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


def _rows(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(mask))


def resize_weights(
    start: torch.Tensor, length: torch.Tensor, extent: int, size: int, flipped: torch.Tensor
) -> torch.Tensor:
    """Matrices [n, size, extent] that crop [start, start + length) and resize it to `size`.

    Antialiased bilinear: a triangle as wide as the larger of an input and an output pixel, cut
    at the crop and normalised (Pillow and torchvision with antialias=True).
    """
    scale = length.double() / size
    reach = scale.clamp(min=1.0)[:, None, None]
    out = torch.arange(size, dtype=torch.float64)
    centre = (out[None, :] + 0.5) * scale[:, None]
    place = torch.arange(extent, dtype=torch.float64)[None, :] - start[:, None]
    inside = (place >= 0) & (place < length[:, None])
    w = (1 - (place[:, None, :] + 0.5 - centre[:, :, None]).abs() / reach).clamp(min=0)
    w = w * inside[:, None, :]
    w = w / w.sum(dim=2, keepdim=True)
    if flipped.any():
        w = torch.where(flipped[:, None, None], w.flip(1), w)
    return w.float()


def _crop_batch(size: int, images: torch.Tensor, params: Params) -> torch.Tensor:
    """Crop and resize equally sized images uint8 [n, h, w, c] to float32 [n, c, size, size]."""
    h, w = images.shape[1:3]
    box = {k: torch.from_numpy(v) for k, v in params.items() if k.startswith("crop_")}
    flipped = torch.from_numpy(params["flipped"])
    down = resize_weights(
        box["crop_top_px"], box["crop_height_px"], h, size, torch.zeros_like(flipped)
    )
    across = resize_weights(box["crop_left_px"], box["crop_width_px"], w, size, flipped)
    x = images.permute(0, 3, 1, 2).float().div_(255)
    return down[:, None] @ x @ across.transpose(1, 2)[:, None]


def _crop_each(size: int, images: Sequence[np.ndarray], params: Params) -> torch.Tensor:
    """The same for images of any sizes, grey and colour mixed; only the crop is read."""
    channels = max((image.shape[2] for image in images), default=3)
    x = torch.empty(len(images), channels, size, size)
    for k, image in enumerate(images):
        top, left = int(params["crop_top_px"][k]), int(params["crop_left_px"][k])
        height, width = int(params["crop_height_px"][k]), int(params["crop_width_px"][k])
        part = np.ascontiguousarray(image[top : top + height, left : left + width])
        own = {
            "crop_top_px": np.zeros(1, np.int64),
            "crop_left_px": np.zeros(1, np.int64),
            "crop_height_px": np.array([height]),
            "crop_width_px": np.array([width]),
            "flipped": params["flipped"][k : k + 1],
        }
        x[k] = _crop_batch(size, torch.from_numpy(part)[None], own)[0]
    return x


def _luma(x: torch.Tensor) -> torch.Tensor:
    """Grey [n, 1, h, w] of colour [n, 3, h, w]; a grey image is its own."""
    if x.shape[1] == 1:
        return x
    r, g, b = _GRAY
    return r * x[:, 0:1] + g * x[:, 1:2] + b * x[:, 2:3]


def _jitter(x: torch.Tensor, params: Params) -> torch.Tensor:
    """Brightness, contrast, saturation and hue, each image in its own order, clamped after each."""
    factors = [
        params["brightness_factor"],
        params["contrast_factor"],
        params["saturation_factor"],
        params["hue_shift"],
    ]
    neutral = (1.0, 1.0, 1.0, 0.0)
    # a grey image has neither saturation nor hue
    kinds = range(2) if x.shape[1] == 1 else range(4)
    for place in range(4):
        for kind in kinds:
            here = (params["jitter_order"][:, place] == kind) & (factors[kind] != neutral[kind])
            if not here.any():
                continue
            rows = _rows(here)
            f = torch.from_numpy(factors[kind][here]).float().view(-1, 1, 1, 1)
            part = x[rows]
            if kind == 0:
                part = part * f
            elif kind == 1:
                part = f * part + (1 - f) * _luma(part).mean(dim=(1, 2, 3), keepdim=True)
            elif kind == 2:
                part = f * part + (1 - f) * _luma(part)
            else:
                part = shift_hue(part, f[:, 0])
            x[rows] = part.clamp_(0, 1)
    return x


def shift_hue(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Turn the hue of float colour images [n, 3, h, w] in [0, 1] by `shift` [n, 1, 1] turns.

    The exact HSV turn: value and chroma stay, the hue circle is linear in its six sextants.
    """
    r, g, b = x.unbind(1)
    top, _ = x.max(dim=1)
    low, _ = x.min(dim=1)
    chroma = top - low
    grey = chroma == 0
    safe = torch.where(grey, torch.ones_like(chroma), chroma)
    red = top == r
    green = (top == g) & ~red
    hue = torch.where(
        red, (g - b) / safe, torch.where(green, 2 + (b - r) / safe, 4 + (r - g) / safe)
    )
    hue = torch.where(grey, torch.zeros_like(hue), hue / 6)
    hue = torch.remainder(hue + shift, 1.0)
    # channel k of a colour: v - v s max(0, min(q, 4 - q, 1)), q = (k + 6 h) mod 6, k = 5, 3, 1
    parts = []
    for k in (5.0, 3.0, 1.0):
        q = torch.remainder(k + 6 * hue, 6.0)
        parts.append(top - chroma * torch.minimum(q, 4 - q).clamp(0, 1))
    return torch.stack(parts, dim=1)


def _blur(x: torch.Tensor, sigma_px: np.ndarray, kernel_px: int) -> torch.Tensor:
    """Gaussian blur with reflected borders, a sigma an image; sigma 0 leaves an image alone."""
    here = sigma_px > 0
    if not here.any():
        return x
    rows = _rows(here)
    m = blur_matrices(torch.from_numpy(sigma_px[here]), x.shape[-1], kernel_px)[:, None]
    x[rows] = m @ x[rows] @ m.transpose(2, 3)
    return x


def blur_matrices(sigma_px: torch.Tensor, size: int, kernel_px: int) -> torch.Tensor:
    """Matrices [n, size, size] of a Gaussian of `kernel_px` taps with reflected borders.

    The kernel is cut to the widest that reflection allows, 2 size - 1 taps.
    """
    half = min(kernel_px // 2, size - 1)
    taps = torch.arange(-half, half + 1, dtype=torch.float64)
    weight = torch.exp(-0.5 * (taps[None, :] / sigma_px.double()[:, None]) ** 2)
    weight = weight / weight.sum(dim=1, keepdim=True)
    place = torch.arange(size)[:, None] + taps.long()[None, :]
    place = place.abs()
    place = torch.where(place >= size, 2 * (size - 1) - place, place)
    m = torch.zeros(len(sigma_px), size, size, dtype=torch.float64)
    index = place[None].expand(len(sigma_px), -1, -1)
    m.scatter_add_(2, index, weight[:, None, :].expand(-1, size, -1).contiguous())
    return m.float()
