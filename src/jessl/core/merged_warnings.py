"""Warnings of many runs, layers or encoders, merged by kind: what differs in a number is one."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
_MOST_NAMED = 3


def merge_warnings(warnings: Iterable[tuple[str, str]], what: str = "places") -> list[str]:
    """One line for each kind of warning, in the order of their first appearance.

    Texts that differ in numbers alone are of one kind; a number that differs becomes a range.

    Example:
        >>> merge_warnings([("run-1", "88% is a mean"), ("run-2", "95% is a mean")], "runs")
        ['88 to 95% is a mean (run-1, run-2)']

    Args:
        warnings: (what it is about, empty for everything; the text).
        what: plural of what they are about, for the count where there are many.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for subject, text in warnings:
        same = kinds.setdefault(_NUMBER.sub("#", text), [])
        if (subject, text) not in same:
            same.append((subject, text))
    return [_merged(same, what) for same in kinds.values()]


def _merged(same: list[tuple[str, str]], what: str) -> str:
    text = same[0][1]
    columns = list(zip(*(_NUMBER.findall(one) for _, one in same), strict=True))
    ranges = iter([_range(column) for column in columns])
    text = _NUMBER.sub(lambda _: next(ranges), text)
    subjects = list(dict.fromkeys(subject for subject, _ in same if subject))
    if not subjects:
        return text
    named = f"{len(subjects)} {what}" if len(subjects) > _MOST_NAMED else ", ".join(subjects)
    return f"{text} ({named})"


def _range(numbers: tuple[str, ...]) -> str:
    """`88 to 95` of several numbers; a number that all share as it is."""
    ordered = sorted(set(numbers), key=lambda number: float(number.replace(",", "")))
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"
