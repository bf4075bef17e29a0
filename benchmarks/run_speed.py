"""All speed benchmarks one after the other, a record of each.

    python benchmarks/run_speed.py --data PHOTOS --small cifar10_test.npz --work CACHE

Takes about forty minutes on two cores with every rival installed. What fails is told at the end
and stops nothing else.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

from harness import say


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of JPEG files")
    parser.add_argument("--small", help=".npz of 32x32 images; without it crops of the photographs")
    parser.add_argument("--work", required=True, help="folder for what is made; kept, 4 GB")
    parser.add_argument("--records", default=str(here / "records"), help="folder for the records")
    parser.add_argument("--threads", nargs="+", default=["1", "2"])
    args = parser.parse_args()
    data, work = ["--data", args.data], ["--work", args.work]
    threads = ["--threads", *args.threads]
    runs = {
        "views": ["bench_views.py", *data, *work, *threads],
        "views-small": [
            "bench_views.py", "--small", "--data", args.small or args.data, *work, *threads
        ],
        "memory": ["bench_memory.py", *data, *work],
        "start": ["bench_start.py", *data],
    }  # fmt: skip
    failed = []
    for name, (script, *options) in runs.items():
        record = Path(args.records) / f"{datetime.date.today().isoformat()}-{name}.md"
        numbers = Path(args.work) / f"{name}.json"
        numbers.parent.mkdir(parents=True, exist_ok=True)
        say(f"{name}: {record}")
        command = [sys.executable, str(here / script), *options]
        command += ["--record", str(record), "--json", str(numbers)]
        if subprocess.run(command).returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
