"""Views of images of any number of bands, of 8 and 16 bits."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.views import View, Views

RNG = np.random.default_rng(0)
EVERYTHING = Views(
    (
        View(
            size=21,
            rotate=1,
            rotate_degrees=30,
            translate=1,
            translate_share=0.2,
            jitter=1,
            brightness=0.4,
            blur=0.5,
            solarize=0.3,
            erase=1,
        ),
        View(size=17, crop="pad", vflip=0.5),
        View(size=32),
    )
)


def test_each_band_is_what_it_would_be_alone() -> None:
    images = [RNG.integers(0, 256, (30, 20 + k, 13), np.uint8) for k in range(4)]
    mean = tuple(0.3 + 0.01 * k for k in range(13))
    std = tuple(0.2 + 0.01 * k for k in range(13))
    views = EVERYTHING.normalised(mean, std)
    params = views.sample(np.arange(4), 0, 0, [30] * 4, [20, 21, 22, 23])
    together = views.apply(images, params)
    for c in range(13):
        alone = EVERYTHING.normalised(mean[c : c + 1], std[c : c + 1]).apply(
            [np.ascontiguousarray(image[:, :, c : c + 1]) for image in images], params
        )
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[:, c : c + 1], b, atol=1e-6)
    # 257 times a value of 8 bits is the same share of white
    for a, b in zip(together, views.apply([257 * i.astype(np.uint16) for i in images], params),
                    strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_low_bits_of_sixteen_reach_the_view() -> None:
    views = Views((View(size=8, crop="center", flip=0),), (0.5,), (1.0,))
    images = 30000 + np.arange(64, dtype=np.uint16).reshape(1, 8, 8, 1)
    params = views.sample(np.arange(1), 0, 0, 8, 8)
    (view,) = views.apply(images, params)
    np.testing.assert_array_equal(np.rint((view.numpy()[0, 0] + 0.5) * 65535), images[0, :, :, 0])


def test_colour_is_changed_in_named_bands_only() -> None:
    recipe = View(size=16, jitter=1, saturation=0.4, hue=0.2, gray=0.5)
    images = RNG.integers(0, 256, (8, 20, 20, 5), np.uint8)
    five, three = (Views((recipe,), (0.0,) * c, (1.0,) * c) for c in (5, 3))
    params = five.sample(np.arange(8), 0, 0, 20, 20)
    (coloured,) = five.apply(images, params, colour=(3, 1, 0))
    (plain,) = five.apply(images, params)
    (rgb,) = three.apply(np.ascontiguousarray(images[..., [3, 1, 0]]), params)
    np.testing.assert_array_equal(coloured[:, [3, 1, 0]], rgb)
    np.testing.assert_array_equal(coloured[:, [2, 4]], plain[:, [2, 4]])
    assert (coloured[:, 0] != plain[:, 0]).any()
    (uncoloured,) = three.apply(np.ascontiguousarray(images[..., :3]), params, colour=())
    np.testing.assert_array_equal(uncoloured, plain[:, :3])
    with pytest.raises(ValueError, match=r"colour: expected three of the channels 0..4"):
        five.apply(images, params, colour=(0, 1, 5))
