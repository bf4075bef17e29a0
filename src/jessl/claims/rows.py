"""Results of claims: a JSON row and a record for each, in benchmarks/records/claims."""

from __future__ import annotations

import datetime
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessl.claims.claim import PAPERS, Claim
from jessl.claims.decision import ClaimPart, combine
from jessl.core.files import atomic_write, read_json, write_json
from jessl.core.processor import instruction_sets
from jessl.core.resources import usable_cores
from jessl.records import versions

FOLDER = Path("benchmarks/records/claims")
QUICK, FULL = "quick", "full"


@dataclass(frozen=True)
class Row:
    """What a claim came to.

    Attributes:
        id: of the claim.
        parts: the comparisons; the outcome follows from them.
        notes: sentences with numbers of the same command.
        scale: "quick" or "full".
        command, date, hardware, versions, commit: of the measurement.
        seconds: of wall time of an experiment, the sum over trainings and probes, beside whatever
            else ran; else None.
        missing: what the claim declares and this row does not have.
    """

    id: str
    parts: tuple[ClaimPart, ...]
    notes: tuple[str, ...]
    scale: str
    command: str
    date: str
    hardware: str
    versions: str
    commit: str
    seconds: float | None
    missing: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """By the rule, over all parts."""
        return combine(self.parts)

    def as_json(self) -> dict[str, object]:
        """All fields, with the outcome."""
        return {
            "id": self.id,
            "outcome": self.outcome,
            "parts": [part.as_json() for part in self.parts],
            "notes": list(self.notes),
            "scale": self.scale,
            "command": self.command,
            "date": self.date,
            "hardware": self.hardware,
            "versions": self.versions,
            "commit": self.commit,
            "seconds": self.seconds,
            "missing": list(self.missing),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Row:
        """The inverse of `as_json`; outcomes are computed again.

        Raises:
            ValueError: for a row that lacks a field.
        """
        try:
            return cls(
                **{
                    **{k: values[k] for k in cls.__dataclass_fields__},
                    "parts": tuple(ClaimPart.from_json(p) for p in values["parts"]),
                    "notes": tuple(values["notes"]),
                    "missing": tuple(values["missing"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"row {values.get('id')}: expected the field {error}") from None


def new_row(
    claim: Claim,
    parts: Sequence[ClaimPart],
    *,
    notes: Sequence[str] = (),
    scale: str = FULL,
    seconds: float | None = None,
    missing: Sequence[str] = (),
    command: str | None = None,
) -> Row:
    """A row that was measured here and now."""
    return Row(
        id=claim.id,
        parts=tuple(parts),
        notes=tuple(notes),
        scale=scale,
        command=command or claim.command,
        date=datetime.date.today().isoformat(),
        hardware=(
            f"{platform.system()} {platform.machine()}, {usable_cores()} cores, "
            f"{instruction_sets()}"
        ),
        versions=versions(),
        commit=_commit(),
        seconds=None if seconds is None else round(seconds, 1),
        missing=tuple(missing),
    )


def read_rows(folder: Path) -> dict[str, Row]:
    """The rows of a folder by id; none where it is missing."""
    rows = [Row.from_json(read_json(path)) for path in sorted(folder.glob("*.json"))]
    return {row.id: row for row in rows}


def write_row(claim: Claim, row: Row, folder: Path, body: Sequence[str] = ()) -> Path:
    """Write NAME.json and NAME.md; `body` are further lines of the record."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*_heading(claim, row), "", *parts_table(row.parts), ""]
    lines += [f"- {note}" for note in row.notes]
    if row.missing:
        lines += ["", "Not measured here:", "", *(f"- {text}" for text in row.missing)]
    path = folder / f"{claim.id}.md"
    with atomic_write(path) as part:
        text = "\n".join([*lines, *(["", *body] if body else [])]).rstrip()
        part.write_text(text + "\n", encoding="utf-8")
    write_json(folder / f"{claim.id}.json", row.as_json())
    return path


def parts_table(parts: Sequence[ClaimPart]) -> list[str]:
    """A Markdown table of comparisons."""
    lines = [
        "| comparison | effect (95 %) | smallest of interest | rule | outcome | effect that would "
        "have been seen | n |",
        "|---|---:|---:|---|---|---:|---|",
    ]
    for part in parts:
        lines.append(
            f"| {part.name} | {interval(part)} {part.unit} | {_number(part.smallest)} | "
            f"{part.rule or 'reported'} | {part.outcome or '-'} | {_number(part.detectable)} | "
            f"{part.n} |"
        )
    return lines


def interval(part: ClaimPart) -> str:
    """Such as "+1.20 (.40 to 2.00)"."""
    places = _places(part)
    # + 0: no negative zero
    effect, low, high = (round(x, places) + 0.0 for x in (part.effect, part.low, part.high))
    return f"{effect:+.{places}f} ({low:.{places}f} to {high:.{places}f})"


def _places(part: ClaimPart) -> int:
    return 1 if part.unit == "points" and part.high - part.low > 0.4 else 2


def _number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 10 else f"{value:.0f}"


def _heading(claim: Claim, row: Row) -> list[str]:
    facts = {
        "claim": f"{claim.sentence} ({PAPERS[claim.paper]}, {claim.place})",
        "outcome by rule": f"**{row.outcome}**",
        "compared": claim.comparison,
        "settings": claim.settings,
        "data": claim.data,
        "seeds": claim.seeds,
        "tuning budget of each side": claim.budget,
        "smallest effect of interest": claim.smallest,
        "size": row.scale,
        "date": row.date,
        "hardware": row.hardware,
        "versions": row.versions,
        "commit": row.commit,
        "command": f"`{row.command}`",
        "seconds of wall time, trainings and probes, beside other work": (
            "" if row.seconds is None else f"{row.seconds:,.0f}"
        ),
    }
    return [f"# {claim.id}", "", *(f"- {name}: {text}" for name, text in facts.items() if text)]


def _commit() -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
