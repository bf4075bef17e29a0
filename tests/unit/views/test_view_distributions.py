"""What is drawn for a view has torchvision's distribution: 100,000 of our draws, 30,000 of its."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision import transforms as v1

from jessl.views import View, Views

N = 100_000
# torchvision draws one at a time, in Python
M = 30_000
# of the two-sample Kolmogorov-Smirnov distance at the level .001
LARGEST = 1.95 * np.sqrt(1 / N + 1 / M)


def _drawn(*views: View, h: int = 375, w: int = 500) -> list[dict[str, np.ndarray]]:
    return Views(views).sample(np.arange(N), 3, 11, np.full(N, h), np.full(N, w))


def _alike(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    assert stats.ks_2samp(ours, theirs).statistic < LARGEST, what


@pytest.mark.parametrize(("h", "w", "scale"), [(375, 500, 0.08), (64, 640, 0.3)])
def test_crops(h: int, w: int, scale: float) -> None:
    """Height and width jointly, and the place; the second kind of image needs the fall-back."""
    ours = _drawn(View(size=224, min_scale=scale), h=h, w=w)[0]
    torch.manual_seed(0)
    image = torch.empty(3, h, w)
    draw = v1.RandomResizedCrop.get_params
    theirs = np.array([draw(image, [scale, 1.0], [3 / 4, 4 / 3]) for _ in range(M)], float)
    box = [ours[f"crop_{name}_px"].astype(float) for name in ("top", "left", "height", "width")]
    for k, name in enumerate(("top", "left", "height", "width")):
        _alike(box[k], theirs[:, k], name)
    # projections of the joint distribution: the area, the aspect and two oblique ones
    ours_h, ours_w, their_h, their_w = box[2], box[3], theirs[:, 2], theirs[:, 3]
    for name, f in (
        ("area", lambda a, b: a * b),
        ("aspect", lambda a, b: a / b),
        ("sum", lambda a, b: a + 2 * b),
        ("difference", lambda a, b: a - 2 * b),
    ):
        _alike(f(ours_h, ours_w), f(their_h, their_w), name)
    # where it is cropped, given how large
    _alike(box[0] / (h - ours_h + 1), theirs[:, 0] / (h - their_h + 1), "relative top")


def test_colour_jitter() -> None:
    view = View(size=8, jitter=1.0, brightness=0.8, contrast=0.5, saturation=1.5, hue=0.2)
    ours = _drawn(view)[0]
    torch.manual_seed(0)
    jitter = v1.ColorJitter(0.8, 0.5, 1.5, 0.2)
    args = (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue)
    theirs = [v1.ColorJitter.get_params(*args) for _ in range(M)]
    names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_shift")
    for k, name in enumerate(names):
        _alike(ours[name], np.array([t[1 + k] for t in theirs]), name)
    # each of the 24 orders equally often, on both sides
    for orders in (ours["jitter_order"], np.array([t[0].numpy() for t in theirs])):
        counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)[1]
        assert len(counts) == 24
        assert stats.chisquare(counts).pvalue > 1e-3
    both = np.corrcoef([ours[name] for name in names])
    assert np.abs(both - np.eye(4)).max() < 4 / np.sqrt(N)


def test_blur_erasing_and_noise() -> None:
    view = View(
        size=50, blur=1.0, blur_sigma_px=(0.1, 2.0), erase=1.0, noise=1.0, noise_sigma=(0.1, 0.3)
    )
    ours = _drawn(view)[0]
    torch.manual_seed(0)
    sigma = np.array([v1.GaussianBlur.get_params(0.1, 2.0) for _ in range(M)])
    _alike(ours["blur_sigma_px"], sigma, "sigma")
    assert stats.kstest(ours["noise_sigma"], "uniform", (0.1, 0.2)).statistic < LARGEST
    image = torch.empty(3, 50, 50)
    draw = v1.RandomErasing.get_params
    boxes = np.array([draw(image, (0.02, 0.33), (0.3, 3.3), [0.0])[:4] for _ in range(M)], float)
    for k, name in enumerate(("top", "left", "height", "width")):
        _alike(ours[f"erase_{name}_px"], boxes[:, k], name)
    _alike(
        ours["erase_height_px"] * ours["erase_width_px"] * 1.0, boxes[:, 2] * boxes[:, 3], "area"
    )


def test_rotations_and_translations_are_uniform() -> None:
    view = View(size=100, rotate=1.0, rotate_degrees=30, translate=1.0, translate_share=0.1)
    ours = _drawn(view)[0]
    torch.manual_seed(0)
    angles = np.array([v1.RandomRotation.get_params([-30.0, 30.0]) for _ in range(M)])
    _alike(ours["rotation_degrees"], angles, "angle")
    for name in ("shift_down_px", "shift_right_px"):
        values, counts = np.unique(ours[name], return_counts=True)
        np.testing.assert_array_equal(values, np.arange(-10, 11))
        assert stats.chisquare(counts).pvalue > 1e-3


def test_probabilities_are_honoured() -> None:
    p = {
        "flip": "flipped",
        "vflip": "vflipped",
        "gray": "grayed",
        "solarize": "solarized",
        "blur": "blur_sigma_px",
        "rotate": "rotation_degrees",
        "noise": "noise_sigma",
        "erase": "erase_height_px",
        "jitter": "hue_shift",
    }
    for share in (0.0, 0.1, 0.5, 1.0):
        view = View(
            size=32, rotate_degrees=10, hue=0.1, noise_sigma=(0.1, 0.1), **dict.fromkeys(p, share)
        )
        drawn = _drawn(view)[0]
        for option, name in p.items():
            result = (drawn[name] != 0).mean()
            assert abs(result - share) <= 4 * np.sqrt(share * (1 - share) / N), option


@pytest.mark.parametrize(("h", "w"), [(60, 80), (1, 200), (3, 3), (1, 1)])
def test_a_second_crop_keeps_clear_of_the_first(h: int, w: int) -> None:
    first = View(size=8, max_scale=0.5)
    for view in (first, View(size=8)):
        a, b = _drawn(view, View(size=8, max_scale=0.5, apart_from=0), h=h, w=w)
        box = [[p[f"crop_{n}_px"] for n in ("top", "left", "height", "width")] for p in (a, b)]
        (t0, l0, h0, w0), (t1, l1, h1, w1) = box
        clear = (t1 >= t0 + h0) | (t1 + h1 <= t0) | (l1 >= l0 + w0) | (l1 + w1 <= l0)
        np.testing.assert_array_equal(clear, b["apart"])
        whole = (h0 == h) & (w0 == w)
        np.testing.assert_array_equal(~b["apart"], whole)  # only a whole image leaves no room
        assert (h1 >= 1).all()
        assert (w1 >= 1).all()
        assert (t1 >= 0).all()
        assert (t1 + h1 <= h).all()
        assert (l1 + w1 <= w).all()


def test_corners_are_equally_often_drawn() -> None:
    p = _drawn(View(size=8, crop="corner", crop_share=0.5), h=40, w=60)[0]
    assert set(p["crop_height_px"]) == {20}
    counts = np.unique(p["crop_top_px"] * 1000 + p["crop_left_px"], return_counts=True)
    np.testing.assert_array_equal(counts[0], [0, 40, 20_000, 20_040])
    assert stats.chisquare(counts[1]).pvalue > 1e-3
