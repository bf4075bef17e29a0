"""Views on a device (here the CPU): torchvision's pixels, each image with its own parameters."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from jessl.core.hashing import GOLDEN, mix64
from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.views import View, Views
from jessl.views.gpu import apply as gpu
from jessl.views.gpu import colour as gpu_colour
from jessl.views.noise import normal_table
from jessl.views.params import COLUMN, as_table

PIXELS = ((0.0,), (1.0,))  # no normalisation: errors in units of the pixel range
VIEW = View(size=24, fill=0.3, blur_kernel_px=9)
ALL = (
    *("crop", "place", "flipped", "vflipped", "rotation", "shift", "jitter", "grayed", "blur"),
    *("solarized", "noise", "erase"),
)


def drawn(
    sizes: Sequence[tuple[int, int]], view: View, operations: Sequence[str], seed: int = 0
) -> np.ndarray:
    """A table [n, columns] of random parameters; operations that are not named are neutral."""
    rng = np.random.default_rng(seed)
    n, s = len(sizes), view.size
    heights, widths = np.array(sizes).T

    def box(name: str, h: np.ndarray, w: np.ndarray) -> dict[str, np.ndarray]:
        height, width = rng.integers(1, h + 1), rng.integers(1, w + 1)
        top, left = rng.integers(0, h - height + 1), rng.integers(0, w - width + 1)
        sides = ("top", "left", "height", "width")
        return {f"{name}_{k}_px": v for k, v in zip(sides, (top, left, height, width), strict=True)}

    full, some = np.full(n, s), rng.random((20, n)) < 0.7
    zero = np.zeros(n, np.int64)
    p = {f"crop_{k}_px": v for k, v in zip(("top", "left"), (zero, zero), strict=True)}
    p |= {"crop_height_px": heights, "crop_width_px": widths}
    if "crop" in operations:
        p |= box("crop", heights, widths)
    if "place" in operations:
        p |= box("place", full, full)
    p |= {name: some[0] for name in ("flipped",) if name in operations}
    p |= {name: some[k] for k, name in enumerate(("vflipped", "grayed", "solarized"), 1)
          if name in operations}  # fmt: skip
    if "rotation" in operations:
        p["rotation_degrees"] = some[5] * rng.uniform(-180, 180, n)
    if "shift" in operations:
        p["shift_down_px"], p["shift_right_px"] = some[6] * rng.integers(-s, s + 1, (2, n))
    for k, name in enumerate(("brightness", "contrast", "saturation")):
        if name in operations or "jitter" in operations:
            p[f"{name}_factor"] = np.where(some[7 + k], rng.uniform(0, 2, n), 1)
    if "hue" in operations or "jitter" in operations:
        p["hue_shift"] = some[10] * rng.uniform(-0.5, 0.5, n)
    p["jitter_order"] = np.argsort(rng.random((n, 4)), axis=1)
    if "blur" in operations:
        p["blur_sigma_px"] = some[11] * rng.uniform(0.1, 2, n)
    if "noise" in operations:
        p |= {
            "noise_sigma": some[12] * rng.uniform(0, 0.5, n),
            "noise_seed": rng.integers(0, 2**53, n),
        }
    if "erase" in operations:
        p |= {name: some[13] * v for name, v in box("erase", full, full).items()}
    return as_table([p])[0]


def numpy_noise(seed: float, shape: tuple[int, ...]) -> np.ndarray:
    """The formula of jessl.views.noise, element by element."""
    out = []
    with np.errstate(over="ignore"):
        for e in range(int(np.prod(shape))):
            h = mix64(np.array([seed], np.uint64) + np.uint64(e // 4 + 1) * GOLDEN)
            out.append(normal_table()[int(h[0] >> np.uint64(16 * (e % 4))) & 0xFFFF])
    return np.array(out, np.float32).reshape(shape)


def by_torchvision(image: np.ndarray, view: View, row: np.ndarray) -> torch.Tensor:
    """One image [h, w, c] through torchvision's float functionals, without normalisation."""
    p = {name: float(row[k]) for name, k in COLUMN.items()}
    x = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    c, s = len(x), view.size

    def box(name: str) -> list[int]:
        return [int(p[f"{name}_{side}_px"]) for side in ("top", "left", "height", "width")]

    top, left, height, width = box("place")
    if not height:
        top, left, height, width = 0, 0, s, s
    x = resized(F.crop(x, *box("crop")), height, width)
    x = F.pad(x, [left, top, s - left - width, s - top - height], fill=view.fill)
    x = F.horizontal_flip(x) if p["flipped"] else x
    x = F.vertical_flip(x) if p["vflipped"] else x
    fill = [view.fill] * c
    x = F.rotate(x, p["rotation_degrees"], F.InterpolationMode.BILINEAR, fill=fill)
    moved = [int(p["shift_right_px"]), int(p["shift_down_px"])]
    x = F.affine(x, 0.0, moved, 1.0, [0.0, 0.0], fill=fill) if any(moved) else x
    adjust: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {
        0: lambda x: (x * p["brightness_factor"]).clamp(0, 1),  # theirs wants 1 or 3 channels
        1: lambda x: contrast(x, p["contrast_factor"]),
        2: lambda x: F.adjust_saturation(x, p["saturation_factor"]) if c == 3 else x,
        3: lambda x: F.adjust_hue(x, p["hue_shift"]) if c == 3 else x,
    }
    for place in range(4):
        x = adjust[int(p[f"jitter_order_{place}"])](x)
    x = F.rgb_to_grayscale(x, 3) if p["grayed"] and c == 3 else x
    if p["blur_sigma_px"]:
        x = F.gaussian_blur(x, [view.kernel_px] * 2, [p["blur_sigma_px"]] * 2)
    x = F.solarize(x, 0.5) if p["solarized"] else x
    if p["noise_sigma"]:
        drawn = torch.from_numpy(numpy_noise(p["noise_seed"], tuple(x.shape)))
        x = (x + np.float32(p["noise_sigma"]) * drawn).clamp(0, 1)
    top, left, height, width = box("erase")
    x = F.erase(x, top, left, height, width, torch.zeros(1)) if height else x
    return x.expand(3, -1, -1) if c == 1 else x


