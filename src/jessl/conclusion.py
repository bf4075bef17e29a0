"""The answer to "did the training help?", in one sentence, from the records of a run alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from jessl.records import Record
from jessl.schema import ADAPTATION, VIEW_RETRIEVAL

# fewer other images make the task too easy to say anything
LEAST_OTHERS = 49


@dataclass(frozen=True)
class RunConclusion:
    """The conclusion about a run without labels.

    Attributes:
        text: one sentence, without a full stop.
        helped: whether the training made the encoder better; None where that is undecided.
    """

    text: str
    helped: bool | None


def run_conclusion(records: Iterable[Record]) -> RunConclusion | None:
    """The conclusion of a finished run; None without a measurement.

    It compares view retrieval at the backbone, the score that chooses settings best here
    (docs/select.md), with its value before the training: better or worse where that value lies
    outside the 95 % interval. A run that began with trained weights is compared with these
    instead, by the judgement at its end.

    Example:
        print(run_conclusion(run.records()).text)
    """
    last: Record | None = None
    for record in records:
        text = record.extra.get("text")
        if record.name == ADAPTATION and isinstance(text, str):
            conclusion = str(record.extra.get("conclusion"))
            return RunConclusion(text, {"better": True, "worse": False}.get(conclusion))
        if record.name == VIEW_RETRIEVAL and record.split == "pretrain":
            last = record
    if last is None or not isinstance(last.value, float) or not math.isfinite(last.value):
        return None
    n, params = last.extra.get("n"), last.extra.get("params")
    if not isinstance(n, int) or not isinstance(params, dict):
        return None
    others = min(n - 1, int(params.get("distractors", n - 1)))
    if others < LEAST_OTHERS:
        return RunConclusion(
            f"cannot be judged: {n} images are too few to compare views of them", None
        )
    interval = "" if last.low is None else f" ({_percent(last.low)} to {_percent(last.high)})"
    finds = (
        f"its features find another view of an image among {others:,} other images in "
        f"{_percent(last.value)} %{interval} of cases"
    )
    before = last.extra.get("untrained")
    if not isinstance(before, float) or last.low is None or last.high is None:
        return RunConclusion(finds, None)
    finds += f", before the training in {_percent(before)} %"
    if last.low > before:
        return RunConclusion(f"the training helped: {finds}", True)
    if last.high < before:
        return RunConclusion(f"the training made the encoder worse: {finds}", False)
    return RunConclusion(f"no gain by the training can be seen: {finds}", None)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.{0 if share >= 0.1 else 1}f}"
