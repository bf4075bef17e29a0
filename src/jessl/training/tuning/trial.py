"""Steps of a copy of a trainer, timed; the trainer itself is left untouched."""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from dataclasses import dataclass, field

import torch

from jessl.core.devices import intra_op_threads
from jessl.core.process_group import on_rank_zero
from jessl.objectives import Terms
from jessl.training.step import Trainer
from jessl.training.tuning.agreement import Sample, sample
from jessl.training.tuning.speed import OptimizerFactory, Speed, apply_speed


@dataclass(frozen=True)
class TimedBatch:
    """What all trials compute on.

    Attributes:
        views: k tensors [batch, 3, s, s] on the device.
        labels: int64 [batch], or None.
        targets: [batch, width], or None.
    """

    views: list[torch.Tensor]
    labels: torch.Tensor | None
    targets: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.views[0])

    def first(self, n: int) -> TimedBatch:
        """Its first n images."""
        return TimedBatch(
            [v[:n] for v in self.views],
            None if self.labels is None else self.labels[:n],
            None if self.targets is None else self.targets[:n],
        )


def copy_trainer(trainer: Trainer, optimizer: OptimizerFactory, *, fused: bool = False) -> Trainer:
    """A trainer at the same step, with copies of the modules and a fresh optimizer of rate 0.

    Its steps cost what those of the original cost and change neither its weights nor anything of
    the original. No observer takes part.

    Args:
        trainer: the original.
        optimizer: makes the optimizer.
        fused: its implementation.
    """
    encoder, objective = copy.deepcopy((trainer.encoder, trainer.objective))
    for layer in objective.layers().values():
        layer._forward_hooks.clear()  # of the original, whose features they would change
    still = dataclasses.replace(
        trainer,
        encoder=encoder,
        objective=objective,
        optimizer=optimizer([encoder, objective], fused),
        lr=0.0,
        observer=None,
        pending=[],
    )
    still.set_training()
    return still


@dataclass
class Trial:
    """A copy of a trainer that computes in one way.

    Attributes:
        trainer: the copy.
        speed: the way.
        times: seconds of its timed steps.
        sample: loss and gradient of its first step.
    """

    trainer: Trainer
    speed: Speed
    batch: TimedBatch
    times: list[float] = field(default_factory=list)
    sample: Sample | None = None

    def step(self, batch: TimedBatch | None = None) -> tuple[float, Terms]:
        """Take a step, by default on its own batch: (seconds, terms)."""
        batch = batch or self.batch
        with intra_op_threads(self.speed.threads):
            since = time.perf_counter()
            terms = self.trainer.take_step(batch.views, batch.labels, batch.targets)
            if self.trainer.device.type == "cuda":
                torch.cuda.synchronize(self.trainer.device)
            return time.perf_counter() - since, terms

    def first_step(self) -> Sample:
        """Take the first step, which is not timed, and keep its loss and gradient.

        The random numbers of the objective and of dropout are those of every other trial.
        """
        cuda = [self.trainer.device] if self.trainer.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(0)
            _, terms = self.step()
        self.sample = sample(self.trainer, terms)
        return self.sample


def start_trial(
    trainer: Trainer, speed: Speed, batch: TimedBatch, optimizer: OptimizerFactory
) -> Trial:
    """A trial of `speed`, with its own copies; compilation is left to the caller."""
    still = copy_trainer(trainer, optimizer)
    apply_speed(still, speed, optimizer)
    return Trial(still, speed, batch)


def interleave(current: Trial, other: Trial, *, most_rounds: int, until: float) -> float:
    """How many times faster the other is: the ratio of median times of interleaved steps.

    Args:
        current, other: both warm.
        most_rounds: of one step each.
        until: time (perf_counter) after which, with three rounds, no other begins. A trial that
            is clearly slower ends after three rounds as well. The first process decides.
    """
    pairs: list[tuple[float, float]] = []
    for k in range(most_rounds):
        if k >= 3 and on_rank_zero(_is_decided, pairs, until):
            break
        order = (current, other) if k % 2 == 0 else (other, current)
        seconds = {id(trial): trial.step()[0] for trial in order}
        pairs.append((seconds[id(current)], seconds[id(other)]))
    current.times += [a for a, _ in pairs]
    other.times += [b for _, b in pairs]
    return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)


def _is_decided(pairs: list[tuple[float, float]], until: float) -> bool:
    return time.perf_counter() > until or all(b > 1.1 * a for a, b in pairs)
