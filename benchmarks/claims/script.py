"""What the scripts of claims share: options, and the row at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jessl.claims.claim import load_claim
from jessl.claims.decision import ClaimPart
from jessl.claims.run import write_script_row


@dataclass
class Outcome:
    """What a test of a claim came to: comparisons, sentences, tables, what is not there.

    `quick`: whether it is the small size.
    """

    parts: list[ClaimPart]
    notes: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    quick: bool = False


@dataclass(frozen=True)
class Options:
    """Of a script, as `jessl claims run` gives them."""

    records: Path
    work: Path
    data: Path | None
    quick: bool


Test = Callable[[Options], Outcome]


def main(tests: Mapping[str, Test], doc: str) -> None:
    """Measure the claims that the command line names, and write their rows."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("claims", nargs="+", choices=sorted(tests), metavar="CLAIM")
    parser.add_argument("--records", type=Path, default=Path("benchmarks/records/claims"))
    parser.add_argument("--work", type=Path, default=Path("claims-work"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    options = Options(args.records, args.work, args.data, args.quick)
    for name in args.claims:
        try:
            outcome = tests[name](options)
        except (ValueError, OSError) as error:
            raise SystemExit(f"{name}: {' '.join(str(error).split())}") from None
        row = write_script_row(
            load_claim(name),
            outcome.parts,
            options.records,
            notes=outcome.notes,
            body=outcome.body,
            missing=outcome.missing,
            quick=outcome.quick,
        )
        print(f"{name}: {row.outcome}", flush=True)
