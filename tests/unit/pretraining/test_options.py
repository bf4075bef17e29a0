"""Options of the engine, end to end: what they change and what they leave alone."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.run_samples import losses, same_weights, small_config
from jessl import Run, embed, pretrain
from jessl.cli._parsing import parse
from jessl.cli._signals import stop_on_signals
from jessl.cli.pretrain import PretrainCommand, override_recipe
from jessl.config import Pretrain
from jessl.objectives import CONFIGS

ONE = {"epochs": 1, "batch_size": 48}


@pytest.mark.parametrize("objective", sorted(CONFIGS))
def test_every_objective_trains_and_is_judged(
    stripes: Path, tmp_path: Path, objective: str
) -> None:
    options = {"dissl": {"classes": 64}}.get(objective, {})
    teacher = {}
    if objective == "distill":
        embed("smallconv:4", stripes, init="random", out=tmp_path / "teacher")
        teacher = {"teacher": str(tmp_path / "teacher")}
    config = small_config(
        stripes, tmp_path / "run", objective=objective, objective_options=options, **teacher, **ONE
    )
    run = pretrain(config, quiet=True)
    assert run.finished()
    found = {r.name for r in run.records()}
    assert {"loss", "rankme/backbone", "rankme/projector", "spread/backbone"} <= found
    assert {f"accuracy/online_top1/{x}" for x in ("backbone", "projector")} <= found
    projected = embed(run, stripes, layers=["projector"])
    assert projected.n == 96


def test_probes_change_nothing_of_the_training(stripes: Path, tmp_path: Path) -> None:
    with_probes = pretrain(small_config(stripes, tmp_path / "a"), quiet=True)
    without = pretrain(small_config(stripes, tmp_path / "b", online_probes=False), quiet=True)
    assert losses(with_probes) == losses(without)
    assert not any("online" in r.name for r in without.records())


def test_labels_that_number_no_classes_get_no_classifier(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = np.load(stripes)
    np.savez(tmp_path / "years.npz", x=held["x"], y=held["y"] * 1_000_000)
    pretrain(small_config(tmp_path / "years.npz", tmp_path / "a", **ONE))
    said = "labels of .*years.npz go up to 1,000,000 for 2 classes; number the classes from 0 on"
    assert re.search(f"note: no online probes: {said}", capsys.readouterr().err)
    config = small_config(tmp_path / "years.npz", tmp_path / "b", objective="supervised", **ONE)
    with pytest.raises(ValueError, match=f"objective supervised: {said}"):
        pretrain(config, quiet=True)


def test_blocks_computed_again_change_nothing(stripes: Path, tmp_path: Path) -> None:
    changes = {"encoder": "timm:resnet10t", "objective": "byol", **ONE}
    plain = pretrain(small_config(stripes, tmp_path / "a", **changes), quiet=True)
    again = pretrain(
        small_config(stripes, tmp_path / "b", grad_checkpointing=True, **changes), quiet=True
    )
    assert losses(plain) == losses(again)
    same_weights(plain, again)


def test_a_run_with_its_own_dim_is_opened_again(stripes: Path, tmp_path: Path) -> None:
    run = pretrain(small_config(stripes, tmp_path / "run", dim=50, **ONE), quiet=True)
    assert run.facts()["dim"] == 50
    assert embed(Run.open(run.path), stripes).d == 50
    more = small_config(stripes, tmp_path / "more", dim=50, init=str(run.path), **ONE)
    assert pretrain(more, quiet=True).finished()


def test_hidden_layers_of_a_projector_are_embedded(stripes: Path, tmp_path: Path) -> None:
    options = {"projector": "20-12-6"}
    config = small_config(stripes, tmp_path / "run", objective_options=options, **ONE)
    run = pretrain(config, quiet=True)
    found = embed(run, stripes, layers=["backbone", "projector.1", "projector.2", "projector"])
    assert isinstance(found, dict)
    assert [e.d for e in found.values()] == [32, 20, 12, 6]
    with pytest.raises(ValueError, match=r"projector\.2"):
        embed(run, stripes, layers=["projector.9"])


def test_resuming_checks_what_may_change(stripes: Path, tmp_path: Path) -> None:
    run = pretrain(small_config(stripes, tmp_path / "run", **ONE), quiet=True)
    for changes, said in (
        ({"keep_checkpoints": -1}, "keep_checkpoints: expected at least 0"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds: expected at least 0"),
    ):
        config = Pretrain(data=str(stripes), out=str(run.path), resume=True, **changes)
        with pytest.raises(ValueError, match=said):
            pretrain(config, quiet=True)


def test_a_patch_is_the_only_negative(stripes: Path, tmp_path: Path) -> None:
    config = small_config(
        stripes, tmp_path / "run", objective="simclr", objective_options={"pool": 1}
    )
    pool = pretrain(config, quiet=True)
    plain = pretrain(small_config(stripes, tmp_path / "b", objective="simclr"), quiet=True)
    assert pool.finished()
    assert losses(pool) != losses(plain)
    grows = small_config(
        stripes, tmp_path / "c", objective="simclr", objective_options={"pool": 2},
        start_size=8, size=16, epochs=4,
    )  # fmt: skip
    assert pretrain(grows, quiet=True).finished()


def test_layouts_and_parts_train(stripes: Path, tmp_path: Path) -> None:
    plain = pretrain(small_config(stripes, tmp_path / "a", **ONE), quiet=True)
    parts = pretrain(
        small_config(
            stripes, tmp_path / "b", micro_batch_size=16, channels_last=True, clip_norm=100.0, **ONE
        ),
        quiet=True,
    )
    one, two = ([v for _, v in losses(run)] for run in (plain, parts))
    # batch norm of the encoder sees a part at a time: near, not equal
    torch.testing.assert_close(torch.tensor(one), torch.tensor(two), rtol=0.2, atol=0.0)
    assert one != two


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 1}, "batch_size: expected at least 2, got 1"),
        ({"micro_batch_size": 0}, "micro_batch_size: expected at least 1, got 0"),
        ({"clip_norm": 0.0}, "clip_norm: expected at least"),
        ({"dim": 0}, "dim: expected at least 1, got 0"),
        ({"start_size": 16}, "start_size: expected a number in 8..8 (size), got 16"),
        ({"objective_options": {"projector": "8-x"}}, "expected 8192-8192-2048"),
        (
            {"objective_options": {"cov": float("inf")}},
            "objective_options: cov: expected a finite number",
        ),
        ({"warmup_epochs": 3}, "warmup_epochs 3 must be below the 3 epochs of the training"),
        (
            {"encoder": "timm:vit_tiny_patch16_224", "size": 64, "start_size": 48, "epochs": 50},
            "does not take views of 50 px",
        ),
        ({"grad_checkpointing": True}, "encoder smallconv:4 has no blocks to recompute"),
        ({"objective": "supervised", "labels": None, "data": "unlabelled"}, "learns from labels"),
        ({"objective": "simclr", "objective_options": {"negatives": 99}}, "at most 30"),
        (
            {"views": "multicrop", "view_options": {"num_local": 0, "num_global": 1}},
            "views multicrop are 1 an image; vicreg needs at least 2",
        ),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    stripes: Path, tmp_path: Path, changes: dict, said: str
) -> None:
    data = stripes
    if changes.get("data") == "unlabelled":
        data = tmp_path / "bare.npy"
        np.save(data, np.load(stripes)["x"])
    changes = {k: v for k, v in changes.items() if k not in ("data", "labels")}
    with pytest.raises(ValueError, match=re.escape(said)) as told:
        pretrain(small_config(data, tmp_path / "run", **changes), quiet=True)
    assert "\n" not in str(told.value)


def test_a_recipe_is_what_other_options_go_over() -> None:
    asked = Pretrain(data="x", batch_size=512, objective_options={"temperature": 0.3})
    names = frozenset({"data", "batch_size", "objective_options"})
    config = override_recipe("simclr_resnet50_256", asked, names)
    assert config.optimizer == "lars"
    assert config.lr == pytest.approx(2.0)  # base 1.0 x 512 / 256
    assert config.objective_options["temperature"] == 0.3
    assert config.objective_options["projector"] == "2048-512"
    assert config.data == "x"
    # options belong to their objective; a default that is asked for goes over the recipe too
    asked = Pretrain(data="x", objective="vicreg", lr=0.1)
    other = override_recipe("simclr_resnet50_256", asked, frozenset({"objective", "lr"}))
    assert other.objective == "vicreg"
    assert other.objective_options == {}
    assert other.lr == 0.1
    with pytest.raises(ValueError, match="did you mean 'simclr_resnet50_256'"):
        override_recipe("simclr_resnet50_25", asked, frozenset())


def test_the_command_line_knows_what_it_was_given() -> None:
    args = ["--data", "x", "--recipe", "small", "--objective", "vicreg", "--batch-size=64"]
    command = parse("pretrain", PretrainCommand, [*args, "--no-online-probes"])
    assert command.given >= {"data", "recipe", "objective", "batch_size", "online_probes"}
    config = command.config()
    assert (config.objective, config.batch_size, config.lr) == ("vicreg", 64, pytest.approx(5e-4))
    assert config.encoder == "smallconv:32"
    short = override_recipe(
        "vicreg_resnet50_256", Pretrain(data="x", epochs=10), frozenset({"epochs"})
    )
    assert short.warmup_epochs == 1.0
    assert config.online_probes is False


def test_slurm_options_need_slurm() -> None:
    command = PretrainCommand(data="x", slurm_options={"nodes": 2})
    with pytest.raises(ValueError, match="with --slurm only"):
        command.run()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE: expected a whole number of at least 1, got 'abc'"),
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT is not set"),
        (
            {"WORLD_SIZE": "2", "RANK": "5", "MASTER_ADDR": "x", "MASTER_PORT": "1"},
            "RANK: expected a whole number from 0 to 1, got '5'",
        ),
    ],
)
def test_an_environment_of_no_group_is_one_line(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict, said: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=re.escape(said)):
        pretrain(small_config(stripes, tmp_path / "run"), quiet=True)


def test_signals_that_nohup_ignores_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals("again") as stop:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGTERM)
            assert stop()
    finally:
        signal.signal(signal.SIGHUP, before)
