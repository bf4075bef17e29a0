"""Views: torchvision's pixels, torchvision's distribution, and nothing random but the hash."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.v2 as tv
import torchvision.transforms.v2.functional as F
from hypothesis import given
from hypothesis import strategies as st

from jessl.core import compiled
from jessl.core.hashing import GOLDEN, mix64
from jessl.views import View, Views, central_view, presets
from jessl.views.sampling import states

ALL = View(
    size=24,
    min_scale=0.1,
    jitter=0.8,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.2,
    gray=0.2,
    blur=0.5,
    solarize=0.3,
)


def _by_torchvision(image: np.ndarray, view: View, p: dict, k: int, views: Views) -> torch.Tensor:
    x = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    box = [int(p[f"crop_{n}_px"][k]) for n in ("top", "left", "height", "width")]
    x = F.resized_crop(x, *box, [view.size, view.size], antialias=True)
    if p["flipped"][k]:
        x = F.horizontal_flip(x)
    adjust = {
        0: lambda x: F.adjust_brightness(x, p["brightness_factor"][k]),
        1: lambda x: F.adjust_contrast(x, p["contrast_factor"][k]),
        2: lambda x: F.adjust_saturation(x, p["saturation_factor"][k]),
        3: lambda x: F.adjust_hue(x, p["hue_shift"][k]),
    }
    for kind in p["jitter_order"][k]:
        x = adjust[int(kind)](x)
    if p["grayed"][k]:
        x = F.rgb_to_grayscale(x, 3)
    if p["blur_sigma_px"][k] > 0:
        x = F.gaussian_blur(x, [view.kernel_px] * 2, [float(p["blur_sigma_px"][k])] * 2)
    if p["solarized"][k]:
        x = F.solarize(x, 0.5)
    if x.shape[0] == 1:
        x = x.expand(3, -1, -1)
    return F.normalize(x, list(views.mean), list(views.std))


@pytest.mark.parametrize("equal_sizes", [True, False])
def test_pixels_equal_torchvision(images: np.ndarray, equal_sizes: bool) -> None:
    views = Views((ALL, dataclasses.replace(ALL, size=40, blur=1.0)))
    batch: np.ndarray | list[np.ndarray] = images
    if not equal_sizes:
        rng = np.random.default_rng(1)
        batch = [im[: rng.integers(3, 21), : rng.integers(3, 17)] for im in images]
        batch[0] = batch[0][:, :, :1]  # a grey image among colour ones
    heights = np.array([im.shape[0] for im in batch])
    widths = np.array([im.shape[1] for im in batch])
    params = views.sample(np.arange(48) * 7919, 3, 5, heights, widths)
    actual = views.apply(batch, params)
    for view, p, x in zip(views.recipes, params, actual, strict=True):
        assert x.shape == (48, 3, view.size, view.size)
        assert x.dtype == torch.float32
        for k in range(48):
            want = _by_torchvision(batch[k], view, p, k, views)
            # grey among colour is handled as colour, where torchvision's weights sum to .9999
            atol = 2e-5 if batch[k].shape[2] == 3 else 1e-3
            torch.testing.assert_close(x[k], want, atol=atol, rtol=0)


def test_grey_images_equal_their_colour_copies() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 1), dtype=np.uint8)
    views = Views((dataclasses.replace(ALL, solarize=0.0),))
    params = views.sample(np.arange(16), 0, 0, np.full(16, 12), np.full(16, 12))
    one = views.apply(grey, params)[0]
    three = views.apply(np.repeat(grey, 3, axis=3), params)[0]
    # torchvision's weights of red, green and blue sum to .9999
    torch.testing.assert_close(one, three, atol=3e-3, rtol=0)


def test_crop_distribution_is_torchvisions() -> None:
    n, h, w = 4000, 37, 50
    view = View(size=8)
    p = Views((view,)).sample(np.arange(n), 0, 0, np.full(n, h), np.full(n, w))[0]
    torch.manual_seed(0)
    crop = tv.RandomResizedCrop(8, antialias=True)
    theirs = [crop.make_params([torch.zeros(3, h, w)]) for _ in range(n)]
    for ours, name in (
        (p["crop_height_px"], "height"),
        (p["crop_width_px"], "width"),
        (p["crop_top_px"], "top"),
        (p["crop_left_px"], "left"),
    ):
        a, b = np.sort(ours), np.sort([t[name] for t in theirs])
        # two-sample Kolmogorov-Smirnov distance; 1.95 sqrt(2/n) is its .001 quantile
        grid = np.arange(0, 51)
        distance = np.abs(
            np.searchsorted(a, grid, "right") / n - np.searchsorted(b, grid, "right") / n
        ).max()
        assert distance < 1.95 * np.sqrt(2 / n), name


def test_boxes_that_never_fit_fall_back_to_the_centre() -> None:
    p = Views((View(size=8, min_scale=0.9),)).sample(
        np.arange(100), 0, 0, np.full(100, 2), np.full(100, 64)
    )[0]
    assert (p["crop_height_px"] == 2).all()
    assert (p["crop_width_px"] <= 64).all()
    assert set(p["crop_left_px"] + p["crop_width_px"] // 2) <= set(range(65))
    assert (p["crop_width_px"][:5] == 3).all()  # 2 x 4/3, rounded
    assert (p["crop_left_px"][:5] == 30).all()


@given(
    seed=st.integers(0, 2**63),
    epoch=st.integers(0, 10_000),
    h=st.integers(1, 300),
    w=st.integers(1, 300),
)
def test_a_view_depends_on_seed_epoch_and_id_alone(seed: int, epoch: int, h: int, w: int) -> None:
    views = Views((ALL, ALL))
    ids = np.array([5, 2**62, 0, 17])

    def draw(rows: list[int]) -> list[dict[str, np.ndarray]]:
        return views.sample(ids[rows], epoch, seed, np.full(len(rows), h), np.full(len(rows), w))

    together, alone, turned = draw([0, 1, 2, 3]), draw([1]), draw([3, 1, 0, 2])
    for a, b, c in zip(together, alone, turned, strict=True):
        for name in a:
            np.testing.assert_array_equal(a[name][1], b[name][0])
            np.testing.assert_array_equal(a[name][[3, 1, 0, 2]], c[name])
    p = together[0]
    assert (p["crop_height_px"] >= 1).all()
    assert (p["crop_top_px"] >= 0).all()
    assert (p["crop_top_px"] + p["crop_height_px"] <= h).all()
    assert (p["crop_left_px"] + p["crop_width_px"] <= w).all()


GOLDEN_BOXES = [[101, 239, 181, 194], [127, 47, 245, 224], [2, 56, 333, 253]]
GOLDEN_ORDERS = [[3, 0, 1, 2], [3, 2, 0, 1], [1, 2, 3, 0]]


def uniforms(ids: np.ndarray, draws: int, seed: int, epoch: int, position: int) -> np.ndarray:
    """What the kernels draw from, written down once more: float64 [n, draws] in [0, 1)."""
    state = states(seed, epoch, position + 1)[position]
    with np.errstate(over="ignore"):
        rows = mix64((ids.astype(np.uint64) ^ state) + GOLDEN)
        bits = mix64(rows[:, None] + np.arange(1, draws + 1, dtype=np.uint64)[None, :] * GOLDEN)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def test_views_epochs_and_seeds_differ() -> None:
    u = uniforms(np.arange(1000), 8, 0, 0, 0)
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        v = uniforms(np.arange(1000), 8, *other)
        assert not np.isclose(u, v).any(axis=1).all()
        assert abs(np.corrcoef(u.ravel(), v.ravel())[0, 1]) < 0.05
    assert abs(u.mean() - 0.5) < 0.02
    assert abs(u.var() - 1 / 12) < 0.005
    assert 0 <= u.min() < u.max() < 1


def test_the_hash_is_fixed() -> None:
    """A published view must stay what it is: these numbers may never change."""
    ids = np.array([0, 1, 2**40])
    u = uniforms(ids, 2, 7, 3, 1)
    golden = [
        [0.11740795987746289, 0.6510326027761119],
        [0.23073523559503362, 0.37053527410982945],
        [0.4018503449502052, 0.44897717842501417],
    ]
    np.testing.assert_array_equal(u, golden)
    view = View(size=64, jitter=1.0, brightness=0.5, hue=0.5, blur=1.0, vflip=0.5, erase=1.0)
    p = Views((view, view)).sample(ids, 3, 7, 375, 500)[1]
    boxes = np.stack([p[f"crop_{n}_px"] for n in ("top", "left", "height", "width")], axis=1)
    np.testing.assert_array_equal(boxes, GOLDEN_BOXES)
    np.testing.assert_array_equal(p["jitter_order"], GOLDEN_ORDERS)


def test_every_draw_has_its_place_in_the_stream() -> None:
    ids = np.arange(500) * 7919
    view = View(
        size=64, vflip=0.5, rotate=1.0, rotate_degrees=30, jitter=1.0, brightness=0.5, contrast=0.5,
        saturation=0.5, hue=0.5, gray=0.5, blur=1.0, solarize=0.5, noise=1.0, noise_sigma=(0, 1),
    )  # fmt: skip
    u = uniforms(ids, 90, 5, 2, 0)
    p = Views((view,)).sample(ids, 2, 5, 375, 500)[0]
    np.testing.assert_array_equal(p["flipped"], u[:, 22] < 0.5)
    for k, name in enumerate(("brightness", "contrast", "saturation")):
        np.testing.assert_allclose(p[f"{name}_factor"], 0.5 + u[:, 24 + k], rtol=1e-15)
    np.testing.assert_allclose(p["hue_shift"], u[:, 27] - 0.5, atol=1e-15)
    np.testing.assert_array_equal(p["jitter_order"], np.argsort(u[:, 28:32], axis=1))
    np.testing.assert_array_equal(p["grayed"], u[:, 32] < 0.5)
    np.testing.assert_allclose(p["blur_sigma_px"], 0.1 + 1.9 * u[:, 34], rtol=1e-14)
    np.testing.assert_array_equal(p["solarized"], u[:, 35] < 0.5)
    np.testing.assert_array_equal(p["vflipped"], u[:, 36] < 0.5)
    np.testing.assert_allclose(p["rotation_degrees"], 60 * u[:, 38] - 30, atol=1e-12)
    np.testing.assert_allclose(p["noise_sigma"], u[:, 43], rtol=1e-15)


@pytest.mark.parametrize(
    ("heights", "widths"), [([5, 5], 6), (5, [6, 6, 6, 6]), (0, 6), ([5, 5, 0], 6), ([[5]], 6)]
)
def test_sizes_that_do_not_belong_to_the_images_are_refused(heights: list, widths: list) -> None:
    with pytest.raises(ValueError, match="expected 3 numbers of pixels, at least 1 each"):
        Views((ALL,)).sample(np.arange(3), 0, 0, heights, widths)


def test_flip_probability_is_honoured() -> None:
    p = presets.simclr(16).sample(np.arange(4000), 0, 0, np.full(4000, 16), np.full(4000, 16))
    for view in p:
        assert 0.46 < view["flipped"].mean() < 0.54
        assert 0.17 < view["grayed"].mean() < 0.23
        assert 0.76 < (view["brightness_factor"] != 1).mean() < 0.84
    assert (p[0]["flipped"] != p[1]["flipped"]).any()


def test_central_view_is_the_resized_centre(images: np.ndarray) -> None:
    view = central_view(16, crop_share=1.0)
    params = view.sample(np.arange(48), 0, 0, np.full(48, 20), np.full(48, 16))
    x = view.apply(images, params)[0]
    middle = torch.from_numpy(images[:, 2:18]).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(x, F.normalize(middle, list(view.mean), list(view.std)))


def test_recipes_do_not_import_torch() -> None:
    code = "import sys, jessl.views as v; v.presets.simclr(32); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = []

    def refusing(signature: str, **options: object) -> Callable:
        requests.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'f': no locator available for file")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", refusing)
    assert compiled.entry("void(i8)")(abs) is abs
    assert [bool(options.get("cache")) for options in requests] == [True, False]
