"""The GPU day: all that only a GPU can answer, in at most ten minutes, the most valuable first.

    make gpu DATA=torchvision:CIFAR10
    python benchmarks/gpu_day.py --data torchvision:CIFAR10 --work gpu-day --record records/DATE.md

Parts, in order: the tests marked cuda; seconds to 80, 85 and 90 % linear accuracy on CIFAR-10;
an epoch of every objective; views on the device beside kornia's and torchvision's; scores and
probes on the device. Each runs in a process of its own, which is stopped at the part's limit, and
writes its rows as it goes; WORK/state.json says what is done, and a second call goes on from there.
`--device cpu --quick` tries the whole script without a GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import installed, say, write_record

HERE = Path(__file__).resolve().parent
TOTAL_SECONDS = 600
# name -> (what it measures, its limit in seconds), in the order of value
PARTS = {
    "tests": ("Tests marked cuda", 90),
    "speedrun": ("Seconds to 80, 85 and 90 % linear accuracy on CIFAR-10", 240),
    "objectives": ("An epoch of every objective", 90),
    "views": ("Views on the device", 90),
    "judging": ("Scores and probes on the device", 80),
}
# a part that would have less is left for the next call
_LEAST_SECONDS = 10


def main() -> None:
    args = _arguments()
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    if args.part:
        import gpu_day_parts

        gpu_day_parts.run(args.part, args, work / f"{args.part}.jsonl")
        return
    _refuse_absent_device(args.device)
    state = _read_state(work)
    until = time.monotonic() + args.seconds
    for name in args.only:
        title, limit = PARTS[name]
        if state.get(name, {}).get("status") in ("done", "skipped"):
            say(f"{title}: {state[name]['status']} before")
            continue
        left = until - time.monotonic()
        if left < _LEAST_SECONDS:
            say(f"{title}: no time left; call again to go on")
            continue
        reason = _reason_to_skip(name, args)
        if reason:
            state[name] = {"status": "skipped", "note": reason}
        else:
            say(f"{title}: at most {min(limit, left):.0f} s")
            state[name] = _run_part(name, min(limit, left), args)
        say(f"{title}: {state[name]['status']} {state[name].get('note', '')}".rstrip())
        _write_state(work, state)
    body = _report(work, state, args)
    print("\n".join(body))
    if args.record:
        packages = ("torch", "torchvision", "numba", "kornia", "timm")
        write_record(args.record, "A GPU day", installed(packages), body)
    if any(part["status"] == "failed" for part in state.values()):
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="CIFAR-10 with labels: torchvision:CIFAR10, or TRAIN,TEST")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--work", default="gpu-day", help="folder for state, rows and runs")
    parser.add_argument("--seconds", type=float, default=TOTAL_SECONDS, help="of this call")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try the script")
    parser.add_argument("--record", help="Markdown file")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _refuse_absent_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("gpu_day: there is no GPU; --device cpu --quick tries the script")


def _reason_to_skip(name: str, args: argparse.Namespace) -> str | None:
    if name == "speedrun" and not args.data:
        return (
            "no CIFAR-10: give --data torchvision:CIFAR10 (JESSL_DATA is its root), or TRAIN,TEST"
        )
    if name == "tests" and importlib.util.find_spec("pytest") is None:
        return "pytest is not installed"
    return None


def _run_part(name: str, limit: float, args: argparse.Namespace) -> dict[str, Any]:
    """A part in a process group of its own, which ends with it or at the limit."""
    rows = Path(args.work) / f"{name}.jsonl"
    rows.unlink(missing_ok=True)
    if args.quick and name != "tests":
        # imports take most of the time of small parts: here, and without a limit
        import gpu_day_parts

        since = time.monotonic()
        gpu_day_parts.run(name, args, rows)
        return {"status": "done", "seconds": round(time.monotonic() - since, 1)}
    command = [sys.executable, str(HERE / "gpu_day.py"), "--part", name, "--device", args.device]
    command += ["--work", args.work, "--seconds", f"{limit:.0f}"]
    command += ["--quick"] if args.quick else []
    command += ["--data", args.data] if args.data else []
    if name == "tests":
        command = [sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider"]
        command += ["--collect-only"] if args.quick else []
        command += [str(HERE.parent / "tests" / "cuda")]
    since = time.monotonic()
    log = Path(args.work) / f"{name}.log"
    with log.open("w") as file:
        child = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, cwd=os.getcwd()
        )
        try:
            code = child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            code = None
    seconds = round(time.monotonic() - since, 1)
    if code is None:
        # the rows so far count; a second call begins the part again
        return {"status": "stopped", "seconds": seconds, "note": f"at its limit of {limit:.0f} s"}
    # pytest: 5 where nothing is collected
    if code == 0 or (name == "tests" and code == 5):
        last = log.read_text().strip().splitlines()[-1:] if name == "tests" else []
        return {"status": "done", "seconds": seconds, "note": " ".join(last)}
    return {"status": "failed", "seconds": seconds, "note": f"exit code {code}, see {log.name}"}


def _read_state(work: Path) -> dict[str, dict[str, Any]]:
    path = work / "state.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _write_state(work: Path, state: dict[str, dict[str, Any]]) -> None:
    part = work / "state.json.part"
    part.write_text(json.dumps(state, indent=1))
    part.replace(work / "state.json")


def _report(work: Path, state: dict[str, dict[str, Any]], args: argparse.Namespace) -> list[str]:
    where = "a GPU" if args.device != "cpu" else "the CPU: **not measured on a GPU yet**"
    lines = [f"On {where}."]
    for name, (title, _) in PARTS.items():
        part = state.get(name, {"status": "not begun"})
        seconds = f", {part['seconds']} s" if "seconds" in part else ""
        lines += [
            "",
            f"## {title}",
            "",
            f"{part['status']}{seconds}. {part.get('note', '')}".strip(),
        ]
        path = work / f"{name}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for row in rows:
            tables.setdefault(tuple(row), []).append(row)
        for columns, group in tables.items():
            lines += ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
            lines += [f"| {' | '.join(_cell(v) for v in row.values())} |" for row in group]
    return lines


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)


if __name__ == "__main__":
    main()
