"""Options of the command line as a command object, by tyro; mistakes in one line."""

from __future__ import annotations

import dataclasses
import inspect
import io
import re
from contextlib import redirect_stderr
from typing import TypeVar, get_type_hints

import tyro

from jessl.cli._command import Command
from jessl.config import option_name
from jessl.core.extensions import outside_names
from jessl.core.validation import nearest_names

C = TypeVar("C", bound=Command)

_MARKERS = (
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.DisallowNone,
    tyro.conf.PositionalMetavarFromFieldName,
)
# a line of a docstring that continues the description of an attribute
_CONTINUATION = re.compile(r"\n {8,}(?=\S)")
_KINDS = {"INT": "a whole number", "FLOAT": "a number", "{FLOAT FLOAT}": "two numbers"}
_WORDS = {"True": True, "true": True, "False": False, "false": False}


def parse(name: str, command_class: type[C], args: list[str]) -> C:
    """The command with its options.

    Raises:
        ValueError: for a mistake, in one line, with the nearest options.
        SystemExit: with code 0, after the help is printed.
    """
    options = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
    known = _fields_by_option(command_class)
    for option in options:
        if option.replace("_", "-") not in known:
            near = " or ".join(
                f"--{n}" for n in nearest_names(option.strip("-"), (k.strip("-") for k in known))
            )
            hint = f"did you mean {near}?" if near else f"see jessl {name} --help"
            raise ValueError(f"unknown option {option}; {hint}")
        if options.count(option) > 1:
            raise ValueError(f"{option}: expected it once, got it twice")
    args, negated = _without_negations(command_class, args)
    _unwrap_descriptions(command_class)
    if {"--help", "-h"} & {*args}:
        _add_installed_names(command_class)
    text = io.StringIO()
    try:
        with redirect_stderr(text):
            command = tyro.cli(command_class, prog=f"jessl {name}", args=args, config=_MARKERS)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_mistake(name, text.getvalue())) from None
    given = frozenset(known[option.replace("_", "-")] for option in options)
    return dataclasses.replace(command, given=given, **dict.fromkeys(negated, False))


def _without_negations(command_class: type[Command], args: list[str]) -> tuple[list[str], set[str]]:
    """Arguments in which each flag of three states is a bare one; the flags that are off.

    A `bool | None` is on by --NAME or --NAME True, off by --no-NAME or --NAME False, else None.
    """
    flags = {option_name(name): name for name in _three_states(command_class)}
    rest, negated = [], set()
    words = iter(enumerate(args))
    for i, arg in words:
        option, _, value = arg.partition("=")
        positive = option.replace("_", "-").replace("--no-", "--", 1)
        if positive not in flags:
            rest.append(arg)
            continue
        if not value and i + 1 < len(args) and args[i + 1] in _WORDS:
            value = next(words)[1]
        if value and value not in _WORDS:
            raise ValueError(f"{option}: expected True or False, got {value}")
        if _WORDS.get(value, True) == (option.replace("_", "-") == positive):
            rest.append(positive)
        else:
            negated.add(flags[positive])
    return rest, negated


def _three_states(command_class: type[Command]) -> list[str]:
    hints = get_type_hints(command_class)
    return [f.name for f in dataclasses.fields(command_class) if hints[f.name] == bool | None]


def _fields_by_option(command_class: type[Command]) -> dict[str, str]:
    """The options of a command as they are written on the command line, and their fields."""
    names = {"--help": "help"}
    hints = get_type_hints(command_class, include_extras=True)
    for field in dataclasses.fields(command_class):
        extras = getattr(hints[field.name], "__metadata__", ())
        if tyro.conf.Fixed in extras or tyro.conf.Positional in extras:
            continue
        option = option_name(field.name)
        names[option.replace("--", "--no-", 1) if field.default is True else option] = field.name
    return names | {option_name(f"no_{name}"): name for name in _three_states(command_class)}


def _unwrap_descriptions(command_class: type[Command]) -> None:
    """Join the lines of each attribute's description: tyro starts a line anew at digits, quotes.

    That of a --no- option, which describes what happens without it, begins with "turn off".
    """
    on = [f.name for f in dataclasses.fields(command_class) if f.default is True]
    negated = re.compile(rf"^( *(?:{'|'.join(on)}): )(?!turn off: )", re.M) if on else None
    for parent in command_class.__mro__:
        if dataclasses.is_dataclass(parent) and parent.__doc__:
            text = _CONTINUATION.sub(" ", inspect.cleandoc(parent.__doc__))
            parent.__doc__ = negated.sub(r"\1turn off: ", text) if negated else text


def _add_installed_names(command_class: type[Command]) -> None:
    """Append the names of other packages to the descriptions of the options that take them."""
    kinds = {"objective": "objective", "scores": "score", "by": "score", "encoder": "encoder"}
    for parent in command_class.__mro__:
        if not dataclasses.is_dataclass(parent) or not parent.__doc__:
            continue
        for option, kind in kinds.items():
            names = ", ".join(outside_names(kind))
            text = parent.__doc__
            described = re.search(rf"^    {option}: .*$", text, re.M)
            if names and described and described[0].endswith(".") and names not in described[0]:
                added = f"{described[0]} Also installed or registered: {names}."
                parent.__doc__ = text.replace(described[0], added)


def _mistake(name: str, text: str) -> str:
    """tyro's framed error as one line."""
    lines = [line.strip("│| ") for line in text.splitlines() if line.startswith(("│", "|"))]
    paragraphs = "\n".join(lines).replace("─", "-").split("-" * 10)
    message = " ".join(paragraphs[0].split()) or " ".join(text.split())
    if message.startswith(f"Missing from jessl {name}:"):
        missing = re.findall(r"^(--[a-z][\w-]*|[A-Z-]{2,}|\{\w+\})(?= |$)", paragraphs[0], re.M)
        return f"expected {' and '.join(missing)}; see jessl {name} --help"
    given = r"(?:from \[|arguments: \[|base 10: |to float: )('.*?')(?:\]|$)"
    value = re.match(rf"Error parsing (\S+): .*?{given}", message)
    kind = re.search(r"^--\S+ (.+)$", "".join(paragraphs[1:]), flags=re.M)
    if value and kind:
        return f"{value[1]}: expected {_KINDS.get(kind[1], kind[1])}, got {value[2]}"
    return message.removeprefix("Error parsing ")
