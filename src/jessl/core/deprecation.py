"""Old names of public arguments, which keep working with a warning."""

from __future__ import annotations

import functools
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
