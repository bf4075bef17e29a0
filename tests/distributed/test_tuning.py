"""Two processes choose one speed: the first one's clock decides, and no collective hangs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from helpers.groups import together
from helpers.training_samples import trainer_of
from jessl.objectives import build_objective
from jessl.training.optimizers import build_optimizer
from jessl.training.syncbn import synchronise
from jessl.training.tuning.candidates import SearchSpace
from jessl.training.tuning.search import Search
from jessl.training.tuning.speed import Speed
from jessl.training.tuning.trial import TimedBatch


class _Slow(nn.Module):
    """[n, 3, 6, 6] to [n, 8]; slow on the second process in channels_last, on the first else."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.plane, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.row = nn.Linear(96, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_last = self.plane.weight.is_contiguous(memory_format=torch.channels_last)
        if is_last == bool(self.rank):
            time.sleep(0.01)
        return self.row(self.norm(self.plane(x)).flatten(1))


def _choose(rank: int) -> dict[str, Any]:
    torch.manual_seed(0)
    encoder, objective = synchronise(_Slow(rank)), synchronise(build_objective("vicreg", 8))

    def optimizer(modules: Any, fused: bool) -> torch.optim.Optimizer:
        return build_optimizer("adamw", modules, lr=0.01, weight_decay=0.0, fused=fused)

    trainer = trainer_of(encoder, objective, total_steps=6)
    g = torch.Generator().manual_seed(rank)
    views = [torch.randn(6, 3, 6, 6, generator=g) for _ in range(2)]
    names = frozenset({"channels_last", "precision", "fused_optimizer"})
    tuning = Search(
        trainer=trainer,
        space=SearchSpace(plain=Speed(), open=names),
        batch=TimedBatch(views, None),
        optimizer=optimizer,
        batches=None,
        seconds=5.0 if rank == 0 else 0.0,
        remaining_seconds=10.0,
    ).run()
    return {"speed": str(tuning.speed), "outcomes": [a.outcome for a in tuning.attempts]}


def test_both_processes_choose_alike(tmp_path: Path) -> None:
    first, second = together(_choose, tmp_path)
    assert first == second
    assert len(first["outcomes"]) >= 2
    assert not any("failed" in outcome for outcome in first["outcomes"])