def resized(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """torchvision's resize, an axis at a time where torch 2.15 errs: results one pixel wide."""
    if width > 1:
        return F.resize(x, [height, width], antialias=True)
    across = F.resize(x, [x.shape[1], width], antialias=True).transpose(1, 2)
    return F.resize(across, [width, height], antialias=True).transpose(1, 2)


def contrast(x: torch.Tensor, factor: float) -> torch.Tensor:
    if len(x) in (1, 3):
        return F.adjust_contrast(x, factor)
    return (factor * x + (1 - factor) * x.mean()).clamp(0, 1)


def same(actual: torch.Tensor, images: Sequence[np.ndarray], view: View, table: np.ndarray) -> None:
    want = torch.stack([by_torchvision(i, view, r) for i, r in zip(images, table, strict=True)])
    assert actual.dtype == torch.float32
    assert actual.shape == want.shape
    error = (actual - want).abs()
    assert error.mean() < 1e-6
    assert error.max() < 1e-4  # a fortieth of 1/255


def tensors(images: Sequence[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(image) for image in images]


@pytest.mark.parametrize(
    "operations",
    [[name] for name in (*ALL, "brightness", "contrast", "saturation", "hue")]
    + [["crop", "place", "flipped", "vflipped"], ["rotation", "shift"], list(ALL)],
    ids="+".join,
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_operation_equals_torchvision(operations: list[str], channels: int) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (24, 20, 31, channels), dtype=np.uint8)
    table = drawn([(20, 31)] * 24, VIEW, operations)
    actual = gpu.apply_view(VIEW, torch.from_numpy(images), table, *PIXELS)
    same(actual, images, VIEW, table)
    apart = gpu.apply_view(VIEW, tensors(images), torch.from_numpy(table), *PIXELS)
    torch.testing.assert_close(apart, actual, atol=1e-6, rtol=0)


@settings(max_examples=60)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=4),
    size=st.integers(1, 40),
    channels=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)
def test_any_boxes_and_sizes(
    sizes: list[tuple[int, int]], size: int, channels: int, seed: int
) -> None:
    view = View(size=size, fill=0.7, blur_kernel_px=min(7, 2 * size - 1))
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (*hw, channels), dtype=np.uint8) for hw in sizes]
    table = drawn(sizes, view, ALL, seed)
    same(gpu.apply_view(view, tensors(images), table, *PIXELS), images, view, table)


@pytest.mark.parametrize(("side", "size"), [(1, 1), (1, 33), (400, 3), (401, 1), (7, 224)])
def test_one_pixel_upsampling_and_strong_downsampling(side: int, size: int) -> None:
    view = View(size=size)
    images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    table = drawn([(side, side)] * 2, view, ["crop", "flipped"])
    same(gpu.apply_view(view, torch.from_numpy(images), table, *PIXELS), images, view, table)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_finishing_crops_is_the_rest_of_applying(kind: torch.dtype) -> None:
    images = np.random.default_rng(2).integers(0, 256, (24, 24, 24, 3), dtype=np.uint8)
    before = ["crop", "place", "flipped", "vflipped"] if kind.is_floating_point else []
    table = drawn([(24, 24)] * 24, VIEW, [*before, *ALL[4:]])
    whole = gpu.apply_view(VIEW, torch.from_numpy(images), table, IMAGENET_MEAN, IMAGENET_STD)
    first = drawn([(24, 24)] * 24, VIEW, before)
    for name in ("flipped", "vflipped", *(c for c in COLUMN if c[:5] in ("crop_", "place"))):
        first[:, COLUMN[name]] = table[:, COLUMN[name]]
    crops = gpu.apply_view(VIEW, torch.from_numpy(images), first, *PIXELS)
    crops = (crops * 255).round().to(kind) if kind == torch.uint8 else crops.to(kind)
    kept = crops.clone()
    actual = gpu.finish_view(VIEW, crops, table, IMAGENET_MEAN, IMAGENET_STD)
    assert torch.equal(crops, kept)
    torch.testing.assert_close(actual, whole, atol=1e-5, rtol=0)


