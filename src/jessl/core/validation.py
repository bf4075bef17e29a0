"""Checks of arguments, and text of unknown origin made safe to print.

Every message is one line: "NAME: expected X, got Y", or for an unknown name the nearest known ones.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from numbers import Real
from pathlib import Path


def check_choice(argument: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is among `allowed`.

    Raises:
        ValueError: with the argument, the value, the nearest names and the allowed ones.

    Example:
        >>> check_choice("objective", "vicregg", ("byol", "vicreg"))
        Traceback (most recent call last):
        ValueError: unknown objective 'vicregg'; did you mean 'vicreg'? Allowed: byol, vicreg
    """
    names = sorted(set(allowed))
    if not isinstance(value, str):
        raise ValueError(f"{argument}: expected one of {', '.join(names)}, got {value!r}")
    if value not in names:
        raise ValueError(unknown_name(argument, value, names))
    return value


def unknown_name(argument: str, value: str, known: Iterable[str], *, most: int = 20) -> str:
    """The error message for a `value` that is not among the `known` names of `argument`.

    Args:
        most: how many of the known names to list.
    """
    names = sorted(set(known))
    near = nearest_names(value, names)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    listed = ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
    return f"unknown {argument} {value!r}{hint} Allowed: {listed}"


def nearest_names(value: str, known: Iterable[str]) -> list[str]:
    """At most three of the known names that `value` may be a misspelling of."""
    # one letter of two is half of the name
    cutoff = 0.6 if len(value) > 3 else 0.5
    return difflib.get_close_matches(value, sorted(set(known)), n=3, cutoff=cutoff)


def refuse_path_of_the_same_name(argument: str, word: str, unambiguous: str) -> None:
    """Refuse a built-in name that is also a path here: which of the two is meant is a guess.

    Args:
        unambiguous: how to spell the built-in name so that it cannot be a path.

    Raises:
        ValueError: with both spellings.
    """
    if Path(word).exists():
        raise ValueError(
            f"{argument}: expected a name or a path, got {word}, which is both: give ./{word} for "
            f"the path, or {unambiguous} for the name"
        )


def check_int(
    name: str, value: object, minimum: int | None = None, maximum: int | None = None
) -> int:
    """A whole number within its limits, as an int; numpy's integers are accepted.

    Raises:
        ValueError: for any other type (True and 8.0 included) and outside the limits.

    Example:
        >>> check_int("size", 0, 1)
        Traceback (most recent call last):
        ValueError: size: expected a whole number of at least 1, got 0
    """
    number: int | None = None
    # to numpy 2.0 its bool is an index, with a warning
    if type(value).__name__ != "bool":
        with suppress(TypeError):
            number = operator.index(value)  # type: ignore[arg-type]  # refused by the next line
    if (
        number is None
        or (minimum is not None and number < minimum)
        or (maximum is not None and number > maximum)
    ):
        limits = _limits(minimum, None, maximum, None)
        raise ValueError(f"{name}: expected a whole number{limits}, got {_shown(value)}")
    return number


def check_float(
    name: str,
    value: object,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
) -> float:
    """A finite number within its limits, as a float; integers and numpy's numbers are accepted.

    Args:
        minimum, maximum: limits that are allowed themselves.
        above, below: limits that are not.

    Raises:
        ValueError: for anything else, True, NaN and infinities included.

    Example:
        >>> check_float("share", 0, above=0, below=1)
        Traceback (most recent call last):
        ValueError: share: expected a number above 0 and below 1, got 0
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond the range of floats
            number = math.inf
    if (
        not math.isfinite(number)
        or (minimum is not None and number < minimum)
        or (above is not None and number <= above)
        or (maximum is not None and number > maximum)
        or (below is not None and number >= below)
    ):
        bounded = (minimum, above) != (None, None) and (maximum, below) != (None, None)
        kind = "a number" if bounded else "a finite number"
        limits = _limits(minimum, above, maximum, below)
        raise ValueError(f"{name}: expected {kind}{limits}, got {_shown(value)}")
    return number


def _limits(
    minimum: float | None, above: float | None, maximum: float | None, below: float | None
) -> str:
    if minimum is not None and maximum is not None:
        return f" from {minimum} to {maximum}"
    most = "at most" if above is not None else "of at most"
    limits = (("of at least", minimum), ("above", above), (most, maximum), ("below", below))
    words = [f"{word} {limit}" for word, limit in limits if limit is not None]
    return f" {' and '.join(words)}" if words else ""


def _shown(value: object) -> str:
    # a number of numpy as people write it: 0.5, not np.float64(0.5)
    return str(value) if isinstance(value, Real) else repr(value)


# control characters, bytes that are not UTF-8, line ends, and characters that reverse text
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_control(text: str, *, escape: Callable[[str], str] | None = None, keep: str = "") -> str:
    """Text from outside (file names, labels) on one line, safe for any stream and terminal.

    Control characters become escapes such as \\x1b and \\n. Bytes of a file name that are not UTF-8
    become \\x.. as well. Text that is escaped already stays as it is.

    Args:
        escape: writes one such character; None: as Python does.
        keep: characters to leave.
    """
    write = escape or _escaped
    return _UNPRINTABLE.sub(lambda m: m[0] if m[0] in keep else write(m[0]), text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # Python's stand-in for a byte that is not UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
