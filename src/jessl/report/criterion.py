"""The score that a study chooses by, in words, and its numbers as people read them."""

from __future__ import annotations

from jessl.report.formatting import format_number, format_with_sd
from jessl.schema import is_share, score_title


def criterion_title(criterion: str, *, short: bool = False) -> str:
    """A criterion in words: rankme/projector as RankMe at the projector output."""
    name, _, layer = criterion.partition("/")
    title = score_title(name)
    return title if short or not layer else f"{title} at the {layer} output"


def criterion_scale(criterion: str) -> float:
    """What its numbers are multiplied by before they are written: shares are in percent."""
    return 100.0 if is_share(criterion) else 1.0


def criterion_unit(criterion: str) -> str:
    """What stands behind a title above numbers without a unit: a comma and %, or nothing."""
    return ", %" if is_share(criterion) else ""


def format_criterion(criterion: str, value: float | None, sd: float | None = None) -> str:
    """A number with its unit, and its standard deviation where there is one: 2.59 ± 0.14 %."""
    scale = criterion_scale(criterion)
    if value is None:
        return format_number(None)
    number = format_with_sd(scale * value, None if sd is None else scale * sd)
    return f"{number} %" if is_share(criterion) else number
