"""The demo, small: the whole story, its table, its findings, and going on where it was."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.cli.main import main
from jessl.core.log import SILENT, Log
from jessl.demo import demo
from jessl.report import write_report
from jessl.runs import Run

# seconds: the first training of a machine compiles kernels, and a busy one takes its time
BEGUN, ENDED = 240, 60


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("demo") / "study"
    lines: list[str] = []
    study = demo(
        "digits", out=out, quick=True, epochs=1, images=400, workers=2, log=Log(lines.append)
    )
    return out, {**study, "lines": lines}


def test_the_story_is_told(told: tuple[Path, dict]) -> None:
    out, study = told
    assert len(study["groups"]) == 2
    for group in study["groups"]:
        best_rank = max(group["configs"], key=lambda c: c["rankme"])
        assert group["chosen"] == best_rank["value"]
        assert 0 <= group["regret"] <= 1
        assert group["seed_sd"] is not None
        assert "random choice" in group["verdict"]
    assert set(study["baselines"]) == {"untrained encoder", "raw pixels"}
    assert 0.5 < study["baselines"]["raw pixels"] <= 1
    assert study["data"]["n_train"] == 320
    assert study["data"]["n_test"] == 80
    told_lines = "\n".join(study["lines"])
    assert told_lines.index("chosen") < told_lines.index("reveal")
    for group in study["groups"]:
        run = Run.open(out / "runs" / group["chosen_run"])
        risks = {r.name: r.value for r in run.records() if r.name.startswith("risk/")}
        total = risks.pop("risk/total")
        assert sum(risks.values()) == pytest.approx(total, abs=1e-12)  # type: ignore[arg-type]
    page = write_report(out).read_text()
    assert "RankMe" in page
    assert "data:image/png;base64," in page


def test_training_never_sees_a_label(told: tuple[Path, dict]) -> None:
    out, _ = told
    for path in (out / "runs").iterdir():
        before_reveal = [r for r in Run.open(path).records() if r.split != "test"]
        assert not any(r.name.startswith("accuracy") for r in before_reveal)


def test_an_interrupted_study_goes_on(told: tuple[Path, dict], tmp_path: Path) -> None:
    out, study = told
    again = tmp_path / "study"
    shutil.copytree(out, again)
    # plan.json holds the settings, not the place; runs name their folder only for the user
    victim = again / "runs" / study["groups"][0]["runs"][0]["name"]
    kept = (again / "runs" / study["groups"][1]["runs"][0]["name"] / "records.jsonl").read_bytes()
    shutil.rmtree(victim)
    new = demo("digits", out=again, quick=True, epochs=1, images=400, workers=1, log=SILENT)
    assert victim.exists()
    assert new["groups"] == study["groups"]
    other = again / "runs" / study["groups"][1]["runs"][0]["name"] / "records.jsonl"
    assert other.read_bytes() == kept
    with pytest.raises(ValueError, match="holds a study with other settings"):
        demo("digits", out=again, quick=True, epochs=2, images=400, log=SILENT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_leaves_nobody_behind_and_goes_on(tmp_path: Path, number: int) -> None:
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
        _, said = process.communicate(timeout=BEGUN)
    finally:
        process.kill()  # nobody stays behind a test that failed
    assert process.returncode == 75, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
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
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


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
