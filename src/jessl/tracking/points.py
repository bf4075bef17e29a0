"""Points: what a logger gets of a record, under the name that every logger uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jessl.records import Record
from jessl.schema import metric_name


@dataclass(frozen=True)
class MetricPoint:
    """A number of a run.

    Attributes:
        name: of the metric, such as train/loss.
        value: NaN and infinities included.
        step: optimizer steps.
        epoch: the same in epochs, None where unknown.
        seconds: of training, None where unknown.
    """

    name: str
    value: float
    step: int
    epoch: float | None
    seconds: float | None


class PointReader:
    """Turns records into points, in their order; spectra and texts are left out.

    A record that belongs to no step, such as the accuracy of a finished run, gets the last one.

    Example:
        >>> PointReader().points([Record(run="a", name="loss", value=1.5, step=3)])
        [MetricPoint(name='train/loss', value=1.5, step=3, epoch=None, seconds=None)]
    """

    def __init__(self) -> None:
        self._step = 0
        self._epoch: float | None = None

    def points(self, records: Iterable[Record]) -> list[MetricPoint]:
        """The points of further records."""
        points = []
        for record in records:
            if record.step is not None:
                self._step, self._epoch = record.step, record.epoch
            value = _number(record)
            if value is not None:
                name = metric_name(record.name, record.split)
                points.append(MetricPoint(name, value, self._step, self._epoch, record.seconds))
        return points


def _number(record: Record) -> float | None:
    """The value of a record; JSON holds NaN and infinities as text beside it."""
    value = record.value
    if value is None:
        texts = record.extra.get("not_finite")
        value = texts.get("value") if isinstance(texts, dict) else None
        if value not in ("nan", "inf", "-inf"):
            return None
    return None if isinstance(value, list) else float(value)
