"""Loggers by name, and whether they can be used."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache

from jessl.core.discovery import public_modules
from jessl.core.validation import unknown_name
from jessl.tracking import loggers
from jessl.tracking.logger import Logger

NONE = "none"
# logged to where nothing is named and its package is installed
DEFAULT = "tensorboard"


@cache
def known_loggers() -> dict[str, type[Logger]]:
    """All loggers by the name that `--log` takes."""
    classes = {}
    for name, module in public_modules(loggers.__name__, loggers.__path__).items():
        (classes[name],) = (
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, Logger)
            and value.__module__ == module.__name__
        )
    return classes


def choose_loggers(names: Sequence[str] | None) -> dict[str, type[Logger]]:
    """The loggers of a run.

    Args:
        names: as the user gave them; None: TensorBoard where it is installed; none: no logger.

    Raises:
        ValueError: for a text instead of names, an unknown name (with the nearest ones), and
            "none" beside others.

    Example:
        >>> sorted(choose_loggers(("csv", "none")))
        Traceback (most recent call last):
        ValueError: log: expected names of loggers or none, got csv none
    """
    known = known_loggers()
    if names is None:
        return {DEFAULT: known[DEFAULT]} if known[DEFAULT].is_installed() else {}
    if isinstance(names, str):
        raise ValueError(f"log: expected a tuple of names, such as ({names!r},), got {names!r}")
    for name in names:
        if name not in known and name != NONE:
            raise ValueError(unknown_name("log", name, [*known, NONE]))
    if NONE in names and set(names) != {NONE}:
        raise ValueError(f"log: expected names of loggers or none, got {' '.join(names)}")
    return {name: known[name] for name in dict.fromkeys(names) if name != NONE}


def check_loggers(names: Sequence[str] | None) -> None:
    """Refuse loggers that do not exist, are not installed or cannot be used.

    Raises:
        ValueError: in one line, with the command that installs what is missing.
    """
    for logger in choose_loggers(names).values():
        logger.check()
