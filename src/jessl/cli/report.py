"""The command report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro


@dataclass(kw_only=True)
class ReportCommand:
    """Write report.html of a run or a study: one file to look at, without a network.

    Attributes:
        folder: a run or a study.
        table: a .csv or .parquet file to write as well, a row a run, which jessl zoo reads.
        json: print the answer as JSON on standard output.
    """

    folder: tyro.conf.Positional[str]
    table: Path | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Write."""
        from jessl.report import write_report, write_table

        if self.table is None:
            return {"report": str(write_report(self.folder))}
        table = write_table(self.folder, self.table)
        return {"report": str(write_report(self.folder)), "table": str(table)}

    def show(self, answer: dict[str, Any]) -> None:
        """Where to look."""
        print("\n".join(answer.values()))
