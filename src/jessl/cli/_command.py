"""What every command is: options that are parsed, a run that returns JSON, and text for people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar

import tyro

from jessl.config import option_name

Options = TypeVar("Options")
# the option --range LOW HIGH of the commands that open SRC
_RANGE = option_name("value_range").removeprefix("--")
ValueRangeOption = Annotated[tuple[float, float] | None, tyro.conf.arg(name=_RANGE)]
# the result of a command: str keys, values that JSON holds
JsonObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """Base of the commands; a command also extends the option class of its verb, if it has one.

    Attributes:
        json: print the result as JSON on standard output.
        given: names of the options on the command line, also where they have their default.
    """

    json: bool = False
    given: Annotated[frozenset[str], tyro.conf.Fixed, tyro.conf.Suppress] = frozenset()

    @abstractmethod
    def run(self) -> JsonObject:
        """Do the work; the result consists of values that JSON holds."""

    @abstractmethod
    def show(self, result: JsonObject) -> None:
        """Print the result for people."""


def options_of(option_class: type[Options], command: object) -> Options:
    """The options of a command as an object of the option class alone."""
    return option_class(**{f.name: getattr(command, f.name) for f in fields(option_class)})  # type: ignore[arg-type]
