"""What a person sees of work that takes a while: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

# called with (how many are done, of how many)
ProgressCallback = Callable[[int, int], None]


def is_first_process() -> bool:
    """Whether this is the process that tells, by the environment that torchrun sets."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


class TerminalBar:
    """A bar of rich that is on the terminal while a block lasts; nothing where there is none."""

    def __init__(self, what: str, total: int | None, *, done: int = 0, quiet: bool = False) -> None:
        self._bar = None
        if not quiet and _on_terminal():
            self._bar = _rich_bar()
            self._task = self._bar.add_task(what, total=total, completed=done, text="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _rich_bar():  # type: ignore[no-untyped-def]  # rich is imported where it is used
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min 10 s, 2 h 05 min."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class ProgressBar(TerminalBar):
    """How many of a number of things are done, on standard error."""

    def __init__(self, what: str) -> None:
        super().__init__(what, None)

    def update(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, text=f"{done:,}/{total:,}")
