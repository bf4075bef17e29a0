"""What came of a study: study.json, which the report and the table read."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jessl import records
from jessl.core.files import write_json
from jessl.core.progress import duration
from jessl.runs import Run, is_run
from jessl.selection.select import Selection, select
from jessl.sweeps.study_state import RUNS, Study
from jessl.sweeps.trial_claims import DIVERGED, FINISHED, LOST, PRUNED, REFUSED, Ended

FILE = "study.json"
# the parameter of a group in which several fields differ between the runs
_SEVERAL = "setting"


def outcome(study: Study, *, seconds: float) -> dict[str, Any]:
    """Choose among the runs of a study, and write study.json; its content.

    Runs whose folders other machines keep are counted; they cannot be chosen among here.
    """
    study.ledger.look()
    ended = study.ended()
    here = [e for e in ended if _is_here(study, e)]
    chosen = _selected(study, _compared(study, here), study.plan.asked.scores)
    groups = [g for group in _grouped(study, here) if (g := _told(study, *group)) is not None]
    known = {e.unit.name for e in here}
    elsewhere = [study.name(e.unit) for e in ended if e.unit.name not in known]
    told: dict[str, Any] = {
        "name": study.folder.resolve().name,
        "title": f"{study.plan.trials} settings on {study.source.name}",
        "criterion": study.plan.criterion.text,
        "seeds": list(study.plan.asked.seeds),
        "outcomes": dict(Counter(e.outcome for e in ended)),
        "elsewhere": elsewhere,
        "groups": groups,
        "chosen_run": None if chosen is None else _first(chosen),
        "findings": _findings(study, ended, elsewhere, chosen),
        "selection": None if chosen is None else chosen.as_json(),
        "runs": {
            study.name(e.unit): {
                "params": e.unit.params,
                "seed": e.unit.seed,
                "outcome": e.outcome,
                **e.result,
            }
            for e in ended
        },
        "seconds": round(seconds, 1),
        "versions": records.versions(),
    }
    if told["chosen_run"] is not None:
        for name in ("views.png", "neighbours.png"):
            picture = study.folder / RUNS / told["chosen_run"] / name
            if picture.is_file():
                shutil.copy(picture, study.folder / name)
    write_json(study.folder / FILE, told)
    return told


def _is_here(study: Study, ended: Ended) -> bool:
    """Whether this machine has a run as it ended; refused and lost ones left nothing to have."""
    if ended.outcome in (REFUSED, LOST):
        return True
    run = Run(study.folder / RUNS / study.name(ended.unit))
    try:
        return is_run(run.path) and (ended.outcome != FINISHED or run.finished())
    except ValueError:  # damaged: it is told with those that are not here
        return False


def _compared(study: Study, runs: list[Ended]) -> list[Path]:
    """Folders of what a selection sees: diverged runs are values that were swept, too."""
    kept = [r for r in runs if r.outcome in (FINISHED, DIVERGED)]
    if not any(r.outcome == FINISHED for r in kept):
        return []
    return [study.folder / RUNS / study.name(r.unit) for r in kept]


def _selected(study: Study, folders: list[Path], scores: Sequence[str] = ()) -> Selection | None:
    return select(folders, by=study.plan.asked.by, scores=scores) if folders else None


def _first(chosen: Selection) -> str | None:
    return next((Path(path).name for path in chosen.chosen.values()), None)


def _grouped(study: Study, ended: list[Ended]) -> list[tuple[str, str, list[Ended]]]:
    """(method, field, runs): a method's runs, or of one field at a time those that vary it."""
    methods: dict[str, list[Ended]] = {}
    for one in ended:
        methods.setdefault(study.method(one.unit), []).append(one)
    fields = [name for name in study.plan.space if name != "objective"]
    found = []
    for method, runs in methods.items():
        if study.plan.sampler == "each" and len(fields) > 1:
            centre = study.plan.settings[0]
            for field in fields:
                rest = [f for f in fields if f != field]
                mine = [r for r in runs if all(r.unit.params[f] == centre[f] for f in rest)]
                found.append((method, field, mine))
        else:
            found.append((method, fields[0] if len(fields) == 1 else _SEVERAL, runs))
    return found


def _told(study: Study, method: str, field: str, runs: list[Ended]) -> dict[str, Any] | None:
    """A group as the report has it; None where no run of it finished."""
    found = _selected(study, _compared(study, runs))
    if found is None:
        return None
    path = next(iter(found.chosen.values()), None)
    name = None if path is None else Path(path).name
    value = {study.name(r.unit): _value(r, study.name(r.unit), field) for r in runs}
    return {
        "method": method,
        "parameter": field.rpartition(".")[2],
        "chosen": value.get(name or ""),
        "chosen_run": name,
        "verdict": next((c.rule for g in found.groups for c in g.choices), ""),
        "runs": [
            {"name": n, "value": v, "seed": r.unit.seed}
            for (n, v), r in zip(value.items(), runs, strict=True)
        ],
    }


def _value(run: Ended, name: str, field: str) -> Any:
    if field == _SEVERAL:
        return name.rpartition("-s")[0]
    return run.unit.params[field]


def _findings(
    study: Study, ended: list[Ended], elsewhere: list[str], chosen: Selection | None
) -> list[str]:
    """What a reader is told first."""
    counts = Counter(e.outcome for e in ended)
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    times = [e.result["seconds"] for e in ended if e.result.get("seconds")]
    found = [f"{study.count()} runs: {said}; the finished ones trained for {duration(sum(times))}."]
    for outcome in (DIVERGED, REFUSED, LOST, PRUNED):
        mine = [e for e in ended if e.outcome == outcome]
        if mine:
            why = mine[0].result.get("reason")
            names = _some([study.name(e.unit) for e in mine])
            found.append(f"{outcome.capitalize()}: {names}" + (f" ({why})" if why else "") + ".")
    if elsewhere:
        found.append(
            f"{len(elsewhere)} of them ended elsewhere, or their folders were removed or damaged: "
            f"{_some(elsewhere)}. What is chosen is chosen among the others."
        )
    if chosen is None:
        return [*found, "No run finished here: there is nothing to choose from."]
    for group in chosen.groups:
        for choice in group.choices:
            if choice.setting is None:
                continue
            text = f"{group.name}: {choice.score} takes {choice.setting or 'its only setting'}"
            if choice.verdict is not None:
                lost = 100 * choice.verdict.regret
                text += f", {lost:.1f} points below the best by {chosen.oracle}"
            found.append(f"{text} ({choice.rule}).")
    return found


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
