"""The command `jessl report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._output import print_lines


@dataclass(frozen=True, kw_only=True)
class ReportCommand(Command):
    """Write report.html for a run or a study: one page that needs no network.

    Attributes:
        folder: a run or a study.
        table: a .csv or .parquet file to write as well, one row per run, for jessl zoo and jessl
            select.
    """

    folder: tyro.conf.Positional[str]
    table: Path | None = None

    def run(self) -> JsonObject:
        """Write the page, and the table if there should be one."""
        from jessl.report import write_report, write_table

        if self.table is None:
            return {"report": str(write_report(self.folder))}
        table = write_table(self.folder, self.table)
        return {"report": str(write_report(self.folder)), "table": str(table)}

    def show(self, result: JsonObject) -> None:
        """The paths of the files."""
        print_lines(*result.values())
