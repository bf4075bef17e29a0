"""FFCV-SSL as a contestant: its file written from the same images, and its loader with two views.

    python rivals_ffcv.py FOLDER OUT.beton jpg|half

writes the file: quality 90, long side at most 500 pixels, as JPEG or half of the images raw.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import Missing

SIZE = 224
_MEAN = np.array([0.485, 0.456, 0.406]) * 255
_STD = np.array([0.229, 0.224, 0.225]) * 255


def _views() -> list[Any]:
    import ffcv.transforms as T

    return [
        T.RandomResizedCrop((SIZE, SIZE), scale=(0.08, 1.0)),
        T.RandomHorizontalFlip(0.5),
        T.RandomColorJitter(0.8, 0.8, 0.8, 0.8, 0.2),
        T.RandomGrayscale(0.2),
        T.NormalizeImage(_MEAN, _STD, np.float32),
        T.ToTensor(),
        T.ToTorchImage(),
    ]


def start(beton: Path, batch: int, threads: int) -> Callable[[int], int]:
    """Whole epochs of its loader, at least as many images as asked for."""
    import ffcv.transforms as T
    from ffcv.fields.basics import IntDecoder
    from ffcv.loader import Loader, OrderOption

    if not beton.exists():
        raise Missing(f"{beton.name} could not be written")
    loader = Loader(
        str(beton),
        batch_size=batch,
        num_workers=threads,
        os_cache=True,
        order=OrderOption.RANDOM,
        pipelines={
            "image": _views(),
            "image2": _views(),
            "label": [IntDecoder(), T.ToTensor()],
        },
        custom_field_mapper={"image2": "image"},
    )

    def run(images: int) -> int:
        done = 0
        while done < images:
            done += sum(len(found[0]) for found in loader)
        return done

    return run


class _Indexed:
    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return image.convert("RGB"), index


def write(folder: Path, beton: Path, mode: str) -> None:
    """Write FFCV-SSL's file from a folder of images."""
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter

    kind = {"jpg": "jpg", "half": "proportion"}[mode]
    field = RGBImageField(
        write_mode=kind, max_resolution=500, jpeg_quality=90, compress_probability=0.5
    )
    writer = DatasetWriter(str(beton), {"image": field, "label": IntField()}, num_workers=1)
    writer.from_indexed_dataset(_Indexed(sorted(folder.iterdir())))


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
