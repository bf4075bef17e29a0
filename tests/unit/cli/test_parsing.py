"""The command line as options: three-state flags, mistakes in one line, whole descriptions."""

from __future__ import annotations

import inspect
import re
from importlib import import_module

import pytest

from jessl.cli._command import Command
from jessl.cli._parsing import parse
from jessl.cli.curate import CurateCommand
from jessl.cli.embed import EmbedCommand
from jessl.cli.main import COMMANDS
from jessl.cli.pretrain import PretrainCommand
from jessl.cli.probe import ProbeCommand

TRAIN_TEST = ["--train", "a", "--test", "b"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], None),
        (["--channels-last"], True),
        (["--channels-last", "True"], True),
        (["--channels_last=true"], True),
        (["--channels-last", "False"], False),
        (["--no-channels-last"], False),
        (["--no-channels-last", "False"], True),
    ],
)
def test_a_flag_of_three_states(args: list[str], expected: bool | None) -> None:
    command = parse("pretrain", PretrainCommand, ["--data", "x", *args, "--seed", "3"])
    assert command.channels_last is expected
    assert command.seed == 3
    assert ("channels_last" in command.given) == (expected is not None)


def test_an_option_of_another_name_than_its_field_is_given() -> None:
    args = ["--data", "x", "--range", "0", "4095", "--batch_size=8", "--no-tune"]
    command = parse("pretrain", PretrainCommand, args)
    assert command.given == {"data", "value_range", "batch_size", "tune"}
    assert command.config().value_range == (0, 4095)
    # options go over the recipe's settings
    command = parse("pretrain", PretrainCommand, [*args, "--recipe", "small"])
    assert command.config().value_range == (0, 4095)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--trian", "x"], "unknown option --trian; did you mean --train?"),
        (["--zzz"], "unknown option --zzz; see jessl probe --help"),
        (["--test", "x"], "expected --train; see jessl probe --help"),
        ([], "expected --train; see jessl probe --help"),
        (
            ["--train", "a", "--test", "b", "--seed", "x"],
            "--seed: expected a whole number, got 'x'",
        ),
        (["--train", "a", "--train", "b"], "--train: expected it once, got it twice"),
    ],
)
def test_mistakes_are_one_line(args: list[str], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line.replace('?', '[?]')}$"):
        parse("probe", ProbeCommand, args)


@pytest.mark.parametrize(("name", "class_name"), [(n, c) for n, (_, c) in COMMANDS.items()])
def test_descriptions_of_options_begin_at_their_beginning(name: str, class_name: str) -> None:
    command = getattr(import_module(f"jessl.cli.{name}"), class_name)
    described = 0
    for parent in command.__mro__:
        attributes = inspect.cleandoc(parent.__doc__ or "").partition("Attributes:\n")[2]
        for option, words in re.findall(r"^ {4}(\w+): (.*)", attributes, re.M):
            described += 1
            assert not re.match(r"(of|on|by|from|instead of|as) ", words), f"{option}: {words}"
    assert described


def test_a_value_that_is_neither_true_nor_false() -> None:
    with pytest.raises(ValueError, match=r"^--channels-last: expected True or False, got maybe$"):
        parse("pretrain", PretrainCommand, ["--data", "x", "--channels-last=maybe"])


def _help(name: str, command: type[Command], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        parse(name, command, ["--help"])
    return capsys.readouterr().out


def test_the_help_names_what_is_required_and_breaks_no_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    embed = _help("embed", EmbedCommand, capsys)
    assert embed.startswith("usage: jessl embed [-h] [OPTIONS] ENCODER\n")
    assert "{None}" not in embed
    assert "form a group, which no split of the embeddings divides. (default: None)" in embed
    # lines of the docstring that begin with a quote or a digit
    pretrain = _help("pretrain", PretrainCommand, capsys)
    assert (
        "tar shards, `bands:PATH`, `digits`, `torchvision:NAME[:split]` or `hf:NAME[:split]`."
        in pretrain
    )


def test_an_option_that_turns_something_off_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the descriptions are prepared at every call
        page = " ".join(_help("curate", CurateCommand, capsys).split())
    assert re.search(r"--no-page │? ?turn off: write a page", page)
    assert page.count("turn off: ") == 1
