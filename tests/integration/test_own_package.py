"""An objective, a score and an encoder of another package (examples/jessl_hinge), as users name
them: in a training, a resumed one, an embedding, a study and a help text."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from helpers.paths import ROOT
from jessl import objectives, records
from jessl.cli import _parsing, main
from jessl.cli.embed import EmbedCommand
from jessl.cli.pretrain import PretrainCommand
from jessl.cli.score import ScoreCommand
from jessl.core import extensions
from jessl.encoders.outside import ENCODERS, is_known_outside
from jessl.objectives import OBJECTIVES, TrainingPosition, build_objective
from jessl.scores.registry import EXTENSIONS as SCORE_EXTENSIONS
from jessl.sweeps.study_state import begin
from jessl.sweeps.sweep import _imported_by_workers

EXAMPLE = ROOT / "examples" / "jessl_hinge"
HINGE = "jessl_hinge:HingeConfig"
PATCHES = "jessl_hinge:patches"
SHARE = "jessl_hinge:LARGEST_SHARE"
QUICK = ["--encoder", "smallconv:4", "--epochs", "1", "--batch-size", "16", "--log", "none"]


IMPORT, ENTRY_POINTS = extensions.import_extensions, extensions._entry_points


def _forget() -> None:
    """As a new process: nothing was registered, named or imported."""
    sys.modules.pop("jessl_hinge", None)
    IMPORT.cache_clear()
    ENTRY_POINTS.cache_clear()
    for known in (OBJECTIVES, SCORE_EXTENSIONS, ENCODERS):
        known._known.clear()
        known._registered.clear()


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that can import the example."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.path.append(str(EXAMPLE))
    _forget()
    yield
    _forget()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the objective, and the images that it was trained on."""
    folder = tmp_path_factory.mktemp("own")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", x=pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))
        patch.chdir(EXAMPLE)
        options = ["--objective", HINGE, "--objective-options", "margin", "0.3"]
        assert _pretrain(folder, "run", *options) == 0
    _forget()
    return folder


def _pretrain(folder: Path, out: str, *options: str) -> int:
    where = ["--data", str(folder / "images.npz"), "--out", str(folder / out)]
    return main(["pretrain", *where, *QUICK, *options])


@pytest.mark.usefixtures("fresh")
def test_a_run_names_what_it_needs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = jessl.Run.open(folder / "run")
    assert run.config().objective == run.resolved_config().objective == HINGE
    assert run.config().objective_options == {"margin": 0.3}
    assert {r.name for r in records.read(run.path)} >= {"loss", "loss/pull", "loss/push"}
    # a run is data: nothing is imported to embed with it
    embed = ["embed", str(run.path), "--data", str(folder / "images.npz"), "--out"]
    assert main([*embed, str(folder / "backbone")]) == 0
    assert "jessl_hinge" not in sys.modules
    notes = [line for line in capsys.readouterr().err.splitlines() if HINGE in line]
    assert len(notes) == 1
    assert "its encoder is used without it" in notes[0]
    assert main([*embed, str(folder / "projector"), "--layers", "projector"]) == 2
    assert f"expected the objective of the run, {HINGE}" in capsys.readouterr().err
    # to resume is the user's own decision, and is announced
    assert _pretrain(folder, "run", "--resume") == 0
    assert f"note: resuming imports {HINGE}, which" in capsys.readouterr().err


@pytest.mark.usefixtures("fresh")
def test_a_registered_objective_has_its_projector(folder: Path) -> None:
    jessl_hinge = import_module("jessl_hinge")
    jessl.register_objective(jessl_hinge.HingeConfig)
    by_layer = jessl.embed(
        str(folder / "run"), str(folder / "images.npz"), layers=("backbone", "projector")
    )
    assert {name: z.d for name, z in by_layer.items()} == {"backbone": 32, "projector": 32}
    config = jessl.Pretrain(
        data=str(folder / "images.npz"),
        objective="hinge",
        encoder="jessl_hinge:patches",
        epochs=1,
        batch_size=16,
        evaluate_epochs=0,
        log=("none",),
        out=str(folder / "by-name"),
    )
    run = jessl.pretrain(config, quiet=True)
    stored = run.resolved_config()
    assert (stored.objective, stored.encoder) == (HINGE, "jessl_hinge:patches")


