"""Whether mirrored images keep their label: digits do not, noise with a colour does."""

from __future__ import annotations

import numpy as np

from jessl.classification.mirrored import choose_flip, mirror_difference
from jessl.core.log import Log
from jessl.data import open_source


def test_digits_are_not_flipped_and_colours_are() -> None:
    digits = open_source("digits")
    rows = np.arange(60)
    assert digits.labels is not None
    lines: list[str] = []
    flip = choose_flip(digits, rows, digits.labels[rows], seed=0, workers=1, log=Log(lines.append))
    assert flip == 0
    assert "flip 0: a probe of thumbnails recognises" in lines[0]

    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.eye(3)[y][:, None, None] * 180 + rng.normal(40, 20, (60, 8, 8, 3))
    colours = open_source((x.clip(0, 255).astype(np.uint8), y))
    flip = choose_flip(colours, rows, y, seed=0, workers=1, log=Log(lines.append))
    assert (flip, len(lines)) == (0.5, 1)


def test_mirror_images_are_the_images_that_are_compared() -> None:
    """A bright side that is the class: mirrored images are of the other class, every one."""
    y = np.arange(20) % 2
    x = np.full((20, 12, 12), 40, np.uint8)
    x[y == 0, :, :6] = x[y == 1, :, 6:] = 220
    difference = mirror_difference(open_source((x, y)), np.arange(20), y, workers=1)
    assert difference is not None
    assert (difference.first, difference.second) == (1, 0)


def test_one_image_of_each_class_decides_nothing() -> None:
    images = open_source((np.zeros((4, 8, 8), np.uint8), None))
    assert mirror_difference(images, np.arange(2), np.arange(2), workers=1) is None
