"""What connects a verb with its option class: one object instead of keywords, one documentation."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ParamSpec, Protocol, TypeVar, overload

Options = TypeVar("Options", contravariant=True)
Result = TypeVar("Result", covariant=True)
P = ParamSpec("P")

_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): ")


class Verb(Protocol[Options, P, Result]):
    """A function that takes its arguments, or an object of its option class."""

    @overload
    def __call__(self, options: Options, /, **overrides: Any) -> Result: ...

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...


def takes_options(
    option_class: type[Options], **parameters: str
) -> Callable[[Callable[P, Result]], Verb[Options, P, Result]]:
    """Let a function take its options also as one object; document them from the object's class.

    Keywords beside the object override its fields. A field named `options` is a dict of further
    keywords.

    Args:
        option_class: a dataclass with documented Attributes.
        parameters: field -> parameter of the function, where the names differ.

    Example:
        @takes_options(Embed, data="source")
        def embed(encoder, source, *, out=None): ...

        embed("timm:resnet50", "photos")
        embed(Embed(encoder="timm:resnet50", data="photos"), progress=bar.update)
    """
    names = {f.name: parameters.get(f.name, f.name) for f in fields(option_class)}  # type: ignore[arg-type]

    def decorate(function: Callable[P, Result]) -> Verb[Options, P, Result]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Result:
            if args and isinstance(args[0], option_class):
                values = {names[name]: getattr(args[0], name) for name in names}
                kwargs = values.pop("options", {}) | values | kwargs
                args = args[1:]
            return function(*args, **kwargs)

        call.__doc__ = _complete(function.__doc__ or "", option_class.__doc__ or "", names)
        return call

    return decorate


def documented_attributes(docstring: str) -> dict[str, list[str]]:
    """The lines about each attribute or argument that a docstring documents."""
    entries: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in _section(inspect.cleandoc(docstring).splitlines(), ("Attributes:", "Args:")):
        if match := _ENTRY.match(line):
            current = [line]
            entries.update(dict.fromkeys(match[1].split(", "), current))
        elif current is not None:
            current.append(line)
    return entries


def _section(lines: list[str], headings: tuple[str, ...]) -> list[str]:
    """The indented lines below the first of the headings."""
    start = next((k + 1 for k, line in enumerate(lines) if line in headings), len(lines))
    end = next((k for k in range(start, len(lines)) if not lines[k].startswith(" ")), len(lines))
    return lines[start:end]


def _complete(docstring: str, options: str, names: dict[str, str]) -> str:
    """The docstring of a verb with what its option class documents added to Args."""
    lines = inspect.cleandoc(docstring).splitlines()
    if "Args:" not in lines:
        return docstring
    documented = documented_attributes(docstring)
    added = []
    for field, entry in documented_attributes(options).items():
        if names.get(field, field) not in documented:
            added += [entry[0].replace(f"{field}:", f"{names.get(field, field)}:", 1), *entry[1:]]
    end = lines.index("Args:") + 1 + len(_section(lines, ("Args:",)))
    return "\n".join([*lines[:end], *added, *lines[end:]])
