"""A table in the run folder, metrics.csv: one row an epoch."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from jessl.core.csv_files import neutralize
from jessl.core.files import atomic_write, contained
from jessl.schema import METRIC_GROUPS, TRAIN_GROUP
from jessl.tracking.logger import Logger, Status, TrackedRun
from jessl.tracking.points import MetricPoint

FILE = "metrics.csv"
_FIRST = ("epoch", "step", "seconds")


class CsvLogger(Logger):
    """Writes RUN/metrics.csv, atomically, when an epoch or an evaluation is done.

    A row has what was measured in an epoch: the last mean of the loss, the evaluation at its end.
    Row 0 is the encoder before the first step; the last row also has what was measured of the
    trained one.
    """

    def __init__(self, tracked: TrackedRun) -> None:
        self._path = contained(tracked.path, FILE)
        self._rows: dict[int, dict[str, float]] = {}
        self._columns: dict[str, None] = {}
        self._epoch = 0
        self._is_written = True

    @classmethod
    def place(cls, path: Path) -> str:
        """The file."""
        return str(path / FILE)

    def log(self, points: Sequence[MetricPoint]) -> None:
        """Add points to their rows; write the table where a row became complete."""
        is_due = False
        for point in points:
            epoch = self._epoch if point.epoch is None else math.ceil(point.epoch)
            is_due |= epoch != self._epoch or not point.name.startswith(f"{TRAIN_GROUP}/")
            self._epoch = epoch
            row = self._rows.setdefault(epoch, {"epoch": epoch})
            row["step"] = point.step
            if point.seconds is not None:
                row["seconds"] = point.seconds
            row[point.name] = point.value
            self._columns[point.name] = None
            self._is_written = False
        if is_due:
            self._write()

    def close(self, status: Status) -> None:
        """Write what is not written."""
        if not self._is_written:
            self._write()

    def _write(self) -> None:
        order = {group: k for k, group in enumerate(METRIC_GROUPS)}
        columns = sorted(
            self._columns, key=lambda name: order.get(name.partition("/")[0], len(order))
        )
        with (
            atomic_write(self._path) as part,
            part.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            names = [*_FIRST, *columns]
            writer.writerow([neutralize(name) for name in names])
            for _, row in sorted(self._rows.items()):
                writer.writerow([row.get(name, "") for name in names])
        self._is_written = True
