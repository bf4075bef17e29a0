"""Many runs: selection without labels, studies."""

from jessl.selection.criteria import Criterion as Criterion
from jessl.selection.criteria import CriterionValue as CriterionValue
from jessl.selection.criteria import criterion as criterion
from jessl.selection.criteria import criterion_values as criterion_values
from jessl.selection.criteria import final_record as final_record
from jessl.selection.select import Candidate as Candidate
from jessl.selection.select import Selection as Selection
from jessl.selection.select import select as select

__all__ = [
    "Candidate",
    "Criterion",
    "CriterionValue",
    "Selection",
    "criterion",
    "criterion_values",
    "final_record",
    "select",
]
