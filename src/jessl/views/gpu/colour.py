"""Operations on the pixels of a view, in torch, that `torch.compile` can fuse.

Every image has its own parameters; nothing here branches on a tensor's values. Python numbers and
None, which the caller reads from the table, show what can be skipped for a whole batch.
"""

from __future__ import annotations

import torch

# torchvision's weights of red, green and blue in grey
_GRAY = (0.2989, 0.587, 0.114)
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)

# the constants of jessl.core.hashing as signed numbers: torch multiplies modulo 2^64 in int64
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX = ((30, 0xBF58476D1CE4E5B9 - 2**64), (27, 0x94D049BB133111EB - 2**64))


def luma(x: torch.Tensor) -> torch.Tensor:
    """Grey [n, 1, h, w] of colour [n, 3, h, w]; the mean of other numbers of channels."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    r, g, b = _GRAY
    return r * x[:, 0:1] + g * x[:, 1:2] + b * x[:, 2:3]


def colour(
    x: torch.Tensor,
    kinds: torch.Tensor,
    factors: torch.Tensor,
    hue: torch.Tensor | None,
    before: int,
    grayed: torch.Tensor | None,
) -> torch.Tensor:
    """Colour jitter, each image in its own order, clamped after each operation; then grayscale.

    Brightness, contrast and saturation are blends of the image with black, its mean grey and its
    grey version. One blend therefore covers all three, and hue, which costs more, is computed once
    for the batch: `before` blends come before it, the others after it.

    Args:
        x: float32 [n, c, h, w] in [0, 1].
        kinds: int64 [n, blends], BRIGHTNESS, CONTRAST or SATURATION.
        factors: float32 [n, blends]; 1 leaves an image unchanged.
        hue: float32 [n], turns; 0 leaves an image unchanged; None: no image's hue is shifted.
        before: number of blends before the hue shift.
        grayed: bool [n]; None: no image is. Only for 3 channels.
    """
    for k in range(kinds.shape[1]):
        if k == before and hue is not None:
            x = _hue(x, hue)
        x = _blend(x, kinds[:, k], factors[:, k])
    if before == kinds.shape[1] and hue is not None:
        x = _hue(x, hue)
    if grayed is not None:
        x = torch.where(grayed[:, None, None, None], luma(x), x)
    return x


def _hue(x: torch.Tensor, hue: torch.Tensor) -> torch.Tensor:
    shifted = shift_hue(x, hue[:, None, None]).clamp(0, 1)
    return torch.where((hue != 0)[:, None, None, None], shifted, x)


def _blend(x: torch.Tensor, kind: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    kind, f = kind[:, None, None, None], factor[:, None, None, None]
    grey = luma(x)
    base = torch.where(kind == CONTRAST, grey.mean(dim=(2, 3), keepdim=True), grey)
    base = torch.where(kind == BRIGHTNESS, 0.0, (1 - f) * base)
    return (f * x + base).clamp(0, 1)


def shift_hue(x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Shift the hue of float colour images [n, 3, h, w] in [0, 1] by `shift` [n, 1, 1] turns.

    An exact rotation in HSV: value and chroma are preserved, and the hue circle is linear in its
    six sextants.
    """
    r, g, b = x.unbind(1)
    top = torch.maximum(torch.maximum(r, g), b)
    chroma = top - torch.minimum(torch.minimum(r, g), b)
    grey = chroma == 0
    safe = torch.where(grey, 1.0, chroma)
    sector = torch.where(
        top == r,
        (g - b) / safe,
        torch.where(top == g, 2 + (b - r) / safe, 4 + (r - g) / safe),
    )
    sector = torch.where(grey, 0.0, sector) + 6 * shift
    # channel k of a colour: v - chroma max(0, min(q, 4 - q, 1)), q = (k + 6 h) mod 6, k = 5, 3, 1
    parts = []
    for k in (5.0, 3.0, 1.0):
        q = torch.remainder(k + sector, 6.0)
        parts.append(top - chroma * torch.minimum(q, 4 - q).clamp(0, 1))
    return torch.stack(parts, dim=1)


def noise(seeds: torch.Tensor, elements: int, normal: torch.Tensor) -> torch.Tensor:
    """The noise of `jessl.views.noise`: float32 [n, elements], standard normal.

    Args:
        seeds: int64 [n].
        elements: numbers for each image.
        normal: float32 [65536], `normal_table()` on the device.
    """
    block = torch.arange(1, -(-elements // 4) + 1, device=seeds.device)
    h = seeds[:, None] + block[None, :] * _GOLDEN
    for bits, factor in _MIX:
        h = (h ^ _shifted(h, bits)) * factor
    h = h ^ _shifted(h, 31)
    parts = [normal[_shifted(h, 16 * k) & 0xFFFF] for k in range(4)]
    return torch.stack(parts, dim=2).flatten(1)[:, :elements]


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right; torch's is arithmetic."""
    return (x >> bits) & ((1 << (64 - bits)) - 1) if bits else x


def tone(
    x: torch.Tensor,
    mean: torch.Tensor,
    std: torch.Tensor,
    solarized: torch.Tensor | None,
    sigma: torch.Tensor | None,
    seeds: torch.Tensor,
    normal: torch.Tensor,
    shared: torch.Tensor | None,
    erase: torch.Tensor | None,
) -> torch.Tensor:
    """Solarize, noise, normalisation, erasing.

    Args:
        x: float32 [n, c, s, s] in [0, 1].
        mean, std: float32 [channels], broadcast over one channel.
        solarized: bool [n]; None: no image is.
        sigma: float32 [n], of the noise; 0 leaves an image unchanged; None: no noise.
        seeds, normal: as in `noise`.
        shared: bool [n], whether all channels get the noise of the first; None: for no image.
        erase: int64 [n, 4], top, left, height, width, pixels; None: nothing is erased.
    """
    if solarized is not None:
        turn = solarized[:, None, None, None] & (x >= 0.5)
        x = torch.where(turn, 1 - x, x)
    if sigma is not None:
        spread = sigma[:, None, None, None]
        drawn = noise(seeds, x[0].numel(), normal).view(x.shape)
        if shared is not None:
            drawn = torch.where(shared[:, None, None, None], drawn[:, :1], drawn)
        noisy = (x + spread * drawn).clamp(0, 1)
        x = torch.where(spread > 0, noisy, x)
    x = (x - mean[:, None, None]) / std[:, None, None]
    if erase is not None:
        place = torch.arange(x.shape[-1], device=x.device)[None, :]
        down = (place >= erase[:, 0:1]) & (place < erase[:, 0:1] + erase[:, 2:3])
        across = (place >= erase[:, 1:2]) & (place < erase[:, 1:2] + erase[:, 3:4])
        x = torch.where(down[:, None, :, None] & across[:, None, None, :], 0.0, x)
    return x
