"""Images a second through decoding and two SimCLR views: jessl beside other libraries.

    python benchmarks/bench_views.py --data PHOTOS --work CACHE --record FILE.md
    python benchmarks/bench_views.py --small --data cifar10_test.npz

Every contestant runs in one process for each number of threads, pinned to as many cores, in rounds
that take turns. A contestant that is not installed is left out, and the notes say so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from harness import (
    Contestant,
    Row,
    as_json,
    from_json,
    hardware,
    in_child,
    installed,
    measure,
    notes_of,
    paired,
    pin,
    rate_table,
    say,
    write_record,
)

BASE = "torchvision v1, PIL"
# rows that do the same work on the same stored pixels, or read the same files
_PAIRS = (
    ("jessl, q90 long side 500, no blur", "FFCV-SSL, q90 long side 500, no blur"),
    ("jessl, q90 long side 500, no blur", "FFCV-SSL, half stored raw, no blur"),
    ("jessl, originals", "albumentations"),
    ("jessl, originals", "DALI, CPU"),
)
_BATCH, _SMALL_BATCH = 32, 512
# of each photograph under other names: an epoch is then long against its start and its end
_REPEATS = 8
_PACKAGES = (
    "jessl",
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "simplejpeg",
    "pillow",
    "albumentations",
    "opencv-python-headless",
    "kornia",
    "lightly",
    "nvidia-dali-cuda130",
    "ffcv-ssl",
)


def main() -> None:
    args = _arguments()
    if args.child:
        _child(args)
        return
    arguments = sys.argv[1:]
    if args.work is None:
        args.work = tempfile.mkdtemp(prefix="bench-views-")
        arguments = [*arguments, "--work", args.work]
        say(f"inputs are kept in {args.work}")
    if not args.small:
        _inputs(args)
    found: dict[int, dict[str, Row]] = {}
    missing: dict[str, str] = {}
    for threads in args.threads:
        into = Path(args.work) / f"result-{threads}.json"
        rows, without = from_json(in_child(__file__, arguments, threads, into))
        found[threads] = rows
        missing |= without
    _tell(args, found, missing)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", required=True, help="folder of JPEG files; with --small also .npz"
    )
    parser.add_argument("--small", action="store_true", help="32x32 images in memory, no blur")
    parser.add_argument("--images", type=int, default=512, help="different photographs at most")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="least length of a round")
    parser.add_argument("--only", nargs="+", help="contestants whose name contains one of these")
    parser.add_argument("--work", help="folder for the inputs that are made; kept")
    parser.add_argument("--json", help="file for all rounds")
    parser.add_argument("--record", help="Markdown file with date, hardware, versions and table")
    parser.add_argument("--child", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--child-out", help=argparse.SUPPRESS)
    return parser.parse_args()


def _inputs(args: argparse.Namespace) -> Any:
    from photo_inputs import prepare

    return prepare(
        Path(args.data), Path(args.work), images=args.images, batch=_BATCH, repeats=_REPEATS
    )


def _child(args: argparse.Namespace) -> None:
    """Measure at one number of threads and write the rows."""
    threads = args.child
    pin(threads)
    # libraries' own deprecations say nothing about their speed
    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    if args.small:
        import rivals_small

        images = rivals_small.images_of(Path(args.data))
        unit = min(len(images) // _SMALL_BATCH, 4) * _SMALL_BATCH
        all_of_them = rivals_small.contestants(images, _SMALL_BATCH)
    else:
        import rivals_photos

        inputs = _inputs(args)
        unit = inputs.unique
        all_of_them = rivals_photos.contestants(inputs, _BATCH)
    rows, missing = measure(
        _chosen(all_of_them, args.only),
        threads=threads,
        rounds=args.rounds,
        seconds=args.seconds,
        # every worker gets whole batches, and all the same number of them
        unit=unit * threads,
    )
    Path(args.child_out).write_text(json.dumps(as_json(rows, missing)))


def _chosen(contestants: list[Contestant], only: list[str] | None) -> list[Contestant]:
    if not only:
        return contestants
    chosen = [c for c in contestants if any(word.lower() in c.name.lower() for word in only)]
    if not chosen:
        names = ", ".join(c.name for c in contestants)
        raise SystemExit(f"--only {' '.join(only)}: none of {names}")
    return chosen


def _tell(
    args: argparse.Namespace, found: dict[int, dict[str, Row]], missing: dict[str, str]
) -> None:
    what = (
        "Two SimCLR views of 32x32 images in memory (colour jitter .4, .4, .4, .1, no blur)"
        if args.small
        else "JPEG files to two SimCLR views at 224, blur and colour jitter .8, .8, .8, .2 included"
    )
    title = f"{what}: images a second"
    body = [
        f"Median of {args.rounds} rounds that take turns (lowest-highest), each of "
        f"{args.seconds:g} s or more, pinned to as many cores as threads. Ratio: to {BASE}. "
        "torch's DataLoader runs in the process itself for one thread, else with a worker a "
        "thread. First pass: construction, compilation and the first images at "
        f"{args.threads[0]} thread{'s' * (args.threads[0] > 1)}.",
        "",
        *rate_table(found, base=BASE),
        "",
        *(line for ours, theirs in _PAIRS for line in paired(found, ours, theirs)),
        *notes_of(found, missing),
    ]
    print(f"{title}\n\n{hardware()}\n{installed(_PACKAGES)}\n")
    print("\n".join(body))
    if args.record:
        write_record(args.record, title, installed(_PACKAGES), body)
    if args.json:
        document = {
            "hardware": hardware(),
            "versions": installed(_PACKAGES),
            "threads": {str(n): as_json(rows, missing) for n, rows in found.items()},
        }
        Path(args.json).write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
