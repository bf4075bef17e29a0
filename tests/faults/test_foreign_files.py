"""Folders that someone else made, and folders with other things in them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from jessl import records
from jessl.cli import main
from jessl.embeddings import Embeddings
from jessl.report import write_report
from jessl.runs import Run
from jessl.sweeps import manifest
from jessl.training import checkpoint

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def _home(folder: Path) -> dict[str, str]:
    """A folder of a person, with hidden files that look unfinished."""
    files = {
        ".backup.old/thesis.tex": "thesis",
        ".movie.part": "x",
        "cfg/.key.old/key": "old",
        "cfg/key": "new",
        "notes.txt": "n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return files


def _tree(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize(
    "command",
    [
        ["pretrain", "--data", "digits", "--out"],
        ["demo", "--data", "digits", "--quick", "--out"],
        ["select", "smallconv:4", "smallconv:5", "--data", "digits", "--out"],
        ["embed", "smallconv:4", "--init", "random", "--data", "digits", "--out"],
        ["pack", "digits"],
    ],
    ids=lambda command: command[0],
)
def test_a_refused_command_touches_nothing(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = _home(tmp_path / "home")
    if command[0] == "select":
        command = ["select", "--encoders", *command[1:]]
    assert main([*command, str(tmp_path / "home")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()[-1:]) == 1
    assert _tree(tmp_path / "home") == before


def _run(folder: Path, secret: Path) -> Run:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    secret.mkdir(exist_ok=True)
    return Run(folder)


def test_links_of_a_run_are_not_followed_out_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    run = _run(tmp_path / "run", secret)
    (secret / "log.txt").write_text("log")
    for name in ("checkpoints", "embeddings"):
        (run.path / name).symlink_to(secret)
    for name in ("views.json", "records.jsonl"):
        (run.path / name).symlink_to(secret / "log.txt")
    record = records.Record(run="run", name="loss", value=1.0)
    for use in (
        lambda: run.checkpoints,
        lambda: run.embeddings("backbone"),
        lambda: run.views,
        lambda: records.append(run.path, [record]),
        lambda: records.read(run.path),
    ):
        with pytest.raises(ValueError, match="links in it are not followed"):
            use()
    assert _tree(secret) == {"log.txt": "log"}


def test_the_report_shows_no_picture_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(PNG + b"private")
    study = tmp_path / "study"
    run = study / "runs" / "a"
    run.mkdir(parents=True)
    (tmp_path / "other" / "b").mkdir(parents=True)
    (tmp_path / "other" / "b" / "config.json").write_text('{"objective": "elsewhere"}')
    (study / "runs" / "b").symlink_to(tmp_path / "other" / "b")
    (run / "config.json").write_text("{}")
    groups = [{"method": "vicreg", "runs": [{"name": "a"}, {"name": "b"}]}]
    (study / "study.json").write_text(json.dumps({"chosen_run": "a", "groups": groups}))
    for folder in (study, run):
        (folder / "views.png").symlink_to(tmp_path / "private.png")
    os.mkfifo(study / "neighbours.png")
    page = write_report(study).read_text()
    assert "there is no views.png" in page
    assert "data:image/png" not in page
    assert "elsewhere" not in page
    (study / "views.png").unlink()
    (study / "views.png").write_bytes(PNG)
    assert "data:image/png" in write_report(study).read_text()


@pytest.mark.parametrize("kind", ["journal:", "sqlite:///", "postgresql://host"])
def test_a_storage_outside_the_study_is_named_on_the_command_line(
    tmp_path: Path, kind: str
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    outside = f"{kind}{tmp_path}/db"
    stored = manifest.SweepManifest({}, outside)
    with pytest.raises(ValueError, match=f"add --storage {kind}"):
        manifest.address(study, stored, None)
    assert manifest.address(study, stored, outside) == outside
    (study / "link").symlink_to(tmp_path)
    for path, fine in ((study / "log", True), (study / "link" / "log", False)):
        inside = manifest.SweepManifest({}, f"journal:{path}")
        if fine:
            assert manifest.address(study, inside, None) == inside.storage
        else:
            with pytest.raises(ValueError, match="not in its folder"):
                manifest.address(study, inside, None)


def test_altered_embeddings_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    z = Embeddings(rng.normal(size=(9, 3)), np.arange(9) % 3, None, {"classes": ["a", "b", "c"]})
    z = Embeddings(z.features, z.labels, z.ids, z.meta, np.arange(9))

    def load_with(name: str, mmap: bool) -> str:
        folder = z.save(tmp_path / "z")
        np.save(folder / f"{name}.npy", np.load(folder / f"{name}.npy")[::-1].copy())
        with pytest.raises(ValueError, match="changed since it was written") as caught:
            Embeddings.load(folder, mmap=mmap)
        return str(caught.value)

    assert "features.npy" in load_with("features", False)
    for name in ("labels", "ids", "groups"):
        for mmap in (False, True):
            assert f"{name}.npy" in load_with(name, mmap)
    folder = z.save(tmp_path / "z")
    header = json.loads((folder / "meta.json").read_text())
    header["meta"]["classes"] = ["b", "a", "c"]
    (folder / "meta.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"meta\.json: changed"):
        Embeddings.load(folder)
    # older versions wrote neither
    del header["files"], header["header_sha256"]
    (folder / "meta.json").write_text(json.dumps(header))
    assert Embeddings.load(folder).meta["classes"] == ["b", "a", "c"]


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    import torch

    net = torch.nn.Linear(64, 64)
    path = checkpoint.save(tmp_path / "checkpoints", 3, {"encoder": net}, {"a": 1})
    assert checkpoint.load(path).step == 3
    for name in (checkpoint.MODEL, checkpoint.STATE):
        whole = (path / name).read_bytes()
        middle = len(whole) // 2
        (path / name).write_bytes(whole[:middle] + bytes(20) + whole[middle + 20 :])
        with pytest.raises(ValueError, match=f"cannot read checkpoint .*{name}"):
            checkpoint.load(path)
        (path / name).write_bytes(whole)
    (path / "checksums.json").unlink()  # of an older version
    assert checkpoint.load(path).step == 3
