"""The form of a section of the analysis: a question, tables that answer it, and notes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]


def section(
    question: str, tables: Mapping[str, tuple[str, list[Row]]], notes: Sequence[str] = ()
) -> dict[str, Any]:
    """A section as plain values.

    Args:
        question: the question that it answers, one sentence.
        tables: name -> (description of the numbers, rows); the rows of a table have the same keys.
        notes: reasons for doubt, and what was left out.
    """
    return {
        "question": question,
        "tables": {
            name: {"about": about, "rows": rows} for name, (about, rows) in tables.items() if rows
        },
        "notes": list(notes),
    }


def plain(value: object) -> Any:
    """JSON values: numpy's as Python's; None for what is not finite."""
    if value is None or type(value) in (str, int, bool):  # most of the cells of a large table
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple, set, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
