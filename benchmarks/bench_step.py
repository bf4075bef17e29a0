"""Where the time of a training step goes, by method, and how many images a second that makes.

    OMP_NUM_THREADS=2 python benchmarks/bench_step.py --data cifar10-train.npz

With `--tuned` every method runs in three ways that take turns: with the defaults of before
(float32, contiguous), as the trainer tunes itself, and with the former defaults once more, whose
ratio to the first is the noise of the machine.

    OMP_NUM_THREADS=2 python benchmarks/bench_step.py --data cifar10-train.npz --tuned

The loop of `jessl pretrain` runs as it is, with its log; only its calls are timed. Methods are
interleaved over several rounds, the median round counts. "rest" is what the engine itself takes:
all of the time that is not spent waiting for data, in the encoders' forward passes, in heads and
loss, in the backward pass or in the optimizer (with the teacher that follows). The table at the
end is Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

import jessl
from jessl.core.log import Log
from jessl.core.processor import instruction_sets
from jessl.data import Source, split_source, unlabelled
from jessl.objectives import CONFIGS
from jessl.pretraining.build import Parts, build, compile_encoders
from jessl.pretraining.defaults import resolve
from jessl.pretraining.speed import tune_speed
from jessl.records import versions
from jessl.training.loop import train

# a teacher would have to be given
METHODS = sorted(name for name, c in CONFIGS.items() if not c().build(8).target_dim)
PARTS = ("data", "forward", "loss", "backward", "optimizer")


def main() -> None:
    args = _arguments()
    source: Source = jessl.open_source(args.data)
    if len(source) > args.images:
        source = split_source(source, args.images / len(source), 0)[1]
    ways = ("default", "tuned", "default again") if args.tuned else ("default",)
    trainings = {
        m if way == "default" else f"{m}, {way}": _Training(m, args, source, tuned=way == "tuned")
        for m in args.methods
        for way in ways
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in trainings}
    for k in range(args.rounds + 1):
        for method, training in trainings.items():
            measured = training.epoch()
            if k:  # the first round warms up
                rounds[method].append(measured)
        print(f"round {k} of {args.rounds}", flush=True)
    print(_table(args, source, rounds))
    if args.tuned:
        print(_ratios(args, rounds, trainings))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="digits", help="SRC")
    parser.add_argument("--images", type=int, default=2816, help="at most so many; 11 steps of 256")
    parser.add_argument("--encoder", default="smallconv")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--labels", action="store_true", help="train online probes as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tuned", action="store_true", help="against the trainer's own choice")
    parser.add_argument("--compile", action="store_true", help="let it try torch.compile as well")
    return parser.parse_args()


class _Training:
    """One training, an epoch at a time, with the time of its parts."""

    def __init__(
        self, method: str, args: argparse.Namespace, source: Source, *, tuned: bool
    ) -> None:
        device = torch.device(args.device)
        labelled = args.labels or method == "supervised"
        asked = jessl.Pretrain(
            data=args.data, objective=method, encoder=args.encoder, batch_size=args.batch_size,
            holdout=0, epochs=args.rounds + 1, online_probes=args.labels, log_steps=5,
            precision="auto" if tuned else "float32", compile=None if args.compile else False,
            channels_last=None if tuned else False,
        )  # fmt: skip
        if tuned:  # as for a training of hours, so that the search has its 5 s
            asked = dataclasses.replace(asked, epochs=5_000)
        given = source if labelled else unlabelled(source)
        settings = resolve(asked, given, device)
        self.parts: Parts = build(settings, given, device)
        self.summary = ""
        if tuned:
            settings, tuning = tune_speed(asked, settings, self.parts, Log())
            self.summary = str(tuning)
            if settings.compile:
                compile_encoders(self.parts, settings)
        self.spent = dict.fromkeys(PARTS, 0.0)
        self._done = 0
        trainer = self.parts.trainer
        # where a Trainer's step goes, part by part; nothing of it changes
        inner: Any = trainer._forward
        for owner, name, part in (
            (inner, "represent_student", "forward"),
            (inner, "represent_teacher", "forward"),
            (inner, "compare", "loss"),
            (trainer, "_backward", "backward"),
            (trainer, "_update", "optimizer"),
            (trainer, "_update_teacher", "optimizer"),
        ):
            object.__setattr__(owner, name, self._timed(getattr(owner, name), part))

    def _timed(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            since = self._now()
            try:
                return call(*args, **options)
            finally:
                self.spent[part] += self._now() - since

        return timed

    def _now(self) -> float:
        if self.parts.trainer.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def epoch(self) -> dict[str, float]:
        """Seconds a step of each part, and images a second."""
        self.spent.update(dict.fromkeys(PARTS, 0.0))
        self._done += 1
        loader: Any = _Waited(self.parts.loader, self)
        since = self._now()
        train(
            self.parts.trainer,
            loader,
            epochs=self._done,
            log_steps=5,
            on_log=lambda _: None,
            on_epoch=lambda _: None,
            checkpoint_due=lambda: False,
            on_checkpoint=lambda: None,
            stop=lambda: False,
        )
        wall, steps = self._now() - since, len(self.parts.loader)
        rest = wall - sum(self.spent.values())
        seconds = {**self.spent, "rest": rest, "step": wall}
        images = steps * self.parts.loader.batch_size / wall
        return {**{k: v / steps for k, v in seconds.items()}, "images": images}


class _Waited:
    """A loader whose waits are counted as data."""

    def __init__(self, loader: Any, training: _Training) -> None:
        self._loader, self._training = loader, training

    def __len__(self) -> int:
        return len(self._loader)

    @property
    def epoch(self) -> int:
        return self._loader.epoch

    def __iter__(self) -> Any:
        batches = iter(self._loader)
        while True:
            since = time.perf_counter()
            batch = next(batches, None)
            self._training.spent["data"] += time.perf_counter() - since
            if batch is None:
                return
            yield batch


def _table(
    args: argparse.Namespace, source: Source, rounds: dict[str, list[dict[str, float]]]
) -> str:
    lines = [
        f"{args.encoder}, batches of {args.batch_size}, {len(source):,} images of {source.name}, "
        f"{args.rounds} rounds interleaved; online probes {'on' if args.labels else 'off'}; "
        f"{versions()}; {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{platform.machine()}, {args.device}",
        "",
        "| method | images/s | range | ms a step | "
        + " | ".join((*PARTS, "rest"))
        + " | rest, % |",
        "|" + "---|" * (6 + len(PARTS)),
    ]
    for method, measured in rounds.items():
        medians = {k: statistics.median(m[k] for m in measured) for k in measured[0]}
        images = [m["images"] for m in measured]
        share = statistics.median(100 * m["rest"] / m["step"] for m in measured)
        cells = [f"{1e3 * medians[k]:.1f}" for k in ("step", *PARTS, "rest")]
        lines.append(
            f"| {method} | {medians['images']:,.0f} | {min(images):,.0f}-{max(images):,.0f} | "
            f"{' | '.join(cells)} | {share:.2f} |"
        )
    return "\n".join(lines)


def _ratios(
    args: argparse.Namespace,
    rounds: dict[str, list[dict[str, float]]],
    trainings: dict[str, _Training],
) -> str:
    """Speed of the tuned training over the default's, round by round, beside the noise."""
    lines = [
        f"instruction sets: {instruction_sets()}",
        "",
        "| method | tuned / default | range | default again / default | range | chosen |",
        "|---|---|---|---|---|---|",
    ]
    for method in args.methods:
        cells = []
        for way in ("tuned", "default again"):
            pairs = zip(rounds[f"{method}, {way}"], rounds[method], strict=True)
            ratios = [a["images"] / b["images"] for a, b in pairs]
            cells.append(f"{statistics.median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f}")
        chosen = trainings[f"{method}, tuned"].summary
        lines.append(f"| {method} | {' | '.join(cells)} | {chosen} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
