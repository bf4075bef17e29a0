"""Choosing among runs without labels: the verb `jessl.select`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jessl.names import one_of
from jessl.records import Record
from jessl.runs import Run, is_run

# criterion -> record of the final judgement it reads, and whether higher is better
CRITERIA = {"rankme": ("rankme/projector", True), "rankme_backbone": ("rankme/backbone", True)}


@dataclass(frozen=True)
class Candidate:
    """A run as a selection sees it.

    Attributes:
        run: its name; path: its folder; method: its objective.
        value: the criterion; sd: over samples of images (block jackknife), None where unknown.
        n, d: rows and features that it was taken on.
        data: checksum of the images.
        chosen: whether it is the best of its method.
        warnings: what makes its value doubtful.
    """

    run: str
    path: str
    method: str
    value: float
    sd: float | None
    n: int
    d: int
    data: str
    chosen: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Selection:
    """The answer of `select`.

    Attributes:
        by: the criterion.
        chosen: per method the folder of the run to take.
        ranking: all candidates, method by method, best first.
        warnings: why the order may mean less than it seems.
    """

    by: str
    chosen: dict[str, str]
    ranking: tuple[Candidate, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return asdict(self)


def select(runs: Iterable[Run | str | Path], *, by: str = "rankme") -> Selection:
    """Choose the best run of each method by a label-free score of its training images.

    RankMe compares runs of one method only (Garrido et al. 2023, section 3.2): methods are ranked
    apart and never against each other.

    Args:
        runs: run folders, or folders that hold run folders.
        by: "rankme" (projector, as published) or "rankme_backbone".

    Raises:
        ValueError: for an unknown criterion, a folder that holds no run, or when none of the runs
            was judged to its end.
    """
    name, higher = CRITERIA[one_of("by", by, CRITERIA)]
    opened = list({run.path.resolve(): run for run in _opened(runs)}.values())
    candidates = {run: _candidate(run, name) for run in opened}
    found = [candidate for candidate in candidates.values() if candidate is not None]
    left_out = [str(run.path) for run, candidate in candidates.items() if candidate is None]
    if not found:
        raise ValueError(
            f"none of the runs has a final {name}: no training was finished; go on with "
            f"{left_out[0]} by pretrain --resume"
        )
    methods: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in found:
        methods[candidate.method].append(candidate)
    ranking: list[Candidate] = []
    chosen: dict[str, str] = {}
    warnings: list[str] = []
    if left_out:
        warnings.append(f"left out, not finished: {', '.join(left_out)}")
    for method, group in sorted(methods.items()):
        group.sort(key=lambda c: c.value, reverse=higher)
        chosen[method] = group[0].path
        best = Candidate(**{**asdict(group[0]), "chosen": True})
        ranking += [best, *group[1:]]
        warnings += _doubts(method, group)
    return Selection(by, chosen, tuple(ranking), tuple(warnings))


def _opened(runs: Iterable[Run | str | Path]) -> list[Run]:
    opened: list[Run] = []
    for run in runs:
        if isinstance(run, Run):
            opened.append(run)
            continue
        path = Path(run)
        inside = sorted(p.parent for p in path.glob("**/config.json") if is_run(p.parent))
        if not is_run(path) and inside:
            opened += [Run(p) for p in inside]
        else:
            opened.append(Run.open(path))
    if not opened:
        raise ValueError("select needs at least one run, got none")
    return opened


def _candidate(run: Run, name: str) -> Candidate | None:
    record = final_record(run, name)
    if record is None or not isinstance(record.value, float):
        return None
    return Candidate(
        run=run.name,
        path=str(run.path),
        method=run.asked().objective,
        value=record.value,
        sd=record.sd,
        n=int(record.extra["n"]),
        d=int(record.extra["d"]),
        data=str(run.facts().get("data_fingerprint", "")),
        chosen=False,
        warnings=tuple(record.extra.get("warnings", ())),
    )


def final_record(run: Run, name: str) -> Record | None:
    """The last record `name` of the judgement on the pretraining images, None without."""
    found = [r for r in run.records() if r.split == "pretrain" and r.name == name]
    return found[-1] if found else None


def _doubts(method: str, group: Sequence[Candidate]) -> list[str]:
    """Why the order within a method may mean less than it seems."""
    doubts = []
    for what in ("n", "d"):
        values = sorted({getattr(c, what) for c in group})
        if len(values) > 1:
            doubts.append(
                f"{method}: the runs differ in {what} ({values[0]} to {values[-1]}), "
                "which moves RankMe by itself"
            )
    # what holds of every run: few rows, a loss that drives the rank, training with labels
    for warning in sorted(set.intersection(*(set(c.warnings) for c in group))):
        doubts.append(f"{method}: {warning}")
    if len({c.data for c in group}) > 1:
        doubts.append(f"{method}: the runs were trained on different images")
    if len(group) > 1 and group[0].sd is not None and group[1].sd is not None:
        apart = abs(group[0].value - group[1].value)
        spread = math.hypot(group[0].sd, group[1].sd)
        if apart < 2 * spread:
            doubts.append(
                f"{method}: {group[0].run} and {group[1].run} are within two standard deviations "
                f"({apart:.2f} apart, {spread:.2f})"
            )
    return doubts
