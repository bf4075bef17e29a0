"""Selections at the edge: a sweep that collapsed as a whole, two settings, equal scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from jessl import Pretrain, Run, select
from jessl.cli.main import main
from jessl.config import ResolvedPretrain
from jessl.records import Record, append
from jessl.selection.panel import FAMILIES

DECIDED = {
    "encoder": "smallconv", "size": 32, "batch_size": 64, "epochs": 10, "holdout": 0, "lr": 0.1,
    "weight_decay": 0.01, "warmup_epochs": 1.0, "evaluate_epochs": 1, "checkpoint_epochs": 1,
    "log_steps": 1,
}  # fmt: skip


def _run(
    folder: Path, lr: float, scores: Mapping[str, float], untrained: float | None = 0.04
) -> Run:
    """A finished run with these scores, each with a standard deviation of .005."""
    run = Run(folder)
    config = Pretrain(data="digits", objective="vicreg", lr=lr)
    chosen = {k: v for k, v in config.as_json().items() if v is not None}
    run.write_config(config, ResolvedPretrain.from_json({**DECIDED, **chosen}), {"dim": 64})
    one = Record(run=run.name, name="", value=0.0, sd=0.005, split="pretrain")
    extra = {"n": 400, "d": 64, "untrained": untrained}
    append(folder, [Record(run=run.name, name="loss", value=1.0)])
    append(
        folder,
        [
            dataclasses.replace(one, name=name, value=value, extra=extra)
            for name, value in {"rankme/projector": 9.0, **scores, "rankme/backbone": 9.0}.items()
        ],
    )
    return run


def _scores(value: float) -> dict[str, float]:
    return dict.fromkeys(FAMILIES.values(), value)


def test_a_sweep_that_collapsed_as_a_whole_has_no_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k, value in enumerate((0.002, 0.002, 0.003)):
        _run(tmp_path / f"r{k}", 10.0**k, _scores(value))
    result = select(tmp_path, by="panel")
    assert (result.by, result.chosen) == ("panel", {})
    assert result.groups[0].choices[0].rule.startswith("all settings are below the untrained")
    assert main(["select", str(tmp_path), "--by", "panel"]) == 0
    assert "No run can be chosen by panel: all settings are below" in capsys.readouterr().out


def test_one_setting_that_trained_among_collapsed_ones_is_taken(tmp_path: Path) -> None:
    _run(tmp_path / "good", 0.1, _scores(0.3))
    # a collapsed encoder may look best to one criterion
    collapsed = _scores(0.002) | {"rotation/backbone": 0.9}
    _run(tmp_path / "bad", 1.0, collapsed)
    result = select(tmp_path, by="panel")
    assert result.chosen == {"vicreg": str(tmp_path / "good")}
    assert any("left out, below the untrained encoder" in w for w in result.warnings)


def test_two_settings_are_enough_to_choose(tmp_path: Path) -> None:
    _run(tmp_path / "a", 0.1, _scores(0.3))
    _run(tmp_path / "b", 0.2, _scores(0.2))
    result = select(tmp_path, by="panel")
    assert result.chosen == {"vicreg": str(tmp_path / "a")}
    # of two values each one is at an edge: no warning
    assert not any("the best may lie beyond" in w for w in result.warnings)


def test_equal_scores_tie_all(tmp_path: Path) -> None:
    for k in range(3):
        _run(tmp_path / f"r{k}", 10.0**k, _scores(0.2))
    choice = select(tmp_path, by="panel").groups[0].choices[0]
    assert len(choice.tied) == 3
    assert choice.setting is not None


def test_runs_that_never_were_untrained_are_not_dropped(tmp_path: Path) -> None:
    """Runs from other weights (--init) have no untrained value: nothing to be below."""
    for k, value in enumerate((0.002, 0.003)):
        _run(tmp_path / f"r{k}", 10.0**k, _scores(value), untrained=None)
    assert select(tmp_path, by="panel").chosen
