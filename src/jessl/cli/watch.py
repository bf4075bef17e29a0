"""The command `jessl watch`."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._output import print_next, print_table
from jessl.core.progress import duration
from jessl.core.validation import check_float, escape_control

if TYPE_CHECKING:
    from rich.table import Table

    from jessl.report.live import RunProgress, Watcher

_TITLES = ("run", "status", "epoch", "loss", "view retrieval", "RankMe", "images/s", "left")


@dataclass(frozen=True, kw_only=True)
class WatchCommand(Command):
    """Show how far a run or the runs of a study are, from another terminal.

    It reads files only, so that it works over a network and for runs that have ended. It ends when
    all runs are finished, or by Ctrl-C.

    Attributes:
        folder: a run, a study, or a folder of runs.
        seconds: between two looks.
        once: look once, as when the output is no terminal.
    """

    folder: tyro.conf.Positional[str]
    seconds: float = 2.0
    once: bool = False

    def run(self) -> JsonObject:
        """Look until everything is finished."""
        from jessl.report.live import Watcher

        check_float("seconds", self.seconds, above=0)
        watcher = Watcher(self.folder)
        runs = watcher.look()
        if not (self.once or self.json) and sys.stdout.isatty():
            runs = self._follow(watcher, runs)
        silent = any(one.status == "silent" for one in runs)
        return {
            "runs": [one.as_json() for one in runs],
            "next": _resuming(Path(self.folder)) if silent else [],
        }

    def _follow(self, watcher: Watcher, runs: list[RunProgress]) -> list[RunProgress]:
        """Show every look until all runs are finished, or Ctrl-C."""
        from rich.live import Live

        try:
            with Live(_table(runs), auto_refresh=False, transient=True) as live:
                while not runs or any(one.status != "finished" for one in runs):
                    time.sleep(self.seconds)
                    runs = watcher.look()
                    live.update(_table(runs), refresh=True)
        except KeyboardInterrupt:
            pass  # the usual way to end it; the last look is printed
        return runs

    def show(self, result: JsonObject) -> None:
        """The last look."""
        from jessl.report.live import RunProgress

        print_table(_TITLES, [_row(RunProgress(**one)) for one in result["runs"]])
        print_next(result["next"])


def _resuming(folder: Path) -> list[str]:
    """The command that continues a run or a study; none for a folder of several runs."""
    from jessl.runs import is_run

    path = shlex.quote(str(folder))
    if is_run(folder):
        return [f"jessl pretrain --out {path} --resume"]
    return [f"jessl sweep {path}"] if (folder / "sweep.json").is_file() else []


def _table(runs: list[RunProgress]) -> Table:
    from rich.table import Table

    table = Table(*_TITLES, box=None)
    for one in runs:
        table.add_row(*(escape_control(cell) for cell in _row(one)))
    return table


def _row(one: RunProgress) -> list[str]:
    status: str = one.status
    if one.status == "silent" and one.seconds_silent is not None:
        status = f"silent for {duration(one.seconds_silent)}"
    of = "" if one.epochs is None else f" of {one.epochs:g}"
    return [
        one.name,
        status,
        "-" if one.epoch is None else f"{one.epoch:.1f}{of}",
        "-" if one.loss is None else f"{one.loss:.4g}",
        "-" if one.view_retrieval is None else f"{100 * one.view_retrieval:.1f} %",
        "-" if one.rankme is None else f"{one.rankme:.1f}",
        "-" if one.images_per_second is None else f"{one.images_per_second:,.0f}",
        "-" if one.seconds_left is None else duration(one.seconds_left),
    ]
