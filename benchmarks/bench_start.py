"""Seconds to the first batch of a fresh process, compiled code cold and cached.

    python benchmarks/bench_start.py --data PHOTOS

Each measurement is a process of its own: from its start, and from after `import jessl`, to the
first batch of two SimCLR views. Cold: an empty folder for numba's compiled code each time. Warm:
one folder that an earlier process has filled.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import hardware, installed, say, write_record

_CHILD = """
import sys, time
before = time.time()
import jessl
imported = time.time()
views = jessl.views.presets.simclr(int(sys.argv[2]))
loader = jessl.Loader(sys.argv[1], views, int(sys.argv[3]))
iterator = iter(loader)
batch = next(iterator)
assert len(batch.views) == 2
first = time.time()
next(iterator, None)
print(before, imported, first, time.time())
"""


def main() -> None:
    args = _arguments()
    rows: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        kept = Path(folder) / "kept"
        _once(args, kept)
        for k in range(args.rounds):
            rows["cold"].append(_once(args, Path(folder) / f"empty-{k}"))
            rows["warm"].append(_once(args, kept))
            say(f"round {k + 1} of {args.rounds}")
    lines = [
        f"Median of {args.rounds} processes (lowest-highest), seconds; batches of "
        f"{args.batch_size}, two views at {args.size}.",
        "",
        "| compiled code | process start to first batch | import jessl to first batch "
        "| second batch |",
        "|---|---:|---:|---:|",
    ]
    for kind, found in rows.items():
        cells = [_spread([row[name] for row in found]) for name in ("start", "imported", "second")]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    title = "Seconds to the first batch"
    versions = installed(("jessl", "torch", "numpy", "numba", "simplejpeg"))
    print(f"{title}\n\n{hardware()}\n{versions}\n")
    print("\n".join(lines))
    if args.record:
        write_record(args.record, title, versions, lines)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="SRC")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--record", help="Markdown file with date, hardware, versions and table")
    return parser.parse_args()


def _once(args: argparse.Namespace, cache: Path) -> dict[str, float]:
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _CHILD, args.data, str(args.size), str(args.batch_size)]
    since = time.time()
    done = subprocess.run(
        command,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    _, imported, first, second = map(float, done.stdout.split())
    return {"start": first - since, "imported": first - imported, "second": second - first}


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
