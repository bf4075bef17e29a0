"""What came of a study: study.json, which the report and the selection read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jessl import records
from jessl.files import write_json
from jessl.study.begun import RUNS, Study

FILE = "study.json"


def outcome(study: Study, *, seconds: float) -> dict[str, Any]:
    """Write study.json; its content."""
    ended = study.ended()
    told = {
        "name": study.folder.resolve().name,
        "criterion": study.plan.criterion.text,
        "seeds": list(study.plan.asked.seeds),
        "outcomes": dict(Counter(e.outcome for e in ended)),
        "runs": {
            study.name(e.unit): {"params": e.unit.params, "seed": e.unit.seed, "outcome": e.outcome}
            | e.result
            for e in ended
        },
        "elsewhere": [
            study.name(e.unit)
            for e in ended
            if "folder" in e.result and not (study.folder / RUNS / study.name(e.unit)).is_dir()
        ],
        "seconds": round(seconds, 1),
        "versions": records.versions(),
    }
    write_json(study.folder / FILE, told)
    return told
