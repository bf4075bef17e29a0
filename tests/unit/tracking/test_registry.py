"""Which loggers there are, and what is refused before a training writes anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jessl import Pretrain, pretrain
from jessl.cli._parsing import parse
from jessl.cli.main import main
from jessl.cli.pretrain import PretrainCommand
from jessl.cli.sweep import SweepCommand
from jessl.tracking import logger as logger_module
from jessl.tracking.registry import choose_loggers, known_loggers

LOGGERS = ["csv", "mlflow", "tensorboard", "wandb"]


def test_the_folder_is_the_registry_and_imports_no_library() -> None:
    code = (
        "import sys; from jessl.tracking.registry import known_loggers; "
        f"assert list(known_loggers()) == {LOGGERS}; "
        "heavy = {'torch', 'tensorboard', 'wandb', 'mlflow', 'pandas'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _without(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if a package were not installed."""
    real = logger_module.find_spec
    monkeypatch.setattr(logger_module, "find_spec", lambda n: None if n == name else real(n))


def test_tensorboard_is_the_default_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is missing: jessl[tensorboard]")
    assert list(choose_loggers(None)) == ["tensorboard"]
    _without(monkeypatch, "tensorboard")
    assert choose_loggers(None) == {}
    assert choose_loggers(("none",)) == choose_loggers(()) == {}


def test_a_folder_of_the_name_is_no_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tracked_by_nothing").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(known_loggers()["csv"], "module", "tracked_by_nothing")
    assert not known_loggers()["csv"].is_installed()


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            ("tensorbord",),
            "unknown log 'tensorbord'; did you mean 'tensorboard'? Allowed: csv, mlflow, none, "
            "tensorboard, wandb",
        ),
        (("csv", "none"), "log: expected names of loggers or none, got csv none"),
        ("csv", "log: expected a tuple of names, such as ('csv',), got 'csv'"),
        (("mlflow",), "log: mlflow is not installed: pip install 'jessl[mlflow]'"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: tuple[str, ...], line: str
) -> None:
    _without(monkeypatch, "mlflow")
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        pretrain(Pretrain(data="digits", out=str(tmp_path / "run"), log=log))
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_takes_several_names_and_ends_with_2_for_a_missing_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["--data", "digits", "--log", "csv", "tensorboard", "--log-project", "a"]
    command = parse("pretrain", PretrainCommand, args)
    assert (command.log, command.log_project) == (("csv", "tensorboard"), "a")
    study = tmp_path / "study.toml"
    study.write_text('[base]\ndata = "digits"\nlog = ["wandb"]\n[space]\nlr = [0.1]\n')
    sweep = parse("sweep", SweepCommand, [str(study)]).config()[0]
    assert sweep.base.log == ("wandb",)
    sweep = parse("sweep", SweepCommand, [str(study), "--log", "none"]).config()[0]
    assert sweep.base.log == ("none",)
    _without(monkeypatch, "mlflow")
    out = tmp_path / "run"
    assert main(["pretrain", "--data", "digits", "--out", str(out), "--log", "mlflow"]) == 2
    assert (
        "jessl pretrain: error: log: mlflow is not installed: pip install"
        in capsys.readouterr().err
    )
    assert not out.exists()
