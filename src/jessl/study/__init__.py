"""Many runs: selection without labels, studies."""

from jessl.study.selection import Candidate as Candidate
from jessl.study.selection import Selection as Selection
from jessl.study.selection import final_record as final_record
from jessl.study.selection import select as select

__all__ = ["Candidate", "Selection", "final_record", "select"]
