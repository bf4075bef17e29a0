"""What the checks of data and files cost: each job with the checks and without them.

    python benchmarks/bench_checks.py --work checks

Pairs of both, in turns of random order, in one process: opening a folder of small files, reading
all shards of a packing (opened, then every image decoded), loading embeddings. Without the checks
the functions that compare checksums or count what is left out are replaced here; jessl itself has
no such switch. The files are in the page cache, where checks cost the largest share.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from harness import installed, pin, say, write_record
from jessl import Embeddings
from jessl.data import open_source
from jessl.data.packing.pack import pack
from jessl.data.sources import shard_checksums

PACKAGES = ("jessl", "numpy", "pillow", "simplejpeg")


class _Anything:
    """Equal to every checksum."""

    def __eq__(self, _other: object) -> bool:
        return True

    def __ne__(self, _other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


class _NoCounter(Counter[str]):
    def __setitem__(self, key: str, value: int) -> None:
        pass


@contextlib.contextmanager
def without(*replaced: tuple[str, object]) -> Iterator[None]:
    """Replace functions by their dotted names while the block lasts."""
    with contextlib.ExitStack() as stack:
        for name, value in replaced:
            stack.enter_context(mock.patch(name, value))
        yield


def _same(*_args: object, **_options: object) -> Any:
    return _Anything()


ADDED = (
    ("jessl.embeddings.embeddings.sha256_of", _same),
    ("jessl.embeddings.embeddings.json_sum", lambda header, without: header[without]),
)
FEATURES = (*ADDED, ("jessl.embeddings.embeddings.Embeddings.checksum", _same))
SHARDS = (
    ("jessl.data.sources.shards.check_shards", _same),
    ("jessl.data.sources.shards.header_sum", _same),
)
COUNTS = (("jessl.data.sources.folder.Counter", _NoCounter),)


def pairs(job: Callable[[], object], off: tuple[tuple[str, object], ...], rounds: int) -> str:
    """One row: median CPU seconds of both, and the median and quartiles of their ratio."""
    times: dict[bool, list[float]] = {True: [], False: []}
    rng = random.Random(0)
    for number in range(-1, rounds):
        for is_on in rng.sample([True, False], 2):
            with without(*(() if is_on else off)):
                began = time.process_time()
                job()
                if number >= 0:  # the first round warms up
                    times[is_on].append(time.process_time() - began)
    ratios = [a / b for a, b in zip(times[True], times[False], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    on, bare = (statistics.median(times[is_on]) for is_on in (True, False))
    return f"{on:.3f} | {bare:.3f} | {middle:.3f} ({low:.3f}-{high:.3f}) | {rounds}"


def _files(folder: Path, count: int) -> Path:
    if not (folder / "whole").exists():
        image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        for i in range(count):
            place = folder / "files" / f"class{i % 100:02d}"
            place.mkdir(parents=True, exist_ok=True)
            if i == 0:
                Image.fromarray(image).save(folder / "x.jpg")
                data = (folder / "x.jpg").read_bytes()
            (place / f"{i:06d}.jpg").write_bytes(data)
        (folder / "whole").touch()
    return folder / "files"


def _packed(folder: Path, count: int, side: int) -> Path:
    rng = np.random.default_rng(0)
    if not (folder / "packed" / "manifest.json").exists():
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        for i in range(count):
            smooth = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            image = Image.fromarray(smooth).resize((side, side))
            image.save(folder / "photos" / f"{i}.jpg", quality=90)
        pack(folder / "photos", folder / "packed", shard_mb=20)
    return folder / "packed"


def _epoch(folder: Path) -> None:
    source = open_source(folder)
    for i in range(len(source)):
        source.read(i)


def _first_epoch(folder: Path) -> None:
    (folder / shard_checksums.VERIFIED).unlink(missing_ok=True)
    _epoch(folder)


def _vectors() -> str:
    """The widest vector instructions of the processor."""
    with contextlib.suppress(OSError):
        flags = Path("/proc/cpuinfo").read_text().split()
        names = ("amx_tile", "avx512f", "avx2", "sha_ni")
        return "instruction sets " + ", ".join(n for n in names if n in flags)
    return "instruction sets unknown"


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("checks"))
    parser.add_argument("--record")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    options = parser.parse_args()
    pin(1)
    work, rounds = options.work, options.rounds
    photos, packed = _files(work, options.files), _packed(work, options.images, options.side)
    if not (work / "z").exists():
        rng = np.random.default_rng(0)
        z = rng.standard_normal((options.rows, options.dim), dtype=np.float32)
        Embeddings(z, np.arange(options.rows) % 10).save(work / "z")
    jobs: list[tuple[str, Callable[[], object], tuple[tuple[str, object], ...]]] = [
        (f"open a folder of {options.files:,} files", lambda: open_source(photos), COUNTS),
        (f"read {options.images:,} packed images, shards verified before",
         lambda: _epoch(packed), SHARDS),
        ("the same, shards not verified yet (first opening)", lambda: _first_epoch(packed), SHARDS),
        (f"load embeddings {options.rows:,} x {options.dim}: labels, ids and header",
         lambda: Embeddings.load(work / "z"), ADDED),
        ("the same: all checksums, that of the features with them",
         lambda: Embeddings.load(work / "z"), FEATURES),
        ("the same with mmap=True (features are not compared)",
         lambda: Embeddings.load(work / "z", mmap=True), ADDED),
    ]  # fmt: skip
    lines = [
        f"One thread, CPU time, {_vectors()}; every round is a pair in random order. Ratio: with "
        "the checks over without, median (quartiles) of the pairs.",
        "",
        "| job | CPU seconds with checks | without | ratio | pairs |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, job, off in jobs:
        lines.append(f"| {name} | {pairs(job, off, rounds)} |")
        say(lines[-1])
    print("\n".join(lines))
    if options.record:
        write_record(options.record, "What the checks cost", installed(PACKAGES), lines)


if __name__ == "__main__":
    main()
