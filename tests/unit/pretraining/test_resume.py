"""Resuming: on again after anything that can happen, to the bit."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import signal
from pathlib import Path

import pytest
from filelock import FileLock

from helpers.commands import run_code, start_command
from helpers.run_samples import losses, same_weights, small_config
from jessl import Pretrain, Run, pretrain, write_report
from jessl.cli.main import main
from jessl.config import ResolvedPretrain
from jessl.core.interruption import Stopped
from jessl.training import checkpoint


def test_a_mean_over_steps_before_and_after_a_stop_is_the_same(
    stripes: Path, tmp_path: Path
) -> None:
    whole = pretrain(small_config(stripes, tmp_path / "whole", log_steps=5), quiet=True)
    calls = iter([False, False, True])
    with pytest.raises(Stopped):  # after three of the five steps of a record
        pretrain(
            small_config(stripes, tmp_path / "parts", log_steps=5),
            quiet=True,
            stop=lambda: next(calls),
        )
    resumed = Pretrain(data=str(stripes), out=str(tmp_path / "parts"), resume=True)
    assert losses(pretrain(resumed, quiet=True)) == losses(whole)


@pytest.mark.parametrize("objective", ["vicreg", "byol"])
def test_stopped_and_resumed_is_bit_for_bit_the_same(
    stripes: Path, tmp_path: Path, objective: str
) -> None:
    whole = pretrain(small_config(stripes, tmp_path / "whole", objective=objective), quiet=True)
    config = small_config(stripes, tmp_path / "parts", objective=objective)
    calls = iter([False, False, True])
    with pytest.raises(Stopped, match="stopped at step 3; the state is saved"):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    calls = iter([False] * 5 + [True])
    resumed = Pretrain(data=str(stripes), out=str(tmp_path / "parts"), resume=True)
    with pytest.raises(Stopped):
        pretrain(resumed, quiet=True, stop=lambda: next(calls))
    parts = pretrain(resumed, quiet=True)
    assert losses(parts) == losses(whole)
    same_weights(parts, whole)


_KILLED = """
import json, os, signal, sys
from jessl import Pretrain, pretrain
from jessl.training.step import Trainer
config, at = json.loads(sys.argv[1]), int(sys.argv[2])
step = Trainer.take_step
def dying(self, *batch):
    terms = step(self, *batch)
    if self.step == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return terms
