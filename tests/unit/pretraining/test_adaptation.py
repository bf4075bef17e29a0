"""Training on from other weights, and whether it made them better."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from helpers.run_samples import small_config, weights
from jessl import Run, embed, pretrain
from jessl.cli.pretrain import better_weights, next_commands
from jessl.core.interruption import Stopped
from jessl.data import open_source
from jessl.encoders import Encoder
from jessl.extraction.open_encoder import open_encoder
from jessl.pretraining.adaptation import Adaptation, judge_adaptation, start_checkpoint
from jessl.report import write_report


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 digits, 8 px, with labels, and the same without."""
    folder = tmp_path_factory.mktemp("digits")
    images = load_digits()
    x = np.repeat((images.images[:240] * 15.9).astype(np.uint8)[..., None], 3, axis=3)
    np.savez(folder / "labelled.npz", x=x, y=images.target[:240])
    np.save(folder / "plain.npy", x)
    return folder


@pytest.fixture(scope="module")
def start(digits: Path) -> Run:
    return pretrain(
        small_config(digits / "plain.npy", digits / "start", epochs=2, objective="simclr"),
        quiet=True,
    )


@pytest.fixture(scope="module")
def adapted(digits: Path, start: Run) -> Run:
    config = small_config(
        digits / "labelled.npz",
        digits / "adapted",
        epochs=1,
        objective="simclr",
        init=str(start.path),
        holdout=120,
    )
    return pretrain(config, quiet=True)


@pytest.fixture(scope="module")
def good_and_ruined(start: Run) -> tuple[Encoder, Encoder]:
    """The encoder, and one that sees a single pixel in 16 of its input."""
    good, _, _ = open_encoder(start)
    ruined = copy.deepcopy(good)
    ruined.register_forward_pre_hook(lambda _m, x: (x[0][..., ::4, ::4].repeat(1, 1, 4, 4),))
    return good, ruined


def _result(run: Run) -> dict:
    (record,) = (r for r in run.records() if r.name == "adaptation")
    return record.extra


def test_the_start_is_kept_and_opens(digits: Path, start: Run, adapted: Run) -> None:
    kept = load_file(start_checkpoint(adapted) / "model.safetensors")
    ours = {k: v for k, v in weights(start).items() if k.startswith("encoder.")}
    assert ours
    assert all(torch.equal(kept[k], v) for k, v in ours.items())
    z = embed(start_checkpoint(adapted), digits / "plain.npy")
    assert np.array_equal(z.features, embed(start, digits / "plain.npy").features)
    assert not start_checkpoint(start).exists()
    assert not any(r.name == "adaptation" for r in start.records())


def test_a_run_keeps_the_comparison(adapted: Run) -> None:
    result = _result(adapted)
    d = result["few_shot"]["difference"]
    expected = "better" if d["low"] > 0 else "worse" if d["high"] < 0 else "cannot be distinguished"
    assert result["conclusion"] == expected
    assert result["chosen"] == ("after" if expected == "better" else "before")
    sentence = result["text"].partition(":")[0][1:]  # the page sets numbers its own way
    assert sentence in write_report(adapted.path).read_text("utf-8")
    assert result["few_shot"]["n"] == 120
    assert "labels a class" in result["text"]


def test_a_ruined_encoder_is_worse(digits: Path, good_and_ruined: tuple[Encoder, Encoder]) -> None:
    good, ruined = good_and_ruined
    images = open_source(digits / "labelled.npz")
    worse = judge_adaptation(good, ruined, images, images, held_out=False)
    assert (worse.conclusion, worse.chosen) == ("worse", "before")
    assert worse.few_shot is not None
    assert worse.few_shot.difference.high < 0
    assert worse.few_shot.second > worse.few_shot.first > 0
    better = judge_adaptation(ruined, good, images, images, held_out=False)
    assert (better.conclusion, better.chosen) == ("better", "after")


def test_without_labels_nothing_is_called_better_or_worse(
    digits: Path, good_and_ruined: tuple[Encoder, Encoder]
) -> None:
    good, ruined = good_and_ruined
    images = open_source(digits / "plain.npy")
    worse = judge_adaptation(good, ruined, images, images, held_out=False)
    assert worse.view_retrieval is not None
    assert worse.view_retrieval[2] < 0
    assert (worse.conclusion, worse.few_shot) == ("cannot be distinguished", None)
    assert "view retrieval" in worse.text
    same = judge_adaptation(good, good, images, images, held_out=False)
    assert (same.conclusion, same.chosen) == ("cannot be distinguished", "before")
    rises = judge_adaptation(ruined, good, images, images, held_out=False)
    assert rises.view_retrieval is not None
    assert rises.view_retrieval[1] > 0
    assert (rises.conclusion, rises.chosen) == ("cannot be distinguished", "before")
    assert "cannot be judged without labels" in rises.text
    assert "give --labels for 5 images a class" in rises.text


def test_labels_without_held_out_images_are_divided(digits: Path, start: Run) -> None:
    encoder, _, _ = open_encoder(start)
    images = open_source(digits / "labelled.npz")
    result = judge_adaptation(encoder, encoder, images, images, held_out=False)
    assert result.few_shot is not None
    assert result.few_shot.n == 120


def test_too_few_images_cannot_be_compared_on(digits: Path, start: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.load(digits / "plain.npy")[:12])
    encoder, _, _ = open_encoder(start)
    images = open_source(tmp_path / "few.npy")
    result: Adaptation = judge_adaptation(encoder, encoder, images, images, held_out=False)
    assert (result.conclusion, result.view_retrieval) == ("cannot be distinguished", None)
    assert "too few images" in result.text


def test_a_stopped_comparison_goes_on(digits: Path, start: Run, tmp_path: Path) -> None:
    config = small_config(
        digits / "plain.npy", tmp_path / "run", epochs=1, init=str(start.path), lr=1e-4
    )

    def stop() -> bool:
        return (tmp_path / "run" / "neighbours.png").exists()  # the comparison comes next

    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=stop)
    assert not Run.open(tmp_path / "run").finished()
    resumed = pretrain(dataclasses.replace(config, resume=True), quiet=True)
    assert _result(resumed)["conclusion"] in ("better", "worse", "cannot be distinguished")


@pytest.mark.parametrize("chosen", ["before", "after"])
def test_the_next_commands_use_the_better_weights(adapted: Run, chosen: str) -> None:
    weights_of = {"before": start_checkpoint(adapted), "after": adapted.path}
    better = better_weights(adapted, [{"chosen": chosen}])
    assert better == weights_of[chosen]
    assert f"--encoder {better} " in next_commands(adapted, better)[1]
