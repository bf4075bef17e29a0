"""A run that tunes itself: what it records, leaves alone and resumes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.run_samples import losses, same_weights, small_config
from jessl import Pretrain, Run, pretrain
from jessl.cli._parsing import parse
from jessl.cli.pretrain import PretrainCommand
from jessl.config import hyperparameters
from jessl.core import processor
from jessl.core.interruption import Stopped
from jessl.pretraining import speed
from jessl.report import write_report
from jessl.sweeps.space import configured
from jessl.training.tuning import search
from jessl.training.tuning.search import Search
from jessl.training.tuning.trial import Trial


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of any length are tuned, on a processor with AMX where every candidate is faster."""
    monkeypatch.setattr(speed, "_LEAST_STEPS", 1)
    monkeypatch.setattr(speed, "_SHARE", 1e9)
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset({"amx_bf16"}))
    monkeypatch.setattr(processor, "cpp_compiler", lambda: None)

    def faster(_current: Trial, other: Trial, **_: Any) -> float:
        other.times.append(0.1)
        return 1.25

    monkeypatch.setattr(search, "interleave", faster)
    monkeypatch.setattr(Search, "_update_is_slow", lambda _search: False)


def _chosen(run: Run) -> tuple[object, ...]:
    settings = run.resolved_config()
    return settings.compute_dtype, settings.channels_last, settings.compile


def test_a_short_run_is_not_tuned(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pretrain(small_config(stripes, tmp_path / "a", epochs=1))
    assert "tuning" not in run.facts()
    assert _chosen(run) == ("float32", False, False)
    assert "speed " not in capsys.readouterr().err


def test_the_choice_is_printed_recorded_and_resumed_to_the_bit(
    stripes: Path, tmp_path: Path, tuned: None, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pretrain(small_config(stripes, tmp_path / "whole"))
    line = "bfloat16, channels-last: "
    assert f"speed     {line}" in capsys.readouterr().err
    assert _chosen(whole) == ("bfloat16", True, False)
    tuning = whole.facts()["tuning"]
    assert tuning["summary"].startswith(line)
    assert "1.6 times float32; no C++ compiler for torch.compile" in tuning["summary"]
    assert [a["outcome"] for a in tuning["attempts"]][:2] == ["taken", "taken"]
    assert line in write_report(whole.path).read_text()
    assert hyperparameters(whole.resolved_config().as_json())["precision"] == "auto"

    calls = iter([False, False, True])
    with pytest.raises(Stopped):
        pretrain(small_config(stripes, tmp_path / "parts"), quiet=True, stop=lambda: next(calls))
    resumed = Pretrain(data=str(stripes), out=str(tmp_path / "parts"), resume=True, tune=False)
    parts = pretrain(resumed, quiet=True)
    assert _chosen(parts) == ("bfloat16", True, False)
    assert losses(parts) == losses(whole)
    same_weights(parts, whole)
    fixed = {"precision": "bfloat16", "channels_last": True, "tune": False}
    same_weights(pretrain(small_config(stripes, tmp_path / "c", **fixed), quiet=True), whole)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tune": False}, None),
        ({"deterministic": True}, None),
        ({"precision": "float32"}, ("float32", True, False)),
        ({"channels_last": False}, ("bfloat16", False, False)),
        ({"precision": "float32", "channels_last": False}, ("float32", False, False)),
    ],
)
def test_what_the_user_fixed_stays(
    stripes: Path, tmp_path: Path, tuned: None, changes: dict[str, Any], expected: Any
) -> None:
    run = pretrain(small_config(stripes, tmp_path / "a", epochs=1, **changes), quiet=True)
    assert ("tuning" in run.facts()) is (expected is not None)
    assert _chosen(run) == (expected or ("float32", False, False))


@pytest.mark.parametrize(
    ("name", "replacement", "line"),
    [
        ("available_memory", lambda: 1000, "since copies of the network"),
        ("_seconds_of_step", lambda _trial: 1.0, "since 16 steps of 16 images take longer"),
    ],
)
def test_why_a_long_run_is_not_tuned_is_named(
    stripes: Path,
    tmp_path: Path,
    tuned: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    replacement: Callable[..., float],
    line: str,
) -> None:
    monkeypatch.setattr(speed, name, replacement)
    run = pretrain(small_config(stripes, tmp_path / "a", epochs=1))
    assert "tuning" not in run.facts()
    assert f"note: speed: not tuned, {line}" in capsys.readouterr().err


def test_a_run_of_an_earlier_release_resumes_as_it_was(stripes: Path, tmp_path: Path) -> None:
    whole = pretrain(small_config(stripes, tmp_path / "whole"), quiet=True)
    calls = iter([False, False, True])
    with pytest.raises(Stopped):
        pretrain(small_config(stripes, tmp_path / "old"), quiet=True, stop=lambda: next(calls))
    path = tmp_path / "old" / "config.json"
    stored = json.loads(path.read_text())
    for config in (stored, stored["chosen"]["config"]):
        for name in ("tune", "compute_dtype", "fused_optimizer", "torch_threads"):
            config.pop(name, None)
        config["compile"] = False
    path.write_text(json.dumps(stored))
    resumed = Pretrain(data=str(stripes), out=str(tmp_path / "old"), resume=True)
    same_weights(pretrain(resumed, quiet=True), whole)


def test_a_compiled_run_resumes_to_the_bit(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    options: dict[str, Any] = {"compile": True, "channels_last": True, "precision": "bfloat16"}
    whole = pretrain(small_config(stripes, tmp_path / "whole", **options), quiet=True)
    calls = iter([False, False, True])
    config = small_config(stripes, tmp_path / "parts", **options)
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    resumed = Pretrain(data=str(stripes), out=str(tmp_path / "parts"), resume=True)
    same_weights(pretrain(resumed, quiet=True), whole)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (True, None, None)),
        (["--no-tune", "--compile"], (False, True, None)),
        (["--no-compile", "--channels-last"], (True, False, True)),
        (["--compile", "True", "--channels-last", "False"], (True, True, False)),
        (["--no-channels-last"], (True, None, False)),
    ],
)
def test_flags_that_may_be_left_open(arguments: list[str], expected: tuple[object, ...]) -> None:
    command = parse("pretrain", PretrainCommand, ["--data", "digits", *arguments])
    assert (command.tune, command.compile, command.channels_last) == expected


def test_trials_of_a_study_are_not_tuned() -> None:
    assert configured(Pretrain(data="digits"), {}, 0, "out").tune is False
