"""What was loaded of a file of weights, and what was left out."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jessl.core.validation import escape_control

# the name of the summary in JSON, and the one that it had before
SUMMARY = "summary"
_OLD_SUMMARY = "told"


@dataclass(frozen=True)
class LoadReport:
    """What was loaded of a file of weights, and what was left out; `str` is one line for a person.

    Attributes:
        file: its path, or the name of a published model.
        format: library or trainer whose names it has.
        prefix: text before the names of the tensors that were loaded.
        matched, wanted: tensors that were loaded, of all those of the encoder; counts of batches,
            which older files lack, are not included. `matched` is lower where the encoder has an
            `Expansion` that is not in the file.
        unused: names behind the prefix that the encoder lacks, heads not included.
        aside: number of other tensors left out: heads, projectors, queues, optimizers.
        others: prefixes under which the file is complete as well.
        notes: other facts for the user: what stays random, numbers that are not finite.
    """

    file: str
    format: str
    prefix: str
    matched: int
    wanted: int
    unused: tuple[str, ...] = ()
    aside: int = 0
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        under = f" under {self.prefix!r}" if self.prefix else ""
        parts = [f"{self.file} ({self.format}): {self.matched} of {self.wanted} tensors{under}"]
        if self.others:
            prefixes = ", ".join(map(repr, self.others))
            parts.append(f"also complete under {prefixes} (choose with key)")
        if self.unused:
            parts.append(f"{len(self.unused)} unused, e.g. {self.unused[0]}")
        if self.aside:
            parts.append(f"{self.aside} others (heads and the like) left out")
        return escape_control("; ".join([*parts, *self.notes]))

    def as_json(self) -> dict[str, object]:
        """The fields, and the line under "summary"."""
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return {**values, SUMMARY: str(self)}


def summary_of(report: dict[str, object]) -> str:
    """The line of a report that `LoadReport.as_json` made, now or in an older version."""
    return str(report.get(SUMMARY, report.get(_OLD_SUMMARY, "")))
