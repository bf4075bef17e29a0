"""Old public names of arguments, members and modules, which keep working with a warning."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from jessl.core.log import Log

P = ParamSpec("P")
T = TypeVar("T")


def renamed_arguments(**new_names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Accept arguments by their old names as well, with a DeprecationWarning.

    Args:
        new_names: old name="new name". A plain function passed as `log` becomes a `Log` that
            calls it.

    Raises:
        TypeError: when both names are used.

    Example:
        >>> @renamed_arguments(told="progress")
        ... def probe(train, test, *, progress=None): ...
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            arguments: dict[str, Any] = dict(kwargs)
            for old, new in new_names.items():
                if old not in arguments:
                    continue
                if new in arguments:
                    raise TypeError(f"{old} is the old name of {new}: give one of them")
                warnings.warn(
                    f"{function.__name__}: {old} is now called {new}",
                    DeprecationWarning,
                    stacklevel=2,
                )
                value = arguments.pop(old)
                is_function = new == "log" and not isinstance(value, Log)
                arguments[new] = Log(value) if is_function else value
            return function(*args, **arguments)

        return call

    return decorate


class RenamedMember:
    """The old name of an attribute or method of a class, which keeps working with a warning.

    Args:
        new: its name now.

    Example:
        >>> class Spectrum:
        ...     lengths = RenamedMember("norm_histogram")
    """

    def __init__(self, new: str) -> None:
        self.new = new
        self.old = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        warnings.warn(
            f"{owner.__name__}.{self.old} is now called {self.new}",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(instance, self.new)


def renamed_names(module: str, **new_names: str) -> Callable[[str], object]:
    """The `__getattr__` of a module that has old names of public things, with a warning.

    Args:
        module: its `__name__`.
        new_names: old name="new name", or "module:name" of where it is now.

    Example:
        >>> __getattr__ = renamed_names(__name__, Moment="TrainingPosition")
    """

    def get(name: str) -> object:
        if name not in new_names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, new = new_names[name].rpartition(":")
        now = f"{home or module}.{new}"
        warnings.warn(f"{module}.{name} is now {now}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(home or module), new)

    return get
