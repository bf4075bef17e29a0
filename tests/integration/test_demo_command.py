"""The demo on few images: study, findings, interruption, and continuation."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.demo_study import OPTIONS, interrupt_demo
from jessl import select
from jessl.cli.main import main
from jessl.core.log import SILENT
from jessl.demo import demo
from jessl.report import write_report
from jessl.runs import Run

PROC = Path("/proc").is_dir()


@pytest.fixture(scope="module")
def done(demo_study: Path) -> tuple[Path, dict[str, Any]]:
    """A folder and the study in it: stopped after its first run, then continued to its end."""
    facts = json.loads((demo_study / "facts.json").read_text())
    return demo_study / "study", {**facts["study"], "lines": facts["lines"]}


def test_a_stopped_demo_continues_where_it_was(demo_study: Path) -> None:
    facts = json.loads((demo_study / "facts.json").read_text())
    _check_stop(facts["stopped"])
    assert facts["ended runs stay"]
    assert "of them ended before" in "\n".join(facts["lines"])


def test_the_study_is_complete(done: tuple[Path, dict[str, Any]]) -> None:
    out, study = done
    assert study["outcomes"] == {"finished": 8}
    assert len(study["groups"]) == 2
    selection = select(out)
    for group in study["groups"]:
        assert Path(selection.chosen[group["method"]]).name == group["chosen_run"]
        assert 0 <= group["regret"] <= 1
        assert group["seed_sd"] is not None
        assert "random choice" in group["verdict"]
    assert study["findings"][0].startswith("With 1, 3 and 5 labels of each class, features that ")
    assert study["chosen_run"] in study["findings"][0]
    few = study["few_labels"]
    assert set(few) == {"raw pixels", "untrained encoder", "chosen run"}
    assert all(one["low"] <= one["value"] <= one["high"] for row in few.values() for one in row)
    assert set(study["baselines"]) == {"untrained encoder", "raw pixels"}
    assert 0.5 < study["baselines"]["raw pixels"] <= 1
    assert study["data"]["n_train"] == 320
    assert study["data"]["n_test"] == 80
    lines = "\n".join(study["lines"])
    assert lines.index("chosen") < lines.index("reveal")
    run = Run.open(out / "runs" / study["chosen_run"])
    risks = {r.name: r.value for r in run.records() if r.name.startswith("risk/")}
    total = risks.pop("risk/total")
    assert sum(risks.values()) == pytest.approx(total, abs=1e-12)  # type: ignore[arg-type]
    page = write_report(out).read_text()
    assert "RankMe" in page
    assert "data:image/png;base64," in page


def test_training_never_sees_a_label(done: tuple[Path, dict[str, Any]]) -> None:
    out, _ = done
    for path in (out / "runs").iterdir():
        before_reveal = [r for r in Run.open(path).records() if r.split != "test"]
        assert not any(r.name.startswith("accuracy") for r in before_reveal)


def test_a_finished_study_is_read_again_and_nothing_is_trained(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    shared, study = done
    out = (
        tmp_path / "study"
    )  # study.json is written anew, while other processes read the shared one
    shutil.copytree(shared, out)
    before = {p: p.read_bytes() for p in out.glob("runs/*/records.jsonl")}
    again = demo("digits", out=out, workers=1, log=SILENT, **OPTIONS)
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
        options = {**OPTIONS, **changes}
        with pytest.raises(ValueError, match=line) as caught:
            demo("digits", out=out, log=SILENT, **options)
        assert "\n" not in str(caught.value)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        demo("digits", out=tmp_path / "full", log=SILENT)


def _check_stop(stopped: dict[str, Any]) -> None:
    assert stopped["workers"] >= 2 or not PROC
    assert stopped["code"] == 75, stopped["errors"]
    assert "the same command continues" in stopped["errors"]
    assert "Traceback" not in stopped["errors"]
    assert stopped["alive"] == []


def test_ctrl_c_saves_the_runs_under_way(tmp_path: Path) -> None:
    out = tmp_path / "study"
    _check_stop(_interrupted(out, signal.SIGINT))
    assert not list(out.glob("runs/*/embeddings"))
    assert list(out.glob("runs/*/checkpoints/step-*"))


@pytest.mark.skipif(not PROC, reason="counting child processes needs /proc")
def test_a_killed_demo_takes_its_workers_along(tmp_path: Path) -> None:
    killed = _interrupted(tmp_path / "study", signal.SIGKILL)
    assert killed["workers"] >= 2
    assert killed["alive"] == []


def _interrupted(out: Path, number: int) -> dict[str, Any]:
    """Start a long demo, and send it a signal in its first trainings."""
    arguments = ["--quick", "--images", "300", "--epochs", "400", "--workers", "2"]
    begun = lambda: list(out.glob("runs/*/records.jsonl"))  # noqa: E731
    return interrupt_demo([*arguments, "--out", str(out)], begun, number)


def test_a_folder_without_labels_ends_with_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(60):
        size = rng.integers(16, 24, 2)
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
