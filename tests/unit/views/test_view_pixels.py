"""Pixels of every operation of a view, next to torchvision's float results."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import InterpolationMode

from jessl.core.hashing import GOLDEN, mix64
from jessl.data.decode.image import decode
from jessl.views import View, Views, presets
from jessl.views.apply import CpuRenderer
from jessl.views.noise import normal_table
from jessl.views.params import as_params, as_table, neutral_table
from jessl.views.sampling import sample_table

EVERYTHING = View(
    size=48,
    min_scale=0.1,
    vflip=0.5,
    rotate=0.6,
    rotate_degrees=40,
    translate=0.5,
    translate_share=0.3,
    fill=0.25,
    jitter=0.8,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    gray=0.2,
    blur=0.5,
    solarize=0.3,
    erase=0.5,
)


def by_torchvision(image: np.ndarray, view: View, p: dict, k: int, views: Views) -> torch.Tensor:
    """One view of one image through torchvision's functionals, float32 [c, size, size]."""
    q = {name: values[k] for name, values in p.items()}
    x = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    colour = x.shape[0] == 3
    box = [int(q[f"crop_{n}_px"]) for n in ("top", "left", "height", "width")]
    place = [int(q[f"place_{n}_px"]) for n in ("top", "left", "height", "width")]
    size = [view.size, view.size]
    x = F.resized_crop(x, *box, place[2:] if place[2] else size, antialias=True)
    if place[2]:
        whole = torch.full((x.shape[0], *size), view.fill)
        whole[:, place[0] : place[0] + place[2], place[1] : place[1] + place[3]] = x
        x = whole
    if q["flipped"]:
        x = F.horizontal_flip(x)
    if q["vflipped"]:
        x = F.vertical_flip(x)
    fill = [view.fill] * x.shape[0]
    if q["rotation_degrees"]:
        x = F.rotate(x, float(q["rotation_degrees"]), InterpolationMode.BILINEAR, fill=fill)
    shift = [int(q["shift_right_px"]), int(q["shift_down_px"])]
    if any(shift):
        x = F.affine(x, 0.0, shift, 1.0, [0.0, 0.0], fill=fill)
    adjust = {
        0: lambda x: (x * q["brightness_factor"]).clamp(0, 1),
        1: lambda x: _contrast(x, q["contrast_factor"]),
        2: lambda x: F.adjust_saturation(x, q["saturation_factor"]) if colour else x,
        3: lambda x: F.adjust_hue(x, q["hue_shift"]) if colour and q["hue_shift"] else x,
    }
    for kind in q["jitter_order"]:
        x = adjust[int(kind)](x)
    if q["grayed"] and colour:
        x = F.rgb_to_grayscale(x, 3)
    if q["blur_sigma_px"] > 0:
        x = F.gaussian_blur(x, [view.kernel_px] * 2, [float(q["blur_sigma_px"])] * 2)
    if q["solarized"]:
        x = F.solarize(x, 0.5)
    if x.shape[0] == 1:
        x = x.expand(3, -1, -1)
    x = F.normalize(x, list(views.mean), list(views.std))
    top, left, height, width = (int(q[f"erase_{n}_px"]) for n in ("top", "left", "height", "width"))
    return F.erase(x, top, left, height, width, torch.zeros(1)) if height else x


def _contrast(x: torch.Tensor, factor: float) -> torch.Tensor:
    """torchvision's, and for 2 or 4 channels the same with the mean of the channels as grey."""
    if x.shape[0] in (1, 3):
        return F.adjust_contrast(x, factor)
    return (factor * x + (1 - factor) * x.mean()).clamp(0, 1)


def _compared(views: Views, images: list[np.ndarray], seed: int = 0) -> tuple[float, float]:
    """Mean and largest difference from torchvision, in units of the pixel range."""
    heights = np.array([im.shape[0] for im in images])
    widths = np.array([im.shape[1] for im in images])
    params = views.sample(np.arange(len(images)) * 7919, 1, seed, heights, widths)
    scale = torch.tensor(views.std).view(-1, 1, 1)
    worst, total, count = 0.0, 0.0, 0
    for view, p, x in zip(views.recipes, params, views.apply(images, params), strict=True):
        for k, image in enumerate(images):
            d = ((x[k] - by_torchvision(image, view, p, k, views)) * scale).abs()
            worst, total, count = max(worst, float(d.max())), total + float(d.sum()), count + 1
    return total / (count * d.numel()), worst


