"""Suggestions from the dominant component of a decomposition and rows of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jessl.probes.bootstrap import Estimate
from jessl.risk.evidence import COLUMN_TITLES, COLUMNS, EvidenceRow, published_evidence
from jessl.risk.result import RiskDecomposition

BOTH = "controlled and linear agree"
ONE = "one method only"
NONE = "no row"  # nothing is suggested: withheld, or no row has an effect that excludes 0


@dataclass(frozen=True)
class Advice:
    """One suggestion, or the reason why there is none.

    Attributes:
        text: one or more sentences; every number is from the rows or the decomposition.
        component: the dominant one; "" where no component dominates.
        evidence: names of the rows that it is based on.
        sure: "controlled and linear agree", "one method only", or "no row".
    """

    text: str
    component: str
    evidence: tuple[str, ...]
    sure: str

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return {**asdict(self), "evidence": list(self.evidence)}


def advise(
    decomposition: RiskDecomposition, evidence: Sequence[EvidenceRow] | None = None
) -> list[Advice]:
    """Design choices that were associated with less of the dominant component; the surest first.

    A choice is named where the 95 % interval of its effect on that component excludes 0, with its
    cost in other components. Choices on which the two methods contradict each other are left out.

    Example:
        print(advise(jessl.decompose(train, test))[0].text)

    Args:
        decomposition: the result of `decompose`.
        evidence: rows as from `jessl.zoo.evidence.evidence`; None: those of the published table.

    Returns:
        At least one Advice; a single one with sure "no row" where no component dominates, or where
        no row suggests anything for it.
    """
    rows = published_evidence() if evidence is None else list(evidence)
    name = decomposition.dominant
    if name is None:
        return [Advice(_no_dominant_component(decomposition), "", (), NONE)]
    value: Estimate = getattr(decomposition, name)
    size = _format(value, decomposition)
    if name == "encoder_generalization":
        return [_encoder_advice(value, size, rows)]
    about = [r for r in rows if r["component"] == COLUMNS[name] and _side(r)]
    choices = {_key(r): [o for o in about if _key(o) == _key(r)] for r in about}
    agreed = {key: same for key, same in choices.items() if len({_side(r) for r in same}) == 1}
    suggestions = [_suggestion(name, same, rows) for same in agreed.values()]
    if not suggestions:
        words = (
            f"{_in_words(name).capitalize()} dominates: {size}. Of {len(rows)} rows of evidence, "
            "none has an interval for it that excludes 0 without another row that contradicts it."
        )
        return [Advice(words, name, (), NONE)]
    return [advice for _, advice in sorted(suggestions, key=lambda pair: pair[0])]


def _no_dominant_component(decomposition: RiskDecomposition) -> str:
    values: dict[str, Estimate] = {
        name: getattr(decomposition, name)
        for name in COLUMNS
        if not (name == "approximation" and decomposition.merged)
    }
    first, second = sorted(values, key=lambda n: -values[n].value)[:2]
    words = (
        f"The intervals do not show which component dominates: {_in_words(first)} is "
        f"{_format(values[first], decomposition)}, and {_in_words(second)} "
        f"{_format(values[second], decomposition)}"
    )
    difference = decomposition.differences.get(f"{first} - {second}")
    if difference is None and (other := decomposition.differences.get(f"{second} - {first}")):
        difference = Estimate(-other.value, -other.high, -other.low)
    if difference is not None:
        words += f"; their difference is {_format(difference, decomposition)}"
    return words + ". So no design choice is suggested."


def _encoder_advice(value: Estimate, size: str, rows: Sequence[EvidenceRow]) -> Advice:
    name = "encoder_generalization"
    if value.low <= 0:
        words = (
            f"Encoder generalization dominates: {size}. Its interval does not exclude 0, "
            "so nothing is suggested."
        )
        return Advice(words, name, (), NONE)
    about = [r for r in rows if r["component"] == COLUMNS[name]]
    significant = [r for r in about if _side(r)]
    words = (
        f"Encoder generalization dominates: {size}. The encoder does better on images "
        "that it was pretrained on than on the test images. It may have memorised its training "
        "images, labels may have entered the pretraining, or the test images may come from another "
        "distribution. "
        f"Of {len(about)} rows of evidence on this component, {len(significant)} exclude 0"
    )
    if significant:
        largest = max(significant, key=lambda r: abs(r["effect"]))
        words += f", the largest with {_effect(largest)}"
    return Advice(words + ".", name, tuple(r["name"] for r in significant), NONE)


def _key(row: EvidenceRow) -> tuple[str, str, str]:
    """The compared design choices, independent of the method."""
    return row["choice"], row["level"], row["reference"]


def _side(row: EvidenceRow) -> int:
    """-1 or 1 where the interval lies below or above 0, else 0."""
    return -1 if row["high"] < 0 else 1 if row["low"] > 0 else 0


def _suggestion(
    name: str, same: Sequence[EvidenceRow], rows: Sequence[EvidenceRow]
) -> tuple[tuple[bool, float], Advice]:
    """(sort key, advice) from rows on one choice whose intervals lie on one side of 0."""
    same = sorted(same, key=lambda r: (r["p"], r["name"]))
    sign = -_side(same[0])  # 1: raise the amount or use the level; -1: the opposite
    sure = BOTH if len({r["method"] for r in same}) > 1 else ONE
    words = f"To lower {_in_words(name)}, consider {_change(same[0], sign)}: "
    words += "; ".join(_effect(r, sign) for r in same) + "."
    methods = {r["method"] for r in same}
    others = [
        r
        for r in rows
        if _key(r) == _key(same[0]) and r["component"] != COLUMNS[name] and r["method"] in methods
    ]
    costs = [r for r in others if r["component"] in COLUMN_TITLES and _side(r) == sign]
    whole = [r for r in others if r["component"] == "full"]
    if costs:
        words += " The cost: " + "; ".join(_effect(r, sign) for r in costs) + "."
    if whole:
        words += " The whole error: " + "; ".join(_effect(r, sign) for r in whole) + "."
    if sign < 0 and not same[0]["level"]:
        words += " Effects are for lowering it."
    names = tuple(r["name"] for r in (*same, *costs, *whole))
    return (sure != BOTH, same[0]["p"]), Advice(words, name, names, sure)


def _change(row: EvidenceRow, sign: int) -> str:
    if row["level"]:
        taken, left = (row["level"], row["reference"])[::sign]
        return f"{row['words']} {taken} instead of {left}"
    return f"{'raising' if sign > 0 else 'lowering'} {row['words']}"


def _effect(row: EvidenceRow, sign: int = 1) -> str:
    """The numbers of a row, for a change in the direction of the sign."""
    component = COLUMN_TITLES.get(row["component"], f"{row['component']} error")
    groups = f" in {row['n_groups']} groups" if row["n_groups"] is not None else ""
    low, high = sorted((sign * row["low"], sign * row["high"]))
    zero = "" if _side(row) else "; includes 0"
    return (
        f"{sign * row['effect']:+.2f} {row['unit']} in {component} (95 %: {low:+.2f} to "
        f"{high:+.2f}{zero}; {row['method']}, {row['n_models']} models{groups})"
    )


def _format(value: Estimate, decomposition: RiskDecomposition) -> str:
    if decomposition.params.get("risk") == "log_loss":
        return f"{value.value:.3f} nats (95 %: {value.low:.3f} to {value.high:.3f})"
    return f"{100 * value.value:.1f} % (95 %: {100 * value.low:.1f} to {100 * value.high:.1f})"


def _in_words(name: str) -> str:
    return name.replace("_", " ")
