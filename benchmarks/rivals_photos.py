"""Contestants of the photo benchmark: a JPEG file to two SimCLR views at 224, each library's way.

The recipe: RandomResizedCrop(224, area .08 to 1), flip .5, ColorJitter(.8, .8, .8, .2) with
probability .8, grayscale .2, Gaussian blur with probability .5, sigma from U(.1, 2) and a kernel
of 23 pixels, float32, ImageNet normalisation. Libraries other than jessl are imported inside, so a
missing one is only left out. Each decodes an image once for both views unless its note says so.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from harness import Contestant, Missing

SIZE = 224
KERNEL_PX = 23
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Order:
    """A torch sampler of the first `count` images, which may change between epochs."""

    def __init__(self) -> None:
        self.count = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))

    def __len__(self) -> int:
        return self.count


class Files:
    """A torch data set: `view_twice` of file `index`, counted round and round."""

    def __init__(self, files: Sequence[Path], view_twice: Callable[[str], Any]) -> None:
        self.files = [str(f) for f in files]
        self.view_twice = view_twice

    def __getitem__(self, index: int) -> Any:
        return self.view_twice(self.files[index % len(self.files)])


def through_data_loader(
    data: Any, batch: int, threads: int, collate: Any = None
) -> Callable[[int], int]:
    """torch's DataLoader: in this process for one thread, else with that many workers."""
    from torch.utils.data import DataLoader

    order = Order()
    workers = threads if threads > 1 else 0
    loader: Any = DataLoader(
        data,
        batch_size=batch,
        sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
    )

    def run(images: int) -> int:
        order.count = images
        return sum(len(views[0]) for views in loader)

    return run


class _TorchvisionPil:
    def __init__(self) -> None:
        from torchvision import transforms as T

        self.view = T.Compose(
            [
                T.RandomResizedCrop(SIZE, scale=(0.08, 1.0)),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
                T.RandomGrayscale(p=0.2),
                T.RandomApply([T.GaussianBlur(KERNEL_PX, (0.1, 2.0))], p=0.5),
                T.ToTensor(),
                T.Normalize(MEAN, STD),
            ]
        )

    def __call__(self, path: str) -> Any:
        from PIL import Image

        with Image.open(path) as image:
            image = image.convert("RGB")
        return self.view(image), self.view(image)