ONE_BY_ONE = {
    "crop": {},
    "centre": {"crop": "center", "crop_share": 0.7},
    "corner": {"crop": "corner", "crop_share": 0.4},
    "pad": {"crop": "pad", "fill": 0.5},
    "vertical flip": {"vflip": 1.0},
    "rotation": {"rotate": 1.0, "rotate_degrees": 180.0, "fill": 0.3},
    "translation": {"translate": 1.0, "translate_share": 0.5},
    "brightness": {"jitter": 1.0, "brightness": 0.9},
    "contrast": {"jitter": 1.0, "contrast": 0.9},
    "saturation": {"jitter": 1.0, "saturation": 0.9},
    "hue": {"jitter": 1.0, "hue": 0.5},
    "grayscale": {"gray": 1.0},
    "blur": {"blur": 1.0},
    "wide blur": {"blur": 1.0, "blur_sigma_px": (3.0, 6.0), "blur_kernel_px": 41},
    "solarize": {"solarize": 1.0},
    "erasing": {"erase": 1.0},
}


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_each_operation_equals_torchvisions(name: str, images: np.ndarray) -> None:
    view = View(size=40, **ONE_BY_ONE[name])
    mean, worst = _compared(Views((view,)), [im[:, : 9 + k % 8] for k, im in enumerate(images)])
    assert mean < 1e-5, name
    assert worst < 1 / 255, name


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [7, 16, 33, 48])
def test_everything_together_at_every_size(channels: int, size: int) -> None:
    rng = np.random.default_rng(size)
    smooth = rng.integers(0, 256, (12, 9, 11, channels), dtype=np.uint8)
    images = [im.repeat(1 + k % 5, axis=0) for k, im in enumerate(smooth)]
    half = (0.5,) * max(channels, 3 if channels == 1 else channels)
    view = dataclasses.replace(EVERYTHING, size=size)
    views = Views((view, dataclasses.replace(view, crop="pad")), half, half)
    mean, worst = _compared(views, images)
    assert mean < 1e-5
    assert worst < 1 / 255


def test_photographs_at_full_size_equal_torchvision(photos: Path) -> None:
    images = [decode(path) for path in sorted(photos.iterdir())[:6]]
    mean, worst = _compared(presets.simclr(224), images)
    assert mean < 1e-5
    assert worst < 1 / 255


def test_a_crop_one_pixel_wide_equals_pillows() -> None:
    """torch 2.15 gives equal rows for [45, 11] -> [2, 1]; Pillow does not."""
    image = np.random.default_rng(0).integers(0, 256, (45, 11, 1), dtype=np.uint8)
    views = Views((View(size=2, crop="pad", flip=0.0),), (0.0,) * 3, (1.0,) * 3)
    params = views.sample(np.arange(1), 0, 0, np.array([45]), np.array([11]))
    floats = Image.fromarray(image[:, :, 0].astype(np.float32))
    want = np.asarray(floats.resize((1, 2), Image.Resampling.BILINEAR))[:, 0] / 255
    np.testing.assert_allclose(views.apply([image], params)[0][0, 0, :, 0], want, atol=1e-6)


@given(
    h=st.integers(1, 40),
    w=st.integers(1, 40),
    size=st.integers(1, 40),
    channels=st.integers(1, 4),
    data=st.data(),
)
def test_any_box_of_any_image(
    h: int, w: int, size: int, channels: int, data: st.DataObject
) -> None:
    top, left = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    height, width = data.draw(st.integers(1, h - top)), data.draw(st.integers(1, w - left))
    image = np.random.default_rng(h * w).integers(0, 256, (h, w, channels), dtype=np.uint8)
    made = 3 if channels == 1 else channels
    views = Views((View(size=size),), (0.0,) * made, (1.0,) * made)
    box = {"top": top, "left": left, "height": height, "width": width}
    x = views.apply([image], [{f"crop_{k}_px": np.array([v]) for k, v in box.items()}])[0][0]
    t = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    want = F.resized_crop(t, top, left, height, width, [size, size], antialias=True)
    torch.testing.assert_close(x, want.expand(made, -1, -1), atol=2e-5, rtol=0)


