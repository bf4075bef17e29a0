"""Faults of images: each kind planted once, and none in images that are alike."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.curation.image_faults import KINDS, ImageFaults, find_image_faults
from jessl.data import open_source


def textures(n: int, side: int = 24, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(20, 235, (n, side, side, 3)).astype(np.uint8)


def faults_of(images: object) -> tuple[dict[str, list[int]], ImageFaults]:
    source = open_source(images)
    faults = find_image_faults(source, np.arange(len(source)), workers=1)
    rows = defaultdict(list)
    for row, kind in zip(faults.rows.tolist(), faults.kinds, strict=True):
        rows[kind].append(row)
    return dict(rows), faults


def test_pixels() -> None:
    x = textures(40)
    x[3] = x[3] // 16
    x[5] = 255 - x[5] // 25
    x[7] = 128
    x[9] = np.linspace(20, 235, 24, dtype=np.uint8)[:, None]
    rows, faults = faults_of(x)
    assert rows == {"dark": [3], "bright": [5], "constant": [7], "blurred": [9]}
    assert faults.checked == 40
    assert set(rows) <= set(KINDS)


def test_images_that_are_alike_have_none() -> None:
    assert faults_of(textures(40, seed=1))[0] == {}
    # dark backgrounds, as of digits, are not dark images
    x = np.zeros((10, 8, 8), np.uint8)
    x[:, 2:6, 3:5] = 230
    assert faults_of(x)[0] == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k, image in enumerate(textures(12, 32)):
        size = {3: (4, 4), 5: (128, 20)}.get(k, (32, 32))
        Image.fromarray(image).resize(size, Image.Resampling.NEAREST).save(tmp_path / f"{k:02}.png")
    (tmp_path / "07.png").write_bytes((tmp_path / "06.png").read_bytes()[:60])
    return tmp_path


def test_sizes_aspects_and_unreadable_files(folder: Path) -> None:
    rows, faults = faults_of(folder)
    assert rows["odd size"] == [3]
    assert rows["odd aspect"] == [5]
    assert faults.checked == 11
    assert [Path(name).name for name in faults.unreadable] == ["07.png"]
