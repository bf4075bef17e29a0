"""Options of the command line as a command object, by tyro; mistakes in one line."""

from __future__ import annotations

import dataclasses
import io
import re
from contextlib import redirect_stderr
from typing import TypeVar

import tyro

from jessl.cli._command import Command

C = TypeVar("C", bound=Command)
# options whose fields have other names
_FIELDS = {"range": "value_range"}


def parse(name: str, command_class: type[C], args: list[str]) -> C:
    """The command with its options.

    Raises:
        ValueError: for a mistake, in one line, with the nearest options.
        SystemExit: with code 0, after the help is printed.
    """
    options = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
    for option in options:
        if options.count(option) > 1:
            raise ValueError(f"{option}: expected it once, got it twice")
    text = io.StringIO()
    try:
        with redirect_stderr(text):
            command = tyro.cli(
                command_class,
                prog=f"jessl {name}",
                args=args,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_unframed(text.getvalue())) from None
    names = {option.lstrip("-").replace("-", "_") for option in options}
    names = {_FIELDS.get(name, name) for name in names}
    return dataclasses.replace(
        command, given=frozenset(names | {name.removeprefix("no_") for name in names})
    )


def _unframed(text: str) -> str:
    """The first paragraph of tyro's framed error, and the options that it suggests, on one line."""
    lines = [line.strip("│| ") for line in text.splitlines() if line.startswith(("│", "|"))]
    message, *hints = "\n".join(lines).replace("─", "-").split("-" * 10)
    one_line = " ".join(message.split()) or " ".join(text.split())
    for hint in hints:
        if "Perhaps you meant" in hint:
            names = re.findall(r"^(--[a-z][\w-]*)", hint, flags=re.M)
            one_line += f"; did you mean {' or '.join(names)}?" if names else ""
    return one_line
