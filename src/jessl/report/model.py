"""From a folder to what a report tells: runs, groups and configurations as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jessl import records
from jessl.core.files import read_json
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.report.formatting import finite, mean, spread, value_order

PICTURES = ("views", "neighbours")


@dataclass(frozen=True, kw_only=True)
class RunData:
    """One pretraining: what it was and everything that was measured on it."""

    name: str
    method: str
    parameter: str = ""
    value: Any = None
    seed: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    folder: Path | None = None

    def last(self, name: str, split: str | None = None) -> Record | None:
        """The latest record called `name` whose value is a finite number, None without one."""
        for record in reversed(self.records):
            wanted = record.name == name and split in (None, record.split)
            if wanted and finite(record.value) is not None:
                return record
        return None

    def number(self, name: str, split: str | None = None) -> float | None:
        """The value of `last`, None without one."""
        record = self.last(name, split)
        return None if record is None else finite(record.value)

    def has_split(self, split: str) -> bool:
        """Whether anything was measured on a split."""
        return any(record.split == split for record in self.records)

    def judged_on(self) -> list[str]:
        """Splits that RankMe or accuracy was measured on during training."""
        return [split for split in (HELD_OUT, PRETRAIN_SAMPLE) if self.has_split(split)]

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
        """What tells this run from the others of its group: `cov 4, seed 0`, or `4, seed 0`."""
        parts = []
        if self.parameter:
            name = self.parameter if with_parameter else ""
            parts.append(f"{name} {shown(self.value)}".strip())
        if self.seed is not None:
            parts.append(f"seed {self.seed}")
        return ", ".join(parts) or self.name


@dataclass(frozen=True, kw_only=True)
class SettingData:
    """One value of a hyperparameter, over its seeds; accuracies and their sd in [0, 1]."""

    value: Any
    rank: float | None
    rank_sd: float | None
    accuracy: float | None
    accuracy_sd: float | None
    runs: list[RunData]


@dataclass(frozen=True, kw_only=True)
class GroupData:
    """The runs of one method, which differ in one hyperparameter and in their seeds."""

    method: str
    parameter: str
    runs: list[RunData]
    configs: list[SettingData]
    told: dict[str, Any]
    chosen_run: RunData | None = None

    @property
    def chosen(self) -> Any:
        """The value that the label-free score picked, None without a choice."""
        told = self.told.get("chosen")
        return self.chosen_run.value if told is None and self.chosen_run is not None else told

    def is_chosen(self, value: Any) -> bool:
        """Whether the label-free score picked this value."""
        return self.chosen is not None and bool(self.chosen == value)


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything a report tells. `told` is study.json; of a run it is empty."""

    kind: str
    name: str
    folder: Path
    told: dict[str, Any]
    groups: list[GroupData]
    criterion: str
    accuracy: str | None

    def runs(self) -> Iterator[RunData]:
        """All runs, method by method."""
        for group in self.groups:
            yield from group.runs

    def chosen_runs(self) -> list[RunData]:
        """The run that the score picked in every group; of a run folder, none.

        Where no group tells of a choice, the run that study.json names.
        """
        if self.kind == "run":
            return []
        picked = [group.chosen_run for group in self.groups if group.chosen_run is not None]
        named = self._named_run()
        return picked or ([named] if named is not None else [])

    def judged_on(self) -> list[str]:
        """Splits that any run was judged on during training, without repeats."""
        return list(dict.fromkeys(split for run in self.runs() for split in run.judged_on()))

    def is_chosen(self, run: RunData) -> bool:
        """Whether the score picked this run in its group."""
        return any(run.name == picked.name for picked in self.chosen_runs())

    def pictured_run(self) -> RunData | None:
        """The run whose pictures are shown, which says nothing of its rank; of a run, the run."""
        if self.kind == "run":
            return next(self.runs())
        return self._named_run() or next(iter(self.chosen_runs()), None)

    def _named_run(self) -> RunData | None:
        return next((r for r in self.runs() if r.name == self.told.get("chosen_run")), None)

    def picture(self, name: str) -> Path | None:
        """The file of a picture: of the study, or else of the run whose pictures are shown."""
        run = self.pictured_run()
        places = [self.folder, *([run.folder] if run and run.folder else [])]
        return next((p / f"{name}.png" for p in places if (p / f"{name}.png").is_file()), None)

    def warnings(self) -> dict[str, list[str]]:
        """Text of every warning in the records -> names of the runs that carry it."""
        found: dict[str, list[str]] = {}
        for run in self.runs():
            for record in run.records:
                said = (record.extra or {}).get("warnings") or []
                for text in [said] if isinstance(said, str) else said:
                    names = found.setdefault(f"{record.name}: {text}", [])
                    if run.name not in names:
                        names.append(run.name)
            lost = [r for r in run.curve("loss", "train") if finite(r.value) is None]
            if lost:
                text = "loss: not a finite number in part of the training"
                found.setdefault(text, []).append(f"{run.name} (from step {lost[0].step})")
        return found


def read_report(folder: str | Path) -> ReportData:
    """Read a run folder (config.json) or a study folder (study.json).

    Raises:
        ValueError: naming the folder when it is neither, and a JSON file that is no object.
    """
    folder = Path(folder)
    if (folder / "study.json").is_file():
        return _study(folder)
    if (folder / "config.json").is_file():
        return _single(folder)
    raise ValueError(
        f"folder {str(folder)!r} is neither a run (a folder with config.json) "
        "nor a study (a folder with study.json)"
    )


