"""What to try, told from where the error comes from and from rows of evidence on design choices.

Rows say what went with fewer errors in a table of models (`jessl.zoo.evidence`). The rows of
evidence.json are computed from the published table of 169 models on ImageNet (Dubois, Hashimoto
and Liang, "Evaluating Self-Supervised Learning via Risk Decomposition", ICML 2023).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jessl.core.files import read_json
from jessl.core.validation import escape_control
from jessl.probes.bootstrap import Estimate
from jessl.risk.result import RiskDecomposition
from jessl.schema import COMPONENTS, ERROR_SETTINGS

BOTH = "controlled and linear agree"
ONE = "one method only"
NONE = "no row"  # nothing is suggested: withheld, or the rows have nothing to say
# component of a decomposition -> its name in rows of evidence
COLUMNS = {component.name: component.published for component in COMPONENTS}
_TITLES = {component.published: component.title for component in COMPONENTS}

_TEXTS = ("name", "choice", "words", "component", "unit", "method", "source")
_TEXTS_OR_EMPTY = ("level", "reference")  # both are empty for an amount
_NUMBERS = ("low", "effect", "high")  # in this order
_KEYS = (*_TEXTS, *_TEXTS_OR_EMPTY, *_NUMBERS, "n_models", "n_groups", "p")
_ALLOWED = {
    "component": (*_TITLES, *(setting.name for setting in ERROR_SETTINGS)),
    "method": ("controlled", "linear"),
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Advice:
    """One suggestion, or why there is none.

    Attributes:
        text: one or more sentences; every number is of the rows or of the decomposition.
        component: that it is about; "" where no component dominates.
        evidence: names of the rows that it was made of.
        sure: "controlled and linear agree", "one method only", or "no row".
    """

    text: str
    component: str
    evidence: tuple[str, ...]
    sure: str

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return {**asdict(self), "evidence": list(self.evidence)}


def published_evidence() -> list[Row]:
    """The rows of the published table."""
    text = files("jessl.risk").joinpath("evidence.json").read_text(encoding="utf-8")
    rows: list[Row] = json.loads(text)
    return rows


def read_evidence(path: str | Path) -> list[Row]:
    """The rows of a JSON file: a list of them, or an object that holds it as `evidence`.

    Control characters in texts become visible escapes.

    Raises:
        ValueError: where it holds something else, naming the row, what it lacks or holds, and what
            is allowed.
        OSError: for a file that cannot be read.
    """
    shown = escape_control(str(path))
    try:
        held = read_json(path)
    except RecursionError:
        raise ValueError(f"{shown}: lists within lists, too many to be read") from None
    except ValueError as error:  # a whole number of thousands of digits is told without the file
        told = str(error)
        raise ValueError(told if str(path) in told else f"{shown}: {told}") from None
    rows = held.get("evidence") if isinstance(held, dict) else held
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{shown}: must hold a list of rows of evidence, as jessl zoo writes it")
    return [
        _checked(row, f"{shown}: row {place} of the evidence") for place, row in enumerate(rows, 1)
    ]


def _checked(row: Row, where: str) -> Row:
    """A row of evidence with texts that can be printed."""
    for key in _KEYS:
        if key not in row:
            raise ValueError(f"{where} has no {key!r}")
    for key in (*_TEXTS, *_TEXTS_OR_EMPTY):
        value = row[key]
        if not isinstance(value, str) or (key in _TEXTS and not value.strip()):
            raise ValueError(f"{where}: {key} must be a text, got {_short(value)}")
        if key in _ALLOWED and value not in _ALLOWED[key]:
            allowed = ", ".join(_ALLOWED[key])
            raise ValueError(f"{where}: {key} must be one of {allowed}, got {_short(value)}")
    if bool(row["level"]) != bool(row["reference"]):
        raise ValueError(f"{where}: level and reference must both be texts or both be empty")
    for key in (*_NUMBERS, "p", "p_permuted"):
        missing = key == "p_permuted" and row.get(key) is None
        if not missing and not _finite(row[key]):
            raise ValueError(f"{where}: {key} must be a finite number, got {_short(row[key])}")
        if key.startswith("p") and not missing and not 0 <= row[key] <= 1:
            raise ValueError(f"{where}: {key} must lie in 0 to 1, got {_short(row[key])}")
    low, effect, high = (row[key] for key in _NUMBERS)
    if not low <= effect <= high:
        raise ValueError(
            f"{where}: low, effect, high must be in this order, got {low:g}, {effect:g}, {high:g}"
        )
    for key in ("n_models", "n_groups"):
        value = row[key]
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not whole and not (key == "n_groups" and value is None):
            raise ValueError(f"{where}: {key} must be a whole number above 0, got {_short(value)}")
    return {
        key: escape_control(value) if isinstance(value, str) else value
        for key, value in row.items()
    }


def _finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= 1e300 and math.isfinite(value)  # a whole number can be beyond any float


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, (list, dict)) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."


def advise(found: RiskDecomposition, evidence: Sequence[Row] | None = None) -> list[Advice]:
    """Design choices that went with less of the component that dominates; the surest first.

    A choice is named where the 95 % interval of its effect on that component excludes 0, with what
    it costs in other components. Choices on which the two methods contradict each other are left
    out.

    Args:
        found: what `decompose` answers.
        evidence: rows as `jessl.zoo.evidence.evidence` makes them; None: those of the
            published table.

    Returns:
        At least one Advice; a single one with sure "no row" where no component dominates, or
        no row has anything to suggest on it.
    """
    rows = published_evidence() if evidence is None else list(evidence)
    name = found.dominant
    if name is None:
        return [Advice(_undecided(found), "", (), NONE)]
    said = _said(getattr(found, name), found)
    if name == "encoder_generalization":
        return [_encoder(getattr(found, name), said, rows)]
    about = [r for r in rows if r["component"] == COLUMNS[name] and _side(r)]
    choices = {_key(r): [o for o in about if _key(o) == _key(r)] for r in about}
    agreed = {key: same for key, same in choices.items() if len({_side(r) for r in same}) == 1}
    told = [_suggestion(name, same, rows) for same in agreed.values()]
    if not told:
        words = (
            f"{_plain(name).capitalize()} dominates: {said}; but of {len(rows)} rows of evidence "
            "none has an interval on it that excludes 0 without another that contradicts."
        )
        return [Advice(words, name, (), NONE)]
    return [advice for _, advice in sorted(told, key=lambda pair: pair[0])]


def _undecided(found: RiskDecomposition) -> str:
    values: dict[str, Estimate] = {
        name: getattr(found, name)
        for name in COLUMNS
        if not (name == "approximation" and found.merged)
    }
    first, second = sorted(values, key=lambda n: -values[n].value)[:2]
    words = (
        f"The intervals do not tell which component dominates: {_plain(first)} is "
        f"{_said(values[first], found)}, and {_plain(second)} {_said(values[second], found)}"
    )
    difference = found.differences.get(f"{first} - {second}")
    if difference is None and (other := found.differences.get(f"{second} - {first}")):
        difference = Estimate(-other.value, -other.high, -other.low)
    if difference is not None:
        words += f"; their difference is {_said(difference, found)}"
    return words + ". So no design choice is suggested."


def _encoder(one: Estimate, said: str, rows: Sequence[Row]) -> Advice:
    name = "encoder_generalization"
    if one.low <= 0:
        words = (
            f"Encoder generalization dominates: {said}; its interval does not exclude 0, so "
            "nothing is told of it."
        )
        return Advice(words, name, (), NONE)
    about = [r for r in rows if r["component"] == COLUMNS[name]]
    telling = [r for r in about if _side(r)]
    words = (
        f"Encoder generalization dominates: {said}. The encoder does better on images "
        "that it was pretrained on than on the test images. It may know its training images, "
        "labels may have entered the pretraining, or the test images may come from elsewhere. "
        f"Of {len(about)} rows of evidence on this component, {len(telling)} exclude 0"
    )
    if telling:
        largest = max(telling, key=lambda r: abs(r["effect"]))
        words += f", the largest with {_effect(largest)}"
    return Advice(words + ".", name, tuple(r["name"] for r in telling), NONE)


def _key(row: Row) -> tuple[str, str, str]:
    """What is compared, whatever the method."""
    return row["choice"], row["level"], row["reference"]


def _side(row: Row) -> int:
    """-1 or 1 where the interval lies below or above 0, else 0."""
    return -1 if row["high"] < 0 else 1 if row["low"] > 0 else 0


def _suggestion(
    name: str, same: Sequence[Row], rows: Sequence[Row]
) -> tuple[tuple[bool, float], Advice]:
    """How it is sorted, and the advice: rows on one choice whose intervals lie on one side."""
    same = sorted(same, key=lambda r: (r["p"], r["name"]))
    sign = -_side(same[0])  # 1: to raise an amount or take the level; -1: the other way
    sure = BOTH if len({r["method"] for r in same}) > 1 else ONE
    words = f"To lower {_plain(name)}, consider {_change(same[0], sign)}: "
    words += "; ".join(_effect(r, sign) for r in same) + "."
    methods = {r["method"] for r in same}
    others = [
        r
        for r in rows
        if _key(r) == _key(same[0]) and r["component"] != COLUMNS[name] and r["method"] in methods
    ]
    price = [r for r in others if r["component"] in _TITLES and _side(r) == sign]
    whole = [r for r in others if r["component"] == "full"]
    if price:
        words += " The price: " + "; ".join(_effect(r, sign) for r in price) + "."
    if whole:
        words += " The whole error: " + "; ".join(_effect(r, sign) for r in whole) + "."
    if sign < 0 and not same[0]["level"]:
        words += " Effects are for lowering it."
    names = tuple(r["name"] for r in (*same, *price, *whole))
    return (sure != BOTH, same[0]["p"]), Advice(words, name, names, sure)


def _change(row: Row, sign: int) -> str:
    if row["level"]:
        taken, left = (row["level"], row["reference"])[::sign]
        return f"{row['words']} {taken} instead of {left}"
    return f"{'raising' if sign > 0 else 'lowering'} {row['words']}"


def _effect(row: Row, sign: int = 1) -> str:
    """The numbers of a row, for going the way of the sign."""
    component = _TITLES.get(row["component"], f"{row['component']} error")
    groups = f" in {row['n_groups']} groups" if row["n_groups"] is not None else ""
    low, high = sorted((sign * row["low"], sign * row["high"]))
    zero = "" if _side(row) else ", which holds 0"
    return (
        f"{sign * row['effect']:+.2f} {row['unit']} in {component} (95 %: {low:+.2f} to "
        f"{high:+.2f}{zero}; {row['method']}, {row['n_models']} models{groups})"
    )


def _said(one: Estimate, found: RiskDecomposition) -> str:
    if found.params.get("risk") == "log_loss":
        return f"{one.value:.3f} nats (95 %: {one.low:.3f} to {one.high:.3f})"
    return f"{100 * one.value:.1f} % (95 %: {100 * one.low:.1f} to {100 * one.high:.1f})"


def _plain(name: str) -> str:
    return name.replace("_", " ")
