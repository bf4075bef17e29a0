"""The images of the trial, as .npz files in WORK/data; made once."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from sweeps import DATA

from jessl.core.files import atomic_write

TEST_IMAGES = 5_000
_SIDE = 32
# squares of a colour drawn for each image, this many pixels wide and apart
_TAG, _APART = 3, 8


def prepare(work: Path, sources: dict[str, Path]) -> None:
    """Write DATA-train.npz and DATA-test.npz for every data set whose source is given.

    Args:
        work: the folder of the trial.
        sources: "cifar10" and "fashion": a folder with NAME-train.npz and NAME-test.npz, shuffled
            (x, y); "solar": the wheel of elpv-dataset 1.0.0 from PyPI, 2,624 photographs of solar
            cells with the probability of a defect.
    """
    for name in DATA:
        origin = "cifar10" if name == "tagged" else name
        if origin not in sources or (work / "data" / f"{name}-test.npz").is_file():
            continue
        (work / "data").mkdir(parents=True, exist_ok=True)
        train, test = (
            _solar(sources[origin]) if name == "solar" else _packed(sources[origin], origin)
        )
        for split, (x, y) in (("train", train), ("test", test)):
            x = _tagged(x, seed=split == "test") if name == "tagged" else x
            count = DATA[name]["images"] if split == "train" else TEST_IMAGES
            target = work / "data" / f"{name}-{split}.npz"
            with atomic_write(target) as path, path.open("wb") as file:
                np.savez(file, x=x[:count], y=y[:count])


def _packed(folder: Path, name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    parts = []
    for split in ("train", "test"):
        with np.load(folder / f"{name}-{split}.npz") as held:
            parts.append((held["x"], held["y"].astype(np.int64)))
    return parts


def _tagged(x: np.ndarray, *, seed: int) -> np.ndarray:
    """The images with a grid of small squares in a colour drawn for each image."""
    colours = np.random.default_rng([7, seed]).integers(0, 256, (len(x), 1, 1, 3), np.uint8)
    x = x.copy()
    for top in range(2, _SIDE - _TAG, _APART):
        for left in range(2, _SIDE - _TAG, _APART):
            x[:, top : top + _TAG, left : left + _TAG] = colours
    return x


def _solar(wheel: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Solar cells at 32 px, shuffled: 2,000 to train on, the rest to test; defect or not."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        table = next(n for n in names if n.endswith("labels.csv"))
        rows = [line.split() for line in archive.read(table).decode().splitlines() if line.strip()]
        images, labels = [], []
        for path, probability, *_ in rows:
            inside = next(n for n in names if n.endswith(path))
            image = Image.open(io.BytesIO(archive.read(inside))).convert("L")
            images.append(np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX)))
            labels.append(int(float(probability) > 0.5))
    order = np.random.default_rng(0).permutation(len(images))
    x, y = np.stack(images)[order], np.array(labels)[order]
    count = int(DATA["solar"]["images"])
    return [(x[:count], y[:count]), (x[count:], y[count:])]
