"""Tiny runs for the tests of pretrain, and how to compare two of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jessl import Pretrain, Run, pretrain
from jessl.core.interruption import Stopped
from jessl.training import checkpoint

SMALL = {
    "encoder": "smallconv:4",
    "size": 8,
    "epochs": 3,
    "batch_size": 16,
    "log_steps": 1,
    "view_options": {"flip": 0.0},
    "workers": 1,
}


def small_config(data: Path | str, out: Path, **changes: object) -> Pretrain:
    return Pretrain(**{"data": str(data), "out": str(out), **SMALL, **changes})  # type: ignore[arg-type]


def labelled_images(folder: Path) -> np.ndarray:
    """Write `folder`/images.npz, 24 images of 8 px in three classes; the images."""
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", x=x, y=np.arange(24) % 3)
    return x


def losses(run: Run) -> list[tuple[int | None, object]]:
    return [(r.step, r.value) for r in run.records() if r.name == "loss"]


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.steps(run.checkpoints)[-1][1] / checkpoint.MODEL)


def same_weights(a: Run, b: Run) -> None:
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)


def stop_and_resume(data: Path | str, folder: Path, **fields: object) -> Run:
    """A run that is stopped after its first evaluated epoch, and then resumed to its end."""
    reached = 0

    def on_evaluation(epoch: int, _scores: dict[str, float]) -> None:
        nonlocal reached
        reached = epoch

    with pytest.raises(Stopped):
        pretrain(
            small_config(data, folder, **fields),
            quiet=True, on_evaluation=on_evaluation, stop=lambda: reached == 1,
        )  # fmt: skip
    return pretrain(small_config(data, folder, resume=True, **fields), quiet=True)