def test_grey_among_colour_is_what_it_is_alone() -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, (9, 9, (3, 1)[k % 2]), dtype=np.uint8) for k in range(6)]
    table = drawn([(9, 9)] * 6, VIEW, ALL)
    same(gpu.apply_view(VIEW, tensors(images), table, *PIXELS), images, VIEW, table)


def test_normalisation_and_erasing_to_the_mean() -> None:
    images = np.full((1, 8, 8, 3), 51, np.uint8)
    view = View(size=8)
    table = drawn([(8, 8)], view, [])
    for name, value in (("top", 2), ("left", 3), ("height", 4), ("width", 1)):
        table[:, COLUMN[f"erase_{name}_px"]] = value
    x = gpu.apply_view(view, torch.from_numpy(images), table, (0.1, 0.2, 0.3), (1, 1, 0.5))[0]
    assert torch.equal(x[:, 2:6, 3], torch.zeros(3, 4))
    np.testing.assert_allclose(x[:, 0, 0], [0.1, 0.0, -0.2], atol=1e-6)
    assert int((x[0] == 0).sum()) == 4


def test_noise_is_normal_and_independent() -> None:
    seeds = torch.tensor([0, 1, 2**52 + 12345])
    z = gpu_colour.noise(seeds, 100_000, torch.tensor(normal_table())).double().numpy()
    assert np.abs(z.mean(axis=1)).max() < 4 / np.sqrt(1e5)
    assert np.abs(z.std(axis=1) - 1).max() < 4 / np.sqrt(2e5)
    for row in z:
        assert kstest(row, "norm").pvalue > 1e-3
        for lag in (1, 2, 3, 4, 5, 100):
            assert abs(np.corrcoef(row[:-lag], row[lag:])[0, 1]) < 4 / np.sqrt(1e5)
    assert np.abs(np.corrcoef(z)[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(1e5)


@pytest.mark.parametrize("seed", [0, 1, 2**53 - 1])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 5), (2, 8, 8)])
def test_noise_is_the_formula(seed: int, shape: tuple[int, ...]) -> None:
    elements = int(np.prod(shape))
    z = gpu_colour.noise(torch.tensor([seed]), elements, torch.tensor(normal_table()))
    np.testing.assert_array_equal(z[0], numpy_noise(seed, shape).ravel())


def test_what_happens_to_a_pixel_compiles_whole() -> None:
    images = torch.rand(8, 3, 6, 6)
    table = drawn([(6, 6)] * 8, View(size=6), ALL)
    flags = torch.arange(8) % 2 == 0
    first = (*gpu._jitter(table, 3, images.device), flags)
    last = (
        torch.tensor(IMAGENET_MEAN),
        torch.tensor(IMAGENET_STD),
        flags,
        torch.linspace(0, 0.3, 8),
        torch.arange(8),
        torch.tensor(normal_table()),
        flags,
        torch.arange(32).reshape(8, 4) % 5,
    )
    for function, arguments in ((gpu_colour.colour, first), (gpu_colour.tone, last)):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(images, *arguments), function(images, *arguments))


