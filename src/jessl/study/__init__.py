"""Many runs: selection without labels, studies."""

from jessl.study.criteria import Criterion as Criterion
from jessl.study.criteria import Measured as Measured
from jessl.study.criteria import criterion as criterion
from jessl.study.criteria import final_record as final_record
from jessl.study.criteria import measured as measured
from jessl.study.selection import Candidate as Candidate
from jessl.study.selection import Selection as Selection
from jessl.study.selection import select as select

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
