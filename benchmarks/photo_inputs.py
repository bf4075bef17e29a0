"""The same photographs in every form that the photo benchmark reads; made once a work folder."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import say

_SUFFIXES = (".jpg", ".jpeg")
QUALITY = 90


@dataclass(frozen=True)
class Inputs:
    """Where the inputs lie.

    Attributes:
        folder: the original files, each several times under names of its own.
        q90: the same images with a long side of at most 500 pixels at quality 90.
        shards: the same images packed with a short side of at most 256 pixels at quality 90.
        unique: how many different images there are.
    """

    folder: Path
    q90: Path
    shards: Path
    unique: int

    @property
    def originals(self) -> list[Path]:
        """The original files, sorted; the first `unique` are all different."""
        return sorted(self.folder.iterdir())

    def beton(self, mode: str) -> Path:
        """FFCV-SSL's file, JPEG only ("jpg") or half raw ("half")."""
        return self.folder.parent / f"{mode}.beton"


def photos_in(data: Path) -> list[Path]:
    """The JPEG files under a folder, sorted."""
    found = sorted(p for p in data.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not found:
        raise SystemExit(f"--data {data}: no JPEG files there")
    return found


def prepare(data: Path, work: Path, *, images: int, batch: int, repeats: int) -> Inputs:
    """Make what is not there yet.

    Args:
        data: folder of JPEG files.
        work: folder to write to.
        images: at most so many different images; cut to whole batches.
        batch: images a batch.
        repeats: how often each image comes, so that an epoch lasts long enough to be timed.
    """
    photos = photos_in(data)
    unique = min(images, len(photos)) // batch * batch
    if not unique:
        raise SystemExit(f"--data {data}: {len(photos)} images are fewer than one batch of {batch}")
    photos = photos[:unique]
    root = work / f"{data.name}-{unique}x{repeats}"
    folder, q90, shards = root / "originals", root / "q90", root / "shards"
    named = [
        (f"{repeat:03d}_{k:06d}.jpg", photo)
        for repeat in range(repeats)
        for k, photo in enumerate(photos)
    ]
    _once(folder, lambda at: _copied(named, at))
    _once(q90, lambda at: _encoded(photos, named, at))
    _once(shards, lambda at: _packed(folder, at))
    inputs = Inputs(folder, q90, shards, unique)
    for mode in ("jpg", "half"):
        _beton(folder, inputs.beton(mode), mode)
    return inputs


def _once(target: Path, make: Callable[[Path], None]) -> None:
    if target.exists():
        return
    say(f"making {target.name}")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    make(part)
    part.rename(target)


def _copied(named: list[tuple[str, Path]], at: Path) -> None:
    for name, photo in named:
        shutil.copyfile(photo, at / name)


def _encoded(photos: list[Path], named: list[tuple[str, Path]], at: Path) -> None:
    small = {photo: encoded(photo, long_side=500) for photo in photos}
    for name, photo in named:
        (at / name).write_bytes(small[photo])


def encoded(photo: Path, *, long_side: int) -> bytes:
    """A photograph reduced to a long side of at most so many pixels, as JPEG."""
    from PIL import Image

    with Image.open(photo) as image:
        image = image.convert("RGB")
    side = max(image.size)
    if side > long_side:
        size = tuple(max(1, round(length * long_side / side)) for length in image.size)
        image = image.resize(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _packed(folder: Path, at: Path) -> None:
    options = ["--short-side", "256", "--quality", str(QUALITY)]
    command = [sys.executable, "-m", "jessl.cli", "pack", str(folder), str(at), *options]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _beton(folder: Path, beton: Path, mode: str) -> None:
    if beton.exists():
        return
    part = beton.with_name(beton.name + ".part")
    script = Path(__file__).with_name("rivals_ffcv.py")
    command = [sys.executable, str(script), str(folder), str(part), mode]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        os.replace(part, beton)
    else:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        say(f"{beton.name} is not written: {last}")
