"""Contestants of the benchmark on small images: 32x32 in memory to two SimCLR views, no blur.

The recipe (SimCLR's for CIFAR-10): RandomResizedCrop(32, area .08 to 1), flip .5, ColorJitter(.4,
.4, .4, .1) with probability .8, grayscale .2, float32, ImageNet normalisation. Libraries other
than jessl are imported inside, so a missing one is only left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from harness import Contestant
from rivals_photos import MEAN, STD, through_data_loader

SIZE = 32
_CROPS = 10_000


def images_of(data: Path) -> np.ndarray:
    """Images uint8 [n, 32, 32, 3]: those of a .npz file, or random crops of photographs."""
    from jessl.data import open_source

    source = open_source(str(data))
    if data.is_file():
        images = source.rows(np.arange(len(source)))
        if images is None or images.shape[1:] != (SIZE, SIZE, 3):
            raise SystemExit(f"--data {data.name}: images [n, {SIZE}, {SIZE}, 3] wanted")
        return images
    rng = np.random.default_rng(0)
    each = -(-_CROPS // len(source))
    crops = []
    for index in range(len(source)):
        image = source.read(index)
        for _ in range(each):
            top, left = (rng.integers(0, side - SIZE + 1) for side in image.shape[:2])
            crops.append(image[top : top + SIZE, left : left + SIZE])
    return np.stack([np.repeat(c, 3, 2) if c.shape[2] == 1 else c for c in crops[:_CROPS]])


class _Samples:
    """A torch data set: `view_twice` of image `index`, counted round and round."""

    def __init__(self, images: np.ndarray, view_twice: Callable[[np.ndarray], Any]) -> None:
        self.images = images
        self.view_twice = view_twice

    def __getitem__(self, index: int) -> Any:
        return self.view_twice(self.images[index % len(self.images)])


class _TorchvisionPil:
    def __init__(self) -> None:
        from torchvision import transforms as T

        self.view = T.Compose(
            [
                T.RandomResizedCrop(SIZE, scale=(0.08, 1.0)),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
                T.RandomGrayscale(p=0.2),
                T.ToTensor(),
                T.Normalize(MEAN, STD),
            ]
        )

    def __call__(self, image: np.ndarray) -> Any:
        from PIL import Image

        picture = Image.fromarray(image)
        return self.view(picture), self.view(picture)


def _torchvision_tensors() -> Any:
    import torch
    from torchvision.transforms import v2 as T

    return T.Compose(
        [
            T.RandomResizedCrop(SIZE, scale=(0.08, 1.0), antialias=True),
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.ToDtype(torch.float32, scale=True),
            T.Normalize(MEAN, STD),
        ]
    )


class _TorchvisionTensors:
    def __init__(self) -> None:
        self.view = _torchvision_tensors()

    def __call__(self, image: np.ndarray) -> Any:
        import torch

        tensor = torch.from_numpy(image).permute(2, 0, 1)
        return self.view(tensor), self.view(tensor)


class _Albumentations:
    def __init__(self) -> None:
        os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
        import albumentations as A
        import cv2
        from albumentations.pytorch import ToTensorV2

        cv2.setNumThreads(0)
        reach = (0.6, 1.4)
        self.view = A.Compose(
            [
                A.RandomResizedCrop(size=(SIZE, SIZE), scale=(0.08, 1.0)),
                A.HorizontalFlip(p=0.5),
                A.ColorJitter(reach, reach, reach, (-0.1, 0.1), p=0.8),
                A.ToGray(p=0.2),
                A.Normalize(MEAN, STD),
                ToTensorV2(),
            ]
        )

    def __call__(self, image: np.ndarray) -> Any:
        return self.view(image=image)["image"], self.view(image=image)["image"]


def _batches(images: int, of: int, batch: int) -> Iterator[np.ndarray]:
    for start in range(0, images, batch):
        yield np.arange(start, min(start + batch, images)) % of


def _batched(
    images: np.ndarray, batch: int, threads: int, make: Callable[[], Any]
) -> Callable[[int], int]:
    """A transform of whole batches [n, 3, h, w] in this process, with torch's own threads."""
    import torch

    view = make()

    def run(count: int) -> int:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for rows in _batches(count, len(images), batch):
                x = torch.from_numpy(images[rows]).permute(0, 3, 1, 2)
                view(x), view(x)
        torch.set_num_threads(1)
        return count

    return run


def _kornia() -> Any:
    import kornia.augmentation as K
    import torch

    rest = K.AugmentationSequential(
        K.RandomResizedCrop((SIZE, SIZE), scale=(0.08, 1.0)),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )
    return lambda x: rest(x.float() / 255)


def _loader(images: np.ndarray, batch: int, threads: int) -> Callable[[int], int]:
    from jessl.data import Loader, open_source
    from jessl.views import presets

    source = open_source(images)
    loader = Loader(source, presets.simclr(SIZE), batch, workers=threads, drop_last=True)

    def run(count: int) -> int:
        done = 0
        while done < count:
            done += sum(len(found.ids) for found in loader)
        return done

    return run


def _apply(images: np.ndarray, batch: int, threads: int) -> Callable[[int], int]:
    from jessl.views import presets

    views = presets.simclr(SIZE)
    pool = ThreadPoolExecutor(threads)
    epoch = 0

    def one(rows: np.ndarray, now: int) -> None:
        side = np.full(len(rows), SIZE)
        views.apply(images[rows], views.sample(rows, now, 0, side, side))

    def run(count: int) -> int:
        nonlocal epoch
        epoch += 1
        if threads == 1:
            for rows in _batches(count, len(images), batch):
                one(rows, epoch)
        else:
            now = epoch
            list(pool.map(lambda rows: one(rows, now), _batches(count, len(images), batch)))
        return count

    return run


def contestants(images: np.ndarray, batch: int) -> list[Contestant]:
    """All contestants on images uint8 [n, 32, 32, 3], batches of `batch` images."""

    def torch_way(view_twice: Callable[[], Any]) -> Any:
        return lambda threads: through_data_loader(_Samples(images, view_twice()), batch, threads)

    return [
        Contestant("torchvision v1, PIL", torch_way(_TorchvisionPil), forks=True),
        Contestant("torchvision v2, tensors", torch_way(_TorchvisionTensors), forks=True),
        Contestant(
            "albumentations",
            torch_way(_Albumentations),
            "crops by OpenCV's bilinear resize without antialiasing (its default)",
            forks=True,
        ),
        Contestant(
            "torchvision v2, batch",
            lambda threads: _batched(images, batch, threads, _torchvision_tensors),
            "one draw for the whole batch: not what a joint-embedding method asks for",
        ),
        Contestant(
            "kornia, batch",
            lambda threads: _batched(images, batch, threads, _kornia),
            f"batches of {batch} in the process itself, torch's own threads",
        ),
        Contestant("jessl Views.apply", lambda threads: _apply(images, batch, threads)),
        Contestant("jessl Loader", lambda threads: _loader(images, batch, threads)),
    ]
