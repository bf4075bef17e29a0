"""The analysis of a table of models: which design choices are associated with less error.

May import report and the rooms below; not selection, not comparison. Names are imported lazily, so
that the page needs neither pandas nor the analysis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jessl.zoo.analysis import SECTIONS as SECTIONS
    from jessl.zoo.analysis import analyse as analyse
    from jessl.zoo.table import Models as Models
    from jessl.zoo.table import read_table as read_table

__all__ = ["SECTIONS", "Models", "analyse", "read_table"]
_HOMES = {"SECTIONS": "analysis", "analyse": "analysis", "Models": "table", "read_table": "table"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
