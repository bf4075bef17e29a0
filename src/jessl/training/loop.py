"""The loop: one step is one forward pass, one loss, one update. Nothing else happens per step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from jessl.objectives import Objective, Terms
from jessl.training import ema, schedules


class _Batch(Protocol):
    @property
    def views(self) -> list[torch.Tensor]: ...


class _Loader(Protocol):
    epoch: int

    def __len__(self) -> int: ...
    def __iter__(self) -> Any: ...
    def state_dict(self) -> dict[str, int]: ...
    def load_state_dict(self, state: dict[str, int]) -> None: ...


class Diverged(ValueError):
    """The loss is no longer a number."""


@dataclass(kw_only=True)
class Trainer:
    """All that a training changes, and how one batch changes it.

    Attributes:
        encoder: [batch, 3, s, s] to [batch, dim].
        objective: heads and loss.
        optimizer: over the parameters of both.
        lr: peak learning rate.
        total_steps, warmup_steps: of the learning rate's schedule.
        ema_start: first momentum of the teacher.
        precision: dtype of autocast; None: none, all in float32.
        device: where the modules are.
        step: updates done; seconds: of training so far.
        pending: terms of the steps that no log has told yet; part of the state, so that a
            resumed run logs the same means.
        teacher: the encoder's slow copy, None where the method has none.
    """

    encoder: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    lr: float
    total_steps: int
    warmup_steps: int
    ema_start: float
    precision: torch.dtype | None
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    pending: list[Terms] = field(default_factory=list)
    teacher: nn.Module | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.objective.uses_teacher:
            self.teacher = ema.teacher_of(self.encoder)
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision is torch.float16
        )

    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds the tensors of."""
        own = {"encoder": self.encoder, "objective": self.objective}
        return own if self.teacher is None else {**own, "teacher": self.teacher}

    def set_training(self) -> None:
        """Put all modules in training mode."""
        for module in self.modules().values():
            module.train()

    def take_step(self, views: list[torch.Tensor]) -> Terms:
        """Forward, backward and update on k views [batch, 3, s, s]; the terms are detached."""
        share = schedules.warmup_cosine(
            self.step, total_steps=self.total_steps, warmup_steps=self.warmup_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * share
        with torch.autocast(
            self.device.type, dtype=self.precision, enabled=self.precision is not None
        ):
            student = _represent(self.encoder, views)
            teacher = None
            if self.teacher is not None:
                with torch.no_grad():
                    teacher = _represent(self.teacher, views)
            terms = self.objective.loss(student, teacher)
        self.optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(terms.total).backward()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self.teacher is not None:
            self._follow()
        self.step += 1
        return Terms(terms.total.detach(), terms.parts)

    def _follow(self) -> None:
        assert self.teacher is not None
        momentum = schedules.momentum_to_one(
            self.step, total_steps=self.total_steps, start=self.ema_start
        )
        for student, teacher in [
            (self.encoder, self.teacher),
            *self.objective.momentum_pairs(),
        ]:
            ema.follow(student, teacher, momentum)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the modules' tensors."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "seconds": self.seconds,
            "pending": [{"total": t.total, "parts": dict(t.parts)} for t in self.pending],
            "rng": {"cpu": torch.get_rng_state(), "cuda": cuda},
        }

    def load_state(self, step: int, state: dict[str, Any]) -> None:
        """Go on from `state`; the modules' tensors are loaded apart."""
        self.step = step
        self.seconds = state["seconds"]
        self.pending = [Terms(t["total"], t["parts"]) for t in state["pending"]]
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["rng"]["cpu"])
        if state["rng"]["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["rng"]["cuda"], self.device)


def _represent(encoder: nn.Module, views: list[torch.Tensor]) -> torch.Tensor:
    """Representations [views, batch, dim]; views of one size go through the encoder together.

    Batch norm therefore sees all views of a batch (SimCLR); codes that encode each view alone
    (VICReg, BYOL) differ in the batch statistics.
    """
    if len({v.shape for v in views}) == 1:
        joined = encoder(torch.cat(views))
        return joined.reshape(len(views), len(views[0]), -1)
    return torch.stack([encoder(v) for v in views])


@dataclass(frozen=True)
class Progress:
    """Where a training is: what a logger or a progress bar is told.

    Attributes:
        step: steps taken; epoch: the same in epochs.
        loss: mean over the steps since the last report; parts likewise.
        learning_rate: of the last step.
        images_per_second: since the last report.
        seconds: of training so far, over all processes that took part in it.
    """

    step: int
    epoch: float
    loss: float
    parts: dict[str, float]
    learning_rate: float
    images_per_second: float
    seconds: float


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
) -> bool:
    """Train until `epochs` are done; True when they are, False when `stop` ended it before.

    Args:
        trainer: what is trained; left in training mode.
        loader: batches with `.views`; its position says where the training goes on.
        epochs: passes over the data in all.
        log_steps: steps between two calls of `on_log`; the device is asked for numbers only then.
        on_log: told the mean loss of the steps since the last call.
        on_epoch: told the number of epochs done, after each.
        checkpoint_due, on_checkpoint: asked, and called when due, between two steps of an epoch.
        stop: asked between two steps; True writes a checkpoint and ends the training.

    Raises:
        Diverged: when the loss is not finite.
    """
    log = _Log(trainer, len(loader), on_log)
    while loader.epoch < epochs:
        trainer.set_training()
        for batch in loader:
            log.add(trainer.take_step(batch.views), len(batch.views[0]))
            if trainer.step % log_steps == 0:
                log.flush()
            if trainer.step % len(loader) == 0:
                continue  # the epoch is over: what follows it comes below
            stopping = stop()
            if stopping or checkpoint_due():
                log.count_seconds()
                log.refuse_nonsense()
                on_checkpoint()
            if stopping:
                return False
        log.flush()
        on_epoch(loader.epoch)
        log.restart_clock()
        if loader.epoch < epochs and stop():
            on_checkpoint()
            return False
    return True


class _Log:
    """Losses kept on the device until somebody wants to read them."""

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
        self._images += images

    def refuse_nonsense(self) -> None:
        """Keep a checkpoint from being written over good ones when the loss is no number."""
        if self._trainer.pending:
            self._check(_mean([t.total for t in self._trainer.pending]))

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at step {self._trainer.step}: lower the learning rate "
                f"(now {self._trainer.lr:g}) or look at the data"
            )

    def flush(self) -> None:
        trainer = self._trainer
        if not trainer.pending:
            return
        loss = _mean([t.total for t in trainer.pending])
        parts = {k: _mean([t.parts[k] for t in trainer.pending]) for k in trainer.pending[0].parts}
        self.count_seconds()
        self._on_log(
            Progress(
                step=trainer.step,
                epoch=trainer.step / self._per_epoch,
                loss=loss,
                parts=parts,
                learning_rate=trainer.optimizer.param_groups[0]["lr"],
                images_per_second=self._images / max(self._elapsed, 1e-9),
                seconds=trainer.seconds,
            )
        )
        trainer.pending.clear()
        self._images, self._elapsed = 0, 0.0
        self._check(loss)


def _mean(values: list[torch.Tensor]) -> float:
    return torch.stack([v.double().cpu() for v in values]).mean().item()
