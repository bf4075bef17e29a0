"""Batched crop, rotation, shift and blur in torch.

No product here depends on the precision of matrix products (TF32, autocast): crop and rotation
are gathers and elementwise sums, and the blur's matrices are multiplied in halves (`_product`).
Nothing here uses float64, which some devices lack.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def resize_weights(
    length: torch.Tensor,
    place: torch.Tensor,
    place_length: torch.Tensor,
    flipped: torch.Tensor,
    size: int,
    taps: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Along one axis: the input pixels, and their weights, of each pixel of a view.

    Antialiased bilinear: a triangle as wide as the larger of an input and an output pixel, cut
    at the crop and normalised (Pillow, and torchvision with antialias=True).

    Args:
        length: [n] of the crops, pixels of the image.
        place, place_length: [n], their place in the view, pixels of the view.
        flipped: bool [n], whether the view is reversed after placing the crop.
        size: of the view, pixels.
        taps: at least twice the largest length / place_length, and at least 2.

    Returns:
        int64 [n, size, taps], positions in the crop; float32 [n, size, taps], their weights, which
        sum to 1; bool [n, size], whether a pixel of the view lies in the crop's place.
    """
    out = torch.arange(size, device=length.device)[None, :]
    out = torch.where(flipped[:, None], size - 1 - out, out) - place[:, None]
    inside = (out >= 0) & (out < place_length[:, None])
    out = torch.minimum(out.clamp(min=0), place_length[:, None] - 1)
    # float32 as in torchvision, for the same rounding
    scale = (length.float() / place_length.float())[:, None]
    reach = scale.clamp(min=1.0)[..., None]
    centre = (scale * (out + 0.5))[..., None]
    first = (centre - reach + 0.5).long().clamp(min=0)
    at = first + torch.arange(taps, device=length.device)
    weight = (1 - ((at - centre + 0.5) / reach).abs()).clamp(min=0)
    weight = weight * (at < length[:, None, None])
    weight = weight / weight.sum(dim=2, keepdim=True)
    return torch.minimum(at, length[:, None, None] - 1), weight, inside


def crop(
    pixels: torch.Tensor,
    offset: torch.Tensor,
    width: torch.Tensor,
    box: torch.Tensor,
    place: torch.Tensor,
    flips: torch.Tensor,
    *,
    size: int,
    fill: float,
    rows: int,
    taps: tuple[int, int],
) -> torch.Tensor:
    """Crop, resize, place and flip: float32 [n, c, size, size] in [0, 1].

    Memory: besides the result (8 c + 8) x rows x size bytes an image.

    Args:
        pixels: uint8 [all pixels, c] of all images, concatenated.
        offset, width: int64 [n], first pixel of an image in `pixels`, and its width.
        box: int64 [n, 4], top, left, height, width of the crop, inside its image.
        place: int64 [n, 4], the same in the view.
        flips: bool [n, 2], horizontal and vertical.
        size: of the view.
        fill: value outside the place.
        rows: the largest height of the boxes.
        taps: down and across, as in `resize_weights`.
    """
    down, w_down, in_rows = resize_weights(
        box[:, 2], place[:, 0], place[:, 2], flips[:, 1], size, taps[0]
    )
    across, w_across, in_columns = resize_weights(
        box[:, 3], place[:, 1], place[:, 3], flips[:, 0], size, taps[1]
    )
    row = torch.arange(rows, device=pixels.device)[None, :]
    row = box[:, :1] + torch.minimum(row, box[:, 2:3] - 1)
    # rows below the crop repeat the last one, with weight 0
    start = offset[:, None] + row * width[:, None] + box[:, 1:2]
    lines = _weighted(pixels, start[:, :, None, None] + across[:, None], w_across[:, None])
    base = rows * torch.arange(len(box), device=pixels.device)[:, None, None]
    out = _weighted(lines.flatten(0, 1), base + down, w_down / 255).permute(0, 3, 1, 2)
    out = torch.where(in_rows[:, None, :, None] & in_columns[:, None, None, :], out, fill)
    return out.contiguous()


