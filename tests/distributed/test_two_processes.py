"""Two processes give the loss and, after averaging, the gradients of one on the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.groups import WORLD, together
from jessl.objectives import CONFIGS, TrainingPosition, build_objective
from jessl.training.syncbn import synchronise

VIEWS, BATCH, DIM = 3, 12, 10
# (method, options): every method as it comes, and what draws or remembers
# but dissl, whose 16384 classes would be half a gigabyte a process to hand over
SMALLER: dict[str, dict[str, Any]] = {"dissl": {"classes": 32}, "nnclr": {"queue": 64}}
CASES: list[tuple[str, dict[str, Any]]] = [(n, SMALLER.get(n, {})) for n in sorted(CONFIGS)]
CASES += [
    ("simclr", {"negatives": 1}),
    ("simclr", {"negatives": 9, "projector": "linear", "teacher_head": "mlp"}),
    ("simclr", {"pool": 3}),
    ("dcl", {"projector": "linear", "teacher_head": "mlp"}),
    ("cissl", {"student_head": "mlp"}),
    ("swav", {"queue": 10, "queue_from_epoch": 5, "predictor": "mlp"}),
    ("swav", {"queue": 40}),  # not full within the steps below
    ("dino", {"predictor": "mlp", "prototypes": 7}),
    ("dissl", {"student_head": "identity", "projector": "20-6", "classes": 24}),
    ("dissl", {"student_head": "mlp", "projector": "identity", "classes": 6}),
    ("lejepa", {"projector": "20-6", "directions": 8, "knots": 9}),
    ("nnclr", {"queue": 7, "predictor": "linear"}),  # shorter than a batch
    ("nnclr", {"queue": 30}),  # neighbours of the step before
    ("distill", {"projector": "20-6", "teacher_dim": 5, "variant": "relational"}),
    ("visreg", {"projector": "20-6", "directions": 8, "shape": 2.0, "scale": 0.5}),
    ("supervised", {"projector": "20-6", "classes": 3, "label_smoothing": 0.1}),
]


def _inputs(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(step)
    common = torch.randn(1, BATCH, DIM, generator=g, dtype=torch.float64)
    h = common + 0.5 * torch.randn(VIEWS, BATCH, DIM, generator=g, dtype=torch.float64)
    teacher = common + 0.5 * torch.randn(VIEWS, BATCH, DIM, generator=g, dtype=torch.float64)
    return h, teacher, torch.arange(BATCH) % 3


def _targets(step: int, width: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(100 + step)
    return torch.randn(BATCH, width, generator=g, dtype=torch.float64)


def _steps(case: int, rank: int, world: int) -> dict[str, torch.Tensor]:
    """Loss, gradients and state of two steps on this process's share."""
    method, options = CASES[case]
    torch.manual_seed(case)
    objective = synchronise(build_objective(method, DIM, options).double())
    found: dict[str, torch.Tensor] = {}
    for step in range(2):
        h, teacher, labels = (x[..., rank::world, :] if x.ndim > 1 else x[rank::world]
                              for x in _inputs(step))  # fmt: skip
        h = h.clone().requires_grad_()
        objective.zero_grad()
        objective.begin_step(TrainingPosition(step=50 + step, total_steps=100, steps_per_epoch=10))
        n_global = 2
        terms = objective.loss(
            h,
            teacher[:n_global] if objective.uses_teacher else None,
            n_global=n_global,
            labels=labels if objective.uses_labels else None,
            targets=_targets(step, objective.target_dim)[rank::world],
        )
        terms.total.backward()
        assert h.grad is not None
        found[f"{step} loss"] = terms.total.detach()
        found |= {f"{step} part {k}": v for k, v in terms.parts.items()}
        found[f"{step} representations"] = h.grad
        for name, p in objective.named_parameters():
            if p.grad is not None:
                found[f"{step} gradient of {name}"] = p.grad.clone()
    return found | {f"state {k}": v for k, v in objective.state_dict().items()}


def _all(rank: int) -> list[dict[str, torch.Tensor]]:
    return [_steps(case, rank, WORLD) for case in range(len(CASES))]


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return together(_all, tmp_path_factory.mktemp("together"))


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{m} {o or ''}" for m, o in CASES])
def test_two_processes_are_one(shares: list[Any], case: int, tmp_path: Path) -> None:
    whole = _steps(case, 0, 1)
    parts = [shares[rank][case] for rank in range(WORLD)]
    for name, expected in whole.items():
        if "representations" in name:
            # each process differentiates its own total: their sum is WORLD times the mean
            got = torch.stack([p[name] for p in parts], dim=2).flatten(1, 2) / WORLD
        elif name.startswith("state"):
            assert all(torch.allclose(p[name], expected, rtol=1e-9, atol=1e-9) for p in parts), name
            continue
        else:
            got = torch.stack([p[name] for p in parts]).mean(dim=0)
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-9, msg=f"{name} differs")
