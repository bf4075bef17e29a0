"""Option classes: light, frozen, documented, and the single source of verbs and commands."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import subprocess
import sys

import pytest

import jessl
from jessl import config
from jessl.cli.main import COMMANDS
from jessl.config.verb import documented_attributes, takes_options

# option class -> (its verb, fields that have another name there)
VERBS = {
    "Classify": (jessl.classify, {"data": "source"}),
    "Compare": (jessl.compare_encoders, {}),
    "Decompose": (jessl.decompose, {}),
    "Embed": (jessl.embed, {"data": "source"}),
    "Export": (jessl.export, {"encoder": "run"}),
    "Pack": (jessl.pack, {"data": "source"}),
    "Probe": (jessl.probe, {}),
    "Score": (jessl.score, {"embeddings": "z", "scores": "names"}),
    "Select": (jessl.select, {"runs": "runs_or_table"}),
    "SelectCheckpoints": (jessl.select_checkpoints, {}),
}
CLASSES = [*VERBS, "Finetune", "Pretrain", "Sweep"]
READS = {"features_columns", "label_column", "name_column"}
# command -> its option classes, and the options of the command alone
OPTIONS = {
    "pretrain": (["Pretrain"], {"recipe", "slurm", "slurm_options"}),
    "classify": (["Classify"], {"x_key"}),
    "finetune": (["Finetune"], set()),
    "pack": (["Pack"], {"labels", "x_key", "y_key", "verify"}),
    "embed": (["Embed"], {"x_key", "y_key", "csv", "parquet", "slurm", "slurm_options"}),
    "score": (["Score"], {"force", *READS}),
    "probe": (["Probe"], {"draws", *READS}),
    "decompose": (["Decompose"], {"evidence", *READS}),
    "export": (["Export"], set()),
    "select": (["Select", "Compare"], {"train", "checkpoints", "slurm", "slurm_options"}),
}


def _command_class(name: str) -> type:
    return getattr(importlib.import_module(f"jessl.cli.{name}"), COMMANDS[name][1])


def _names(option_class: type) -> set[str]:
    return {f.name for f in dataclasses.fields(option_class)}


def test_option_classes_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, jessl.config\n"
        "heavy = {'torch', 'numpy', 'scipy', 'tyro'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", CLASSES)
def test_option_classes_are_frozen_keyword_only_and_documented(name: str) -> None:
    option_class = getattr(jessl, name)
    assert option_class is getattr(config, name)
    for f in dataclasses.fields(option_class):
        assert f.kw_only, f.name
    assert set(documented_attributes(option_class.__doc__)) == _names(option_class)
    required = {
        f.name: "x"
        for f in dataclasses.fields(option_class)
        if f.default is f.default_factory is dataclasses.MISSING
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        option_class(**required).seed = 1


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_has_the_options_of_its_class_and_their_defaults(name: str) -> None:
    verb, renamed = VERBS[name]
    parameters = inspect.signature(verb).parameters
    documented = documented_attributes(verb.__doc__)
    for f in dataclasses.fields(getattr(jessl, name)):
        if f.name == "options":
            assert parameters["options"].kind is inspect.Parameter.VAR_KEYWORD
            continue
        parameter = renamed.get(f.name, f.name)
        assert parameter in documented
        is_required = parameters[parameter].default is inspect.Parameter.empty
        assert is_required == (f.default is dataclasses.MISSING)
        # a single name and a row of one are the same to a verb
        values = [
            v if isinstance(v, tuple) else (v,) for v in (parameters[parameter].default, f.default)
        ]
        assert is_required or values[0] == values[1], f.name


@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_has_the_options_of_its_class_and_its_own(name: str) -> None:
    classes, own = OPTIONS[name]
    command = _command_class(name)
    for option_class in classes:
        assert issubclass(command, getattr(jessl, option_class))
    expected = set().union(own, {"json", "given"}, *(_names(getattr(jessl, c)) for c in classes))
    assert _names(command) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_frozen_and_document_every_option(name: str) -> None:
    command = _command_class(name)
    assert command.__dataclass_params__.frozen
    documented = set().union(*(documented_attributes(c.__doc__ or "") for c in command.__mro__))
    assert documented >= _names(command)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Options:
    """Options.

    Attributes:
        data: what it is
            about.
        size: in pixels.
        options: more.
    """

    data: str
    size: int = 3
    options: dict[str, int] = dataclasses.field(default_factory=dict)


@takes_options(_Options, data="source")
def _verb(source: str, *, size: int = 3, progress: object = None, **options: int) -> tuple:
    """Do it.

    Args:
        progress: called.

    Returns:
        All of it.
    """
    return source, size, progress, options


def test_a_verb_takes_keywords_or_an_object_that_keywords_override() -> None:
    assert _verb("a", size=4) == _verb(source="a", size=4) == ("a", 4, None, {})
    options = _Options(data="a", size=5, options={"k": 1})
    assert _verb(options) == ("a", 5, None, {"k": 1})
    assert _verb(options, source="b", progress=1, k=2) == ("b", 5, 1, {"k": 2})
    with pytest.raises(TypeError, match="sise"):
        _Options(data="a", sise=2)


def test_the_documentation_of_a_verb_has_the_options_of_its_class() -> None:
    text = inspect.getdoc(_verb)
    assert (
        "    progress: called.\n    source: what it is\n        about.\n    size: in pixels."
        in text
    )
    assert text.index("size: in pixels.") < text.index("Returns:")