def test_a_very_wide_and_a_very_large_image() -> None:
    views = Views((View(size=32, crop="pad"), View(size=32)), (0.0,) * 3, (1.0,) * 3)
    for h, w in ((1, 20_000), (6000, 6000)):
        image = np.broadcast_to(np.arange(w) % 251, (h, w)).astype(np.uint8)[:, :, None]
        params = views.sample(np.arange(1), 0, 0, np.array([h]), np.array([w]))
        for view, p, x in zip(views.recipes, params, views.apply([image], params), strict=True):
            want = by_torchvision(image, view, p, 0, views)
            torch.testing.assert_close(x[0], want, atol=1e-4, rtol=0)


def _noise_by_hand(seed: int, elements: int) -> np.ndarray:
    e = np.arange(elements, dtype=np.uint64)
    with np.errstate(over="ignore"):
        bits = mix64(np.uint64(seed) + (e // np.uint64(4) + np.uint64(1)) * GOLDEN)
    lane = (bits >> (np.uint64(16) * (e % np.uint64(4)))) & np.uint64(0xFFFF)
    return normal_table()[lane.astype(np.int64)]


@pytest.mark.parametrize("size", [16, 19])
def test_noise_is_the_documented_function_of_its_seed(size: int) -> None:
    grey = np.full((2, 8, 8, 3), 128, np.uint8)
    views = Views((View(size=size, noise=1.0, noise_sigma=(0.01, 0.1)),), (0.0,) * 3, (1.0,) * 3)
    params = views.sample(np.array([4, 5]), 0, 0, np.full(2, 8), np.full(2, 8))
    x = views.apply(grey, params)[0].numpy()
    for k in range(2):
        noise = _noise_by_hand(int(params[0]["noise_seed"][k]), 3 * size * size)
        want = 128 / 255 + params[0]["noise_sigma"][k] * noise.reshape(3, size, size)
        np.testing.assert_allclose(x[k], want, atol=1e-6)
    assert params[0]["noise_seed"][0] != params[0]["noise_seed"][1]


def test_noise_is_normal_and_independent() -> None:
    x = _noise_by_hand(12345, 400_000).astype(np.float64)
    assert abs(x.mean()) < 4 / np.sqrt(len(x))
    assert abs(x.var() - 1) < 4 * np.sqrt(2 / len(x))
    assert abs((x**4).mean() - 3) < 0.1
    for lag in (1, 2, 3, 4, 5, 64):
        assert abs((x[lag:] * x[:-lag]).mean()) < 4 / np.sqrt(len(x))


def test_bytes_are_the_rounded_views(images: np.ndarray) -> None:
    views = Views((EVERYTHING,), (0.0,) * 3, (1.0,) * 3)
    table = sample_table(views, np.arange(48), 0, 0, np.full(48, 20), np.full(48, 16))
    out = np.zeros((48, 3, 48, 48), np.uint8)
    views.renderer(as_uint8=True).render(images, 0, table, [out])
    want = views.apply(images, as_params(table))[0].numpy()
    erased = want == 0
    assert (np.abs(out - np.rint(want * 255))[~erased] <= 1).all()
    assert (np.abs(out - want * 255)[~erased] <= 0.501).all()


def test_a_narrow_place_in_a_wide_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 4000, 3), dtype=np.uint8)
    box = {"top": 0, "left": 0, "height": 32, "width": 4000}
    params = {f"crop_{k}_px": np.array([v]) for k, v in box.items()}
    params |= {"place_height_px": np.array([8]), "place_width_px": np.array([1])}
    views = Views((View(size=8),), (0.0,) * 3, (1.0,) * 3)
    x = views.apply([image], [params])[0][0]
    assert (x[:, :, 1:] == 0).all()
    want = image.reshape(8, 4, 4000, 3).mean(axis=(1, 2)).T / 255
    np.testing.assert_allclose(x[:, :, 0], want, atol=0.02)


def test_floats_are_no_images() -> None:
    views = Views((View(size=8),))
    params = views.sample(np.arange(1), 0, 0, 8, 8)
    with pytest.raises(ValueError, match="images: expected uint8 or uint16, got float32"):
        views.apply([np.zeros((8, 8, 3), np.float32)], params)


def test_grey_images_have_grey_noise() -> None:
    views = Views((View(size=8, noise=1.0, noise_sigma=(0.2, 0.2)),), (0.0,) * 3, (1.0,) * 3)
    params = views.sample(np.arange(2), 0, 0, 8, 8)
    grey, colour = np.full((8, 8, 1), 90, np.uint8), np.full((8, 8, 3), 90, np.uint8)
    x, y = views.apply([grey, colour], params)[0]
    assert (x[0] == x[1]).all()
    assert (x[0] == x[2]).all()
    assert (y[0] != y[1]).any()
    again = views.apply([np.repeat(grey, 3, axis=2)], [{
        **{k: v[:1] for k, v in params[0].items()}, "noise_shared": np.array([True])
    }])[0][0]  # fmt: skip
    torch.testing.assert_close(x, again, atol=1e-6, rtol=0)


