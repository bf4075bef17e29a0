"""Training on from weights: the pull to the start, and steps that leave the encoder alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.run_samples import (
    labelled_images,
    same_weights,
    small_config,
    stop_and_resume,
    weights,
)
from jessl import pretrain
from jessl.training.anchor import Anchor

FIELDS = {
    "objective": "simclr",
    "batch_size": 6,
    "holdout": 6,
    "epochs": 2,
    "checkpoint_epochs": 1,
    "lr": 0.02,
}


def test_a_pull_is_a_share_of_the_way_back() -> None:
    layer = nn.Linear(3, 2)
    start = {k: v.detach() + 1 for k, v in layer.named_parameters()}
    before = layer.weight.detach().clone()
    anchor = Anchor(layer, start, strength=50.0)
    anchor.pull(rate=5e-3)
    torch.testing.assert_close(layer.weight.detach(), before + 0.25)
    anchor.pull(rate=1.0)  # never beyond the start
    torch.testing.assert_close(layer.weight.detach(), before + 1)
    start["weight"].add_(1)  # its own copy of the start
    anchor.pull(rate=1.0)
    torch.testing.assert_close(layer.weight.detach(), before + 1)


def test_a_start_of_another_shape_is_refused() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="do not hold weight as it is"):
        Anchor(layer, {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}, strength=1.0)
    with pytest.raises(ValueError, match="bias"):
        Anchor(layer, {"weight": torch.zeros(2, 3)}, strength=1.0)


def _distance(path: Path, start: dict[str, torch.Tensor], **changes: object) -> float:
    run = pretrain(
        small_config(
            path.parent / "images.npz", path, init=str(path.parent / "start"), **FIELDS, **changes
        ),
        quiet=True,
    )
    after = weights(run)
    return sum(
        float((after[k] - v).square().sum())
        for k, v in start.items()
        if k.startswith("encoder.") and "weight" in k
    )


def test_runs_stay_near_their_start(tmp_path: Path) -> None:
    labelled_images(tmp_path)
    first = pretrain(
        small_config(tmp_path / "images.npz", tmp_path / "start", **FIELDS | {"epochs": 1}),
        quiet=True,
    )
    start = weights(first)
    free = _distance(tmp_path / "free", start)
    near = _distance(tmp_path / "near", start, anchor=30.0)
    half = _distance(tmp_path / "half", start, frozen_epochs=1.5)
    assert 0 < near < free / 4
    assert 0 < half < free

    # the anchor of a resumed run is the start, not the checkpoint
    config = {"init": str(tmp_path / "start"), "anchor": 30.0, **FIELDS}
    data = tmp_path / "images.npz"
    resumed = stop_and_resume(data, tmp_path / "stopped", evaluate_epochs=1, **config)
    whole = pretrain(
        small_config(data, tmp_path / "whole", evaluate_epochs=1, **config), quiet=True
    )
    same_weights(resumed, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchor": 10.0}, "anchor: expected init"),
        ({"frozen_epochs": 1.0}, "frozen_epochs: expected init"),
        ({"anchor": -1.0, "init": "start"}, "anchor: expected at least 0"),
        ({"frozen_epochs": 2.0, "init": "start"}, "must be below the 2 epochs"),
        (
            {"frozen_epochs": 1.0, "init": "pretrained", "objective": "distill"},
            "teacher",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    labelled_images(tmp_path)
    with pytest.raises(ValueError, match=message):
        pretrain(
            small_config(tmp_path / "images.npz", tmp_path / "run", **FIELDS | changes), quiet=True
        )
    assert not (tmp_path / "run" / "config.json").exists()