def shown(value: Any) -> str:
    """A hyperparameter's value as text: 4.0 as 4, 0.0001 as 0.0001, None as a dash."""
    if value is None:
        return "–"
    number = finite(value)
    if number is None:
        return str(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e9 else f"{number:g}"


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, it holds a {type(found).__name__}")
    return found


def _single(folder: Path) -> ReportData:
    name = folder.resolve().name
    run = _run(name, folder, {}, "", records.read(folder))
    group = GroupData(method=run.method, parameter="", runs=[run], configs=[], told={})
    return ReportData(
        kind="run",
        name=name,
        folder=folder,
        told={},
        groups=[group],
        criterion="rankme/projector",
        accuracy=_accuracy_name([run]),
    )


def _study(folder: Path) -> ReportData:
    told = _object(folder / "study.json")
    criterion = str(told.get("criterion") or "rankme/projector")
    by_run: dict[str, list[Record]] = {}
    for record in records.read(folder):
        by_run.setdefault(record.run, []).append(record)
    drafts = []
    listed = set()
    for entry in told.get("groups") or []:
        method, parameter = str(entry.get("method") or "?"), str(entry.get("parameter") or "")
        runs = []
        for item in entry.get("runs") or []:
            name = str(item.get("name"))
            listed.add(name)
            runs.append(
                _run(
                    name,
                    _inside(folder, name),
                    {**item, "method": method},
                    parameter,
                    by_run.get(name, []),
                )
            )
        drafts.append((method, parameter, runs, entry))
    # runs that study.json does not list (yet) are shown as well, by the method of their config
    for path in sorted((folder / "runs").glob("*/config.json")):
        if path.parent.name not in listed:
            name = path.parent.name
            run = _run(name, path.parent, {}, "", by_run.get(name, []))
            home = next((d for d in drafts if d[0] == run.method), None)
            if home is None:
                drafts.append((run.method, "", [run], {}))
            else:
                home[2].append(run)
    accuracy = _accuracy_name([run for draft in drafts for run in draft[2]])
    groups = [
        GroupData(
            method=method,
            parameter=parameter,
            runs=runs,
            configs=_configs(runs, entry.get("configs") or [], criterion, accuracy),
            told=entry,
            chosen_run=_chosen_run(runs, entry, criterion),
        )
        for method, parameter, runs, entry in drafts
    ]
    return ReportData(
        kind="study",
        name=str(told.get("name") or folder.resolve().name),
        folder=folder,
        told=told,
        groups=groups,
        criterion=criterion,
        accuracy=accuracy,
    )


def _inside(folder: Path, name: str) -> Path | None:
    """The run's folder; None where the name is no plain name, so that no other file is read."""
    path = folder / "runs" / name
    plain = name not in ("", ".", "..") and Path(name).name == name
    return path if plain and path.is_dir() else None


def _run(
    name: str, folder: Path | None, item: dict[str, Any], parameter: str, more: list[Record]
) -> RunData:
    has_config = folder is not None and (folder / "config.json").is_file()
    config = _object(folder / "config.json") if folder is not None and has_config else {}
    own = records.read(folder) if folder is not None else []
    seed = item.get("seed", config.get("seed"))
    return RunData(
        name=name,
        method=str(item.get("method") or config.get("objective") or "?"),
        parameter=parameter,
        value=item.get("value"),
        seed=seed if isinstance(seed, int) else None,
        config=config,
        records=[*own, *more],
        folder=folder,
    )


def _accuracy_name(runs: list[RunData]) -> str | None:
    """The probe whose accuracy is shown first: logistic where any run has it, else kNN."""
    for name in ("accuracy/logistic", "accuracy/knn"):
        if any(run.number(name, "test") is not None for run in runs):
            return name
    return None


def _configs(
    runs: list[RunData], told: list[dict[str, Any]], criterion: str, accuracy: str | None
) -> list[SettingData]:
    """Configurations as the study tells them; what it does not tell comes from the runs."""
    values = [entry.get("value") for entry in told]
    values += [run.value for run in runs if run.value not in values]
    unique = sorted({shown(v): v for v in values}.values(), key=value_order)
    found = []
    for value in unique:
        entry = next((e for e in told if e.get("value") == value), {})
        mine = [run for run in runs if run.value == value]
        ranks = [run.number(criterion, "pretrain") for run in mine]
        scores = [run.number(accuracy, "test") if accuracy else None for run in mine]
        found.append(
            SettingData(
                value=value,
                rank=_first(entry.get("rankme"), mean(ranks)),
                rank_sd=_first(entry.get("rankme_sd"), spread(ranks)),
                accuracy=_first(entry.get("accuracy"), mean(scores)),
                accuracy_sd=_first(entry.get("accuracy_sd"), spread(scores)),
                runs=mine,
            )
        )
    return found


def _chosen_run(runs: list[RunData], told: dict[str, Any], criterion: str) -> RunData | None:
    """The run that a group tells it chose; else the highest criterion at the chosen value."""
    named = next((run for run in runs if run.name == told.get("chosen_run")), None)
    if named is not None or told.get("chosen") is None:
        return named
    ranked = [
        (rank, run)
        for run in runs
        if run.value == told["chosen"] and (rank := run.number(criterion, "pretrain")) is not None
    ]
    # of equal ones the first seed
    return max(ranked, key=lambda pair: (pair[0], -(pair[1].seed or 0)))[1] if ranked else None


def _first(told: Any, computed: float | None) -> float | None:
    number = finite(told)
    return computed if number is None else number