def _weighted(values: torch.Tensor, at: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Sum of weight x values[at] over the last dimension of `at`: one tap at a time, float32."""
    shape = at.shape[:-1]
    out = torch.zeros((*shape, *values.shape[1:]), device=values.device)
    spread = weight[(..., *(None,) * (values.dim() - 1))]
    for k in range(at.shape[-1]):
        taken = values.index_select(0, at[..., k].reshape(-1)).reshape(out.shape)
        out.addcmul_(taken.float(), spread.select(at.dim() - 1, k))
    return out


def rotate(x: torch.Tensor, degrees: torch.Tensor, fill: float) -> torch.Tensor:
    """Rotate images [n, c, s, s] counter-clockwise about their centres, bilinear.

    As torchvision's `rotate` with `fill`: a pixel with a share m of its weight inside the image
    becomes m x (the sum inside, zero outside) + (1 - m) fill.

    Args:
        x: float32 [n, c, s, s].
        degrees: float32 [n].
        fill: value outside.
    """
    size = x.shape[-1]
    turn = torch.deg2rad(degrees)[:, None, None]
    d = torch.arange(size, device=x.device) - (size - 1) / 2
    across, down = d[None, None, :], d[None, :, None]
    # affine_grid is a matrix product and would lose digits to TF32
    grid = torch.stack(
        (
            turn.cos() * across - turn.sin() * down,
            turn.sin() * across + turn.cos() * down,
        ),
        dim=3,
    )
    share = x.new_ones((len(x), 1, size, size))
    out = functional.grid_sample(
        torch.cat((x, share), dim=1), grid * (2 / size), padding_mode="zeros", align_corners=False
    )
    return (out[:, :-1] - fill) * out[:, -1:] + fill


def shift(x: torch.Tensor, by: torch.Tensor, fill: float) -> torch.Tensor:
    """Move images [n, c, s, s] by int64 [n, 2] whole pixels down and right, filled with `fill`."""
    n, _, size, _ = x.shape
    place = torch.arange(size, device=x.device)[None, :]
    i, j = place - by[:, :1], place - by[:, 1:]
    inside = ((i >= 0) & (i < size))[:, :, None] & ((j >= 0) & (j < size))[:, None, :]
    i, j = i.clamp(0, size - 1), j.clamp(0, size - 1)
    image = torch.arange(n, device=x.device)[:, None, None]
    moved = x[image, :, i[:, :, None], j[:, None, :]].permute(0, 3, 1, 2)
    return torch.where(inside[:, None], moved, fill)


def blur(x: torch.Tensor, sigma_px: torch.Tensor, kernel_px: int) -> torch.Tensor:
    """Gaussian blur of images [n, c, s, s] with reflected borders and one sigma [n] > 0 each."""
    m = blur_matrices(sigma_px, x.shape[-1], kernel_px)[:, None]
    return _product(_product(m, x), m.transpose(2, 3))


def blur_matrices(sigma_px: torch.Tensor, size: int, kernel_px: int) -> torch.Tensor:
    """Matrices float32 [n, size, size] of a Gaussian of `kernel_px` taps with reflected borders.

    The kernel is cut to the widest that reflection allows, 2 size - 1 taps.
    """
    half = min(kernel_px // 2, size - 1)
    taps = torch.arange(-half, half + 1, device=sigma_px.device)
    sigma = sigma_px.float()[:, None, None]
    whole = torch.exp(-0.5 * (taps / sigma) ** 2).sum(dim=2, keepdim=True)
    i = torch.arange(size, device=sigma_px.device)
    here = i[None, :] - i[:, None]
    above = torch.where(i[None, :] > 0, i[None, :] + i[:, None], size)
    below = torch.where(i[None, :] < size - 1, 2 * (size - 1) - i[None, :] - i[:, None], size)
    # each pixel and its reflections at both borders; not scatter_add, whose order of summation
    # on a GPU is not deterministic
    out = torch.zeros((), device=sigma_px.device)
    for distance in (here, above, below):
        weight = torch.exp(-0.5 * (distance / sigma) ** 2)
        out = out + torch.where(distance.abs() <= half, weight, 0.0)
    return out / whole


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Matrix product a @ b to 2^-20, also where the device rounds factors to TF32's 11 bits.

    A global switch would also change the products of a training in another thread. Instead each
    factor is split into two halves that TF32 holds exactly, and only low x low is left out.
    """
    a_high, b_high = _high(a), _high(b)
    a_low, b_low = a - a_high, b - b_high
    return a_high @ b_high + (a_high @ b_low + a_low @ b_high)


def _high(x: torch.Tensor) -> torch.Tensor:
    """The first 11 bits of the mantissa, which TF32 holds: truncated, not rounded."""
    return (x.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32)
