"""Lines to a person: one object through which every room speaks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress


def _to_standard_error(line: str) -> None:
    # a closed terminal or a broken pipe must not end the work
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


class Log:
    """Lines to a person, on standard error unless `write` is given.

    Args:
        write: takes one line, without its end.

    Example:
        >>> lines = []
        >>> Log(lines.append).warning("the loss is not finite")
        >>> lines
        ['warning: the loss is not finite']
    """

    def __init__(self, write: Callable[[str], None] = _to_standard_error) -> None:
        self._write = write

    def info(self, text: str) -> None:
        """A line as it is."""
        self._write(text)

    def note(self, text: str) -> None:
        """Something that a person should know and need not act on."""
        self._write(f"note: {text}")

    def warning(self, text: str) -> None:
        """Something that makes a result doubtful."""
        self._write(f"warning: {text}")


log = Log()
SILENT = Log(lambda _line: None)
