"""A study from its beginning to its end: what is refused, and how a worker treats its units."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.commands import run_code
from helpers.run_samples import small_config
from jessl.config import Sweep
from jessl.core.log import Log
from jessl.sweeps import manifest
from jessl.sweeps.coordination import FINISHED
from jessl.sweeps.storage import open_storage
from jessl.sweeps.study_state import begin
from jessl.sweeps.sweep import sweep

LRS = [0.1, 0.2, 0.3]


@pytest.fixture
def asked(stripes: Path) -> Sweep:
    base = small_config(stripes, Path("unused"), epochs=8, evaluate_epochs=1)
    return Sweep(base=dataclasses.replace(base, out=None), space={"lr": LRS}, seeds=(0, 1))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+psycopg2://me:s3cret@127.0.0.1:9/x", "cannot be reached: .*refused"),
        ("postgresql+psycopg2://127.0.0.1:9/x?user=me&password=s3cret", "cannot be reached"),
        ("foo://me:s3cret@host/x", "cannot be reached: Can't load plugin: sqlalchemy.dialects:foo"),
        ("postgresql+foo://me:s3cret@host/x", "cannot be reached: Can't load plugin"),
        ("postgresql://me:s3cret@host:port/x", "is no address; give journal:PATH"),
        ("study.db", "'study.db' is no address; give journal:PATH"),
        ("sqlite://", "is in this process's memory: give sqlite:///PATH"),
        ("sqlite:///:memory:", "is in this process's memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "is in this process's memory"),
        ("sqlite:///{folder}", "cannot be reached: unable to open database file"),
        ("sqlite:///{folder}/notes.txt/x.db", "cannot be reached"),
        ("sqlite:///{folder}/notes.txt", "cannot be reached: file is not a database"),
        ("journal:", "journal: needs a path, such as journal:/shared/study.log"),
        ("journal:{folder}", "cannot be opened: Is a directory"),
        ("journal:{folder}/notes.txt/log", "cannot be opened"),
        ("journal:{folder}/notes.txt", "is no journal of a study"),
    ],
)
def test_a_storage_that_cannot_be_is_told_in_one_line(tmp_path: Path, url: str, told: str) -> None:
    if "psycopg2" in url:
        pytest.importorskip("psycopg2", reason="psycopg2 is missing: jessl[postgresql]")
    (tmp_path / "notes.txt").write_text("no database, no journal\n" * 100)
    with pytest.raises(ValueError, match=told) as caught:
        open_storage(url.format(folder=tmp_path), tmp_path)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "storage" in str(caught.value)


def test_a_study_goes_on_and_grows_in_its_folder(tmp_path: Path, asked: Sweep) -> None:
    one = begin(tmp_path / "s", asked)
    one.ledger.enqueue(one.units())
    assert one.count() == 6
    again = begin(tmp_path / "s")
    assert again.plan.settings == one.plan.settings
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["space"] == {"lr": LRS}
    grown = begin(tmp_path / "s", dataclasses.replace(asked, seeds=(0, 1, 5)))
    grown.ledger.enqueue(grown.units())
    assert grown.count() == 9
    assert len(grown.ledger.study.get_trials()) == 9
    assert begin(tmp_path / "s").count() == 9


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space": {"lr": [0.1]}}, r"another space.lr: \[0.1, 0.2, 0.3\], now \[0.1\]"),
        ({"space": {"epochs": [1]}}, "another space.epochs: None, now"),
        ({"by": "lidar"}, "another by: 'view_retrieval/backbone', now 'lidar'"),
        ({"seeds": (0,)}, r"seeds \[0, 1\]: it can grow, and not shrink to \[0\]"),
    ],
)
def test_another_study_is_refused_by_the_folder_and_by_the_storage(
    tmp_path: Path, asked: Sweep, changes: dict[str, Any], told: str
) -> None:
    storage = f"journal:{tmp_path}/study.log"
    begin(tmp_path / "one" / "s", asked, storage=storage)
    other = dataclasses.replace(asked, **changes)
    with pytest.raises(ValueError, match=told):
        begin(tmp_path / "one" / "s", other, storage=storage)
    with pytest.raises(ValueError, match=f"name 's' in storage journal:.*study.log .*{told}"):
        begin(tmp_path / "two" / "s", other, storage=storage)
    assert not (tmp_path / "two" / "s" / "sweep.json").exists()


def test_other_images_are_refused(tmp_path: Path, asked: Sweep) -> None:
    begin(tmp_path / "s", asked)
    x = np.random.default_rng(1).integers(0, 256, (96, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "other.npz", x=x, y=np.arange(96) % 2)
    moved = dataclasses.replace(asked.base, data=str(tmp_path / "other.npz"))
    with pytest.raises(ValueError, match=r"data: these are other images than the study was begun"):
        begin(tmp_path / "s", dataclasses.replace(asked, base=moved))


def test_a_folder_of_something_else_is_refused(tmp_path: Path, asked: Sweep) -> None:
    with pytest.raises(ValueError, match=r"holds no study: it has no sweep.json"):
        begin(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file; give the folder of a study"):
        begin(tmp_path / "file", asked)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="is not empty and holds no study"):
        begin(tmp_path / "full", asked)
    with pytest.raises(ValueError, match="lease_seconds: expected a number above 0, got 0"):
        begin(tmp_path / "s", asked, lease_seconds=0)


def test_only_a_database_that_a_study_began_is_continued(tmp_path: Path, asked: Sweep) -> None:
    def make(name: str, table: str | None, lock: bool) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        with contextlib.closing(sqlite3.connect(folder / "study.db")) as database:
            if table is not None:
                database.execute(f"CREATE TABLE {table} (x)")
                database.commit()
        if lock:
            (folder / "study.db.lock").touch()
        return folder

    assert manifest.read(make("empty", None, True)) is None
    assert manifest.read(make("half", "studies", True)) is None
    others = [make("foreign", "students", True), make("unlocked", "studies", False)]
    others.append(make("backup", None, True))
    (others[-1] / "study.db.backup").touch()
    others.append(make("linked", None, True))
    (others[-1] / "study.db-wal").symlink_to(tmp_path / "wal")
    others.append(make("text", None, True))
    (others[-1] / "study.db").write_text("a text of mine" * 99)
    for folder in others:
        before = (folder / "study.db").read_bytes()
        with pytest.raises(ValueError, match="is not empty and holds no study"):
            begin(folder, asked)
        assert (folder / "study.db").read_bytes() == before
    # a killed process leaves its journal, and the tables cannot be read before it is undone
    journal = make("torn", "students", True)
    (journal / "study.db-journal").touch()
    assert manifest.read(journal) is None


HALF = """
import os, signal, sys
from pathlib import Path
from jessl.sweeps import storage
make = storage.RDBStorage
def killed(*args, **options):
    make(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
storage.RDBStorage = killed
storage.open_storage(None, Path(sys.argv[1]))
"""


def test_a_database_has_all_its_tables_or_is_not_there(tmp_path: Path) -> None:
    """Without the index of the names each worker would begin a study of its own."""
    done = run_code(HALF, str(tmp_path))
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "study.db").exists()
    assert manifest.read(tmp_path) is None
    for _ in range(2):
        open_storage(None, tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["study.db", "study.db.lock"]


def test_an_error_of_a_workers_disk_is_raised_by_its_parent(
    tmp_path: Path, asked: Sweep, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s"
    begin(out, asked)
    (out / "runs").write_text("a file where the runs go")
    with pytest.raises((OSError, ValueError)) as caught:
        sweep(asked, out, jobs=2, log=Log(lambda _line: None))
    assert "runs" in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


def test_damaged_entries_are_named(tmp_path: Path, asked: Sweep) -> None:
    study = begin(tmp_path / "s", asked)
    study.next_unit()
    with contextlib.closing(sqlite3.connect(tmp_path / "s" / "study.db")) as database:
        database.execute("UPDATE trial_user_attributes SET value_json = '[]' WHERE key = 'seed'")
        database.commit()
    with pytest.raises(ValueError, match=r"holds a damaged study: trial 0: seed: expected .* \[\]"):
        begin(tmp_path / "s")
    stored = json.loads((tmp_path / "s" / "sweep.json").read_text())
    (tmp_path / "s" / "sweep.json").write_text(json.dumps({**stored, "storage": True}))
    with pytest.raises(ValueError, match=r"json: storage: expected a text or null, got True"):
        begin(tmp_path / "s")


@pytest.mark.parametrize("table", ["study_user_attributes", "trial_user_attributes"])
def test_texts_that_are_no_json_are_named(tmp_path: Path, asked: Sweep, table: str) -> None:
    study = begin(tmp_path / "s", asked)
    study.next_unit()
    with contextlib.closing(sqlite3.connect(tmp_path / "s" / "study.db")) as database:
        database.execute(f"UPDATE {table} SET value_json = '{{x'")
        database.commit()
    with pytest.raises(ValueError, match=r"storage .* holds a damaged study: Expecting"):
        begin(tmp_path / "s")


def test_a_worker_removes_what_killed_ones_left(tmp_path: Path, asked: Sweep) -> None:
    begin(tmp_path / "s", asked)
    (tmp_path / "s" / ".jessl-1-0123456789abcdef.part").write_text("half")
    (tmp_path / "s" / ".mine.part").write_text("mine")
    begin(tmp_path / "s")
    names = {p.name for p in (tmp_path / "s").iterdir() if p.name.startswith(".")}
    assert names == {".mine.part"}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"objective_options.covv": [1, 2]}, "'covv'; did you mean 'cov'"),
        ({"objective_options.covv": {"low": 1, "high": 2}}, "'covv'; did you mean 'cov'"),
        ({"view_options.flipp": [0.1]}, "flipp"),
        ({"objective": ["vicreg", "vicregg"]}, "'vicregg'"),
        ({"lr": {"low": -1.0, "high": 1.0}}, "lr"),
    ],
)
def test_a_value_that_no_training_takes_is_refused_before_any(
    tmp_path: Path, asked: Sweep, space: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        begin(tmp_path / "s", dataclasses.replace(asked, space=space))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_an_unknown_optimizer_is_refused_before_any_training(tmp_path: Path, asked: Sweep) -> None:
    with pytest.raises(ValueError, match="'adam'"):
        begin(tmp_path / "s", dataclasses.replace(asked, space={"optimizer": ["adam"]}))


def test_tpe_refuses_listed_values_that_no_training_takes(tmp_path: Path, asked: Sweep) -> None:
    space = {"objective_options.covv": [1, 2]}
    with pytest.raises(ValueError, match="'covv'; did you mean 'cov'"):
        begin(tmp_path / "s", dataclasses.replace(asked, space=space, sampler="tpe"))


def test_a_study_of_real_trainings_ends_and_is_done_once(tmp_path: Path, asked: Sweep) -> None:
    base = dataclasses.replace(asked.base, epochs=1, evaluate_epochs=0, online_probes=False)
    asked = dataclasses.replace(asked, base=base, space={"lr": [0.001, 0.002]}, scores=("loss",))
    asked = dataclasses.replace(asked, seeds=(3,), by="rankme")
    told: list[str] = []
    first = sweep(asked, tmp_path / "s", log=Log(told.append))
    assert first["outcomes"] == {FINISHED: 2}
    assert list(first["runs"]) == ["lr0.001-s3", "lr0.002-s3"]
    for name, run in first["runs"].items():
        assert run["scores"]["rankme/projector"]["value"] >= 1
        assert run["scores"]["loss"]["value"] == run["loss"]
        assert (tmp_path / "s" / "runs" / name / "config.json").exists()
    written = json.loads((tmp_path / "s" / "study.json").read_text())
    assert written["runs"] == first["runs"]
    again: list[str] = []
    second = sweep(None, tmp_path / "s", log=Log(again.append))
    assert second["runs"] == first["runs"]
    assert "2 of them ended before" in again[0]
    assert len(again) < len(told)


def test_a_study_chosen_by_the_panel(tmp_path: Path) -> None:
    from jessl.selection.panel import FAMILIES

    base = small_config("digits", Path("unused"), epochs=1, encoder="smallconv:8", batch_size=256)
    config = Sweep(
        base=dataclasses.replace(base, out=None), space={"lr": [1e-6, 2e-3]}, seeds=(0,), by="panel"
    )
    result = sweep(config, tmp_path / "s")
    assert result.selection is not None
    assert result.selection.by == "panel"
    assert result.criterion == FAMILIES["views"]
    for run in result.runs.values():
        assert set(run["scores"]) >= set(FAMILIES.values())
        assert all(run["scores"][text]["value"] is not None for text in FAMILIES.values())
    group = result.selection.groups[0]
    choice = group.choices[0]
    assert choice.score == "panel"
    # chosen by all three families, or not at all and the rule says why
    votes = [line for line in choice.warnings if " votes for " in line]
    assert len(votes) == len(FAMILIES)
    assert any("panel" in line or choice.rule in line for line in result.findings)


def test_a_panel_that_abstains_names_the_default(
    tmp_path: Path, asked: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jessl.selection import panel

    base = dataclasses.replace(asked.base, epochs=1, lr=0.002, evaluate_epochs=0)
    config = dataclasses.replace(asked, base=base, space={"lr": [0.001, 0.002]}, seeds=(0,))
    config = dataclasses.replace(config, by="panel")
    nothing = panel.PanelVote(
        (2.0, 2.0), (), {}, None, "the families do not meet: keep the default"
    )
    monkeypatch.setattr(panel, "vote", lambda *_: nothing)
    result = sweep(config, tmp_path / "s")
    assert result.chosen_run is None
    assert "vicreg: the families do not meet: keep the default, run lr0.002-s0." in result.findings
