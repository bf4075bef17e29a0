"""How near a training step comes to the peak of the processor's multiply-add units.

    python benchmarks/bench_peak.py --methods simclr vicreg --rounds 7 --record records/DATE-peak.md

The peak is that of a large float32 matrix product, measured in turns with the steps, with one and
with two threads. The floating-point operations of a step are counted by torch.utils.flop_counter
(convolutions and matrix products, forward and backward). A second part traces steps and lists what
each kind of operation takes beyond the time that its own operations need at the peak.
Shares with one thread are of CPU time, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from harness import say, tell
from jessl.core.processor import instruction_sets
from jessl.encoders import build_encoder
from jessl.objectives import build_objective
from jessl.training.optimizers import build_optimizer
from jessl.training.step import Trainer

# operations of the trace -> the kind that the table names
_KINDS = {
    "aten::mkldnn_convolution": "convolutions, forward",
    "aten::convolution_backward": "convolutions, backward",
    "aten::mm": "matrix products (heads, loss)",
    "aten::addmm": "matrix products (heads, loss)",
    "aten::bmm": "matrix products (heads, loss)",
    "aten::native_batch_norm": "batch norm, forward",
    "aten::native_batch_norm_backward": "batch norm, backward",
    "aten::copy_": "copies between memory formats",
}


@dataclass
class Timed:
    """Seconds of the rounds of one thing.

    Attributes:
        wall: by the clock.
        cpu: of all threads of the process.
    """

    wall: list[float]
    cpu: list[float]


def main() -> None:
    args = _arguments()
    body = [
        f"{args.encoder} on random images of {args.size} x {args.size}, two views, batches of "
        f"{args.batch_size}, AdamW; instruction sets {instruction_sets()}; matrix product of "
        f"{args.matrix} x {args.matrix}; {args.rounds} rounds in turns "
        "(median; lowest to highest).",
        "",
    ]
    for threads in args.threads:
        body += _shares(args, threads)
    for layout in ("contiguous", "channels-last"):
        body += _gaps(args, args.methods[0], layout)
    tell("A step beside the peak of the processor", ("jessl", "torch"), body, args.record)


def _shares(args: argparse.Namespace, threads: int) -> list[str]:
    """GFLOP/s of the matrix product and of the steps, in turns."""
    torch.set_num_threads(threads)
    a, b = (torch.randn(args.matrix, args.matrix) for _ in range(2))
    out = torch.empty_like(a)
    work: dict[str, Callable[[], Any]] = {
        "matrix product": lambda: [torch.mm(a, b, out=out) for _ in range(2)]
    }
    flops = {"matrix product": 4 * args.matrix**3}
    for method in args.methods:
        for layout in ("contiguous", "channels-last"):
            name = f"{method}, {layout}"
            step = work[name] = _step(args, method, layout)
            with FlopCounterMode(display=False) as counter:
                step()
            flops[name] = counter.get_total_flops()
    measured = {name: Timed([], []) for name in work}
    for k in range(args.rounds + 1):
        for name, call in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            if k:  # the first round warms up
                measured[name].wall.append(time.perf_counter() - wall)
                measured[name].cpu.append(time.process_time() - cpu)
        say(f"{threads} threads: round {k} of {args.rounds}")
    clock = "cpu" if threads == 1 else "wall"
    rates = {
        name: [flops[name] / s / 1e9 for s in getattr(timed, clock)]
        for name, timed in measured.items()
    }
    peak = max(rates["matrix product"])
    lines = [
        f"With {threads} thread{'s' * (threads > 1)}, by "
        f"{'CPU time' if threads == 1 else 'the clock'}; share: of the best matrix product, "
        f"{peak:.0f} GFLOP/s.",
        "",
        "| work | GFLOP | ms | GFLOP/s | share of the peak, % |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, values in rates.items():
        ms = [1e3 * s for s in getattr(measured[name], clock)]
        shares = [100 * value / peak for value in values]
        lines.append(
            f"| {name} | {flops[name] / 1e9:.1f} | {_range(ms)} | {_range(values)} | "
            f"{_range(shares)} |"
        )
    return [*lines, ""]


def _step(args: argparse.Namespace, method: str, layout: str) -> Callable[[], Any]:
    torch.manual_seed(0)
    encoder = build_encoder(args.encoder, size=args.size)
    objective = build_objective(method, encoder.dim)
    if layout == "channels-last":
        encoder.to(memory_format=torch.channels_last)
    trainer = Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=build_optimizer("adamw", [encoder, objective], lr=1e-3, weight_decay=0.0),
        lr=1e-3,
        total_steps=1_000,
        warmup_steps=10,
        steps_per_epoch=100,
        ema_start=0.99,
        precision=None,
        device=torch.device("cpu"),
    )
    trainer.set_training()
    views = [torch.randn(args.batch_size, 3, args.size, args.size) for _ in range(2)]
    return lambda: trainer.take_step(views)


def _gaps(args: argparse.Namespace, method: str, layout: str) -> list[str]:
    """What each kind of operation takes, and what it would take at the peak; one thread."""
    torch.set_num_threads(1)
    step = _step(args, method, layout)
    for _ in range(2):
        step()
    with FlopCounterMode(display=False) as counter:
        step()
    flops: dict[str, float] = defaultdict(float)
    for operation, count in counter.get_flop_counts()["Global"].items():
        flops[_kind_of_counted(str(operation))] += count
    kinds = (*dict.fromkeys(_KINDS.values()), "everything else")
    shares: dict[str, list[float]] = {kind: [] for kind in kinds}
    peaks, whole = [], []
    for _ in range(args.rounds):
        since = time.process_time()
        step()
        whole.append(1e3 * (time.process_time() - since))
        peaks.append(_peak(args.matrix))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as trace:
            step()
        traced: dict[str, float] = defaultdict(float)
        for event in trace.key_averages():
            traced[_KINDS.get(event.key, "everything else")] += event.self_cpu_time_total
        for kind in kinds:
            shares[kind].append(100 * traced[kind] / sum(traced.values()))
    peak, ms = max(peaks), statistics.median(whole)
    lines = [
        f"{method}, {layout}, one thread: a step takes {_range(whole)} ms of CPU time. The share "
        "of each kind of operation is that of a traced step (by the clock, so that other work is "
        "spread over all kinds); beside it what its floating-point operations would take at "
        f"{peak / 1e9:.0f} GFLOP/s, and the rest, the gap.",
        "",
        "| operations | share, % | GFLOP | ms | at the peak, ms | gap, ms | gap, % of the step |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows = []
    for kind, values in shares.items():
        spent, ideal = ms * statistics.median(values) / 100, 1e3 * flops[kind] / peak
        rows.append((spent - ideal, kind, values, spent, ideal))
    for gap, kind, values, spent, ideal in sorted(rows, reverse=True):
        lines.append(
            f"| {kind} | {_range(values)} | {flops[kind] / 1e9:.1f} | {spent:.0f} | {ideal:.0f} | "
            f"{gap:.0f} | {100 * gap / ms:.0f} |"
        )
    return [*lines, ""]


def _kind_of_counted(operation: str) -> str:
    if "convolution_backward" in operation:
        return "convolutions, backward"
    return (
        "convolutions, forward" if "convolution" in operation else "matrix products (heads, loss)"
    )


def _peak(matrix: int) -> float:
    """Floating-point operations a CPU second of a matrix product, with the threads as they are."""
    a, b = (torch.randn(matrix, matrix) for _ in range(2))
    torch.mm(a, b)
    since = time.process_time()
    torch.mm(a, b)
    return 2 * matrix**3 / (time.process_time() - since)


def _range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--methods", nargs="+", default=["simclr", "vicreg"])
    parser.add_argument("--encoder", default="smallconv:32")
    parser.add_argument("--size", type=int, default=32, help="side of the views, pixels")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--matrix", type=int, default=2048, help="side of the matrix product")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--record", help="Markdown file with date, hardware, versions and tables")
    return parser.parse_args()


if __name__ == "__main__":
    main()
