"""Resident memory while streaming shards larger than a window, and how well a window shuffles.

    python benchmarks/bench_memory.py --data PHOTOS --work CACHE --gigabytes 3 --window 4096

Builds tar shards of the photographs under new names, streams three epochs of two views at 224
through `jessl.Loader(window=...)`, and prints resident memory beside the quality of the shuffle.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import hardware, installed, say, write_record
from photo_inputs import photos_in

# what jessl pack makes by default
_SHARD_BYTES = 100_000_000


def main() -> None:
    args = _arguments()
    work = Path(args.work or tempfile.mkdtemp(prefix="bench-memory-"))
    shards = build(Path(args.data), work, int(args.gigabytes * (1 << 30)))
    on_disk = sum(path.stat().st_size for path in shards.iterdir())
    rows, shuffle, n, window = stream(shards, args)
    lines = [
        f"{n:,} images in {on_disk / (1 << 30):.2f} GiB of shards; "
        f"{window}; batches of {args.batch_size}, {args.workers or 'default'} workers, "
        "two views at 224.",
        "",
        "| moment | resident, MiB | anonymous, MiB | peak, MiB | images/s |",
        "|---|---:|---:|---:|---:|",
        *[_line(row) for row in rows],
        "",
        "| shuffle | value | full shuffle |",
        "|---|---:|---:|",
        *[f"| {name} | {value:.4f} | {ideal} |" for name, value, ideal in shuffle],
    ]
    title = "Memory and shuffling while streaming shards"
    versions = installed(("jessl", "torch", "numpy", "numba", "simplejpeg"))
    print(f"{title}\n\n{hardware()}\n{versions}\n")
    print("\n".join(lines))
    if args.record:
        write_record(args.record, title, versions, lines)
    if args.json:
        document = {"images": n, "bytes": on_disk, "memory": rows, "shuffle": shuffle}
        Path(args.json).write_text(json.dumps(document, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of JPEG files")
    parser.add_argument("--work", help="folder for the shards; kept")
    parser.add_argument("--gigabytes", type=float, default=3.0, help="least size of the shards")
    parser.add_argument("--window", type=int, default=4096, help="images; 0: a full permutation")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--record", help="Markdown file with date, hardware, versions and tables")
    return parser.parse_args()


def build(data: Path, work: Path, size: int) -> Path:
    """A folder of at least `size` bytes of shards, the photographs again and again."""
    photos = [path.read_bytes() for path in photos_in(data)]
    target = work / f"shards-{size}-{len(photos)}"
    if target.exists():
        return target
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    total = count = shard = 0
    while total < size:
        path = part / f"shard-{shard:06d}.tar"
        with tarfile.open(path, "w") as tar:
            while tar.offset < min(_SHARD_BYTES, size - total):
                data_of = photos[count % len(photos)]
                member = tarfile.TarInfo(f"{count:09d}.jpg")
                member.size = len(data_of)
                tar.addfile(member, io.BytesIO(data_of))
                count += 1
        total += path.stat().st_size
        shard += 1
        say(f"shard {shard}: {total / (1 << 30):.2f} GiB")
    part.rename(target)
    return target


def stream(
    shards: Path, args: argparse.Namespace
) -> tuple[list[dict[str, Any]], list[tuple[str, float, str]], int, str]:
    """Memory at each moment, quality of the shuffle, number of images, the window in words."""
    import torch

    from jessl.data import Loader, open_source
    from jessl.views import presets

    torch.set_num_threads(1)
    rows = [_memory("after import")]
    source = open_source(str(shards))
    place = {int(found): k for k, found in enumerate(source.ids)}
    rows.append(_memory("shards opened"))
    window = f"window of {args.window:,} images" if args.window else "full permutation"
    loader = Loader(
        source,
        presets.simclr(args.size),
        args.batch_size,
        workers=args.workers,
        window=args.window or None,
    )
    first: list[int] = []
    for epoch in range(args.epochs):
        since, seen = time.perf_counter(), 0
        for batch in loader:
            if epoch == 0:
                first += [place[int(i)] for i in batch.ids]
            seen += len(batch.ids)
            if seen == len(batch.ids) and epoch == 0:
                rows.append(_memory("first batch"))
        rate = seen / (time.perf_counter() - since)
        rows.append(_memory(f"epoch {epoch + 1}", rate))
        say(_line(rows[-1]))
    return rows, _quality(np.array(first)), len(source), window


def _quality(order: np.ndarray) -> list[tuple[str, float, str]]:
    """How near an order of positions on disk is to a full shuffle."""
    from jessl.data.loading.order import shuffle_quality

    n = len(order)
    found = shuffle_quality(order)
    moved, same = found["displacement"], found["neighbour_correlation"]
    near = float((np.abs(np.diff(order)) == 1).mean())
    return [
        ("correlation of neighbours' positions on disk", same, "0"),
        ("mean distance moved, in those of a full shuffle (n/3)", moved, "1"),
        ("share of neighbours that are neighbours on disk", near, f"{2 / n:.5f}"),
        ("images seen in the first epoch, share", len(np.unique(order)) / n, "1"),
    ]


def _memory(moment: str, rate: float | None = None) -> dict[str, Any]:
    """Resident, anonymous and peak resident memory in MiB; only the peak without /proc."""
    found: dict[str, float] = {}
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmRSS", "RssAnon", "VmHWM"):
                found[name] = int(value.split()[0]) / 1024
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # kilobytes on Linux, bytes on macOS
        found["VmHWM"] = peak / (1 << 20 if sys.platform == "darwin" else 1024)
    return {
        "moment": moment,
        "resident_mib": found.get("VmRSS"),
        "anonymous_mib": found.get("RssAnon"),
        "peak_mib": found.get("VmHWM"),
        "images_per_second": rate,
    }


def _line(row: dict[str, Any]) -> str:
    names = ("resident_mib", "anonymous_mib", "peak_mib", "images_per_second")
    cells = ["-" if row[name] is None else f"{row[name]:,.0f}" for name in names]
    return f"| {row['moment']} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