class _TorchvisionTensors:
    def __init__(self) -> None:
        import torch
        from torchvision.transforms import v2 as T

        self.view = T.Compose(
            [
                T.RandomResizedCrop(SIZE, scale=(0.08, 1.0), antialias=True),
                T.RandomHorizontalFlip(),
                T.RandomApply([T.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
                T.RandomGrayscale(p=0.2),
                T.RandomApply([T.GaussianBlur(KERNEL_PX, (0.1, 2.0))], p=0.5),
                T.ToDtype(torch.float32, scale=True),
                T.Normalize(MEAN, STD),
            ]
        )

    def __call__(self, path: str) -> Any:
        image = read_tensor(path)
        return self.view(image), self.view(image)


def read_tensor(path: str) -> Any:
    """A JPEG file as a uint8 tensor [3, h, w], by torchvision."""
    from torchvision.io import ImageReadMode, decode_jpeg, read_file

    return decode_jpeg(read_file(path), mode=ImageReadMode.RGB)


class _Lightly:
    def __init__(self) -> None:
        from lightly.transforms import SimCLRTransform

        self.views = SimCLRTransform(input_size=SIZE)  # its defaults are the recipe

    def __call__(self, path: str) -> Any:
        from PIL import Image

        with Image.open(path) as image:
            return self.views(image.convert("RGB"))


class _Albumentations:
    def __init__(self) -> None:
        os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
        import albumentations as A
        import cv2
        from albumentations.pytorch import ToTensorV2

        cv2.setNumThreads(0)
        reach = (0.2, 1.8)
        self.view = A.Compose(
            [
                A.RandomResizedCrop(size=(SIZE, SIZE), scale=(0.08, 1.0)),
                A.HorizontalFlip(p=0.5),
                A.ColorJitter(reach, reach, reach, (-0.2, 0.2), p=0.8),
                A.ToGray(p=0.2),
                A.GaussianBlur(blur_limit=(KERNEL_PX, KERNEL_PX), sigma_limit=(0.1, 2.0), p=0.5),
                A.Normalize(MEAN, STD),
                ToTensorV2(),
            ]
        )

    def __call__(self, path: str) -> Any:
        import cv2

        image = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return self.view(image=image)["image"], self.view(image=image)["image"]


class _KorniaCrops:
    def __init__(self) -> None:
        from torchvision.transforms import v2 as T

        self.crop = T.RandomResizedCrop(SIZE, scale=(0.08, 1.0), antialias=True)

    def __call__(self, path: str) -> Any:
        image = read_tensor(path)
        return self.crop(image), self.crop(image)


class _KorniaRest:
    """Collates crops of a batch and does what follows the crop, each image with its own draw."""

    def __init__(self) -> None:
        import kornia.augmentation as K
        import torch

        self.rest = K.AugmentationSequential(
            K.RandomHorizontalFlip(p=0.5),
            K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
            K.RandomGrayscale(p=0.2),
            K.RandomGaussianBlur((KERNEL_PX, KERNEL_PX), (0.1, 2.0), p=0.5),
            K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
        )

    def __call__(self, crops: list[Any]) -> Any:
        import torch

        with torch.inference_mode():
            return [self.rest(torch.stack(view).float() / 255) for view in zip(*crops, strict=True)]


def _dali(files: Sequence[Path], batch: int, threads: int) -> Callable[[int], int]:
    from nvidia.dali import fn, pipeline_def, types

    def view(image: Any) -> Any:
        image = fn.random_resized_crop(image, size=(SIZE, SIZE), random_area=(0.08, 1.0))
        if fn.random.coin_flip(probability=0.8, dtype=types.BOOL):
            image = fn.color_twist(
                image,
                brightness=fn.random.uniform(range=(0.2, 1.8)),
                contrast=fn.random.uniform(range=(0.2, 1.8)),
                saturation=fn.random.uniform(range=(0.2, 1.8)),
                hue=fn.random.uniform(range=(-72.0, 72.0)),
            )
        if fn.random.coin_flip(probability=0.2, dtype=types.BOOL):
            image = fn.hsv(image, saturation=0.0)
        if fn.random.coin_flip(probability=0.5, dtype=types.BOOL):
            image = fn.gaussian_blur(
                image, window_size=KERNEL_PX, sigma=fn.random.uniform(range=(0.1, 2.0))
            )
        return fn.crop_mirror_normalize(
            image,
            dtype=types.FLOAT,
            output_layout="CHW",
            mean=[255 * m for m in MEAN],
            std=[255 * s for s in STD],
            mirror=fn.random.coin_flip(probability=0.5),
        )

    def both() -> Any:
        data, _ = fn.readers.file(files=[str(f) for f in files])
        image = fn.decoders.image(data, device="cpu", output_type=types.RGB)
        return view(image), view(image)

    # its executor runs ahead by itself: work that would fall outside of the clock, onto others
    pipe = pipeline_def(both, enable_conditionals=True)(
        batch_size=batch,
        num_threads=threads,
        device_id=None,
        exec_async=False,
        exec_pipelined=False,
        seed=0,
    )
    pipe.build()

    def run(images: int) -> int:
        return sum(len(pipe.run()[0]) for _ in range(-(-images // batch)))

    return run


def _jessl(data: Path, batch: int, threads: int, blur: float) -> Callable[[int], int]:
    from jessl.data import Loader, Subset, open_source
    from jessl.views import presets

    if not data.exists():
        raise Missing(f"{data.name} could not be made")
    source = open_source(str(data))
    views = presets.simclr(SIZE, blur=blur)
    loaders: dict[int, Any] = {}

    def run(images: int) -> int:
        # an epoch has all of the source at most, so a long round is several epochs
        epochs = max(1, math.ceil(images / len(source)))
        each = images // epochs
        if each not in loaders:
            part = Subset(source, np.arange(each))
            loaders[each] = Loader(part, views, batch, workers=threads)
        return sum(len(b.ids) for _ in range(epochs) for b in loaders[each])

    return run


def _decode(data: Path, threads: int, scaled: bool) -> Callable[[int], int]:
    import simplejpeg

    from jessl.data import open_source

    source = open_source(str(data))
    least = {"min_height": 1, "min_width": 1} if scaled else {}
    pool = ThreadPoolExecutor(threads)

    def one(k: int) -> None:
        simplejpeg.decode_jpeg(source.encoded(k % len(source)), strict=False, **least)

    def run(images: int) -> int:
        return sum(1 for _ in pool.map(one, range(images)))

    return run


def _write(batch: int, threads: int) -> Callable[[int], int]:
    buffer = np.empty((threads, batch, 2, 3, SIZE, SIZE), np.float32)
    pool = ThreadPoolExecutor(threads)

    def fill(place: tuple[int, int]) -> None:
        buffer[place[0] % threads, place[1]] = 1.0

    def run(images: int) -> int:
        batches = -(-images // batch)
        places = ((b, k) for b in range(batches) for k in range(batch))
        return sum(1 for _ in pool.map(fill, places))

    return run


def contestants(inputs: Any, batch: int) -> list[Contestant]:
    """All contestants on `inputs` (see `photo_inputs.Inputs`), batches of `batch` images."""
    files = inputs.originals

    def torch_way(view_twice: Callable[[], Any], collate: Any = None) -> Any:
        return lambda threads: through_data_loader(
            Files(files, view_twice()), batch, threads, collate() if collate else None
        )

    def ours(data: Path, blur: float = 0.5) -> Any:
        return lambda threads: _jessl(data, batch, threads, blur)

    def ffcv(name: str) -> Any:
        from rivals_ffcv import start

        return lambda threads: start(inputs.beton(name), batch, threads)

    its_own = (
        "no blur (its own fails with current SciPy and is not compiled), square crops, hue by "
        "matrix, decodes once a view; "
    )
    forms = {
        "originals": inputs.folder,
        "q90 long side 500": inputs.q90,
        "shards short side 256 q90": inputs.shards,
    }
    floors = [
        Contestant(
            f"floor: {'entropy decoding' if scaled else 'decode only'}, {form}",
            lambda threads, data=data, scaled=scaled: _decode(data, threads, scaled),
            "simplejpeg at 1/8 of the size: little but the Huffman codes" if scaled else "",
        )
        for form, data in forms.items()
        for scaled in (False, True)
    ]
    return [
        Contestant("torchvision v1, PIL", torch_way(_TorchvisionPil), forks=True),
        Contestant("torchvision v2, tensors", torch_way(_TorchvisionTensors), forks=True),
        Contestant(
            "kornia",
            torch_way(_KorniaCrops, _KorniaRest),
            "torchvision decodes and crops; the rest a batch at a time, in the workers",
            forks=True,
        ),
        Contestant("lightly", torch_way(_Lightly), "blur by Pillow's box blurs", forks=True),
        Contestant(
            "albumentations",
            torch_way(_Albumentations),
            "crops by OpenCV's bilinear resize without antialiasing (its default)",
            forks=True,
        ),
        Contestant(
            "DALI, CPU",
            lambda threads: _dali(files, batch, threads),
            "no run-ahead, colour steps in a fixed order, hue by matrix",
        ),
        Contestant(
            "FFCV-SSL, q90 long side 500, no blur", ffcv("jpg"), its_own + "channels-last output"
        ),
        Contestant(
            "FFCV-SSL, half stored raw, no blur", ffcv("half"), its_own + "channels-last output"
        ),
        Contestant("jessl, originals", ours(inputs.folder)),
        Contestant("jessl, q90 long side 500", ours(inputs.q90)),
        Contestant("jessl, shards short side 256 q90", ours(inputs.shards)),
        Contestant("jessl, q90 long side 500, no blur", ours(inputs.q90, blur=0.0)),
        *floors,
        Contestant(
            "floor: writing the views",
            lambda threads: _write(batch, threads),
            "a constant into a buffer of one batch a thread that is used again",
        ),
    ]
