"""Recipes: every one builds, does what its docstring promises, and is found by name."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys

import pytest
import torch

from helpers.paths import ROOT
from jessl import Pretrain, recipes
from jessl.cli._parsing import parse
from jessl.cli.pretrain import PretrainCommand
from jessl.encoders import build_encoder
from jessl.objectives import build_objective
from jessl.pretraining import defaults
from jessl.training.optimizers import DEFAULTS
from jessl.views.presets import preset

DOCS = ROOT / "docs" / "recipes.md"
FIELDS = ("Paper", "Source", "Rate", "Expected", "Hardware", "Command")


def _promise(name: str) -> dict[str, str]:
    """The fields of a recipe's docstring, each on one line."""
    text = inspect.getdoc(recipes.RECIPES[name]) or ""
    parts = re.split(r"^([A-Z][a-z]+): ", text, flags=re.M)
    return {
        key: " ".join(value.replace("\\\n", " ").split())
        for key, value in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize("name", recipes.NAMES)
def test_the_configuration_is_one(name: str) -> None:
    config = recipes.named(name, "images")
    assert isinstance(config, Pretrain)
    assert config.data == "images"
    assert config.out is None
    defaults.check_config(config)
    assert config.optimizer in DEFAULTS
    assert config.epochs
    assert config.batch_size
    # all that a resumed or shown run needs goes through JSON
    assert Pretrain.from_json(config.as_json()) == config


@pytest.mark.parametrize("name", recipes.NAMES)
def test_objective_and_views_take_their_options(name: str) -> None:
    config = recipes.named(name, "images")
    # heads of 8192 are not worth their memory here; these draw real directions when built
    with torch.device("cpu" if config.objective in ("lejepa", "visreg") else "meta"):
        objective = build_objective(config.objective, 16, config.objective_options)
    views = preset(config.views, config.size or 32, config.view_options)
    assert len(views) >= objective.least_views
    assert max(view.size for view in views.recipes) == (config.size or 32)


@pytest.mark.parametrize("name", recipes.NAMES)
def test_the_encoder_takes_every_view(name: str) -> None:
    config = recipes.named(name, "images")
    size = config.size or 32
    views = preset(config.views, size, config.view_options)
    sides = {view.size for view in views.recipes} | {config.start_size or size}
    assert config.encoder is not None
    with torch.device("meta"):
        encoder = build_encoder(config.encoder, size=size, stem=config.stem, dim=config.dim).eval()
        for side in sides:
            assert encoder(torch.zeros(1, 3, side, side)).shape == (1, encoder.dim)
    assert config.dim in (None, encoder.dim)


@pytest.mark.parametrize("name", recipes.NAMES)
def test_the_docstring_is_a_promise(name: str) -> None:
    promise = _promise(name)
    assert set(FIELDS) <= promise.keys()
    paper = promise["Paper"]
    assert "arXiv" in paper or paper.startswith("none"), paper
    expected = promise["Expected"]
    assert re.search(r"\d\d?\.\d ?%|\.\d{3} |to \d\d\.\d", expected) or "no number" in expected
    assert "not run here" in promise["Hardware"].lower() or "cores" in promise["Hardware"]
    assert recipes.SUMMARIES[name].endswith(".")
    assert len(recipes.SUMMARIES[name]) < 100


@pytest.mark.parametrize("name", recipes.NAMES)
def test_the_rate_is_the_one_told(name: str) -> None:
    config = recipes.named(name, "images")
    told = _promise(name)["Rate"]
    scaled = re.match(r"base ([\d.e-]+) x batch / 256", told)
    if scaled:
        assert config.lr == pytest.approx(float(scaled[1]) * config.batch_size / 256, rel=1e-12)
    else:
        fixed = re.match(r"([\d.e-]+), (not scaled|for a batch of (\d+))", told)
        assert fixed, told
        assert config.lr == float(fixed[1])
        assert fixed[3] is None or int(fixed[3]) == config.batch_size


@pytest.mark.parametrize("name", recipes.NAMES)
def test_the_command_parses(name: str) -> None:
    words = shlex.split(_promise(name)["Command"])
    start = words.index("pretrain")
    assert words[:start] == ["jessl"] or (
        words[0] == "torchrun" and words[start - 2 : start] == ["-m", "jessl.cli"]
    )
    options = words[start + 1 :]
    at = options.index("--recipe")
    assert options[at + 1] == name
    del options[at : at + 2]
    assert parse("pretrain", PretrainCommand, options).data == options[options.index("--data") + 1]


def test_variants_differ_in_what_their_names_say() -> None:
    def differing(a: str, b: str) -> set[str]:
        one, two = recipes.named(a, "x").as_json(), recipes.named(b, "x").as_json()
        return {k for k in one if one[k] != two[k]}

    assert differing("simclr_resnet50_256", "simclr_resnet50_2048") == {"batch_size", "lr"}
    assert differing("simclr_resnet50_256", "simclr_resnet50_growing") == {"start_size"}
    assert differing("simclr_resnet50_256", "simclr_noise_only") == {"views"}
    assert differing("simclr_resnet50_256", "simclr_one_negative") == {"objective_options"}
    assert differing("dissl_tiny", "dissl_tiny_dim") == {"dim"}
    assert differing("dissl_tiny_long", "dissl_tiny_coarse") == {"view_options"}
    assert recipes.named("simclr_one_negative", "x").objective_options["negatives"] == 1
    assert recipes.named("simclr_patch_negative", "x").objective_options["pool"] == 1


def test_published_rates() -> None:
    rates = {n: recipes.named(n, "x").lr for n in recipes.NAMES}
    assert rates["simclr_resnet50_256"] == 1.0
    assert rates["simclr_resnet50_2048"] == 4.0
    assert rates["vicreg_resnet50_256"] == 1.5
    assert rates["vicreg_resnet50_2048"] == 4.0
    assert rates["byol_resnet50"] == pytest.approx(3.2)
    assert rates["dissl_resnet50"] == pytest.approx(3.0)


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown recipe 'simclr_resnet5'; did you mean 'simclr_r"):
        recipes.named("simclr_resnet5", "images")


def test_names_are_told_apart() -> None:
    files = {inspect.getmodule(f) for f in recipes.RECIPES.values()}
    assert sum(len(m.__all__) for m in files) == len(recipes.NAMES)  # type: ignore[union-attr]


def test_importing_costs_nothing() -> None:
    code = "import sys, jessl.recipes as r; r.named('small', 'x'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_page_has_every_recipe() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), flags=re.M)
    assert sorted(rows) == list(recipes.NAMES)
