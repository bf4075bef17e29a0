"""What chooses where the user does not say: by the evidence of benchmarks/selection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jessl.runs import Run
from jessl.schema import VIEW_RETRIEVAL
from jessl.selection.candidates import have_scores
from jessl.selection.criteria import parse_criterion

_PUBLISHED = "rankme"


def default_criterion(
    runs_or_table: Sequence[Run | str | Path] | Run | str | Path,
) -> tuple[str, list[str]]:
    """(the criterion, notes): view retrieval, or RankMe where not all runs have it.

    Raises:
        ValueError: for no run at all, or a table that cannot be read.
    """
    if have_scores(runs_or_table, [parse_criterion(VIEW_RETRIEVAL)]):
        return VIEW_RETRIEVAL, []
    return _PUBLISHED, [
        f"chosen by {_PUBLISHED}, which loses more: not all runs have {VIEW_RETRIEVAL}, which "
        "`jessl pretrain` records"
    ]
