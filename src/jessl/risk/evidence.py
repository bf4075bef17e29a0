"""Rows of evidence on design choices, of the published table of models or from a file.

A row says which design choice was associated with less error in a table of models
(`jessl.zoo.evidence`). The rows of evidence.json are computed from the published table of 169
models on ImageNet (Dubois, Hashimoto and Liang, "Evaluating Self-Supervised Learning via Risk
Decomposition", ICML 2023).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import NotRequired, TypedDict, TypeGuard, cast

from jessl.core.files import read_json
from jessl.core.validation import escape_control
from jessl.schema import COMPONENTS, ERROR_SETTINGS

# component of a decomposition -> its name in rows of evidence, and the reverse with titles
COLUMNS = {component.name: component.published for component in COMPONENTS}
COLUMN_TITLES = {component.published: component.title for component in COMPONENTS}

_TEXTS = ("name", "choice", "words", "component", "unit", "method", "source")
_TEXTS_OR_EMPTY = ("level", "reference")  # both are empty for an amount
_NUMBERS = ("low", "effect", "high")  # in this order
_KEYS = (*_TEXTS, *_TEXTS_OR_EMPTY, *_NUMBERS, "n_models", "n_groups", "p")
_ALLOWED = {
    "component": (*COLUMN_TITLES, *(setting.name for setting in ERROR_SETTINGS)),
    "method": ("controlled", "linear"),
}


class EvidenceRow(TypedDict):
    """The effect of a design choice on one component of the risk, in JSON.

    Keys:
        name: of the row; source: where it comes from.
        choice, words: the design choice, as a column and in words.
        level, reference: the compared values of the choice; both empty for an amount.
        component: a component, or an error such as "full" or "1%"; unit: of the effect.
        method: "controlled" or "linear".
        low, effect, high: the effect with its 95 % interval.
        p: its p-value; p_permuted: by permutation, where computed.
        n_models, n_groups: models, and groups of models, that the effect was estimated from.
    """

    name: str
    source: str
    choice: str
    words: str
    level: str
    reference: str
    component: str
    unit: str
    method: str
    low: float
    effect: float
    high: float
    p: float
    p_permuted: NotRequired[float | None]
    n_models: int
    n_groups: int | None


def published_evidence() -> list[EvidenceRow]:
    """The rows of the published table."""
    text = files("jessl.risk").joinpath("evidence.json").read_text(encoding="utf-8")
    rows: list[EvidenceRow] = json.loads(text)
    return rows


def read_evidence(path: str | Path) -> list[EvidenceRow]:
    """The rows of a JSON file: a list of them, or an object that holds it as `evidence`.

    Control characters in texts become visible escapes.

    Example:
        read_evidence("zoo/evidence.json")[0]["effect"]

    Raises:
        ValueError: for any other content, naming the row, the key, its value and what is expected.
        OSError: for a file that cannot be read.
    """
    shown = escape_control(str(path))
    try:
        content: object = read_json(path)
    except RecursionError:
        raise ValueError(f"{shown}: lists are nested too deeply to be read") from None
    except ValueError as error:  # the error for an integer of thousands of digits lacks the file
        message = str(error)
        raise ValueError(message if str(path) in message else f"{shown}: {message}") from None
    rows = content.get("evidence") if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{shown}: expected a list of rows of evidence, as jessl zoo writes it")
    return [
        _check(row, f"{shown}: row {number} of the evidence") for number, row in enumerate(rows, 1)
    ]


def _check(row: Mapping[str, object], where: str) -> EvidenceRow:
    """A row of evidence with texts that can be printed."""
    for key in _KEYS:
        if key not in row:
            raise ValueError(f"{where}: expected a key {key!r}, got none")
    for key in (*_TEXTS, *_TEXTS_OR_EMPTY):
        value = row[key]
        if not isinstance(value, str) or (key in _TEXTS and not value.strip()):
            raise ValueError(f"{where}: {key}: expected a text, got {_shorten(value)}")
        if key in _ALLOWED and value not in _ALLOWED[key]:
            allowed = ", ".join(_ALLOWED[key])
            raise ValueError(f"{where}: {key}: expected one of {allowed}, got {_shorten(value)}")
    if bool(row["level"]) != bool(row["reference"]):
        raise ValueError(f"{where}: level and reference: expected two texts or two empty ones")
    numbers = [_number(row, key, where) for key in _NUMBERS]
    for key in ("p", "p_permuted"):
        if key == "p" or row.get(key) is not None:
            p = _number(row, key, where)
            if not 0 <= p <= 1:
                raise ValueError(f"{where}: {key}: expected 0 to 1, got {_shorten(row[key])}")
    low, effect, high = numbers
    if not low <= effect <= high:
        raise ValueError(
            f"{where}: low, effect, high: expected this order, got {low:g}, {effect:g}, {high:g}"
        )
    for key in ("n_models", "n_groups"):
        value = row[key]
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not whole and not (key == "n_groups" and value is None):
            raise ValueError(
                f"{where}: {key}: expected a whole number above 0, got {_shorten(value)}"
            )
    printable = {k: escape_control(v) if isinstance(v, str) else v for k, v in row.items()}
    return cast(EvidenceRow, printable)


def _number(row: Mapping[str, object], key: str, where: str) -> float:
    value = row[key]
    if not _is_finite(value):
        raise ValueError(f"{where}: {key}: expected a finite number, got {_shorten(value)}")
    return value


def _is_finite(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) <= 1e300 and math.isfinite(value)  # an integer can exceed every float


def _shorten(value: object) -> str:
    text = repr(value) if not isinstance(value, (list, dict)) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."
