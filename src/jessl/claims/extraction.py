"""Numbers of a claim from a record that a command of benchmarks/ wrote."""

from __future__ import annotations

import math
import re
from pathlib import Path

from jessl.claims.claim import Claim, Extraction
from jessl.claims.decision import ClaimPart
from jessl.claims.intervals import over_repetitions
from jessl.probes.result import wilson_interval

# of a 95 % interval
_NORMAL = 1.959964


def extract_parts(claim: Claim, records: Path) -> list[ClaimPart]:
    """The parts of a claim whose numbers stand in records.

    Args:
        records: the folder benchmarks/records.

    Raises:
        ValueError: where a record is missing or lacks a number.
    """
    return [_part(claim, one, records) for one in claim.extractions]


def _part(claim: Claim, one: Extraction, records: Path) -> ClaimPart:
    path = records / one.record
    if not path.is_file():
        raise ValueError(f"claim {claim.id}: expected the record {path}, which is missing")
    text = path.read_text(encoding="utf-8")
    if one.pattern is not None:
        _search(claim, one.pattern, text, one.record)
        effect, low, high = _stated(list(re.finditer(one.pattern, text)), one)
    else:
        first, second = (
            _repetitions(_search(claim, pattern or "", text, one.record)["value"])
            for pattern in (one.first, one.second)
        )
        n = max(len(first), len(second))
        first, second = (side * n if len(side) == 1 else side for side in (first, second))
        if len(first) != len(second):
            raise ValueError(
                f"claim {claim.id}: expected as many numbers on both sides of {one.name}, got "
                f"{len(first)} and {len(second)}"
            )
        effect, low, high = over_repetitions([a - b for a, b in zip(first, second, strict=True)])
    # + 0: no negative zero
    effect, low, high = (one.factor * (x - one.minus) + 0.0 for x in (effect, low, high))
    low, high = sorted((low, high))
    return ClaimPart(one.name, effect, low, high, one.smallest, one.rule, one.unit, one.n)


def _stated(matches: list[re.Match[str]], one: Extraction) -> tuple[float, float, float]:
    """An effect whose interval, or standard deviation, the record has; shares are pooled."""
    match = matches[0]
    effect = _float(match["effect"])
    if "sd" in match.re.groupindex:
        half = _NORMAL * _float(match["sd"]) / math.sqrt(one.repetitions)
        return effect, effect - half, effect + half
    if "low" not in match.re.groupindex:  # a share of the repetitions: Wilson's interval
        n = one.repetitions * len(matches)
        share = sum(_float(m["effect"]) for m in matches) / len(matches)
        return share, *wilson_interval(round(share * n), n)
    return effect, _float(match["low"]), _float(match["high"])


def _search(claim: Claim, pattern: str, text: str, record: str) -> re.Match[str]:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"claim {claim.id}: {record} has no line like {pattern!r}")
    return match


def _repetitions(text: str) -> list[float]:
    return [_float(word) for word in text.replace(",", " ").split()]


def _float(text: str) -> float:
    return float(text.replace("−", "-").replace("+", "").replace(",", ""))
