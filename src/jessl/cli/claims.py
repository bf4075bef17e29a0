"""The command `jessl claims`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._output import print_lines, print_table
from jessl.cli._signals import stop_on_signals

if TYPE_CHECKING:
    from jessl.claims.claim import Claim


@dataclass(frozen=True, kw_only=True)
class ClaimsCommand(Command):
    """The claims of the papers: what they are, what came out here, and the test of each.

    list: every claim with its outcome. show: the comparisons behind the outcomes. run: measure
    claims; what an earlier call measured is not repeated.

    Attributes:
        action: list, show or run.
        names: claims to print or measure; none: all of them.
        records: folder of the results, in which run writes NAME.json and NAME.md.
        work: folder of trainings, which the claims share.
        data: folder with NAME-train.npz and NAME-test.npz of the data sets (cifar10, fashion,
            solar); None: those that torchvision downloads.
        quick: with run, the small size: one data set; without names, the claims that take less
            than 20 minutes together on two cores.
        jobs: with run, processes that train.
        markdown: with show, print the page docs/claims.md.
    """

    action: tyro.conf.Positional[Literal["list", "show", "run"]]
    names: tyro.conf.Positional[tuple[str, ...]] = ()
    records: str = "benchmarks/records/claims"
    work: str = "claims-work"
    data: str | None = None
    quick: bool = False
    jobs: int = 1
    markdown: bool = False

    def run(self) -> JsonObject:
        """List, measure or read."""
        from pathlib import Path

        from jessl.claims.claim import load_claim, load_claims
        from jessl.claims.page import claims_page, outcome_of
        from jessl.claims.rows import read_rows
        from jessl.core.log import log

        self._refuse_options()
        claims = [load_claim(name) for name in self.names] if self.names else load_claims()
        if self.action == "run":
            self._measure(claims)
        rows = read_rows(Path(self.records))
        if not rows:
            log.note(
                f"no results in {self.records}: they lie in a checkout of jessl; call this there, "
                "or give --records"
            )
        if self.markdown:
            return {"markdown": claims_page(claims, rows)}
        return {
            "claims": [
                {
                    "id": claim.id,
                    "sentence": claim.sentence,
                    "paper": claim.paper,
                    "place": claim.place,
                    "comparison": claim.comparison,
                    "outcome": outcome_of(claim, rows),
                    "command": claim.command,
                    "reason": claim.reason or None,
                    "row": rows[claim.id].as_json() if claim.id in rows else None,
                }
                for claim in claims
            ]
        }

    def _refuse_options(self) -> None:
        """Refuse options that the action does not read."""
        from jessl.config import option_name

        of_run = {"work", "data", "quick", "jobs"}
        for name in sorted(self.given & (of_run if self.action != "run" else {"markdown"})):
            raise ValueError(f"{option_name(name)} has no meaning with {self.action}")
        if self.markdown and self.action != "show":
            raise ValueError(f"--markdown has no meaning with {self.action}")

    def _measure(self, claims: list[Claim]) -> None:
        """Measure one after the other; one that cannot be measured does not keep the others."""
        from pathlib import Path

        from jessl.claims.claim import NONE
        from jessl.claims.run import run_claim
        from jessl.core.log import log

        failed = []
        for claim in claims:
            if not self.names and (claim.source == NONE or (self.quick and not claim.quick)):
                continue
            log.info(f"{claim.id}: {claim.sentence}")
            try:
                with stop_on_signals("the same command continues") as stop:
                    row = run_claim(
                        claim,
                        records=Path(self.records),
                        work=Path(self.work),
                        data=None if self.data is None else Path(self.data),
                        quick=self.quick,
                        jobs=self.jobs,
                        stop=stop,
                    )
            except (ValueError, OSError) as error:
                if len(claims) == 1:
                    raise
                log.warning(f"{claim.id}: {error}")
                failed.append(claim.id)
                continue
            log.info(f"{claim.id}: {row.outcome}")
        if failed:
            raise ValueError(
                f"{len(failed)} of {len(claims)} claims could not be measured: {', '.join(failed)}"
            )

    def show(self, result: JsonObject) -> None:
        """A table of outcomes; with show and run also the comparisons."""
        if "markdown" in result:
            print_lines(*result["markdown"].rstrip("\n").split("\n"))
            return
        claims = result["claims"]
        print_table(
            ["claim", "outcome", "sentence"],
            [[c["id"], c["outcome"], c["sentence"]] for c in claims],
        )
        if self.action == "list":
            print_lines("", "jessl claims show NAME prints the numbers, run NAME measures it again")
            return
        for claim in claims:
            print_lines("", f"{claim['id']}: {claim['outcome']}", f"  {claim['comparison']}")
            if claim["row"] is None:
                print_lines(f"  {claim['reason'] or 'no row in ' + self.records}")
                continue
            for part in claim["row"]["parts"]:
                print_lines(
                    f"  {part['name']}: {part['effect']:+.3g} ({part['low']:.3g} to "
                    f"{part['high']:.3g}) {part['unit']}, smallest of interest "
                    f"{part['smallest']:g}: {part['outcome'] or 'reported'}"
                )
            print_lines(f"  {claim['row']['date']}, {claim['command']}")