@pytest.mark.usefixtures("fresh")
def test_a_stranger_s_encoder_is_not_imported(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").symlink_to(folder / "run" / "checkpoints")
    config = json.loads((folder / "run" / "config.json").read_text())
    config["encoder"] = config["chosen"]["config"]["encoder"] = "jessl_hinge:patches"
    (run / "config.json").write_text(json.dumps(config))
    (run / "checkpoints").unlink()
    (folder / "run" / "checkpoints").rename(run / "checkpoints")
    try:
        images = str(folder / "images.npz")
        assert main(["embed", str(run), "--data", images, "--out", str(tmp_path / "z")]) == 2
    finally:
        (run / "checkpoints").rename(folder / "run" / "checkpoints")
    assert "jessl_hinge" not in sys.modules
    error = capsys.readouterr().err.splitlines()[-1]
    assert "encoder jessl_hinge:patches is code from outside jessl" in error


@pytest.mark.usefixtures("fresh")
def test_scores_and_encoders_by_module(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    z = jessl.embed("jessl_hinge:patches", str(folder / "images.npz"))
    assert (z.d, z.meta["weights"]) == (64, "as built")
    values = np.linalg.eigvalsh(np.cov(z.features.astype(np.float64).T))
    result = jessl.score(z, (SHARE, "rankme"))[SHARE]
    assert result.value == pytest.approx(values.max() / values.sum(), rel=1e-5)
    assert result.sd is not None
    projector = str(folder / "run" / "embeddings" / "backbone")
    assert main(["score", projector, "--scores", f"{SHARE},rankme", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)["embeddings"][projector]
    assert list(names) == [SHARE, "rankme"]
    chosen = jessl.select([str(folder / "run")], by=f"{SHARE}/backbone")
    assert f"{SHARE}/backbone" in json.dumps(chosen.as_json())


@pytest.mark.usefixtures("fresh")
def test_a_study_names_what_its_workers_import(folder: Path, tmp_path: Path) -> None:
    jessl_hinge = import_module("jessl_hinge")
    jessl.register_objective(jessl_hinge.HingeConfig)
    base = jessl.Pretrain(data=str(folder / "images.npz"), objective="hinge", encoder="smallconv:4")
    space = {"objective": ["hinge", "vicreg"], "objective_options.margin": [0.1, 0.3]}
    study = begin(tmp_path / "study", jessl.Sweep(base=base, space=space, seeds=(0,)))
    assert study.plan.config.space["objective"] == [HINGE, "vicreg"]
    assert study.count() == 3  # vicreg has no margin
    _forget()  # as a worker that is started
    joined = begin(tmp_path / "study")
    assert [u.params["objective"] for u in joined.units()] == [HINGE, HINGE, "vicreg"]
    assert "jessl_hinge" in sys.modules


@pytest.mark.usefixtures("fresh")
def test_a_registered_encoder_is_found_by_its_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jessl_hinge = import_module("jessl_hinge")
    jessl.register_encoder("flat", jessl_hinge.patches)
    images = str(folder / "images.npz")
    z = jessl.embed("flat", images)
    assert (z.d, z.meta["encoder"], z.meta["weights"]) == (64, PATCHES, "as built")
    config = jessl.Pretrain(
        data=images,
        encoder="flat",
        epochs=1,
        batch_size=16,
        evaluate_epochs=0,
        log=("none",),
        out=str(tmp_path / "run"),
    )
    run = jessl.pretrain(config, quiet=True)
    assert (run.config().encoder, run.resolved_config().encoder) == (PATCHES, PATCHES)
    assert jessl.embed(run, images).d == 64
    space = {"encoder": ["flat", "smallconv:4"]}
    study = begin(tmp_path / "study", jessl.Sweep(base=config, space=space, seeds=(0,)))
    assert [unit.params["encoder"] for unit in study.units()] == [PATCHES, "smallconv:4"]
    assert _imported_by_workers(study.plan.config) == [PATCHES]
    _forget()  # as a new process: a run folder imports nothing, to resume is the user's decision
    embed = ["embed", str(run.path), "--data", images, "--out", str(tmp_path / "z")]
    assert main(embed) == 2
    assert "jessl_hinge" not in sys.modules
    resume = ["pretrain", "--data", images, "--out", str(run.path), "--resume"]
    assert main([*resume, "--encoder", PATCHES]) == 0
    assert f"note: resuming imports {PATCHES}, which" in capsys.readouterr().err


def _of_a_notebook(channels: int = 3) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())


@pytest.mark.usefixtures("fresh")
def test_names_of_encoders_that_mislead_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, builder, expected in (
        ("smallconv", _of_a_notebook, "name: 'smallconv' is a built-in encoder"),
        ("timm", _of_a_notebook, "name: 'timm' is a built-in encoder"),
        ("a:b", _of_a_notebook, "name: expected letters"),
        ("mine", 3, "encoder mine: expected a function or class that builds it, got 3"),
    ):
        with pytest.raises(ValueError, match=expected):
            jessl.register_encoder(name, builder)
    monkeypatch.setattr(_of_a_notebook, "__module__", "__main__")
    jessl.register_encoder("mine", _of_a_notebook)
    images = str(folder / "images.npz")
    assert jessl.embed("mine", images).meta["weights"] == "as built"
    base = jessl.Pretrain(data=images, encoder="mine", objective="vicreg")
    monkeypatch.setattr("jessl.sweeps.sweep._has_script", lambda: False)
    with pytest.raises(ValueError, match=r"encoder mine: expected one of a file.*my_code:_of_a"):
        jessl.sweep(jessl.Sweep(base=base, space={"lr": [0.1]}), tmp_path / "study", jobs=2)
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    with pytest.raises(ValueError, match="encoder: expected a name or a path, got mine, which is"):
        jessl.embed("mine", images)


def test_libraries_are_not_code_from_outside() -> None:
    assert not is_known_outside("timm:resnet18")  # has the form package.module:Name
    assert not is_known_outside("torchvision:resnet18")


@pytest.mark.usefixtures("fresh")
def test_names_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = re.findall(
        r'entry-points\."jessl\.(\w+)"\]\n(\w+) = "(.*)"',
        (EXAMPLE / "pyproject.toml").read_text(),
    )
    points = {
        kind: extensions.EntryPoint(name, place, f"jessl.{kind}") for kind, name, place in entries
    }
    monkeypatch.setattr(extensions, "_entry_points", lambda kind: (points[f"{kind}s"],))
    for options, command_class, listed in (
        (jessl.Pretrain, PretrainCommand, "hinge"),
        (jessl.Score, ScoreCommand, "largest_share"),
        (jessl.Embed, EmbedCommand, "patches"),
    ):
        monkeypatch.setattr(options, "__doc__", options.__doc__)  # as it was, afterwards
        _parsing._unwrap_descriptions(command_class)
        _parsing._add_installed_names(command_class)
        assert f"Also installed or registered: {listed}.\n" in str(options.__doc__)
    assert "jessl_hinge" not in sys.modules
    with pytest.raises(ValueError, match=r"did you mean 'hinge'.*of other packages: hinge"):
        build_objective("hing", 8)
    assert type(build_objective("hinge", 8)).__name__ == "Hinge"


@pytest.mark.usefixtures("fresh")
def test_an_objective_of_another_package_keeps_the_contract() -> None:
    torch.manual_seed(0)
    objective = build_objective(HINGE, 12, {"margin": 1, "projector": "20-6"})
    assert list(objective.layers()) == ["projector.1", "projector"]
    objective.begin_step(TrainingPosition(step=0, total_steps=1, steps_per_epoch=1))
    x = torch.randn(3, 8, 12, requires_grad=True)
    terms = objective.loss(x, n_global=2)
    terms.total.backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
    assert float(terms.parts["push"]) == 0  # no cosine is above 1
    same = objective.eval().loss(x[:1].detach().expand(2, -1, -1))
    assert float(same.parts["pull"]) == pytest.approx(0, abs=1e-6)


@pytest.mark.usefixtures("fresh")
def test_configs_that_are_none() -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Required:
        margin: float
        name = "required"

        def build(self, dim: int) -> None: ...

    @dataclasses.dataclass(frozen=True)
    class Listing:
        widths: list[int] = dataclasses.field(default_factory=list)
        name = "listing"

        def build(self, dim: int) -> None: ...

    @dataclasses.dataclass(frozen=True)
    class Empty:
        scale: float = 1.0
        name = "empty"

        def build(self, dim: int) -> None: ...

    for config, expected in (
        (Required, "expected a default for the option margin"),
        (Listing, "option widths: expected a type of int"),
        (objectives.VICReg, "name: expected letters"),
    ):
        with pytest.raises(ValueError, match=expected):
            jessl.register_objective(config)
    jessl.register_objective(Empty)
    with pytest.raises(ValueError, match=r"expected build\(dim\) to return .* got NoneType"):
        build_objective("empty", 8, {"scale": 2})
    with pytest.raises(ValueError, match=r"expected a jessl\.scores\.SpectralScore or RowScore"):
        jessl.register_score("mine", print)