def test_parameters_make_the_round_trip(images: np.ndarray) -> None:
    views = Views((EVERYTHING, dataclasses.replace(EVERYTHING, crop="pad", noise=1.0,
                                                   noise_sigma=(0.1, 0.2))))  # fmt: skip
    table = sample_table(views, np.arange(48), 2, 3, np.full(48, 20), np.full(48, 16))
    np.testing.assert_array_equal(as_table(as_params(table)), table)


def test_left_out_parameters_are_neutral(images: np.ndarray) -> None:
    whole = {
        "crop_top_px": np.zeros(48),
        "crop_left_px": np.zeros(48),
        "crop_height_px": np.full(48, 20),
        "crop_width_px": np.full(48, 16),
    }
    views = Views((View(size=24),), (0.0,) * 3, (1.0,) * 3)
    x = views.apply(images, [whole])[0]
    t = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(x, F.resize(t, [24, 24], antialias=True), atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crop_top_px": np.array([5])}, "got one outside for image 0 (8x8 pixels)"),
        ({"crop_left_px": np.array([-1])}, "expected boxes within the image"),
        ({"crop_height_px": np.array([0])}, "expected boxes within the image"),
        ({"erase_top_px": np.array([9]), "erase_height_px": np.array([9])}, "its view of 16"),
        ({"place_height_px": np.array([8])}, "its view of 16"),
        ({"place_height_px": np.array([0.5]), "place_width_px": np.array([8])}, "its view of 16"),
        (
            {"jitter_order": np.array([[1, 1, 1, 1]])},
            "with 0, 1, 2 and 3 in some order",
        ),
        ({"jitter_order": np.array([[10**12, 0, 0, 0]])}, "expected jitter_order with 0"),
        ({"jitter_order": np.array([3])}, "expected jitter_order with 0"),
        ({"rotation_degrees": np.array([np.nan])}, "expected finite values of rotation_degrees"),
        ({"blur_sigma_px": np.array([np.inf])}, "expected finite values of blur_sigma_px"),
        ({"hue": np.array([0.1])}, "unknown parameter of a view 'hue'"),
        ({"hue_shift": np.array([0.1, 0.2])}, "expected 1 values of hue_shift, got 2"),
    ],
)
def test_parameters_that_cannot_be_are_refused(changed: dict, message: str) -> None:
    views = Views((View(size=16),))
    image = np.zeros((8, 8, 3), np.uint8)
    params = views.sample(np.arange(1), 0, 0, np.array([8]), np.array([8]))
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        views.apply([image], [{**params[0], "crop_height_px": np.array([8]),
                               "crop_width_px": np.array([8]), **changed}])  # fmt: skip


@pytest.mark.parametrize("kinds", [(1, 4), (2, 3), (5,)])
def test_channels_that_no_batch_holds_are_refused(kinds: tuple[int, ...]) -> None:
    views = Views((View(size=8),))
    images = [np.zeros((8, 8, c), np.uint8) for c in kinds]
    n = len(kinds)
    params = views.sample(np.arange(n), 0, 0, np.full(n, 8), np.full(n, 8))
    with pytest.raises(ValueError, match="channels"):
        views.apply(images, params)
    renderer = CpuRenderer(views)
    with pytest.raises(ValueError, match="mean and std: expected 1 to 16 channels, got 18"):
        CpuRenderer(Views((View(size=8),), (0.5,) * 18, (0.5,) * 18))
    with pytest.raises(ValueError, match="expected 3 channels, as mean and std have"):
        renderer.render(np.zeros((1, 8, 8, 4), np.uint8), 0, neutral_table(1, 1), [])


def test_read_only_and_strided_images_are_taken_as_they_are(images: np.ndarray) -> None:
    views = presets.simclr(16)
    params = views.sample(np.arange(48), 0, 0, np.full(48, 20), np.full(48, 16))
    want = views.apply(images, params)
    fixed = images.copy()
    fixed.flags.writeable = False
    turned = np.ascontiguousarray(images.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    for other in (fixed, turned, list(fixed)):
        for x, y in zip(views.apply(other, params), want, strict=True):
            torch.testing.assert_close(x, y, atol=0, rtol=0)
