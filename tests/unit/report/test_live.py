"""How far a training is, from its files: of a run, of a study, while it is written."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from jessl import records
from jessl.cli.main import main
from jessl.records import Record
from jessl.report.live import Watcher


def begin(run: Path, epochs: int = 4, total_steps: int = 40) -> Path:
    run.mkdir(parents=True)
    chosen = {"config": {"epochs": epochs}, "total_steps": total_steps}
    (run / "config.json").write_text(json.dumps({"data": "x", "chosen": chosen}))
    return run


def write(run: Path, step: int, loss: float, *more: Record) -> None:
    here = {"run": run.name, "step": step, "epoch": step / 10, "seconds": step * 0.5}
    records.append(
        run,
        [
            Record(name="loss", value=loss, **here),
            Record(name="images_per_second", value=256.0, **here),
            *more,
        ],
    )


def test_a_run_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    run = begin(tmp_path / "run")
    watcher = Watcher(run)
    (waiting,) = watcher.look()
    assert (waiting.status, waiting.epochs, waiting.epoch) == ("waiting", 4, None)
    write(run, 10, 3.0)
    (running,) = watcher.look()
    assert (running.status, running.epoch, running.loss) == ("running", 1.0, 3.0)
    assert running.images_per_second == 256
    assert running.seconds_left == pytest.approx(15.0)  # 30 steps of half a second
    hour_ago = time.time() - 3600
    os.utime(run / records.FILE, (hour_ago, hour_ago))
    (silent,) = watcher.look()
    assert silent.status == "silent"
    assert silent.seconds_silent == pytest.approx(3600, abs=60)
    end = Record(run="run", name="rankme/backbone", value=9.0, split="pretrain", step=40, epoch=4)
    write(run, 40, 2.0, end)
    (finished,) = watcher.look()
    assert (finished.status, finished.seconds_left) == ("finished", None)


def test_the_runs_of_a_study_and_what_is_neither(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(begin(tmp_path / "study" / "runs" / name), 20, float("nan"))
    (tmp_path / "study" / "runs" / "link").symlink_to(tmp_path / "study" / "runs" / "a")
    found = Watcher(tmp_path / "study").look()
    assert [one.name for one in found] == ["a", "b"]
    assert found[0].loss is None
    with pytest.raises(ValueError, match="folder: expected a run or a study"):
        Watcher(tmp_path)


def test_the_command_looks_once_where_nobody_looks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(begin(tmp_path / "run"), 10, 3.0)
    assert main(["watch", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split()[:3] == ["run", "status", "epoch"]
    assert "1.0 of 4" in out[1]
    assert "15 s" in out[1]
    assert main(["watch", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["loss"] == 3.0
    assert main(["watch", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_a_folder_of_runs_is_watched_as_well(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(begin(tmp_path / name), 10, 3.0)
    assert [one.name for one in Watcher(tmp_path).look()] == ["a", "b"]


def test_a_silent_run_comes_with_the_command_that_continues_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(tmp_path / "my run")
    write(run, 10, 3.0)
    assert main(["watch", str(run)]) == 0
    assert "next" not in capsys.readouterr().out
    os.utime(run / records.FILE, (0, 0))
    assert main(["watch", str(run)]) == 0
    assert f"next      jessl pretrain --out '{run}' --resume" in capsys.readouterr().out
