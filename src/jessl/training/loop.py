"""The loop: steps, and calls between them to log, evaluate and save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch

from jessl.core import collectives
from jessl.core.process_group import any_rank, mark_reported
from jessl.objectives import Terms
from jessl.training.collapse import explain_divergence, spread
from jessl.training.optimizers import learning_rate
from jessl.training.step import Trainer

# layers whose spread is reported
_SPREAD_LAYERS = ("backbone", "projector")


class _Batch(Protocol):
    @property
    def views(self) -> list[torch.Tensor]: ...
    @property
    def labels(self) -> torch.Tensor | None: ...
    @property
    def targets(self) -> torch.Tensor | None: ...


class _Loader(Protocol):
    epoch: int

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[_Batch]: ...
    def state_dict(self) -> dict[str, int]: ...
    def load_state_dict(self, state: dict[str, int]) -> None: ...


class Diverged(ValueError):
    """The loss is not finite."""


@dataclass(frozen=True)
class Progress:
    """The state of a training that loggers and progress bars get.

    Attributes:
        step: steps taken; epoch: the same in epochs.
        loss: mean over the steps since the last report; parts likewise.
        learning_rate: of the last step.
        images_per_second: since the last report.
        seconds: of training so far, over all processes that took part in it.
        spread: of the directions at backbone and projector at the last step (`collapse.spread`).
    """

    step: int
    epoch: float
    loss: float
    parts: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float
    spread: dict[str, float] = field(default_factory=dict)


def train(
    trainer: Trainer,
    loader: _Loader,
    *,
    epochs: int,
    log_steps: int,
    on_log: Callable[[Progress], None],
    on_epoch: Callable[[int], None],
    checkpoint_due: Callable[[], bool],
    on_checkpoint: Callable[[], None],
    stop: Callable[[], bool],
    enough: Callable[[], bool] = lambda: False,
) -> bool:
    """Train until `epochs` are done; True when they are, False when `stop` ended it before.

    Args:
        trainer: what is trained; left in training mode.
        loader: batches with `.views`; its position says where the training goes on.
        epochs: passes over the data in all.
        log_steps: steps between two calls of `on_log`; only then are numbers read from the device.
        on_log: called with the mean loss of the steps since the last call.
        on_epoch: called with the number of epochs done, after each.
        checkpoint_due: called between two steps of an epoch; True calls `on_checkpoint`.
        on_checkpoint: writes a checkpoint.
        stop: called between two steps; True writes a checkpoint and ends the training.
        enough: called after each epoch but the last; True writes a checkpoint, and the training is
            done.

    Raises:
        Diverged: when the loss is not finite.
    """
    log = _Log(trainer, len(loader), on_log)
    while loader.epoch < epochs:
        trainer.set_training()
        for batch in loader:
            try:
                terms = trainer.take_step(batch.views, batch.labels, batch.targets)
            except ValueError as error:  # of the objective: all processes have it
                raise mark_reported(error) from None
            log.add(terms, len(batch.views[0]))
            if trainer.step % log_steps == 0:
                log.flush()
            if trainer.step % len(loader) == 0:
                continue  # the end of an epoch is handled below
            stopping, due = any_rank(stop(), checkpoint_due())
            if stopping or due:
                log.count_seconds()
                log.refuse_divergence()
                on_checkpoint()
            if stopping:
                return False
        log.flush()
        on_epoch(loader.epoch)
        log.restart_clock()
        if loader.epoch < epochs:
            stopping, done = any_rank(stop(), enough())
            if stopping or done:
                on_checkpoint()
                return not stopping
    return True


class _Log:
    """Losses that stay on the device until they are logged."""

    def __init__(
        self, trainer: Trainer, steps_per_epoch: int, on_log: Callable[[Progress], None]
    ) -> None:
        self._trainer = trainer
        self._per_epoch = steps_per_epoch
        self._on_log = on_log
        self._images = 0
        self._elapsed = 0.0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave out of the speed what happened since the last step."""
        self._since = time.perf_counter()

    def count_seconds(self) -> None:
        """Add the time since the last count to the trainer's."""
        now = time.perf_counter()
        self._trainer.seconds += now - self._since
        self._elapsed += now - self._since
        self._since = now

    def add(self, terms: Terms, images: int) -> None:
        self._trainer.pending.append(terms)
        self._images += images * collectives.world()

    def refuse_divergence(self) -> None:
        """Raise before a checkpoint replaces good ones when the loss is not finite."""
        if self._trainer.pending:
            self._check(*self._means())

    def _means(self) -> tuple[float, dict[str, float]]:
        pending = self._trainer.pending
        parts = {k: _mean([t.parts[k] for t in pending]) for k in pending[0].parts}
        return _mean([t.total for t in pending]), parts

    def _check(self, loss: float, parts: dict[str, float]) -> None:
        problem = explain_divergence(loss, parts, step=self._trainer.step, lr=self._trainer.lr)
        if problem is not None:
            raise mark_reported(Diverged(problem))

    def flush(self) -> None:
        trainer = self._trainer
        if not trainer.pending:
            return
        loss, parts = self._means()
        self.count_seconds()
        self._on_log(
            Progress(
                step=trainer.step,
                epoch=trainer.step / self._per_epoch,
                loss=loss,
                parts=parts,
                learning_rate=learning_rate(trainer.optimizer),
                images_per_second=self._images / max(self._elapsed, 1e-9),
                seconds=trainer.seconds,
                spread={k: spread(z) for k, z in trainer.features.items() if k in _SPREAD_LAYERS},
            )
        )
        trainer.pending.clear()
        self._images, self._elapsed = 0, 0.0
        self._check(loss, parts)


def _mean(values: list[torch.Tensor]) -> float:
    """Over steps and processes."""
    # stacked on their device: one number crosses the bus, not one a step
    return collectives.all_reduce_mean(torch.stack(values).double().mean()).item()
