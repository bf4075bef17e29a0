"""A whole training step beside lightly's, solo-learn's and stable-pretraining's.

    make bench DATA=cifar10-train.npz
    python benchmarks/bench_peers.py --data cifar10-train.npz --knn 0.45 --steps 600

Images in memory, two augmented views, forward pass, loss, backward pass and update, for the same
network, batch and views. Every contender trains in a process of its own, and they take turns:
in each round, in another order, each takes some steps that are not counted and then --round-steps
that are. The libraries are installed at the first call, each into a folder of --cache; one that
cannot be installed or imported is named with the reason. `--quick` tries the script in seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness import Missing, say, tell
from peers_contenders import CONTENDERS
from peers_install import PEERS, python_of, version_in
from peers_process import Running, start
from peers_rounds import Task

_HERE = Path(__file__).parent
# steps of the trial that chooses between numbers of loader processes
_TRIAL = 4


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
        data = _write_images(args, Path(folder))
        pythons, missing = _pythons(args)
        running: dict[str, Running] = {}
        try:
            for name, python in pythons.items():
                try:
                    running[name] = _start_fastest(name, python, args, Path(folder))
                except Missing as error:
                    missing[name] = str(error)
                    say(f"{name}: left out: {error}")
            _rounds(running, args)
            choices = {name: c for name, r in running.items() if (c := _choice(r))}
        finally:
            for one in running.values():
                one.end()
    body = _report(running, missing, args, data, choices)
    packages = ("jessl", "torch", "torchvision", "numpy")
    tell("A training step beside other libraries", packages, body, args.record)
    if args.json:
        rows = {n: {**dataclasses.asdict(r.row), "knn": r.knn} for n, r in running.items()}
        Path(args.json).write_text(json.dumps({"rows": rows, "missing": missing}, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", default="torchvision:CIFAR10:train", help="SRC of small images of one size")
    add("--only", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    add("--cache", default=str(_HERE.parent / ".bench-peers"), help="where peers are installed")
    add("--no-install", action="store_true", help="only the peers that are installed already")
    add("--images", type=int, default=10_000, help="to train on, at most")
    add("--encoder", default="smallconv:32")
    add("--batch-size", type=int, default=256)
    add("--head", type=int, nargs=2, default=[512, 128], metavar=("HIDDEN", "OUT"))
    add("--temperature", type=float, default=0.5)
    add(
        "--optimizer",
        choices=("own", "adamw"),
        default="own",
        help="that of each library's example, or AdamW at 1e-3 for all but jessl's schedule",
    )
    add("--threads", type=int, default=_usable_cores(), help="cores of a contender")
    add(
        "--workers",
        type=int,
        nargs="+",
        help="numbers of loader processes that are tried, the fastest counts",
    )
    add("--rounds", type=int, default=7)
    add("--round-steps", type=int, default=8)
    add(
        "--steps",
        type=int,
        default=2000,
        help="length of the training for which schedules are set; with --knn all are taken",
    )
    add("--knn", type=float, help="measure the time to this kNN accuracy in [0, 1]; minutes")
    add("--device", default="cpu", help="cpu or cuda")
    add("--seed", type=int, default=0)
    add("--quick", action="store_true", help="jessl and torchvision, tens of steps: a try")
    add("--note", help="a sentence for the record, such as what else ran on the machine")
    add("--json", help="file for the numbers")
    add("--record", help="Markdown file with date, hardware, versions and tables")
    args = parser.parse_args()
    if args.quick:
        args.only = [name for name in args.only if CONTENDERS[name].peer is None]
        args.images, args.batch_size, args.encoder = 256, 32, "smallconv:8"
        args.rounds, args.round_steps, args.workers = 2, 3, [0]
        args.steps = min(args.steps, 100)  # too short for jessl to tune its speed
    if args.workers is None:
        args.workers = sorted({0 if args.device == "cpu" else 8, args.threads})
    return args  # fmt: skip


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_images(args: argparse.Namespace, folder: Path) -> str:
    """Training images, and labelled ones of the kNN probe, as files; what they are."""
    import jessl

    try:
        source = jessl.open_source(args.data)
    except ValueError as error:
        raise SystemExit(f"--data: {error}") from None
    order = np.random.default_rng(args.seed).permutation(len(source))
    held_out = min(5000, len(source) // 4) if args.knn else 0
    train = np.sort(order[held_out:][: args.images])
    if len(train) < args.batch_size:
        raise SystemExit(f"--data: expected at least {args.batch_size} images, got {len(train)}")
    np.savez(folder / "images.npz", x=_pixels(source, train, args.data))
    if args.knn:
        if source.labels is None:
            raise SystemExit("--knn: expected labelled images, got none with a label")
        test, rest = np.split(order[:held_out], [held_out // 5])
        np.savez(
            folder / "knn.npz",
            x=_pixels(source, rest, args.data), y=source.labels[rest],
            x_test=_pixels(source, test, args.data), y_test=source.labels[test],
        )  # fmt: skip
    return f"{len(train):,} images of {Path(source.name).name}"


def _pixels(source: Any, rows: np.ndarray, name: str) -> np.ndarray:
    images = [source.read(int(k)) for k in rows]
    if len({image.shape for image in images}) != 1 or images[0].ndim != 3:
        raise SystemExit(f"--data: expected images of one size, got other ones in {name}")
    stack = np.stack(images)
    return np.repeat(stack, 3, axis=3) if stack.shape[3] == 1 else stack


def _pythons(args: argparse.Namespace) -> tuple[dict[str, str], dict[str, str]]:
    """The interpreter of every contender, and why others have none."""
    pythons, missing = {}, {}
    for name in args.only:
        peer = CONTENDERS[name].peer
        try:
            pythons[name] = (
                python_of(peer, Path(args.cache).resolve(), install=not args.no_install)
                if peer
                else sys.executable
            )
        except Missing as error:
            missing[name] = str(error)
            say(f"{name}: left out: {error}")
    return pythons, missing


def _start_fastest(name: str, python: str, args: argparse.Namespace, folder: Path) -> Running:
    """The contender with the number of loader processes that is fastest in a short trial."""
    choices = args.workers if CONTENDERS[name].loaders else [None]
    best: tuple[float, Running] | None = None
    for workers in choices:
        one = start(name, python, _task(args, folder, f"{name}-{workers}", workers))
        try:
            one.row.first_seconds = one.read_answer()["first_seconds"]
            images, wall, _ = one.take_steps(_TRIAL)
        except Missing:
            one.end()
            if best:
                best[1].end()
            raise
        rate = images / wall
        beside = "" if workers is None else f", {workers} loader processes"
        say(f"{name}{beside}: first step after {one.row.first_seconds:.1f} s, {rate:,.0f} images/s")
        if best is None or rate > best[0]:
            best, one = (rate, one), best[1] if best else None
        if one is not None:
            one.end()
    assert best is not None
    return best[1]


def _task(args: argparse.Namespace, folder: Path, name: str, workers: int | None) -> Task:
    """What a contender does, in a folder of its own that shares the images."""
    own = folder / name
    own.mkdir()
    for file in folder.glob("*.npz"):
        (own / file.name).symlink_to(file)
    with np.load(folder / "images.npz") as images:
        size = int(images["x"].shape[1])
    return Task(
        folder=str(own), encoder=args.encoder, batch_size=args.batch_size, size=size,
        hidden=args.head[0], out=args.head[1], temperature=args.temperature,
        threads=args.threads, workers=workers, steps=args.steps, optimizer=args.optimizer,
        device=args.device, seed=args.seed,
    )  # fmt: skip


def _rounds(running: dict[str, Running], args: argparse.Namespace) -> None:
    draw = random.Random(args.seed)
    k = 0
    while k < args.rounds or (args.knn and any(not _done(r, args) for r in running.values())):
        k += 1
        for name in draw.sample(sorted(running), len(running)):
            one = running[name]
            if args.knn and k > args.rounds and _done(one, args):
                continue
            one.row.rounds.append(one.take_steps(args.round_steps))
            if args.knn:
                one.knn.append((one.steps, one.ask(do="knn")["accuracy"]))
        say(f"round {k}" + (f": {_accuracies(running)}" if args.knn else f" of {args.rounds}"))


def _done(one: Running, args: argparse.Namespace) -> bool:
    """Whether a training reached the accuracy, or has no room for another turn."""
    return any(accuracy >= args.knn for _, accuracy in one.knn) or (
        one.steps + one.lead + args.round_steps >= args.steps
    )


def _accuracies(running: dict[str, Running]) -> str:
    return ", ".join(f"{n} {r.knn[-1][1]:.3f}" for n, r in running.items() if r.knn)


def _report(
    running: dict[str, Running],
    missing: dict[str, str],
    args: argparse.Namespace,
    data: str,
    choices: dict[str, str],
) -> list[str]:
    from jessl.core.processor import instruction_sets

    same = "its example's optimizer" if args.optimizer == "own" else "AdamW"
    lines = [
        *([args.note, ""] if args.note else []),
        f"{data}; SimCLR, `{args.encoder}`, batches of {args.batch_size}, two views (crop, flip, "
        f"colour jitter, grayscale, no blur), head {args.head[0]}-{args.head[1]}, temperature "
        f"{args.temperature}, {same}; {args.device}, {args.threads} threads; instruction sets "
        f"{instruction_sets()}. {args.rounds} rounds of {args.round_steps} steps, each contender "
        "in its own process, in turns; medians, and the range. A ratio is jessl's figure divided "
        "by theirs, of images/s round by round. CPU seconds are those of the process and its "
        "loaders: other work on the machine changes them least.",
        "",
        "| contender | images/s (range) | n | jessl / it (range) | images a CPU second (range) "
        "| jessl / it (range) | peak memory, MiB | jessl / it | first step, s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *[_line(one, running.get("jessl")) for one in running.values()],
        "",
        *(_knn_lines(running, args) if args.knn else []),
    ]
    for name, one in running.items():
        peer = CONTENDERS[name].peer
        about = f"{name} {version_in(one.python, PEERS[peer].package)}" if peer else name
        chosen = "" if one.workers is None else f"; {one.workers} loader processes, the fastest of "
        chosen += "" if one.workers is None else " and ".join(map(str, args.workers))
        chosen += f" ({choices[name]})" if name in choices else ""
        lines.append(f"- {about}: {CONTENDERS[name].note}{chosen}")
    memory = (
        "resident memory of the process, and what its loaders hold for themselves; the libraries' "
        "code is in it" if args.device == "cpu" else "allocated on the device"
    )  # fmt: skip
    lines += [f"- left out: {name}: {why}" for name, why in missing.items()]
    return [*lines, f"- peak memory: {memory}"]


def _choice(one: Running) -> str | None:
    """How the trainer of a run computes; None for other libraries and without a tuning."""
    file = one.log.parent / "run" / "config.json"
    if not file.exists():
        return None
    tuning = json.loads(file.read_text())["chosen"].get("tuning")
    return None if tuning is None else str(tuning["summary"])


def _line(one: Running, ours: Running | None) -> str:
    memory = "-"
    if ours is not None and ours is not one:
        memory = f"{ours.peak_mib / one.peak_mib:.2f}"
    wall, cpu = (
        _rates_and_ratio(of(one.row), None if ours is None or ours is one else of(ours.row))
        for of in (lambda row: row.rates, lambda row: row.cpu_rates)
    )
    return (
        f"| {one.name} | {wall[0]} | {len(one.row.rates)} | {wall[1]} | {cpu[0]} | {cpu[1]} "
        f"| {one.peak_mib:,.0f} | {memory} | {one.row.first_seconds:.1f} |"
    )


def _rates_and_ratio(rates: list[float], ours: list[float] | None) -> tuple[str, str]:
    """Median and range, of the rates and of the ratios round by round."""
    if not rates:
        return "-", "-"
    text = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
    if ours is None or len(ours) != len(rates):
        return text, "-"
    ratios = [a / b for a, b in zip(ours, rates, strict=True)]
    return text, f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _knn_lines(running: dict[str, Running], args: argparse.Namespace) -> list[str]:
    """Time to the accuracy: the steps that it took, times the median time of a step."""
    seconds = {name: _seconds_to(one, args) for name, one in running.items()}
    lines = [
        f"Time to a kNN accuracy of {args.knn} at the backbone (one run, seed {args.seed}, at most "
        f"{args.steps} steps; the steps until it was reached, times the median time of a step):",
        "",
        "| contender | steps | seconds | jessl / it | best accuracy |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, one in running.items():
        steps, spent = seconds[name]
        ours = seconds.get("jessl", (None, None))[1]
        ratio = f"{ours / spent:.2f}" if ours and spent and name != "jessl" else "-"
        cells = ["not reached", "-"] if steps is None else [f"{steps:.0f}", f"{spent:.1f}"]
        best = max(accuracy for _, accuracy in one.knn)
        lines.append(f"| {name} | {' | '.join(cells)} | {ratio} | {best:.3f} |")
    return [*lines, ""]


def _seconds_to(one: Running, args: argparse.Namespace) -> tuple[float | None, float | None]:
    """Steps, interpolated between two evaluations, and seconds of them."""
    before = (0, 0.0)
    for at, accuracy in one.knn:
        if accuracy >= args.knn:
            share = (args.knn - before[1]) / (accuracy - before[1]) if before[0] else 1.0
            steps = before[0] + share * (at - before[0])
            return steps, steps * args.batch_size / statistics.median(one.row.rates)
        before = (at, accuracy)
    return None, None


if __name__ == "__main__":
    main()
