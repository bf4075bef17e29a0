"""The analysis of a table of models: what goes with which error, and what tells it ahead."""

from __future__ import annotations

from jessl.zoo.analysis import SECTIONS, analyse
from jessl.zoo.table import Models, read_table

__all__ = ["SECTIONS", "Models", "analyse", "read_table"]
