"""Many runs: selection without labels, studies."""

from jessl.selection.criteria import Criterion as Criterion
from jessl.selection.criteria import Measured as Measured
from jessl.selection.criteria import criterion as criterion
from jessl.selection.criteria import final_record as final_record
from jessl.selection.criteria import measured as measured
from jessl.selection.select import Candidate as Candidate
from jessl.selection.select import Selection as Selection
from jessl.selection.select import select as select

__all__ = [
    "Candidate",
    "Criterion",
    "Measured",
    "Selection",
    "criterion",
    "final_record",
    "measured",
    "select",
]
