"""Arguments of users: an unknown name is refused with the nearest known ones, a number by range;
and names of others as they are shown."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable
from typing import Any


def check_choice(argument: str, value: str, allowed: Iterable[str]) -> str:
    """Return `value` when it is among `allowed`.

    Raises:
        ValueError: naming the argument, the value, the nearest names and all that is allowed.
    """
    known = sorted(set(allowed))
    if value in known:
        return value
    if not isinstance(value, str):
        raise ValueError(f"{argument}: one of {', '.join(known)} wanted, {value!r} came")
    raise ValueError(unknown_name(argument, value, known))


def unknown_name(argument: str, value: str, known: Iterable[str], *, most: int = 20) -> str:
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


def check_int(name: str, value: Any, least: int | None) -> int:
    """A whole number of an argument, numpy's included.

    Raises:
        ValueError: for anything else, and for less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ValueError(f"{name}: a whole number wanted, {value!r} came")
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return number


# control characters, bytes that are no UTF-8, ends of lines, and what turns the direction of text
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_control(text: str) -> str:
    """Text of others on one line that every stream can print and that steers no terminal.

    Control characters become escapes such as \\x1b and \\n; bytes of a file name that are no UTF-8
    become \\x.. as well.
    """
    return _UNSHOWN.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    letter = found.group()
    if "\udc80" <= letter <= "\udcff":  # how Python keeps a byte of a file name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
