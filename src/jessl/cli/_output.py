"""How commands print for people: tables on standard output, warnings on standard error.

Control characters are escaped here and in `jessl.core.log`; the commands need not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jessl.core.log import log
from jessl.core.merged_warnings import merge_warnings
from jessl.core.validation import escape_control

_MOST_LEFT_OUT = 5
_MOST_WARNINGS = 3


def print_lines(*lines: object) -> None:
    """Print lines on standard output, with control characters escaped; "" is an empty line."""
    for line in lines:
        print(escape_control(str(line)))


def print_conclusion(result: Mapping[str, object]) -> None:
    """The answer in one sentence, before anything else."""
    if text := result.get("conclusion"):
        print_lines(f"{text}.", "")


def print_next(commands: Sequence[str]) -> None:
    """The commands that come next, after an empty line."""
    if commands:
        print_lines("")
    for k, command in enumerate(commands):
        print_lines(f"{'' if k else 'next':<9} {command}")


def print_merged_warnings(warnings: Sequence[tuple[str, str]], what: str = "places") -> None:
    """At most three warnings, merged by kind, and how many more kinds there are.

    Args:
        warnings: (what it is about, the text).
        what: plural of what they are about.
    """
    lines = merge_warnings(warnings, what)
    for line in lines[:_MOST_WARNINGS]:
        log.warning(line)
    if len(lines) > _MOST_WARNINGS:
        log.note(f"{len(lines) - _MOST_WARNINGS} more kinds of warnings: --json")


def print_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Aligned columns on standard output; numbers to four significant places, None as a dash."""
    text = [[_cell(title) for title in headers], *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[k]) for row in text) for k in range(len(headers))]
    for i, row in enumerate(text):
        cells = []
        for k, cell in enumerate(row):
            is_number = i > 0 and isinstance(rows[i - 1][k], (int, float))
            cells.append(cell.rjust(widths[k]) if is_number else cell.ljust(widths[k]))
        print_lines("  ".join(cells).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
    return escape_control(str(value))


def print_left_out(reasons: Mapping[str, str], rest: str = "") -> None:
    """The first images that could not be read, and how many more there are."""
    for name, reason in list(reasons.items())[:_MOST_LEFT_OUT]:
        log.info(f"left out, cannot be read: {name}: {reason}")
    if len(reasons) > _MOST_LEFT_OUT:
        log.info(f"... and {len(reasons) - _MOST_LEFT_OUT} more{rest}")


def print_warnings(params: Mapping[str, Any]) -> None:
    """What makes the numbers of a probe or a decomposition doubtful.

    Args:
        params: of the result, as in its JSON document.
    """
    if text := _unlabelled(params):
        log.note(text)
    if n := params.get("unseen_test_rows"):
        names = params.get("unseen_class_names") or []
        first = f" ({len(names)}, the first is {escape_control(names[0])})" if names else ""
        log.warning(
            f"{n} test images are of classes that train does not have{first}; they count as errors"
        )
    if (duplicates := params.get("near_duplicates")) and (text := _duplicates(duplicates)):
        log.warning(text)
    for text in params.get("warnings", []):
        log.warning(text)
    if n := params.get("test_rows_of_train_groups"):
        log.warning(f"{n} test images belong to groups that train has too")
    if not params["converged"]:
        log.warning("a fit stopped before it converged")


def _unlabelled(params: Mapping[str, Any]) -> str:
    counts = [(params.get(f"unlabelled_{name}_rows") or 0, name) for name in ("train", "test")]
    parts = [f"{n:,} {name}" for n, name in counts if n]
    total = sum(n for n, _ in counts)
    if not parts:
        return ""
    verb, left = ("row has", "is") if total == 1 else ("rows have", "are")
    return f"{' and '.join(parts)} {verb} no label (-1) and {left} left out"


def _duplicates(duplicates: Mapping[str, Any]) -> str:
    identical, near = duplicates["identical"], duplicates["near"] or 0
    counts = [(identical, "identical to"), (near, "nearly identical to")]
    parts = [f"{n} {relation} a training row" for n, relation in counts if n]
    if not parts:
        return ""
    at_least = "" if duplicates["complete"] else "at least "
    return f"of the test rows {at_least}{' and '.join(parts)}: the test is not independent of train"


def print_job(result: Mapping[str, object]) -> None:
    """The report or folder of a job, its number, and how to watch it."""
    for name in ("report", "out", "job", "logs", "watch"):
        if name in result:
            print_lines(f"{name:<9} {result[name]}")