def test_no_pixel_hangs_on_the_precision_of_matrix_products() -> None:
    """A device that rounds factors to TF32's 11 bits, and autocast to bfloat16, as they would."""
    images = np.random.default_rng(4).integers(0, 256, (16, 30, 30, 3), dtype=np.uint8)
    table = drawn([(30, 30)] * 16, VIEW, ALL)
    plain = torch.Tensor.__matmul__

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return ((x.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

    def coarse(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return plain(rounded(a), rounded(b))

    x = torch.rand(2, 3, 24, 24)
    m = gpu.blur_matrices(torch.ones(2), 24, 9)[:, None]
    with (
        mock.patch.object(torch.Tensor, "__matmul__", coarse),
        torch.autocast("cpu", dtype=torch.bfloat16),
    ):
        assert (m @ x - plain(m, x)).abs().max() > 1e-4  # the emulation does round
        actual = gpu.apply_view(VIEW, torch.from_numpy(images), table, *PIXELS)
    same(actual, images, VIEW, table)


def test_a_small_budget_of_memory_changes_nothing() -> None:
    images = np.random.default_rng(5).integers(0, 256, (9, 20, 31, 3), dtype=np.uint8)
    table = drawn([(20, 31)] * 9, VIEW, ALL)
    whole = gpu.apply_view(VIEW, torch.from_numpy(images), table, *PIXELS)
    with mock.patch.object(gpu, "_BYTES", 2**18):
        parts = gpu.apply_view(VIEW, torch.from_numpy(images), table, *PIXELS)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("size", "kernel"), [(1, 3), (2, 9), (5, 99), (24, 23)])
def test_blur_matrices_are_means(size: int, kernel: int) -> None:
    m = gpu.blur_matrices(torch.tensor([0.1, 1.0, 5.0]), size, kernel)
    torch.testing.assert_close(m.sum(dim=2), torch.ones(3, size))
    x = torch.rand(3, 1, size, size)
    half = min(kernel // 2, size - 1)
    want = F.gaussian_blur(x[1], [2 * half + 1] * 2, [1.0, 1.0]) if half else x[1]
    torch.testing.assert_close(m[1] @ x[1] @ m[1].T, want, atol=1e-6, rtol=0)


def test_no_images_are_no_views() -> None:
    table = drawn([(4, 4)], VIEW, [])[:0]
    x = gpu.apply_view(VIEW, torch.empty((0, 4, 4, 3), dtype=torch.uint8), table, *PIXELS)
    assert x.shape == (0, 3, 24, 24)
    assert gpu.apply_view(VIEW, [], table, *PIXELS).shape == (0, 3, 24, 24)


@pytest.mark.parametrize(
    ("changes", "channels", "mean", "message"),
    [
        (
            {"crop_height_px": 9},
            3,
            (0.0,),
            "crop of image 1: expected a box within 8 x 8 pixels",
        ),
        ({"crop_height_px": 0}, 3, (0.0,), "(top, left, height, width) (0, 0, 0, 8)"),
        ({"crop_left_px": -1}, 3, (0.0,), "crop of image 1: expected a box within"),
        ({"place_height_px": 25}, 3, (0.0,), "place of image 1: expected a box within 24 x 24"),
        ({}, 4, IMAGENET_MEAN, "mean: expected 4 numbers for 4 channels"),
    ],
)
def test_mistakes_are_named(changes: dict, channels: int, mean: tuple, message: str) -> None:
    table = drawn([(8, 8)] * 2, VIEW, [])
    for name, value in changes.items():
        table[1, COLUMN[name]] = value
    images = torch.zeros((2, 8, 8, channels), dtype=torch.uint8)
    with pytest.raises(ValueError, match=re.escape(message)):
        gpu.apply_view(VIEW, images, table, mean, (1.0,))


def test_what_does_not_fit_together_is_refused() -> None:
    table = drawn([(8, 8)] * 2, VIEW, [])
    one, two = torch.zeros((8, 8, 1), dtype=torch.uint8), torch.zeros((8, 8, 2), dtype=torch.uint8)
    with pytest.raises(ValueError, match=re.escape("got [1, 2] in one batch")):
        gpu.apply_view(VIEW, [one, two], table, *PIXELS)
    with pytest.raises(ValueError, match=re.escape("table: expected [1, ")):
        gpu.apply_view(VIEW, [one], table, *PIXELS)
    with pytest.raises(ValueError, match=re.escape("crops: expected [n, c, 24, 24], got [2, 3, 8")):
        gpu.finish_view(VIEW, torch.zeros(2, 3, 8, 8), table, *PIXELS)
    small = dataclasses.replace(VIEW, size=8)
    assert gpu.finish_view(small, torch.zeros(2, 1, 8, 8), table, *PIXELS).shape == (2, 3, 8, 8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_device_paints_what_the_kernels_paint(channels: int) -> None:
    view = View(
        size=24, crop="random", vflip=0.5, rotate=0.5, rotate_degrees=30, translate=0.5,
        translate_share=0.2, fill=0.5, jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8,
        hue=0.2, gray=0.2, blur=0.5, solarize=0.2, noise=0.5, noise_sigma=(0.0, 0.2), erase=0.5,
    )  # fmt: skip
    wide = 3 if channels == 1 else channels
    views = Views(
        (view, dataclasses.replace(view, size=17, crop="pad")), (0.5,) * wide, (0.25,) * wide
    )
    images = np.random.default_rng(6).integers(0, 256, (32, 40, 50, channels), dtype=np.uint8)
    params = views.sample(np.arange(32), 1, 2, np.full(32, 40), np.full(32, 50))
    device = views.apply_on_device(torch.from_numpy(images), as_table(params))
    for here, there in zip(views.apply(images, params), device, strict=True):
        assert (here - there).abs().mean() < 2e-6
        assert (here - there).abs().max() < 1e-4
