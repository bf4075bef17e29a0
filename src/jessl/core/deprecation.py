"""Old names of public arguments, which go on working with a warning."""

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
        new_names: old name -> new name. A plain function for `log` becomes a `Log` that calls it.

    Example:
        @renamed_arguments(told="progress")
        def probe(train, test, *, progress=None): ...
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            given: dict[str, Any] = dict(kwargs)
            for old, new in new_names.items():
                if old not in given:
                    continue
                if new in given:
                    raise TypeError(f"{old} is the old name of {new}: give one of them")
                warnings.warn(
                    f"{function.__name__}: {old} is now called {new}",
                    DeprecationWarning,
                    stacklevel=2,
                )
                value = given.pop(old)
                given[new] = Log(value) if new == "log" and not isinstance(value, Log) else value
            return function(*args, **given)

        return call

    return decorate
