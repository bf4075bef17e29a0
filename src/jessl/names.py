"""Choosing by name: an unknown name is refused with the nearest known ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def one_of(argument: str, value: str, allowed: Iterable[str]) -> str:
    """Return `value` when it is among `allowed`.

    Raises:
        ValueError: naming the argument, the value, the nearest names and all that is allowed.
    """
    known = sorted(set(allowed))
    if value in known:
        return value
    raise ValueError(unknown(argument, value, known))


def unknown(argument: str, value: str, known: Iterable[str], *, most: int = 20) -> str:
    """The one line that says that `value` is not among the `known` values of `argument`."""
    names = sorted(set(known))
    near = difflib.get_close_matches(value, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    shown = ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
    return (
        f"unknown {argument} {value!r}{hint} Allowed: {shown}"
        if hint
        else (f"unknown {argument} {value!r}. Allowed: {shown}")
    )