Trainer.take_step = dying
pretrain(Pretrain(**config), quiet=True)
"""

# what each remembers between two steps; three epochs of six steps
REMEMBERING: list[tuple[str, dict]] = [
    ("vicreg", {}),
    ("byol", {}),
    ("moco", {}),
    ("dino", {"prototypes": 16, "freeze_epochs": 0.5}),
    ("swav", {"prototypes": 16, "queue": 24, "queue_from_epoch": 0.5}),
    ("simclr", {"negatives": 1}),
    ("lejepa", {}),
    ("nnclr", {"queue": 24}),
    ("supervised", {}),
]


@pytest.mark.parametrize(("objective", "options"), REMEMBERING, ids=[m for m, _ in REMEMBERING])
def test_killed_at_any_step_and_resumed_is_bit_for_bit_the_same(
    stripes: Path, tmp_path: Path, objective: str, options: dict
) -> None:
    changes = {"objective": objective, "objective_options": options, "checkpoint_seconds": 0.0}
    at = random.Random(objective).randrange(2, 17)
    config = small_config(stripes, tmp_path / "run", **changes)
    killed = run_code(_KILLED, json.dumps(config.as_json()), str(at))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run = Run.open(tmp_path / "run")
    assert not run.finished()
    # the step that it was killed in is not saved
    assert checkpoint.steps(run.checkpoints)[-1][0] == at - 1
    resumed = pretrain(Pretrain(data=str(stripes), out=str(run.path), resume=True), quiet=True)
    whole = pretrain(small_config(stripes, tmp_path / "whole", **changes), quiet=True)
    assert losses(resumed) == losses(whole)
    same_weights(resumed, whole)


def test_sigterm_saves_and_exits_with_75(stripes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        "pretrain", "--data", str(stripes), "--out", str(out), "--encoder", "smallconv:4",
        "--size", "8", "--epochs", "100000", "--batch-size", "16",
    ]  # fmt: skip
    process = start_command(command)
    process.wait_until((out / "records.jsonl").exists)
    process.send_signal(signal.SIGTERM)
    stopped = process.wait(60)
    said = stopped.stderr
    assert stopped.returncode == 75, said
    assert "continue with --resume" in said
    assert "Traceback" not in said
    assert checkpoint.steps(out / "checkpoints")


def test_a_signal_while_the_report_is_written_waits_for_it(
    finished: Run, stripes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def write(folder: Path) -> Path:
        signal.raise_signal(signal.SIGTERM)
        return write_report(folder)

    monkeypatch.setattr("jessl.report.write_report", write)
    args = ["--data", str(stripes), "--out", str(finished.path), "--resume"]
    assert main(["pretrain", *args]) == 75
    assert f"jessl: stopped at the end; {finished.path} is complete" in capsys.readouterr().err
    assert (finished.path / "report.html").exists()


def test_resuming_a_finished_run_changes_nothing(finished: Run, stripes: Path) -> None:
    before = (finished.path / "records.jsonl").read_bytes()
    again = pretrain(Pretrain(data=str(stripes), out=str(finished.path), resume=True), quiet=True)
    assert again.path == finished.path
    assert (finished.path / "records.jsonl").read_bytes() == before


def test_a_damaged_last_checkpoint_costs_only_its_steps(stripes: Path, tmp_path: Path) -> None:
    config = small_config(stripes, tmp_path / "run")
    calls = iter([False] * 7 + [True])
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    run = Run.open(tmp_path / "run")
    (checkpoint.steps(run.checkpoints)[-1][1] / checkpoint.MODEL).write_bytes(b"torn")
    resumed = pretrain(
        Pretrain(data=str(stripes), out=str(tmp_path / "run"), resume=True), quiet=True
    )
    whole = pretrain(small_config(stripes, tmp_path / "whole"), quiet=True)
    assert losses(resumed) == losses(whole)
    same_weights(resumed, whole)


def test_resuming_keeps_what_was_asked_to_be_kept(stripes: Path, tmp_path: Path) -> None:
    config = small_config(stripes, tmp_path / "run", keep_checkpoints=0, init=None)
    calls = iter([False] * 10 + [True])
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    (tmp_path / "run" / "views.png").unlink()
    (tmp_path / "run" / "checkpoints" / ".jessl-1-0123456789abcdef.part").mkdir()
    run = pretrain(Pretrain(data=str(stripes), out=config.out, resume=True), quiet=True)
    assert [s for s, _ in checkpoint.steps(run.checkpoints)] == [6, 11, 12, 18]
    assert (run.path / "views.png").exists()
    assert not list(run.checkpoints.glob(".*"))


def test_resuming_does_not_need_the_first_weights_again(
    finished: Run, stripes: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first.safetensors"
    first.write_bytes(
        (checkpoint.steps(finished.checkpoints)[-1][1] / checkpoint.MODEL).read_bytes()
    )
    calls = iter([False, True])
    with pytest.raises(Stopped):
        pretrain(
            small_config(stripes, tmp_path / "run", init=str(first)),
            quiet=True,
            stop=lambda: next(calls),
        )
    first.unlink()
    resumed = Pretrain(data=str(stripes), out=str(tmp_path / "run"), resume=True)
    assert pretrain(resumed, quiet=True).finished()


def test_stopped_while_judging_goes_on_with_judging(stripes: Path, tmp_path: Path) -> None:
    config = small_config(stripes, tmp_path / "run", epochs=1)
    calls = iter([False] * 5 + [True])  # five questions in the one epoch of six steps
    with pytest.raises(Stopped, match="during evaluation"):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    run = Run.open(tmp_path / "run")
    assert not run.finished()
    assert pretrain(Pretrain(data=str(stripes), out=config.out, resume=True), quiet=True).finished()
    names = [r.name for r in run.records() if r.split == "pretrain"]
    assert len(names) == len(set(names))


def test_data_that_moved_resumes(stripes: Path, tmp_path: Path, finished: Run) -> None:
    config = small_config(stripes, tmp_path / "run")
    calls = iter([False, True])
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    moved = tmp_path / "elsewhere.npz"
    shutil.copy(stripes, moved)
    run = pretrain(Pretrain(data=str(moved), out=config.out, resume=True), quiet=True)
    same_weights(run, finished)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds no JSON object"),
        ('{"data": "x", "epochs": "many"}', "field epochs of config.json: expected int"),
        ('{"data": "x", "epohcs": 1}', "did you mean 'epochs'"),
        ("{}", "lacks"),
        ('{"data": "x"', "is not JSON"),
    ],
)
def test_a_damaged_config_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        pretrain(Pretrain(data="digits", out=str(tmp_path), resume=True), quiet=True)


def test_a_resolved_config_has_every_value(finished: Run, stripes: Path, tmp_path: Path) -> None:
    optional = {f.name for f in dataclasses.fields(Pretrain) if f.default is None}
    decided = {f.name for f in dataclasses.fields(ResolvedPretrain) if "None" not in str(f.type)}
    assert {"encoder", "size", "batch_size", "epochs", "lr", "log_steps"} <= optional & decided
    config = finished.resolved_config()
    assert all(getattr(config, name) is not None for name in decided)
    with pytest.raises(TypeError, match="missing 11 required"):
        ResolvedPretrain(data="x")  # type: ignore[call-arg]
    stored = json.loads((finished.path / "config.json").read_text())
    for broken, message in (({}, "lacks the field size"), ({"size": None}, "field size of")):
        chosen = {k: v for k, v in stored["chosen"]["config"].items() if k != "size"} | broken
        text = json.dumps(stored | {"chosen": stored["chosen"] | {"config": chosen}})
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            pretrain(Pretrain(data=str(stripes), out=str(tmp_path), resume=True), quiet=True)


def test_two_writers_of_one_run_are_kept_apart(finished: Run, stripes: Path) -> None:
    with (
        FileLock(finished.path / ".lock"),
        pytest.raises(ValueError, match="another process is writing"),
    ):
        pretrain(Pretrain(data=str(stripes), out=str(finished.path), resume=True), quiet=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "smallconv:8"}, "cannot resume .* with --encoder 'smallconv:8'"),
        ({"objective": "simclr"}, "cannot resume .* with --objective 'simclr'"),
        ({"epochs": 7}, "cannot resume .* with --epochs 7: the run has 3"),
    ],
)
def test_a_run_resumes_with_its_own_settings(
    finished: Run, stripes: Path, changes: dict, said: str
) -> None:
    config = Pretrain(data=str(stripes), out=str(finished.path), resume=True, **changes)
    with pytest.raises(ValueError, match=said):
        pretrain(config, quiet=True)


def test_a_default_that_is_asked_for_is_no_silence(
    finished: Run, stripes: Path, tmp_path: Path
) -> None:
    config = small_config(stripes, tmp_path / "run", objective="byol", epochs=1)
    pretrain(config, quiet=True)
    again = Pretrain(data=str(stripes), out=config.out, resume=True)
    assert pretrain(again, quiet=True).finished()
    with pytest.raises(ValueError, match="with --objective 'vicreg': the run has 'byol'"):
        pretrain(again, quiet=True, explicit_fields=frozenset({"objective"}))


def test_other_images_do_not_resume(finished: Run, stripes: Path, tmp_path: Path) -> None:
    moved = json.loads((finished.path / "config.json").read_text())
    other = tmp_path / "run"
    other.mkdir()
    moved["chosen"]["data_fingerprint"] = "0" * 16
    (other / "config.json").write_text(json.dumps(moved))
    with pytest.raises(ValueError, match="holds other images or labels"):
        pretrain(Pretrain(data=str(stripes), out=str(other), resume=True), quiet=True)
