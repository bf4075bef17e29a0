"""Progress of work that takes a while: a bar on a terminal, nothing where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from jessl.core.validation import escape_control

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# called with (how many are done, of how many)
ProgressCallback = Callable[[int, int], None]


class ProgressBar:
    """A progress bar on standard error while a block lasts; nothing where that is no terminal.

    Args:
        title: what is being done, in front of the bar.
        total: how many items there are; None: not known yet.
        done: how many are done at the start.
        quiet: show nothing.

    Example:
        >>> with ProgressBar("embedding") as bar:
        ...     embed(encoder, source, progress=bar.update)
    """

    def __init__(
        self, title: str, total: int | None = None, *, done: int = 0, quiet: bool = False
    ) -> None:
        self._bar = _rich_bar() if not quiet and _on_terminal() else None
        if self._bar is not None:
            self._task = self._bar.add_task(
                escape_control(title), total=total, completed=done, text=""
            )

    @property
    def visible(self) -> bool:
        """Whether there is a terminal to draw on."""
        return self._bar is not None

    def update(self, done: int, total: int | None = None, text: str | None = None) -> None:
        """Show that `done` items are done; a `ProgressCallback`.

        Args:
            total: the new total; None: as before.
            text: what stands behind the bar; None: the counts.
        """
        if self._bar is None:
            return
        if text is None:
            text = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        self._bar.update(self._task, completed=done, total=total, text=escape_control(text))

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


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _rich_bar() -> RichProgress:
    from rich.console import Console  # imported where it is used
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),  # brackets of a file name are no colours
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}", markup=False),
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
