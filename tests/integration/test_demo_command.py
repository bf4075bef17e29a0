"""The demo on few images: study, findings, interruption, and continuation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jessl import select
from jessl.cli.main import main
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.demo import demo
from jessl.report import write_report
from jessl.runs import Run

# seconds: the first training of a machine compiles kernels, and a busy one takes its time
BEGUN, ENDED = 240, 60


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A folder and the study in it: stopped after its first run, then continued to its end."""
    out = tmp_path_factory.mktemp("demo") / "study"
    lines: list[str] = []

    def first_run_ended() -> bool:
        return bool(list(out.glob("runs/*/embeddings/test")))

    with pytest.raises(Stopped):
        demo("digits", out=out, quick=True, epochs=1, images=400, workers=2, stop=first_run_ended)
    ended = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/embeddings/test/*")}
    study = demo(
        "digits", out=out, quick=True, epochs=1, images=400, workers=2, log=Log(lines.append)
    )
    assert ended
    assert ended == {p: p.stat().st_mtime_ns for p in ended}
    return out, {**study, "lines": lines}


def test_the_study_is_complete(done: tuple[Path, dict]) -> None:
    out, study = done
    assert study["outcomes"] == {"finished": 8}
    assert len(study["groups"]) == 2
    selection = select(out)
    for group in study["groups"]:
        assert Path(selection.chosen[group["method"]]).name == group["chosen_run"]
        assert 0 <= group["regret"] <= 1
        assert group["seed_sd"] is not None
        assert "random choice" in group["verdict"]
    assert set(study["baselines"]) == {"untrained encoder", "raw pixels"}
    assert 0.5 < study["baselines"]["raw pixels"] <= 1
    assert study["data"]["n_train"] == 320
    assert study["data"]["n_test"] == 80
    lines = "\n".join(study["lines"])
    assert "of them ended before" in lines
    assert lines.index("chosen") < lines.index("reveal")
    for group in study["groups"]:
        run = Run.open(out / "runs" / group["chosen_run"])
        risks = {r.name: r.value for r in run.records() if r.name.startswith("risk/")}
        total = risks.pop("risk/total")
        assert sum(risks.values()) == pytest.approx(total, abs=1e-12)  # type: ignore[arg-type]
    page = write_report(out).read_text()
    assert "RankMe" in page
    assert "data:image/png;base64," in page


def test_training_never_sees_a_label(done: tuple[Path, dict]) -> None:
    out, _ = done
    for path in (out / "runs").iterdir():
        before_reveal = [r for r in Run.open(path).records() if r.split != "test"]
        assert not any(r.name.startswith("accuracy") for r in before_reveal)


def test_a_finished_study_is_read_again_and_nothing_is_trained(done: tuple[Path, dict]) -> None:
    out, study = done
    before = {p: p.read_bytes() for p in out.glob("runs/*/records.jsonl")}
    again = demo("digits", out=out, quick=True, epochs=1, images=400, workers=1, log=SILENT)
    for part in ("groups", "findings", "baselines"):
        assert again[part] == study[part]
    assert before == {p: p.read_bytes() for p in before}


def test_another_study_in_its_folder_is_refused(done: tuple[Path, dict], tmp_path: Path) -> None:
    out, _ = done
    for changes, line in (
        ({"epochs": 2}, r"begun with another base\.epochs: 1, now 2"),
        ({"quick": False}, r"begun with another space\.objective_options\.cov"),
        ({"images": 300}, r"begun with another base\.batch_size: 80, now 60"),
    ):
        options: dict[str, Any] = {"quick": True, "epochs": 1, "images": 400, **changes}
        with pytest.raises(ValueError, match=line) as caught:
            demo("digits", out=out, log=SILENT, **options)
        assert "\n" not in str(caught.value)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        demo("digits", out=tmp_path / "full", log=SILENT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_demo_ends_with_its_workers_and_a_checkpoint(tmp_path: Path, number: int) -> None:
    out = tmp_path / "study"
    command = [sys.executable, "-m", "jessl.cli", "demo", "--quick", "--images", "300"]
    command += ["--epochs", "400", "--workers", "2", "--out", str(out)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        # a background job starts with Ctrl-C ignored, and jessl leaves that as it is
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + BEGUN
    while not list(out.glob("runs/*/records.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = _children(process.pid)
    try:
        assert len(workers) >= 2
        process.send_signal(number)
        _, errors = process.communicate(timeout=BEGUN)
    finally:
        process.kill()  # also after a failure
    assert process.returncode == 75, errors
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    deadline = time.monotonic() + ENDED
    while any(_alive(w) for w in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(w) for w in workers)
    assert list(out.glob("runs/*/checkpoints/step-*"))


def test_a_killed_demo_takes_its_workers_along(tmp_path: Path) -> None:
    out = tmp_path / "study"
    command = [sys.executable, "-m", "jessl.cli", "demo", "--quick", "--images", "300"]
    command += ["--epochs", "400", "--workers", "2", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + BEGUN
    while not list(out.glob("runs/*/records.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = _children(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + ENDED
    while any(_alive(w) for w in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(w) for w in workers)


def _children(pid: int) -> list[int]:
    """Processes started by a process (read from /proc: Linux only)."""
    if not Path("/proc").is_dir():
        pytest.skip("counting child processes needs /proc")
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[1]) == pid:
            children.append(int(stat.parent.name))
    return children


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_folder_without_labels_ends_with_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(60):
        size = rng.integers(18, 40, 2)
        picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{k}.png")
    args = ["demo", "--data", str(folder), "--out", str(tmp_path / "d"), "--quick"]
    assert main([*args, "--epochs", "1", "--workers", "1", "--json"]) == 0
    study = json.loads(capsys.readouterr().out)
    assert [g["chosen"] for g in study["groups"]]
    assert study["findings"] == [
        "There are no labels: what was chosen cannot be checked against them."
    ]
    assert Path(study["report"]).exists()
