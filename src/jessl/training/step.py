"""One step of a training: forward pass, loss, update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import nn

from jessl.core import collectives, process_group
from jessl.core.devices import to_device
from jessl.objectives import Objective, Terms, TrainingPosition
from jessl.training import data_parallel, ema, schedules
from jessl.training.anchor import Anchor
from jessl.training.compiling import compiled
from jessl.training.forward import Forward
from jessl.training.gradient_cache import accumulate_gradients
from jessl.training.low_rank import LowRankUpdates
from jessl.training.optimizers import learning_rate, set_learning_rate


class Observer(Protocol):
    """A module that gets the detached features of each step; it does not affect the training."""

    def observe(self, features: dict[str, torch.Tensor], labels: torch.Tensor) -> None: ...
    def optimizer_state(self) -> dict[str, Any]: ...
    def load_optimizer_state(self, state: dict[str, Any]) -> None: ...


@dataclass(kw_only=True)
class Trainer:
    """The state of a training, and how one batch changes it.

    Example:
        terms = trainer.take_step(batch.views, batch.labels)


    Attributes:
        encoder: [batch, 3, s, s] to [batch, dim].
        objective: heads and loss.
        optimizer: over the parameters of both.
        lr: peak learning rate.
        total_steps, warmup_steps: of the learning rate's schedule; steps_per_epoch > 0.
        ema_start: first momentum of the teacher.
        precision: dtype of autocast; None: float32 throughout.
        device: where the modules are.
        seed: of the random numbers of the objective.
        n_global: the first so many views are global crops; None: all.
        micro_batch: images of this process that go through the encoder at a time; None: all.
        clip_norm: largest norm of all gradients together; None: no limit.
        pool: [p, 3, s, s] that takes the place of the last p images of the global batch, for
            objectives that take their negatives from there.
        observer: gets the features of the first view, with labels.
        frozen_steps: the first so many steps leave the encoder's parameters as they are.
        anchor: pulls the encoder's weights towards their start after every step.
        low_rank: updates of the encoder that are trained instead of its weights.
        average_momentum: of a moving average of the weights, which is evaluated and kept; None: the
            weights themselves are.
        step: updates done; seconds: of training so far.
        pending: terms of the steps since the last log; part of the state, so that a
            resumed run logs the same means.
        features: features of the first view at the last step, by layer, detached.
        teacher: the encoder's slow copy, None where the method has none.
        averaged: the average of the weights, None without one.
    """

    encoder: nn.Module
    objective: Objective
    optimizer: torch.optim.Optimizer
    lr: float
    total_steps: int
    warmup_steps: int
    steps_per_epoch: int
    ema_start: float
    precision: torch.dtype | None
    device: torch.device
    seed: int = 0
    n_global: int | None = None
    micro_batch: int | None = None
    clip_norm: float | None = None
    pool: torch.Tensor | None = None
    observer: Observer | None = None
    average_momentum: float | None = None
    frozen_steps: int = 0
    anchor: Anchor | None = None
    low_rank: LowRankUpdates | None = None
    step: int = 0
    seconds: float = 0.0
    pending: list[Terms] = field(default_factory=list)
    features: dict[str, torch.Tensor] = field(init=False, default_factory=dict)
    teacher: nn.Module | None = field(init=False, default=None)
    averaged: ema.AveragedWeights | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.objective.uses_teacher:
            self.teacher = ema.teacher_of(self.encoder)
        if self.average_momentum is not None:
            # copied before the hooks below, which are for the steps
            trained = {"encoder": self.encoder, "objective": self.objective}
            self.averaged = ema.AveragedWeights(trained, self.average_momentum)
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.precision is torch.float16
        )
        self._forward = Forward(self.encoder, self.teacher, self.objective)
        self._parallel: nn.Module | None = None
        self._parameters = [
            p for m in (self.encoder, self.objective) for p in m.parameters() if p.requires_grad
        ]
        for name, module in self.objective.layers().items():
            module.register_forward_hook(self._capture(name))

    def _capture(self, layer: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            # a head that is called for global and local views is called for the global ones first
            self.features.setdefault(layer, output.detach())

        return hook

    def modules(self) -> dict[str, nn.Module]:
        """The modules whose tensors a checkpoint holds: the averages where there are some."""
        own: dict[str, nn.Module] = {"encoder": self.encoder, "objective": self.objective}
        if self.averaged is not None:
            own = dict(self.averaged.modules)
        if self.low_rank is not None:
            own["encoder"] = self.low_rank.plain()
        if self.teacher is not None:
            own["teacher"] = self.teacher
        if self.observer is not None:
            own["probes"] = cast(nn.Module, self.observer)
        return own

    def set_training(self) -> None:
        """Put all modules in training mode."""
        for module in (*self.modules().values(), self.encoder, self.objective):
            module.train()
        if self.averaged is not None:
            for module in self.averaged.modules.values():
                module.eval()

    def take_step(
        self,
        views: list[torch.Tensor],
        labels: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
    ) -> Terms:
        """Forward, backward and update; the terms are detached.

        Args:
            views: k tensors [batch, 3, s, s].
            labels: int64 [batch], -1 where missing; only probes and supervised losses use them.
            targets: [batch, target_dim] on any device, for objectives that learn them.
        """
        self._prepare()
        if self.pool is not None:
            views, labels = with_pool(views, labels, self.pool)
        # the observer gets the labels on the CPU, where reading them does not wait for a GPU
        loss_labels = labels if self.objective.uses_labels else None
        if loss_labels is not None:
            loss_labels = to_device(loss_labels, self.device)
        if targets is not None:
            targets = to_device(targets, self.device)
        if self.micro_batch is not None and len(views[0]) > self.micro_batch:
            terms = self._in_micro_batches(views, loss_labels, targets, self.micro_batch)
        else:
            terms = self._at_once(views, loss_labels, targets)
        self.objective.after_backward()
        self._update()
        if self.teacher is not None:
            self._update_teacher(self.teacher)
        if self.averaged is not None:
            self.averaged.update(self.step)
        if self.observer is not None and labels is not None:
            batch = len(views[0])
            self.observer.observe({k: v[:batch] for k, v in self.features.items()}, labels)
        self.step += 1
        return terms

    def _prepare(self) -> None:
        share = schedules.warmup_cosine(
            self.step, total_steps=self.total_steps, warmup_steps=self.warmup_steps
        )
        set_learning_rate(self.optimizer, self.lr * share)
        self.objective.begin_step(
            TrainingPosition(self.step, self.total_steps, self.steps_per_epoch, self.seed)
        )
        self.optimizer.zero_grad(set_to_none=True)
        self.features.clear()

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the forward pass."""
        return torch.autocast(
            self.device.type, dtype=self.precision, enabled=self.precision is not None
        )

    def _at_once(
        self,
        views: list[torch.Tensor],
        labels: torch.Tensor | None,
        targets: torch.Tensor | None = None,
    ) -> Terms:
        if self._parallel is None:
            self._parallel = data_parallel.parallel(self._forward, self.device)
        with self.autocast():
            total, student, parts = self._parallel(views, self.n_global, labels, targets)
        self.features["backbone"] = student.detach().flatten(0, 1)
        self._backward(total)
        return Terms(total.detach(), parts)

    def compile(self, views: list[torch.Tensor]) -> list[str]:
        """Compile encoder and teacher for views like these; a line for what cannot be compiled."""
        runs, notes = {}, []
        for module in (self.encoder, self.teacher):
            if module is not None:
                runs[id(module)], note = compiled(module, views, self.autocast)
                notes += [n for n in process_group.all_gather_object(note) if n is not None]
        if not notes:
            self._forward.run_by(lambda module: runs[id(module)])
        return notes[:1]

    def _in_micro_batches(
        self,
        views: list[torch.Tensor],
        labels: torch.Tensor | None,
        targets: torch.Tensor | None = None,
        micro_batch: int = 1,
    ) -> Terms:
        terms, student = accumulate_gradients(
            self._forward,
            views,
            self.n_global,
            labels,
            targets,
            micro_batch=micro_batch,
            precision=self.autocast,
            backward=self._backward,
        )
        self.features["backbone"] = student.flatten(0, 1)
        data_parallel.average_gradients(self._parameters)
        return terms

    def _backward(self, total: torch.Tensor) -> None:
        self._scaler.scale(total).backward()

    def _update(self) -> None:
        is_frozen = self.step < self.frozen_steps
        if is_frozen:
            self.encoder.zero_grad(set_to_none=True)  # optimizers skip what has no gradient
        if self.clip_norm is not None:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self.clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self.anchor is not None and not is_frozen:
            self.anchor.pull(learning_rate(self.optimizer))

    def _update_teacher(self, teacher: nn.Module) -> None:
        momentum = schedules.momentum_to_one(
            self.step, total_steps=self.total_steps, start=self.ema_start
        )
        for fast, slow in [(self.encoder, teacher), *self.objective.momentum_pairs()]:
            ema.ema_update(fast, slow, momentum)

    def state(self) -> dict[str, object]:
        """The part of a checkpoint beside the modules' tensors; all ranks call it together."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
            "seconds": self.seconds,
            "pending": [
                {"total": t.total, "parts": dict(t.parts)} for t in _mean_over_ranks(self.pending)
            ],
            "rng": process_group.all_gather_object({"cpu": torch.get_rng_state(), "cuda": cuda}),
            "probes": None if self.observer is None else self.observer.optimizer_state(),
            "trained": None if self.averaged is None else self.averaged.trained_weights(),
            "low_rank": None if self.low_rank is None else self.low_rank.trained_weights(),
        }

    def load_state(self, step: int, state: Mapping[str, Any]) -> None:
        """Continue from `state`; the modules' tensors are loaded separately.

        With another number of processes the generators (dropout and its like) begin anew from
        seed, step and process; all else goes on as it was.
        """
        self.step = step
        self.seconds = state["seconds"]
        self.pending = [
            Terms(t["total"].to(self.device), {k: v.to(self.device) for k, v in t["parts"].items()})
            for t in state["pending"]
        ]
        if self.averaged is not None:
            self.averaged.load_trained_weights(state["trained"])
        if self.low_rank is not None:
            self.low_rank.load_trained_weights(state["low_rank"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        if self.observer is not None:
            self.observer.load_optimizer_state(state["probes"])
        if len(state["rng"]) != collectives.world():
            torch.manual_seed(hash((self.seed, step, collectives.rank())) % 2**63)
            return
        own = state["rng"][collectives.rank()]
        torch.set_rng_state(own["cpu"])
        if own["cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(own["cuda"], self.device)


def _mean_over_ranks(pending: list[Terms]) -> list[Terms]:
    return [
        Terms(
            collectives.all_reduce_mean(t.total),
            {k: collectives.all_reduce_mean(v) for k, v in t.parts.items()},
        )
        for t in pending
    ]


def with_pool(
    views: list[torch.Tensor], labels: torch.Tensor | None, pool: torch.Tensor
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Views whose last len(pool) images of the global batch are the pool's, in every view.

    Image i of process r of W is number i W + r of the global batch. The pool is resized to views
    of other sizes, and has no labels.
    """
    rank, world = collectives.rank(), collectives.world()
    whole = len(views[0]) * world
    if len(pool) > whole - 2:
        raise ValueError(f"a batch of {whole} images leaves no two beside a pool of {len(pool)}")
    # slices, since the numbers of a list would be copied to the device, which waits for it
    own = slice((rank - whole + len(pool)) % world, None, world)
    first = (whole - len(pool) + own.start) // world
    if own.start >= len(pool):
        return views, labels
    replaced = []
    for view in views:
        patches = pool[own]
        if patches.shape[-2:] != view.shape[-2:]:
            patches = F.interpolate(patches, view.shape[-2:], mode="bilinear", antialias=True)
        changed = view.clone()
        changed[first:] = patches.to(view)
        replaced.append(changed)
    if labels is not None:
        labels = labels.clone()
        labels[first:] = -1
    return replaced, labels
