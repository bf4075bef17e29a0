"""Progress of work that takes a while: a bar on a terminal, nothing where there is none."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from jessl.core.log import log
from jessl.core.validation import escape_control

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# called with (how many are done, of how many)
ProgressCallback = Callable[[int, int], None]

FIRST_LINE_SECONDS = 2.0
LINE_SECONDS = 30.0


class ProgressBar:
    """A progress bar on standard error while a block lasts; nothing where that is no terminal.

    Args:
        title: what is being done, in front of the bar.
        total: how many items there are; None: not known yet.
        done: how many are done at the start.
        quiet: show nothing.
        unit: what is counted, such as images: their rate is shown as well, and where there is no
            terminal a line after 2 seconds and then every 30.
        estimate: show the time left behind the bar; False: the texts hold it.

    Example:
        >>> with ProgressBar("embedding") as bar:
        ...     embed(encoder, source, progress=bar.update)
    """

    def __init__(
        self,
        title: str,
        total: int | None = None,
        *,
        done: int = 0,
        quiet: bool = False,
        unit: str | None = None,
        estimate: bool = True,
    ) -> None:
        self._title, self._unit = title, unit
        self._rate = Rate()
        self._lines = unit is not None and not quiet and not _on_terminal()
        self._over = threading.Event()
        self._bar = _rich_bar(estimate=estimate) if not quiet and _on_terminal() else None
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
        self._rate.update(done, total)
        if self._bar is None:
            return
        if text is None and self._unit is not None:
            text = self._rate.text(self._unit)
        if text is None:
            text = f"{done:,}" if total is None else f"{done:,}/{total:,}"
        self._bar.update(self._task, completed=done, total=total, text=escape_control(text))

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        if self._lines:
            threading.Thread(target=self._print_lines, daemon=True).start()
        return self

    def _print_lines(self) -> None:
        pause = FIRST_LINE_SECONDS
        while not self._over.wait(pause):
            log.info(f"{self._title}: {self._rate.text(self._unit or '')}")
            pause = LINE_SECONDS

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._bar is not None:
            self._bar.stop()


class Rate:
    """How many are done, of how many, and how fast since the first update."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = 0.0
        self._done, self._total = 0, 0

    def update(self, done: int, total: int | None = None) -> None:
        """A `ProgressCallback`."""
        self._last = time.monotonic()
        self._first = self._first or (self._last, done)
        self._done, self._total = done, total or self._total

    def text(self, unit: str) -> str:
        """Such as "8,192/50,000 images, 1,200 a second, 35 s left"."""
        counts = f"{self._done:,}/{self._total:,} {unit}" if self._total else "starting"
        if self._first is None or self._done <= self._first[1] or self._last <= self._first[0]:
            return counts
        rate = (self._done - self._first[1]) / (self._last - self._first[0])
        left = duration((self._total - self._done) / rate)
        speed = f", {rate:,.0f} a second" if rate >= 1 else ""
        return f"{counts}{speed}, {left} left"


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _rich_bar(*, estimate: bool) -> RichProgress:
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
        *([TimeRemainingColumn()] if estimate else []),
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
