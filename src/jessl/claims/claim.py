"""A claim as data: what a paper states, and how it is put to the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jessl.recipes
from jessl.claims.decision import RULES
from jessl.core.files import read_toml
from jessl.core.validation import check_choice, check_float, unknown_name

FOLDER = Path(jessl.recipes.__file__).with_name("claims")
# where the numbers of a claim come from
EXPERIMENT, SCRIPT, RECORD, NONE = "experiment", "script", "record", "none"
SOURCES = (EXPERIMENT, SCRIPT, RECORD, NONE)
PAPERS = {
    "rankme": "RankMe",
    "democratizing": "Democratizing JE-SSL",
    "risk": "SSL Risk Decomposition",
    "idealized": "Idealized representations",
    "all": "all four",
    "other": "other papers",
    "ours": "ours",
}


@dataclass(frozen=True)
class Contrast:
    """One comparison of arms of an experiment.

    Attributes:
        arm, against: names of arms, or "untrained", "pixels".
        rule, smallest: of `jessl.claims.decision`, accuracy in points.
        measures: "linear", "few"; "mlp" and "mlp gain", the perceptron minus the linear probe, of
            experiments with a perceptron probe.
        data: names of data sets; empty: all of the experiment.
    """

    arm: str
    against: str
    rule: str | None
    smallest: float
    measures: tuple[str, ...]
    data: tuple[str, ...]


@dataclass(frozen=True)
class Extraction:
    """Numbers of a record that a command wrote.

    Attributes:
        name, rule, smallest, unit, n: of the `ClaimPart`.
        record: file of benchmarks/records.
        pattern: regular expression with the groups effect, low and high; or effect and sd, the
            standard deviation over `repetitions` of which the effect is the mean; or effect alone,
            a share of the repetitions, pooled over all places that match.
        first, second: instead, expressions with the group value: numbers of repetitions, paired;
            a single number stands for all of them.
        repetitions: behind sd; 1: it is the standard error.
        minus: subtracted from the effect and its limits, before the factor.
        factor: of all numbers, such as 100 for points, or -1.
    """

    name: str
    rule: str | None
    smallest: float
    unit: str
    n: str
    record: str
    pattern: str | None
    first: str | None
    second: str | None
    repetitions: int
    minus: float
    factor: float


@dataclass(frozen=True)
class Claim:
    """What a paper states, and how it is put to the test.

    Attributes:
        id: of the file.
        sentence: the claim; paper: a key of `PAPERS`; place: where in the paper.
        comparison: what is compared.
        settings, seeds, budget, data: of the test, in words; the budget is that of both sides.
        smallest: smallest effect of interest, in words.
        source: "experiment", "script", "record" or "none" (not measured).
        experiment, contrasts: of source "experiment".
        quick: whether `jessl claims run --quick` without names measures it.
        script: of source "script", the command below the checkout.
        extractions: of source "record".
        command: that measured it.
        facts: what else is known, Markdown with links from the folder docs.
        reason: why it is not measured.
    """

    id: str
    sentence: str
    paper: str
    place: str
    comparison: str
    settings: str
    seeds: str
    budget: str
    data: str
    smallest: str
    source: str
    experiment: str | None
    contrasts: tuple[Contrast, ...]
    quick: bool
    script: str | None
    extractions: tuple[Extraction, ...]
    command: str
    facts: str
    reason: str


def claim_names(folder: Path = FOLDER) -> list[str]:
    """The ids of all claims."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_claim(name: str, folder: Path = FOLDER) -> Claim:
    """The claim of a file.

    Raises:
        ValueError: for an unknown name, with the nearest ones, and for a file that lacks a field
            or has an unknown one.
    """
    if name not in (known := claim_names(folder)):
        raise ValueError(unknown_name("claim", name, known, most=60))
    return parse_claim(name, read_toml(folder / f"{name}.toml"))


def load_claims(folder: Path = FOLDER) -> list[Claim]:
    """All claims, by paper and id."""
    order = list(PAPERS)
    claims = [load_claim(name, folder) for name in claim_names(folder)]
    return sorted(claims, key=lambda c: (order.index(c.paper), c.id))


def parse_claim(name: str, table: Mapping[str, Any]) -> Claim:
    """The claim of a TOML table.

    Raises:
        ValueError: for a field that is missing or unknown.
    """
    rest = dict(table)
    try:
        source = check_choice(f"{name}: source", rest.pop("source"), SOURCES)
        paper = check_choice(f"{name}: paper", rest.pop("paper"), PAPERS)
        claim = Claim(
            id=name,
            sentence=rest.pop("sentence"),
            paper=paper,
            place=rest.pop("place"),
            comparison=rest.pop("comparison"),
            settings=rest.pop("settings", ""),
            seeds=rest.pop("seeds", ""),
            budget=rest.pop("budget", ""),
            data=rest.pop("data", ""),
            smallest=rest.pop("smallest", ""),
            source=source,
            experiment=rest.pop("experiment") if source == EXPERIMENT else None,
            contrasts=tuple(_contrast(c) for c in rest.pop("contrasts", ())),
            quick=rest.pop("quick", True),
            script=rest.pop("script") if source == SCRIPT else None,
            extractions=tuple(_extraction(e) for e in rest.pop("parts", ())),
            command=rest.pop("command", f"jessl claims run {name}"),
            facts=" ".join(rest.pop("facts", "").split()),
            reason=rest.pop("reason") if source == NONE else "",
        )
    except KeyError as error:
        raise ValueError(f"claim {name}: expected the field {error.args[0]}") from None
    if rest:
        raise ValueError(f"claim {name}: unknown field {', '.join(sorted(rest))}")
    return claim


def _contrast(table: Mapping[str, Any]) -> Contrast:
    rule = table.get("rule")
    return Contrast(
        arm=table["arm"],
        against=table["against"],
        rule=None if rule is None else check_choice("rule", rule, RULES),
        smallest=check_float("smallest", table["smallest"], above=0),
        measures=tuple(table.get("measures", ("linear", "few"))),
        data=tuple(table.get("data", ())),
    )


def _extraction(table: Mapping[str, Any]) -> Extraction:
    rule = table.get("rule")
    return Extraction(
        name=table["name"],
        rule=None if rule is None else check_choice("rule", rule, RULES),
        smallest=check_float("smallest", table["smallest"], above=0),
        unit=table.get("unit", "points"),
        n=table.get("n", ""),
        record=table["record"],
        pattern=table.get("pattern"),
        first=table.get("first"),
        second=table.get("second"),
        repetitions=table.get("repetitions", 1),
        minus=float(table.get("minus", 0.0)),
        factor=float(table.get("factor", 1.0)),
    )
