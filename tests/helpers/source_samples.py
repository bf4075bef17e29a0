"""Small images, tar shards and data sets that the tests of sources share."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.data import Source, open_source

N = 12


def picture(i: int, height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(i: int, height: int = 6, width: int = 9) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(i, height, width)).save(file, "PNG")
    return file.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def mnist(folder: Path) -> Source:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, n in (("train", N), ("t10k", 3)):
        images = np.stack([np.resize(picture(i), (28, 28)) for i in range(n)])
        labels = np.arange(n, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(
                k.to_bytes(4, "big") for k in array.shape
            )
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JESSL_DATA", str(folder))
        return open_source("torchvision:MNIST:train")
