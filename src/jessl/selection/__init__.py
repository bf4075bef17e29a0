"""Choosing among runs and among checkpoints without labels.

May import report, pretraining and the rooms below; not comparison, not zoo.
"""

from jessl.selection.criteria import Criterion as Criterion
from jessl.selection.criteria import CriterionValue as CriterionValue
from jessl.selection.criteria import criterion_value as criterion_value
from jessl.selection.criteria import final_record as final_record
from jessl.selection.criteria import parse_criterion as parse_criterion
from jessl.selection.result import Candidate as Candidate
from jessl.selection.result import Selection as Selection
from jessl.selection.select import select as select

__all__ = [
    "Candidate",
    "Criterion",
    "CriterionValue",
    "Selection",
    "criterion_value",
    "final_record",
    "parse_criterion",
    "select",
]
