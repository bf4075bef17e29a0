"""The parts of the page that are words and numbers: findings, cards, facts, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jessl.conclusion import run_conclusion
from jessl.core.merged_warnings import merge_warnings
from jessl.records import Record
from jessl.report.criterion import criterion_title, format_criterion
from jessl.report.formatting import (
    count,
    finite,
    format_duration,
    format_interval,
    format_number,
    format_percent,
    format_points,
    format_value,
)
from jessl.report.model import GroupData, ReportData, RunData
from jessl.report.pages.content import (
    Block,
    Card,
    Fact,
    Facts,
    Fold,
    Folded,
    Heading,
    Named,
    Settings,
    SettingValue,
)
from jessl.report.pages.conventions import probe_convention, risk_convention
from jessl.report.pages.training import where_measured
from jessl.schema import VIEW_RETRIEVAL, capitalized, is_share

_RANKME = (
    "RankMe is the effective rank of the embeddings: exp of the entropy (natural logarithm) of "
    "p = s / ‖s‖₁ + ε, where s are the singular values of the matrix of embeddings, neither "
    "centred nor normalised, and ε = 1e-7 is added after the division. As published it is taken "
    "at the projector output on the pretraining data. It uses no labels."
)
_INTERVALS = (
    "Intervals are 95 %. ± in the ranking is a standard deviation over seeds, ± in the table "
    "that of one measurement (jackknife). Where a number is corrected "
    "for few rows (debiased), the corrected one stands first and the published one beside it; the "
    "interval and the ± belong to the corrected one. Accuracies and risks are measured on "
    "test data, which were not used for any choice. Error is 0-1 error."
)


def findings(report: ReportData) -> list[str]:
    """The findings of the study, or one sentence about what is here."""
    if report.study.findings:
        return list(report.study.findings)
    if report.kind != "run":
        return [_about_study(report)]
    return [*_conclusion(report), _about_run(report)]


def cards(report: ReportData) -> list[Card]:
    """What was chosen in every group, or the main numbers of a run."""
    if report.kind == "run":
        return _run_cards(report)
    groups = list(enumerate(report.groups))
    # the choice of the whole study stands first
    groups.sort(
        key=lambda pair: (
            report.study.chosen_run is None
            or all(run.name != report.study.chosen_run for run in pair[1].runs)
        )
    )
    return [_group_card(report, group, f"m{i % 8}") for i, group in groups]


def facts(report: ReportData, left_out: list[str]) -> Facts:
    """What was run, on what data and machine; warnings; conventions; what is not shown."""
    study = report.study
    return Facts.of(
        [
            Fact("Data", _data(report)),
            Fact("Command", study.command, code=True),
            Fact("Time", "" if study.seconds is None else format_duration(study.seconds)),
            Fact("Hardware", study.hardware),
            Fact("Speed", _speed(report)),
            Fact("Versions", study.versions or _versions(report)),
            Fact("Seeds", ", ".join(study.seeds)),
            Fact("Chosen by", _chosen_by(report)),
            Fact("Embeddings", _shape(report)),
            Fact("RankMe", _RANKME),
            Fact("Numbers", _numbers(report)),
            Fact("Probe", probe_convention(report)),
            Fact("Risk", risk_convention(report)),
            Fact("Warnings", lines=[Named(text) for text in _warnings(report)]),
            Fact("Not shown", lines=[Named(text) for text in left_out]),
        ]
    )


def all_settings(runs: list[RunData]) -> list[Block]:
    """All settings of runs, folded, with what was determined before the training.

    Settings are marked as automatic only where they were left open and then decided.
    """
    folds = [
        Fold(f"All settings of {run.name}", blocks) for run in runs if (blocks := _settings(run))
    ]
    return [Folded(folds)] if folds else []


def _settings(run: RunData) -> list[Block]:
    chosen = run.config.get("chosen")
    determined = dict(chosen) if isinstance(chosen, dict) else {}
    decided = determined.pop("config", None)
    determined.pop("tuning", None)  # among the facts
    decided = decided if isinstance(decided, dict) else {}
    requested = {k: v for k, v in run.config.items() if k != "chosen"}
    blocks: list[Block] = []
    settings = _known(
        {**requested, **decided},
        automatic={name for name in decided if requested.get(name) is None},
    )
    if settings:
        blocks.append(Settings(settings))
    if facts := _known(determined):
        blocks += [Heading("Determined before the training"), Settings(facts)]
    return blocks


def _known(values: Mapping[str, object], automatic: set[str] | None = None) -> list[SettingValue]:
    """Settings that have a value."""
    return [
        SettingValue(name, _written(value), automatic=name in (automatic or ()))
        for name, value in values.items()
        if value not in (None, {})
    ]


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{k} {format_value(v)}" for k, v in value.items())
    return format_value(value)


def _speed(report: ReportData) -> str:
    """What the training measured to be fastest on its machine; empty where it measured nothing."""
    if report.kind != "run":
        return ""
    chosen = next(report.runs()).config.get("chosen")
    tuning = chosen.get("tuning") if isinstance(chosen, dict) else None
    tuning = tuning if isinstance(tuning, dict) else {}
    summary, sets = tuning.get("summary"), tuning.get("instruction_sets")
    if not isinstance(summary, str):
        return ""
    return f"{summary} (processor with {sets})" if isinstance(sets, str) else summary


def _group_card(report: ReportData, group: GroupData, colour: str) -> Card:
    settings = {format_value(s.value): s for s in group.configs}
    pairs = []
    if group.chosen_run is not None:
        pairs.append(("take the run", group.chosen_run.name))
    if group.chosen is not None and (setting := settings.get(format_value(group.chosen))):
        by = report.criterion
        pairs.append((criterion_title(by, short=True), format_criterion(by, setting.rank)))
        if setting.accuracy is not None:
            pairs.append(("accuracy of the choice", format_percent(setting.accuracy)))
    if group.best is not None:
        best = format_value(group.best)
        setting = settings.get(best)
        if setting is not None and setting.accuracy is not None:
            name = f"best of the grid ({group.parameter} {best})"
            pairs.append((name, format_percent(setting.accuracy)))
    for name, value in (
        ("lost by choosing without labels", group.regret),
        ("lost by choosing at random", group.random_regret),
        ("spread between seeds (sd)", group.seed_sd),
    ):
        if value is not None:
            pairs.append((name, format_points(value)))
    large = count(len(group.runs), "run")
    if group.chosen is not None:
        large = f"{group.parameter} = {format_value(group.chosen)}"
    # the findings at the top of the page may contain it already
    repeated = any(group.conclusion in finding for finding in report.study.findings)
    return Card(group.method, large, pairs, "" if repeated else group.conclusion, colour)


def _run_cards(report: ReportData) -> list[Card]:
    run = next(report.runs())
    tiles = []
    for name, split, heading in (
        (VIEW_RETRIEVAL, "pretrain", "View retrieval, backbone"),
        ("rankme/projector", "pretrain", "RankMe, projector"),
        ("rankme/backbone", "pretrain", "RankMe, backbone"),
        (report.accuracy or "", "test", "Accuracy on test data"),
    ):
        if (record := run.last(name, split)) is not None:
            value, corrected = _value_and_corrected(record)
            shown = _writer(name)(value if corrected is None else corrected)
            tiles.append(Card(heading, shown, _details(run, record, name, split)))
    return tiles


def _writer(name: str) -> Callable[[float | None], str]:
    """How the numbers of a record are written: accuracies and shares in percent."""
    return format_percent if name.startswith("accuracy/") or is_share(name) else format_number


def _value_and_corrected(record: Record) -> tuple[float | None, float | None]:
    """The number of a record as published, and corrected for few rows where that is known."""
    return finite(record.value), finite((record.extra or {}).get("debiased"))


def _details(run: RunData, record: Record, name: str, split: str) -> list[tuple[str, str]]:
    """What stands below a main number of a run."""
    write = _writer(name)
    extra = record.extra or {}
    pairs = []
    value, corrected = _value_and_corrected(record)
    if corrected is not None:
        pairs.append(("as published", write(value)))
    if (before := finite(extra.get("untrained"))) is not None:
        pairs.append(("untrained", write(before)))
    if interval := format_interval(finite(record.low), finite(record.high), write):
        pairs.append(("95 % interval", interval))
    params = extra.get("params")
    others = params.get("distractors") if isinstance(params, dict) else None
    if isinstance(others, int) and isinstance(extra.get("n"), int):
        pairs.append(("other images", f"{min(others, extra['n'] - 1):,}"))
    elif extra.get("n") and extra.get("d"):
        pairs.append(("rows × dim.", f"{extra['n']} × {extra['d']}"))
    return pairs


def _conclusion(report: ReportData) -> list[str]:
    """Whether the training helped."""
    conclusion = run_conclusion(next(report.runs()).records)
    return [] if conclusion is None else [f"{capitalized(conclusion.text)}."]


def _about_run(report: ReportData) -> str:
    run = next(report.runs())
    text = f"{run.method} on {run.config.get('data', 'unnamed data')}"
    if run.seed is not None:
        text += f", seed {run.seed}"
    record = run.last("rankme/projector", "pretrain")
    if record is not None:
        value, corrected = _value_and_corrected(record)
        rank = value if corrected is None else corrected
        text += (
            f". Its embeddings fill about {format_number(rank)} dimensions "
            "(RankMe, projector output)"
        )
    accuracy = run.number(report.accuracy, "test") if report.accuracy else None
    if accuracy is not None:
        text += f"; a probe reads the class with {format_percent(accuracy)} accuracy"
    return text + "."


def _about_study(report: ReportData) -> str:
    runs = list(report.runs())
    if not runs:
        return "This study holds no runs yet."
    settings = sum(len(group.configs) for group in report.groups)
    methods = ", ".join(group.method for group in report.groups)
    return f"Runs: {len(runs)}. Settings: {settings}. Methods: {methods}."


def _data(report: ReportData) -> str:
    if report.study.data:
        return report.study.data
    run = report.pictured_run() or next(report.runs(), None)
    return str(run.config.get("data") or "") if run else ""


def _versions(report: ReportData) -> str:
    return "; ".join(
        dict.fromkeys(r.versions for run in report.runs() for r in run.records if r.versions)
    )


def _shape(report: ReportData) -> str:
    """Rows and dimensions behind the criterion; RankMe compares only where they agree."""
    shapes: dict[str, None] = {}
    for run in report.runs():
        record = run.last(report.criterion, "pretrain")
        extra = (record.extra or {}) if record else {}
        if extra.get("n") and extra.get("d"):
            shapes[f"{extra['n']} rows × {extra['d']} dimensions"] = None
    text = "; ".join(shapes)
    if len(shapes) > 1:
        text += ". They differ between runs. RankMe depends on them, so the runs compare badly."
    return text


def _chosen_by(report: ReportData) -> str:
    names = ", ".join(run.name for run in report.chosen_runs())
    if not names:
        return ""
    text = criterion_title(report.criterion)
    if len(report.groups) > 1:
        text += ", in each method by itself"
    return f"{text}: {names}"


def _numbers(report: ReportData) -> str:
    online = any(r.name == "accuracy/linear" for run in report.runs() for r in run.records)
    splits = report.training_splits()
    if not online or not splits:
        return _INTERVALS
    return f"{_INTERVALS} {where_measured('online accuracy', splits)}"


def _warnings(report: ReportData) -> list[str]:
    """One line for each kind of warning: what differs in a number or a layer is one."""
    runs = [run.name for run in report.runs()]
    pairs = []
    for text, names in report.warnings().items():
        _, _, rest = text.partition(": ")
        pairs += [("" if names == runs and len(runs) == 1 else name, rest) for name in names]
    lines = merge_warnings(pairs, "runs")
    if len(runs) == 1:
        return lines
    return [line.replace(f"({len(runs)} runs)", "(every run)") for line in lines]
