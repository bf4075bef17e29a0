"""Messages to the user: one object that every room writes to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from jessl.core.validation import escape_control


def several_processes() -> bool:
    """Whether this process is one of several, by the environment variables of torchrun."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def is_first_process() -> bool:
    """Whether this process reports to the user, by the environment variables of torchrun."""
    return not several_processes() or os.environ.get("RANK", "0") == "0"


def _to_standard_error(line: str) -> None:
    # a closed terminal or a broken pipe must not end the work
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(line, file=sys.stderr, flush=True)


class Log:
    """Messages to the user, on standard error unless `write` is given.

    Control characters are escaped here, so that names of files and classes can stand in a text as
    they are.

    Args:
        write: called with one line, without its line end.

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
        self._write(escape_control(text))

    def note(self, text: str) -> None:
        """A fact that needs no action."""
        self.info(f"note: {text}")

    def warning(self, text: str) -> None:
        """A reason to doubt a result."""
        self.info(f"warning: {text}")


log = Log()
SILENT = Log(lambda _line: None)
