"""The analysis of a table of models: what goes with which error, and what predicts it; its page.

Imports risk, schema and core; page/ imports report and neither pandas nor the analysis. Names are
loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jessl.zoo.analysis import SECTIONS as SECTIONS
    from jessl.zoo.analysis import analyse as analyse
    from jessl.zoo.table import Models as Models
    from jessl.zoo.table import read_table as read_table

_HOMES = {"SECTIONS": "analysis", "analyse": "analysis", "Models": "table", "read_table": "table"}
__all__ = ["SECTIONS", "Models", "analyse", "read_table"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
