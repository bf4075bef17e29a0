"""The data of a report: runs, groups of runs that differ in one hyperparameter, and the study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jessl.core.files import is_contained_file
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.report.formatting import finite, format_value
from jessl.schema import COMPONENT_NAMES


@dataclass(frozen=True, kw_only=True)
class RunData:
    """One pretraining: its settings and everything that was measured on it."""

    name: str
    method: str
    parameter: str = ""
    value: object = None
    seed: int | None = None
    config: Mapping[str, object] = field(default_factory=dict)
    records: Sequence[Record] = ()
    folder: Path | None = None

    def last(self, name: str, split: str | None = None) -> Record | None:
        """The latest record called `name` whose value is a finite number, None without one."""
        for record in reversed(self.records):
            matches = record.name == name and split in (None, record.split)
            if matches and finite(record.value) is not None:
                return record
        return None

    def number(self, name: str, split: str | None = None) -> float | None:
        """The value of `last`, None without one."""
        record = self.last(name, split)
        return None if record is None else finite(record.value)

    def training_splits(self) -> list[str]:
        """Splits that RankMe or accuracy was measured on during training."""
        present = {record.split for record in self.records}
        return [split for split in (HELD_OUT, PRETRAIN_SAMPLE) if split in present]

    def curve(self, name: str, split: str) -> list[Record]:
        """Records of `name` by step; of those of one step (a resumed run) the latest counts."""
        steps = {
            r.step: r
            for r in self.records
            if r.name == name and r.split == split and r.step is not None
        }
        return [steps[step] for step in sorted(steps)]

    def spectrum(self, name: str) -> list[float]:
        """The latest singular values called `name`, descending; empty without any."""
        for record in reversed(self.records):
            if record.name == name and isinstance(record.value, list):
                values = [v for v in map(finite, record.value) if v is not None and v >= 0]
                return sorted(values, reverse=True)
        return []

    def setting(self, *, with_parameter: bool = True) -> str:
        """What sets this run apart in its group: `cov 4, seed 0`, or `4, seed 0`."""
        parts = []
        if self.parameter:
            name = self.parameter if with_parameter else ""
            parts.append(f"{name} {format_value(self.value)}".strip())
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        return ", ".join(parts) or self.name

    def risk(self, part: str) -> Record | None:
        """The record of a component of the risk, or of its total."""
        return self.last(f"risk/{part}", "test")

    @property
    def has_risk(self) -> bool:
        """Whether any component of the risk was measured."""
        return any(self.risk(part) is not None for part in COMPONENT_NAMES)

    @property
    def risk_is_merged(self) -> bool:
        """Whether approximation and usability were measured as one."""
        records = [self.risk(part) for part in ("usability", "approximation")]
        return any(bool((r.extra or {}).get("merged")) for r in records if r is not None)


@dataclass(frozen=True, kw_only=True)
class SettingData:
    """One value of a hyperparameter, over its seeds; accuracies and their sd in [0, 1]."""

    value: object
    rank: float | None
    rank_sd: float | None
    accuracy: float | None
    accuracy_sd: float | None
    runs: list[RunData]


@dataclass(frozen=True, kw_only=True)
class GroupData:
    """The runs of one method, which differ in one hyperparameter and in their seeds.

    Attributes:
        method: the objective.
        parameter: the hyperparameter that varies; empty without one.
        runs: all runs.
        configs: its values.
        chosen: the value that the label-free score picked, None without a choice.
        chosen_run: the run that it picked.
        best: the most accurate value.
        regret: accuracy lost by choosing without labels.
        random_regret: accuracy lost by choosing at random.
        seed_sd: standard deviation of the accuracy between seeds.
        conclusion: the result of the choice in a sentence; may be empty.
    """

    method: str
    parameter: str
    runs: list[RunData]
    configs: list[SettingData] = field(default_factory=list)
    chosen: object = None
    chosen_run: RunData | None = None
    best: object = None
    regret: float | None = None
    random_regret: float | None = None
    seed_sd: float | None = None
    conclusion: str = ""

    def is_chosen(self, value: object) -> bool:
        """Whether the label-free score picked this value."""
        return self.chosen is not None and bool(self.chosen == value)


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What study.json holds beside its groups; of a run folder everything is empty.

    Attributes:
        title: of the page.
        data: the data in words.
        chosen_run: the run whose pictures are shown.
        baselines: name -> accuracy in [0, 1].
        few_labels: name -> (labels of each class, accuracy, low, high) of each amount.
        findings: sentences for the top of the page.
        command: that started the study.
        seconds: that it took.
        hardware: it ran on.
        versions: of jessl and torch.
        seeds: of the runs.
    """

    title: str = ""
    data: str = ""
    chosen_run: str | None = None
    baselines: Mapping[str, float] = field(default_factory=dict)
    few_labels: Mapping[str, Sequence[tuple[int, float, float, float]]] = field(
        default_factory=dict
    )
    findings: Sequence[str] = ()
    command: str = ""
    seconds: float | None = None
    hardware: str = ""
    versions: str = ""
    seeds: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything in a report. `kind` is run or study; `accuracy` names the probe shown first."""

    kind: str
    name: str
    folder: Path
    groups: list[GroupData]
    criterion: str
    accuracy: str | None
    study: StudyFacts = StudyFacts()

    def runs(self) -> Iterator[RunData]:
        """All runs, method by method."""
        for group in self.groups:
            yield from group.runs

    def chosen_runs(self) -> list[RunData]:
        """The run that the score picked in every group; of a run folder, none.

        Where no group names a choice, the run that study.json names.
        """
        if self.kind == "run":
            return []
        picked = [group.chosen_run for group in self.groups if group.chosen_run is not None]
        named = self._named_run()
        return picked or ([named] if named is not None else [])

    def training_splits(self) -> list[str]:
        """Splits that any run was evaluated on during training, without repeats."""
        return list(dict.fromkeys(split for run in self.runs() for split in run.training_splits()))

    def is_chosen(self, run: RunData) -> bool:
        """Whether the score picked this run in its group."""
        return any(run.name == picked.name for picked in self.chosen_runs())

    def pictured_run(self) -> RunData | None:
        """The run whose pictures are shown, whatever its rank; of a run folder, the run."""
        if self.kind == "run":
            return next(self.runs())
        return self._named_run() or next(iter(self.chosen_runs()), None)

    def _named_run(self) -> RunData | None:
        return next((r for r in self.runs() if r.name == self.study.chosen_run), None)

    def drawing(self, file: str) -> Path | None:
        """A picture or the map: of the study, or else of the run whose pictures are shown.

        Links that lead out of the folder are not followed.
        """
        run = self.pictured_run()
        folders = [self.folder, *([run.folder] if run and run.folder else [])]
        return next((f / file for f in folders if is_contained_file(f, file)), None)

    def risk_merged(self) -> set[bool]:
        """Over the runs with a decomposition: approximation and usability measured as one?"""
        return {run.risk_is_merged for run in self.runs() if run.has_risk}

    def warnings(self) -> dict[str, list[str]]:
        """Text of every warning in the records -> names of the runs that carry it."""
        warnings: dict[str, list[str]] = {}
        for run in self.runs():
            for record in run.records:
                carried = (record.extra or {}).get("warnings") or []
                for text in [carried] if isinstance(carried, str) else carried:
                    names = warnings.setdefault(f"{record.name}: {text}", [])
                    if run.name not in names:
                        names.append(run.name)
            lost = [r for r in run.curve("loss", "train") if finite(r.value) is None]
            if lost:
                text = "loss: not a finite number in part of the training"
                warnings.setdefault(text, []).append(f"{run.name} (from step {lost[0].step})")
        return warnings
