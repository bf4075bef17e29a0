"""The command line: light, one line for a mistake, one JSON document for a machine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.interpreters import fast_python
from jessl.cli.main import COMMANDS, main


def _said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(args)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "args", [[], ["--help"], ["--version"], *[[c, "--help"] for c in COMMANDS]]
)
def test_help_is_light(args: list[str]) -> None:
    code = (
        "import sys\nfrom jessl.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as stop:\n    assert stop.code in (0, None)\n"
        "heavy = {'torch', 'torchvision', 'timm', 'sklearn', 'scipy', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("module", ["jessl", "jessl.cli"])
def test_python_m_is_the_command(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module, "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: jessl COMMAND [options]")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "jessl.cli.main" in imported
    assert not {"torch", "numpy", "tyro"} & imported


def test_importing_jessl_is_free() -> None:
    code = (
        "import sys; before = set(sys.modules); import jessl; "
        "new = {m.split('.')[0] for m in set(sys.modules) - before}; "
        "assert 'torch' not in new and 'numpy' not in new, new; dir(jessl)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_opens_in_a_fresh_process() -> None:
    code = (
        "import jessl\n"
        "for name in reversed(jessl.__all__):\n    getattr(jessl, name)\n"
        "assert callable(jessl.rankme) and callable(jessl.score) and callable(jessl.probe)\n"
        "assert callable(jessl.pretrain) and callable(jessl.select) and callable(jessl.embed)\n"
        "assert jessl.views.presets.simclr(32)\n"
        "assert jessl.objectives.vicreg\n"
        "try:\n    jessl.nothing\nexcept AttributeError:\n    pass\nelse:\n    raise SystemExit(1)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = (rng.integers(0, 120, (120, 8, 8)) + 60 * y[:, None, None]).astype(np.uint8)
    path = tmp_path_factory.mktemp("cli") / "x.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def run(arrays: Path) -> Path:
    out = arrays.parent / "run"
    args = ["pretrain", "--data", str(arrays), "--out", str(out), "--encoder", "smallconv:4"]
    args += [
        "--size",
        "8",
        "--epochs",
        "2",
        "--objective-options",
        "cov",
        "4",
        "projector",
        "32-16",
    ]
    assert main([*args, "--view-options", "flip", "0"]) == 0
    return out


def test_the_story_by_commands(
    run: Path, arrays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((run / "config.json").read_text())
    assert config["objective_options"] == {"cov": 4, "projector": "32-16"}
    assert (run / "report.html").exists()
    emb = str(tmp_path / "emb")
    args = ["embed", str(run), "--data", str(arrays), "--out", emb]
    code, out, _ = _said(capsys, *args, "--layers", "backbone", "projector")
    assert code == 0
    assert "and 16 features (projector) of 120 images" in out
    code, out, _ = _said(capsys, "score", f"{emb}/backbone", f"{emb}/projector", "--json")
    assert code == 0
    scores = json.loads(out)
    assert scores["embeddings"][f"{emb}/projector"]["rankme"]["d"] == 16
    assert 1 < scores["embeddings"][f"{emb}/projector"]["rankme"]["value"] <= 16.01
    both = ["--train", f"{emb}/backbone", "--test", f"{emb}/backbone"]
    few = ["--shots", "3", "5", "--fraction", "0.5", "--draws", "2"]
    code, out, _ = _said(capsys, "probe", *both, *few, "--json")
    assert code == 0
    told = json.loads(out)["few_shot"]
    assert [(r["shots"], r["fraction"]) for r in told] == [(3, None), (5, None), (None, 0.5)]
    assert _said(capsys, "probe", *both, *few)[1].splitlines()[2].split()[:2] == ["shots", "rows"]
    code, out, _ = _said(capsys, "decompose", *both, "--json")
    assert code == 0
    parts = json.loads(out)
    names = ("approximation", "usability", "probe_generalization", "encoder_generalization")
    assert sum(parts[n]["value"] for n in names) == pytest.approx(parts["risk"]["value"], abs=1e-15)
    code, out, _ = _said(capsys, "select", str(run))
    assert code == 0
    assert "vicreg" in out
    code, out, _ = _said(capsys, "report", str(run), "--json")
    assert json.loads(out) == {"report": str(run / "report.html")}
    for name in ("t.csv", "t.parquet"):
        code, out, _ = _said(capsys, "report", str(run), "--table", str(tmp_path / name))
        assert out.splitlines() == [str(run / "report.html"), str(tmp_path / name)]
    rows = [pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet")]
    assert [list(r["method"]) for r in rows] == [["vicreg"], ["vicreg"]]
    assert rows[0]["rankme_projector"][0] == pytest.approx(rows[1]["rankme_projector"][0])
    code, _, told = _said(capsys, "report", str(run), "--table", str(tmp_path / "t.xls"))
    assert (code, "expected a .csv or .parquet file" in told) == (2, True)
    code, out, _ = _said(capsys, "probe", *both)
    assert code == 0
    assert out.splitlines()[3].split()[0] == "error"
    code, out, said = _said(capsys, "decompose", *both, "--probe", "ridge")
    assert "usability includes approximation" in out
    assert re.search(r"^next      jessl (probe|select|pretrain) ", out, flags=re.M)
    assert "of the test rows 120 identical to a training row" in said


def test_views_draws_a_picture(
    arrays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "grid.png"
    args = ["views", "--data", str(arrays), "--out", str(out), "--options", "flip", "0"]
    assert _said(capsys, *args)[0] == 0
    with Image.open(out) as picture:
        assert picture.width > picture.height / 2 > 100
        assert len(set(picture.convert("L").tobytes())) > 20


MISTAKES = {
    "unknown command": (["pretrian"], "unknown command 'pretrian'; did you mean 'pretrain'?"),
    "unknown option": (["pretrain", "--data", "digits", "--epohcs", "3"], "--epochs"),
    "missing option": (["pretrain"], "--data"),
    "an option twice": (["pretrain", "--data", "digits", "--seed", "1", "--seed", "2"], "twice"),
    "scores of nothing": (["score", "DIR/z.npy", "--scores", ","], "at least one name"),
    "a picture of no image": (["views", "--data", "digits", "--count", "0"], "count"),
    "a run folder that is not there": (["embed", "./nope", "--data", "digits", "--out", "DIR/e"],
        "a run folder (there is none at './nope'), its checkpoints"),
    "an encoder of no library": (["embed", "foo:bar", "--data", "digits", "--out", "DIR/e"],
        "or package.module:Name (there is no module foo); embed and select also take a run "
        "folder, its checkpoints"),
    "not a number": (["pretrain", "--data", "digits", "--epochs", "many"], "epochs"),
    "missing folder": (["pretrain", "--data", "DIR/nowhere"], "no file or folder"),
    "empty folder": (["pretrain", "--data", "DIR/empty", "--out", "DIR/r"], "no image"),
    "labels too short": (["pretrain", "--data", "DIR/short.npz", "--out", "DIR/r"], "labels"),
    "unknown encoder": (
        ["pretrain", "--data", "digits", "--encoder", "timm:resnet81", "--out", "DIR/r"],
        "resnet18",
    ),
    "unknown objective": (
        ["pretrain", "--data", "digits", "--objective", "vicregs", "--out", "DIR/r"],
        "did you mean 'vicreg'",
    ),
    "other things in out": (["pretrain", "--data", "digits", "--out", "DIR"], "other things"),
    "not a run": (["select", "DIR/empty"], "is not a run"),
    "not embeddings": (["score", "DIR/short.npz"], "short.npz"),
    "missing embeddings": (["score", "DIR/none.npy"], "none.npy"),
    "unknown score": (["score", "DIR/z.npy", "--scores", "rankmee"], "did you mean 'rankme'"),
    "unknown probe": (
        ["probe", "--train", "DIR/z.npy", "--test", "DIR/z.npy", "--kind", "logistik"],
        "did you mean 'logistic'",
    ),
    "no labels to probe": (["probe", "--train", "DIR/z.npy", "--test", "DIR/z.npy"], "label"),
    "projector of a bare encoder": (
        ["embed", "smallconv", "--init", "random", "--data", "digits", "--out", "DIR/e",
         "--layers", "projector"],
        "runs only",
    ),
    "published weights of our own net": (
        ["embed", "smallconv", "--data", "digits", "--out", "DIR/e"],
        "no published weights",
    ),
    "report of nothing": (["report", "DIR/empty"], "empty"),
    "demo in a used folder": (["demo", "--out", "DIR"], "not empty"),
    "demo of nothing": (["demo", "--data", "DIR/nowhere", "--out", "DIR/d"], "no file or folder"),
    "unknown preset": (["views", "--data", "digits", "--preset", "simclrr"], "simclr"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_2(
    mistake: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    np.savez(tmp_path / "short.npz", x=np.zeros((5, 8, 8), np.uint8), y=np.zeros(4, int))
    np.save(tmp_path / "z.npy", np.random.default_rng(0).normal(size=(50, 4)))
    args, said = MISTAKES[mistake]
    args = [a.replace("DIR", str(tmp_path)) for a in args]
    code, out, err = _said(capsys, *args)
    assert code == 2, err
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"jessl {args[0]}: error: ")
    assert said in last
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if "error" in line]) == 1


def test_ctrl_c_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import jessl.selection

    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jessl.selection, "select", interrupted)
    code, _, err = _said(capsys, "select", "x")
    assert code == 130
    assert err == "jessl select: interrupted\n"


def test_a_closed_terminal_does_not_end_a_training(arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with fast_python() as python:
        command = (
            f"{python} -m jessl.cli pretrain --data {arrays} --encoder smallconv:4 --size 8 "
            f"--epochs 3 --out {out} 2>&1 >/dev/null | head -1"
        )
        subprocess.run(command, shell=True, check=True, capture_output=True)
    assert (out / "report.html").exists()


def test_our_own_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import jessl.selection

    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(jessl.selection, "select", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["select", "x"])
