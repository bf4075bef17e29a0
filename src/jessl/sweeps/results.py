"""What a study came to: study.json, which the report and the table read."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jessl import records
from jessl.core.files import copy_file, is_contained_file, write_json
from jessl.core.notebook import Described
from jessl.core.progress import duration
from jessl.maps import MAP_FILE
from jessl.runs import Run, is_run
from jessl.selection.panel import PANEL
from jessl.selection.result import Selection
from jessl.selection.select import select
from jessl.sweeps.coordination import DIVERGED, FINISHED, LOST, PRUNED, REFUSED, Ended
from jessl.sweeps.space import Value, has_option, value_in
from jessl.sweeps.study_state import RUNS, Study

FILE = "study.json"
# the parameter of a group in which several fields differ between the runs
_SEVERAL = "setting"


@dataclass(frozen=True)
class SweepGroup:
    """The runs of one method, or those of them that vary one field, and the choice among them.

    Attributes:
        method: the objective; parameter: last part of the field that varies, "setting" for several.
        chosen: its value in the chosen run; chosen_run: name of that run, None where none is sound.
        rule: the one that decided, in words.
        runs: name, value of the parameter and seed of every run.
        best: the value with the highest accuracy on the test images. This and what follows is None
            without labelled ones.
        regret: how much less accurate the choice is, 0 to 1.
        random_regret: the same of a setting taken at random, on average.
        seed_sd: standard deviation of the accuracy between seeds, pooled over the settings.
    """

    method: str
    parameter: str
    chosen: Value
    chosen_run: str | None
    rule: str
    runs: tuple[dict[str, Value], ...]
    best: Value = None
    regret: float | None = None
    random_regret: float | None = None
    seed_sd: float | None = None

    def as_json(self) -> dict[str, object]:
        """All fields as values that JSON holds; without labels what they say is left out."""
        known = asdict(self) | {"runs": list(self.runs)}
        known["verdict"] = known.pop("rule")
        labelled = ("best", "regret", "random_regret", "seed_sd")
        return {k: v for k, v in known.items() if k not in labelled or v is not None}


@dataclass(frozen=True, repr=False)
class SweepResult(Described):
    """The answer of `jessl.sweep`; result["selection"] and its like read the form of study.json.

    Attributes:
        name: of the study's folder; title: of its report.
        criterion: the score that chose, of the panel the first; seeds: of every setting.
        outcomes: finished, pruned, diverged, refused or lost -> number of runs.
        elsewhere: runs whose folders are not here.
        groups: the runs by method, or by field where one field varies at a time.
        chosen_run: the first run to take; None where no run finished.
        findings: what a reader learns first.
        selection: the choice with its error bars; None where no run finished here.
        runs: name -> params, seed, outcome, and what was measured.
        seconds: of this call; versions: of the libraries.
    """

    name: str
    title: str
    criterion: str
    seeds: tuple[int, ...]
    outcomes: dict[str, int]
    elsewhere: tuple[str, ...]
    groups: tuple[SweepGroup, ...]
    chosen_run: str | None
    findings: tuple[str, ...]
    selection: Selection | None
    runs: dict[str, dict[str, Any]]
    seconds: float
    versions: str

    @property
    def conclusion(self) -> str:
        """The run to take, or why there is none."""
        return " ".join(self.findings) if self.selection is None else self.selection.conclusion

    def describe(self) -> list[tuple[str, str]]:
        """The choice of every group, the runs, warnings."""
        rows = [] if self.selection is None else self.selection.describe()
        runs = ", ".join(f"{count} {name}" for name, count in self.outcomes.items())
        return [("runs", runs), *rows]

    def as_json(self) -> dict[str, object]:
        """All fields as values that JSON holds: the content of study.json."""
        return {
            "conclusion": self.conclusion,
            "name": self.name,
            "title": self.title,
            "criterion": self.criterion,
            "seeds": list(self.seeds),
            "outcomes": self.outcomes,
            "elsewhere": list(self.elsewhere),
            "groups": [group.as_json() for group in self.groups],
            "chosen_run": self.chosen_run,
            "findings": list(self.findings),
            "selection": None if self.selection is None else self.selection.as_json(),
            "runs": self.runs,
            "seconds": self.seconds,
            "versions": self.versions,
        }

    def __getitem__(self, key: str) -> object:
        return self.as_json()[key]


def summarize(study: Study, *, seconds: float) -> SweepResult:
    """Choose among the runs of a study, and write study.json.

    Runs whose folders are on other machines are counted; they cannot be chosen among here.
    """
    study.ledger.refresh()
    ended = study.ended()
    here = [e for e in ended if _is_here(study, e)]
    selection = _select(study, here, study.plan.config.scores)
    groups = [_group(study, *group) for group in _grouped(study, here)]
    known = {e.unit.name for e in here}
    elsewhere = [study.name(e.unit) for e in ended if e.unit.name not in known]
    result = SweepResult(
        name=study.folder.resolve().name,
        title=f"{study.plan.trials} settings on {study.source.name}",
        criterion=study.plan.criterion.text,
        seeds=study.plan.config.seeds,
        outcomes=dict(Counter(e.outcome for e in ended)),
        elsewhere=tuple(elsewhere),
        groups=tuple(group for group in groups if group is not None),
        chosen_run=None if selection is None else _first_choice(selection),
        findings=tuple(_findings(study, ended, elsewhere, selection)),
        selection=selection,
        runs={
            study.name(e.unit): {
                "params": e.unit.params,
                "seed": e.unit.seed,
                "outcome": e.outcome,
                **e.result,
            }
            for e in ended
        },
        seconds=round(seconds, 1),
        versions=records.versions(),
    )
    if result.chosen_run is not None:
        for name in ("views.png", "neighbours.png", MAP_FILE):
            parts = (RUNS, result.chosen_run, name)
            if is_contained_file(study.folder, *parts):
                copy_file(study.folder.joinpath(*parts), study.folder / name)
    write_json(study.folder / FILE, result.as_json())
    return result


def _is_here(study: Study, ended: Ended) -> bool:
    """Whether this machine has a run as it ended; refused and lost ones have no folder to miss."""
    if ended.outcome in (REFUSED, LOST):
        return True
    run = Run(study.folder / RUNS / study.name(ended.unit))
    try:
        return is_run(run.path) and (ended.outcome != FINISHED or run.finished())
    except ValueError:  # damaged: listed with those that are not here
        return False


def _select(study: Study, runs: list[Ended], scores: Sequence[str] = ()) -> Selection | None:
    """The choice among runs; diverged ones take part, as values that were swept."""
    compared = [r for r in runs if r.outcome in (FINISHED, DIVERGED)]
    if not any(r.outcome == FINISHED for r in compared):
        return None
    folders = [study.folder / RUNS / study.name(r.unit) for r in compared]
    return select(folders, by=study.plan.config.by, scores=scores)


def _first_choice(selection: Selection) -> str | None:
    return next((Path(path).name for path in selection.chosen.values()), None)


def _grouped(study: Study, ended: list[Ended]) -> list[tuple[str, str, list[Ended]]]:
    """(method, field, runs): a method's runs, or of one field at a time those that vary it."""
    methods: dict[str, list[Ended]] = {}
    for one in ended:
        methods.setdefault(study.method(one.unit), []).append(one)
    groups = []
    for method, runs in methods.items():
        fields = [f for f in study.plan.space if f != "objective" and has_option(method, f)]
        if study.plan.sampler == "each" and len(fields) > 1:
            centre = study.plan.settings[0]
            for field in fields:
                rest = [f for f in fields if f != field]
                mine = [r for r in runs if all(r.unit.params[f] == centre[f] for f in rest)]
                groups.append((method, field, mine))
        else:
            groups.append((method, fields[0] if len(fields) == 1 else _SEVERAL, runs))
    return groups


