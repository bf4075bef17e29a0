"""Training on from weights with labels: averages, layer-wise rates, the classifier's accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.run_samples import (
    labelled_images,
    losses,
    same_weights,
    small_config,
    stop_and_resume,
    weights,
)
from jessl import embed, pretrain
from jessl.core.log import SILENT
from jessl.data import open_source
from jessl.extraction.open_encoder import open_encoder
from jessl.pretraining.early_stopping import EarlyStopping
from jessl.pretraining.images import split_images
from jessl.records import HELD_OUT
from jessl.schema import CLASSIFIER_ACCURACY

FIELDS = {
    "objective": "supervised",
    "layer_decay": 0.5,
    "ema_weights": 0.9,
    "batch_size": 6,
    "holdout": 6,
    "epochs": 3,
    "evaluate_epochs": 1,
    "checkpoint_epochs": 1,
    "keep_checkpoints": 0,
    "online_probes": False,
}


def test_the_average_is_evaluated_and_kept_and_resumed(tmp_path: Path) -> None:
    labelled_images(tmp_path)
    data = tmp_path / "images.npz"
    whole = pretrain(small_config(data, tmp_path / "whole", **FIELDS), quiet=True)

    half = stop_and_resume(data, tmp_path / "half", **FIELDS)
    assert losses(whole) == losses(half)
    same_weights(whole, half)

    # the record is the accuracy of the encoder and classifier that a run is opened with
    config, source = whole.resolved_config(), open_source(data)
    _, held_out = split_images(source, config)
    encoder, objective, _ = open_encoder(whole)
    assert objective is not None
    z = embed(encoder, held_out)
    with torch.no_grad():
        logits = objective.eval().classify(torch.tensor(z.features))
    accuracy = float((logits.argmax(dim=1).numpy() == z.labels).mean())
    recorded = [
        r.value for r in whole.records() if r.name == CLASSIFIER_ACCURACY and r.split == HELD_OUT
    ]
    assert len(recorded) == 3
    assert recorded[-1] == pytest.approx(accuracy, abs=1e-6)
    state = torch.load(
        whole.checkpoints / sorted(p.name for p in whole.checkpoints.iterdir())[-1] / "state.pt",
        weights_only=True,
    )
    trained = state["trainer"]["trained"]["encoder"]
    kept = weights(whole)
    assert not torch.equal(trained["body.layers.0.weight"], kept["encoder.body.layers.0.weight"])


def test_patience_counts_the_accuracy_of_the_classifier() -> None:
    early = EarlyStopping(2, [], SILENT, CLASSIFIER_ACCURACY)
    for epoch, value in enumerate([0.5, 0.6, 0.6, 0.55]):
        assert not early.enough()
        early.update(epoch, {CLASSIFIER_ACCURACY: value, "view_retrieval/backbone": epoch})
    assert early.enough()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_decay": 0.0}, "layer_decay: expected a number above 0 and up to 1"),
        ({"layer_decay": 1.1}, "layer_decay"),
        ({"ema_weights": 1.0}, r"ema_weights: expected a number in \[0, 1\)"),
    ],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, changes: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pretrain(small_config("digits", tmp_path / "run", **changes), quiet=True)
    assert not (tmp_path / "run" / "config.json").exists()


def _few_labels(folder: Path) -> Path:
    """24 images of 8 px; 12 of them have one of two classes, 8 and 4."""
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    y = np.full(24, -1)
    y[:12] = [0, 0, 1] * 4
    np.savez(folder / "images.npz", x=x, y=y)
    return folder / "images.npz"


def test_only_labelled_images_are_trained_on_in_shares_of_their_classes(tmp_path: Path) -> None:
    source = open_source(_few_labels(tmp_path))
    config = small_config(
        tmp_path / "images.npz", tmp_path / "run", objective="supervised", labelled_only=True,
        holdout=3, batch_size=4, epochs=1,
    )  # fmt: skip
    run = pretrain(config, quiet=True)
    train, held_out = split_images(source, run.resolved_config())
    assert train.labels is not None
    assert held_out.labels is not None
    assert np.bincount(train.labels).tolist() == [6, 3]
    assert np.bincount(held_out.labels).tolist() == [2, 1]
    assert not set(train.ids.tolist()) & set(held_out.ids.tolist())
    assert run.facts()["n_train"] == 9
    assert run.facts()["n_sample"] == 3


def test_without_labels_there_is_nothing_to_train_on(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", x=np.zeros((24, 8, 8, 3), np.uint8))
    config = small_config(tmp_path / "images.npz", tmp_path / "run", labelled_only=True)
    with pytest.raises(ValueError, match=r"labelled_only: .* has no labels"):
        pretrain(config, quiet=True)
