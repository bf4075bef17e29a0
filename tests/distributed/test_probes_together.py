"""Probes of two processes take the steps of one on the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from helpers.groups import WORLD, together
from jessl.probes.layers import LayerProbes
from jessl.training.syncbn import synchronise

WIDTHS = {"backbone": 12, "projector.1": 20}
BATCH = 16


def _batch(step: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    g = torch.Generator().manual_seed(step)
    x = {k: 3 + torch.randn(BATCH, d, generator=g) for k, d in WIDTHS.items()}
    y = torch.randint(0, 7, (BATCH,), generator=g)
    if step == 1:  # unequally many labels
        y[1::4] = -1
    if step == 2:  # none at all
        y[:] = -1
    if step == 3:  # the second process has none
        y[1::2] = -1
    return x, y


def _steps(rank: int, world: int) -> dict[str, torch.Tensor]:
    probes = LayerProbes(WIDTHS, 7, lr=1e-2, seed=0)
    synchronise(probes)
    found = {}
    for step in range(5):
        x, y = _batch(step)
        probes.observe({k: v[rank::world] for k, v in x.items()}, y[rank::world])
        found |= {f"{step} {k}": v.clone() for k, v in probes.state_dict().items()}
    for at, held in probes.optimizer_state()["state"].items():
        found |= {f"moment {at} {k}": v for k, v in held.items()}
    return found


def _share(rank: int) -> dict[str, torch.Tensor]:
    return _steps(rank, WORLD)


def test_two_processes_are_one(tmp_path: Path) -> None:
    whole = _steps(0, 1)
    shares: list[Any] = together(_share, tmp_path)
    for name, expected in whole.items():
        # AdamW divides by the gradient's own size, which lifts rounding to the learning rate's
        torch.testing.assert_close(
            shares[0][name], expected, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
        assert torch.equal(shares[0][name], shares[1][name]), name
    # the step without labels changed nothing, each other step everything
    for name in ("classifiers.0.weight", "classifiers.1.bias", "norm.running_var"):
        assert torch.equal(whole[f"2 {name}"], whole[f"1 {name}"])
        for step in (1, 3, 4):
            assert not torch.equal(whole[f"{step} {name}"], whole[f"{step - 1} {name}"])
