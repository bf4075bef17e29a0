"""Which scores there are, and a score as asked for: its name with its options."""

from __future__ import annotations

import math
import pkgutil
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from jessl.core.validation import check_choice, unknown_name
from jessl.scores import metrics
from jessl.scores.base import RowScore, Score, SpectralScore

# name -> what its file declares
SCORES: dict[str, Score] = {
    file.name: import_module(f"{metrics.__name__}.{file.name}").SCORE
    for file in pkgutil.iter_modules(metrics.__path__)
}
# the paper's first
SCORES = {"rankme": SCORES.pop("rankme"), **SCORES}

SPECTRAL = tuple(name for name, s in SCORES.items() if isinstance(s, SpectralScore))
OF_VIEWS = tuple(name for name, s in SCORES.items() if isinstance(s, RowScore) and s.views)


@dataclass(frozen=True)
class ScoreRequest:
    """A score with its options: text as asked, what it is, every option with its value."""

    text: str
    score: Score
    options: dict[str, Any]


def parse_score(text: str) -> ScoreRequest:
    """Read "NAME" or "NAME:OPTION=VALUE:OPTION=VALUE".

    Raises:
        ValueError: for an unknown name or option (with the nearest), or a value of another kind.
    """
    name, *given = text.split(":")
    score = SCORES[check_choice("score", name, SCORES)]
    options = dict(score.options)
    for part in given:
        option, sign, value = part.partition("=")
        if option not in options:
            raise ValueError(unknown_name(f"option of {name}", option, options))
        if not sign:
            raise ValueError(f"{text}: an option is written {option}=VALUE")
        if [p.partition("=")[0] for p in given].count(option) > 1:
            raise ValueError(f"{text}: option {option} is given twice; which one is meant?")
        options[option] = _as(type(options[option]), value, f"{name}:{option}")
    return ScoreRequest(text, score, options)


def _as(kind: type, value: str, what: str) -> Any:
    """`value` as the kind that the option's default has."""
    if kind is bool:
        return {"true": True, "false": False}[check_choice(what, value.lower(), ("true", "false"))]
    try:
        number = kind(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        article = "a whole number" if kind is int else "a number"
        raise ValueError(f"{what} must be {article}, got {value!r}")
    return number
