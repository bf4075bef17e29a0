"""The page of all claims, docs/claims.md, from their declarations and rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from jessl.claims.claim import NONE, PAPERS, RECORD, Claim
from jessl.claims.decision import (
    CONTRADICTED,
    HOLDS,
    NOT_MEASURED,
    UNDECIDED,
    ClaimPart,
)
from jessl.claims.rows import QUICK, Row, interval

# of the page, and from it to the records
_RECORDS = "../benchmarks/records"
_TITLES = {
    "rankme": "RankMe (Garrido et al. 2023)",
    "democratizing": "Towards Democratizing JE-SSL (Bordes et al. 2023)",
    "risk": "Evaluating SSL via Risk Decomposition (Dubois et al. 2023)",
    "idealized": "Improving SSL by Characterizing Idealized Representations (Dubois et al. 2022)",
    "all": "All four",
    "other": "Other papers",
    "ours": "Ours",
}
_INTRODUCTION = """\
# Claims of the papers, and results here

<!-- Written by `make claims-page` from src/jessl/recipes/claims and benchmarks/records/claims: \
change those, not this page. -->

One row for each claim that was put to the test with this library, and for those that were not, \
with the reason. `jessl claims list` prints them, `jessl claims run NAME` measures one again, \
`make claims` all at the small size and `make claims-full` at the full one; both continue where \
they were stopped.

The outcome follows from a rule, for an effect with its 95 % interval (low to high) and the \
smallest effect of interest s. For experiments s was fixed before the trainings; for rows from \
older records and from published tables it was set when the row was written:

| the claim is that | holds where | contradicted where |
|---|---|---|
| A is more than B | low > 0 and effect >= s | high < s |
| A is no less than B | low > -s | high < 0 and effect <= -s |
| A and B are the same | -s < low and high < s | 0 outside the interval and \\|effect\\| >= s |

Everything else *cannot be decided at this scale*; the row then states the effect that would have \
been seen in four of five repetitions. A claim of several comparisons holds where all of them do, \
and is contradicted where one is. Most are tested with small networks and short trainings on a \
CPU: what is contradicted here may hold at the scale of the paper.
"""


def claims_page(claims: Sequence[Claim], rows: Mapping[str, Row]) -> str:
    """The page as Markdown.

    Args:
        claims: in the order of the page.
        rows: by id; a claim without one is "not measured".
    """
    counts = Counter(outcome_of(claim, rows) for claim in claims)
    order = (HOLDS, CONTRADICTED, UNDECIDED, NOT_MEASURED)
    total = ", ".join(f"{name} {counts[name]}" for name in order if counts[name])
    lines = [_INTRODUCTION, f"Of {len(claims)} claims: {total}.", ""]
    for paper in PAPERS:
        mine = [claim for claim in claims if claim.paper == paper]
        if not mine:
            continue
        lines += [f"## {_TITLES[paper]}", "", "| claim | place | outcome |", "|---|---|---|"]
        lines += [
            f"| [{claim.sentence}](#{claim.id}) | {claim.place} | {outcome_of(claim, rows)} |"
            for claim in mine
        ]
        lines.append("")
        for claim in mine:
            lines += [*_section(claim, rows.get(claim.id)), ""]
    return "\n".join(lines).rstrip() + "\n"


def outcome_of(claim: Claim, rows: Mapping[str, Row]) -> str:
    """The outcome of a claim, "not measured" without a row."""
    return rows[claim.id].outcome if claim.id in rows else NOT_MEASURED


def _section(claim: Claim, row: Row | None) -> list[str]:
    outcome = NOT_MEASURED if row is None else row.outcome
    lines = [f'<a id="{claim.id}"></a>', "", f"### {claim.sentence}", ""]
    lines += [f"**{outcome[0].upper()}{outcome[1:]}.** {_reason(claim, row)}".rstrip(), ""]
    if row is not None and row.parts:
        lines += _parts(row.parts)
        lines.append("")
    if claim.facts:
        lines += [claim.facts, ""]
    lines.append(f"<small>{_small_print(claim, row)}</small>")
    return lines


def _reason(claim: Claim, row: Row | None) -> str:
    if row is None:
        return claim.reason or f"Declared and not trained yet. To compare: {claim.comparison}."
    return f"Compared: {claim.comparison}."


def _parts(parts: Sequence[ClaimPart]) -> list[str]:
    lines = [
        "| comparison | effect (95 %) | smallest of interest | outcome |",
        "|---|---:|---:|---|",
    ]
    for part in parts:
        outcome = part.outcome or "reported"
        if outcome == UNDECIDED:
            outcome += f" (would have been seen: {part.detectable:.2g})"
        lines.append(
            f"| {part.name} | {interval(part)} {part.unit} | {part.smallest:g} | {outcome} |"
        )
    return lines


def _small_print(claim: Claim, row: Row | None) -> str:
    facts = [f"{PAPERS[claim.paper]}, {claim.place}"]
    facts += [text for text in (claim.settings, claim.data) if text]
    facts += [f"seeds: {claim.seeds}"] if claim.seeds else []
    facts += [f"tuning of each side: {claim.budget}"] if claim.budget else []
    if row is not None:
        size = ", small size" if row.scale == QUICK else ""
        link = "" if claim.source == RECORD else f", [record]({_RECORDS}/claims/{claim.id}.md)"
        facts.append(f"{row.date}{size}{link}")
        if row.missing:
            facts.append(f"not measured: {'; '.join(_shortened(row.missing))}")
    command = claim.command if row is None else row.command
    facts.append(f"`{command}`")
    if claim.source == NONE:
        facts = [f for f in facts if f != "``"]
    return ". ".join(re.sub(r"\.$", "", fact) for fact in facts) + "."


def _shortened(missing: Sequence[str], most: int = 4) -> list[str]:
    more = len(missing) - most
    return [*missing[:most], f"and {more} more"] if more > 0 else list(missing)