def _group(study: Study, method: str, field: str, runs: list[Ended]) -> SweepGroup | None:
    """A group as the report has it; None where no run of it finished."""
    selection = _select(study, runs)
    if selection is None:
        return None
    chosen_run = _first_choice(selection)
    value = {study.name(r.unit): _value(r, study.name(r.unit), field) for r in runs}
    group = selection.groups[0]
    regret = group.choices[0].regret
    spreads = [s.oracle_sd for s in group.settings if s.oracle_sd is not None]
    fields = {setting.name: setting.fields for setting in group.settings}
    best = None if regret is None else fields[regret.best_setting].get(field)
    return SweepGroup(
        method=method,
        parameter=field.rpartition(".")[2],
        chosen=value.get(chosen_run or ""),
        chosen_run=chosen_run,
        rule=group.choices[0].rule,
        runs=tuple(
            {"name": name, "value": shown, "seed": run.unit.seed}
            for (name, shown), run in zip(value.items(), runs, strict=True)
        ),
        best=best if isinstance(best, bool | int | float | str) else None,
        regret=None if regret is None else regret.regret,
        random_regret=None if regret is None else regret.random_regret,
        seed_sd=math.sqrt(statistics.fmean(sd * sd for sd in spreads)) if spreads else None,
    )


def _value(run: Ended, name: str, field: str) -> Value:
    if field == _SEVERAL:
        return name.rpartition("-s")[0]
    return run.unit.params[field]


def _findings(
    study: Study, ended: list[Ended], elsewhere: list[str], selection: Selection | None
) -> list[str]:
    """What a reader learns first."""
    counts = Counter(e.outcome for e in ended)
    outcomes = ", ".join(f"{count} {name}" for name, count in counts.items())
    times = [e.result["seconds"] for e in ended if e.result.get("seconds")]
    lines = [
        f"{study.count()} runs: {outcomes}; the finished ones trained for {duration(sum(times))}."
    ]
    for outcome in (DIVERGED, REFUSED, LOST, PRUNED):
        mine = [e for e in ended if e.outcome == outcome]
        if mine:
            why = mine[0].result.get("reason")
            names = _some([study.name(e.unit) for e in mine])
            lines.append(f"{outcome.capitalize()}: {names}" + (f" ({why})" if why else "") + ".")
    if elsewhere:
        lines.append(
            f"{len(elsewhere)} of them ended elsewhere, or their folders were removed or damaged: "
            f"{_some(elsewhere)}. The choice is among the others."
        )
    if selection is None:
        return [*lines, "No run finished here: there is nothing to choose from."]
    for group in selection.groups:
        for choice in group.choices:
            if choice.setting is None:
                if choice.score == PANEL:
                    run = _default_run(study, ended)
                    lines.append(f"{group.name}: {choice.rule}" + (f", run {run}." if run else "."))
                continue
            text = f"{group.name}: {choice.score} chooses {choice.setting or 'its only setting'}"
            if choice.regret is not None:
                regret = 100 * choice.regret.regret
                text += f", {regret:.1f} points below the best by {selection.oracle}"
            lines.append(f"{text} ({choice.rule}).")
    return lines


def _default_run(study: Study, ended: list[Ended]) -> str | None:
    """The run of the setting of the base, which the user would have without a study."""
    plan = study.plan
    base = {field: value_in(plan.config.base, field) for field in plan.space}
    runs = [e for e in ended if e.outcome == FINISHED and e.unit.params == base]
    return study.name(runs[0].unit) if runs else None


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
