"""Steps of a small training that several tests take."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from jessl.encoders import build_encoder
from jessl.objectives import Objective, build_objective
from jessl.pretraining.build import _layer_widths
from jessl.probes.layers import LayerProbes
from jessl.training.optimizers import build_optimizer
from jessl.training.step import Trainer

# of the targets of `targets`
TARGET_DIM = 10

OPTIONS: dict[str, dict[str, Any]] = {
    "supervised": {"classes": 3},
    "dissl": {"classes": 16},
    "dino": {"prototypes": 16},
    "distill": {"teacher_dim": TARGET_DIM},
    "nnclr": {"queue": 20},
    "swav": {"prototypes": 16, "queue": 16, "queue_from_epoch": 0.0},
}


def trainer_of(
    encoder: nn.Module,
    objective: Objective,
    *,
    optimizer: str = "adamw",
    lr: float = 0.01,
    weight_decay: float = 0.0,
    **changes: Any,
) -> Trainer:
    """A trainer of these modules on the CPU: nine steps, three an epoch, unless changed."""
    settings = {
        "total_steps": 9,
        "warmup_steps": 0,
        "steps_per_epoch": 3,
        "ema_start": 0.9,
        "precision": None,
        "device": torch.device("cpu"),
    }
    return Trainer(
        encoder=encoder,
        objective=objective,
        optimizer=build_optimizer(
            optimizer, [encoder, objective], lr=lr, weight_decay=weight_decay
        ),
        lr=lr,
        **{**settings, **changes},
    )


def trainer(
    objective: str,
    device: str,
    *,
    precision: torch.dtype | None = None,
    options: dict[str, Any] | None = None,
    optimizer: str = "adamw",
    **more: Any,
) -> Trainer:
    """A small training of 16-pixel images by the objective, with probes of every layer."""
    torch.manual_seed(0)
    encoder = build_encoder("smallconv:4", size=16)
    loss = build_objective(objective, encoder.dim, options or OPTIONS.get(objective, {}))
    probes = LayerProbes(
        {"backbone": encoder.dim, **_layer_widths(loss, encoder.dim)}, 3, seed=0
    ).to(device)
    encoder.to(device)
    loss.to(device)
    return trainer_of(
        encoder,
        loss,
        optimizer=optimizer,
        lr=1e-3,
        weight_decay=0.01,
        total_steps=4,
        warmup_steps=1,
        steps_per_epoch=2,
        precision=precision,
        device=torch.device(device),
        observer=probes,
        **more,
    )


def batch() -> tuple[list[torch.Tensor], torch.Tensor]:
    """Two views of 8 images, and their labels."""
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(8, 3, 16, 16, generator=generator) for _ in range(2)]
    return views, torch.arange(8) % 3


def targets(n: int = 8) -> torch.Tensor:
    """Features of a teacher for n images; objectives that learn none leave them aside."""
    return torch.randn(n, TARGET_DIM, generator=torch.Generator().manual_seed(2))
