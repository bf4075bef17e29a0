"""From a run folder or a study folder to the data of its report."""

from __future__ import annotations

from pathlib import Path

from jessl import records
from jessl.core.files import contained, is_contained_file, read_json
from jessl.records import Record
from jessl.report.formatting import (
    finite,
    format_value,
    mean,
    standard_deviation,
    value_order,
)
from jessl.report.json_values import Json, mapping, mappings, number, texts, word
from jessl.report.model import GroupData, ReportData, RunData, SettingData, StudyFacts


def read_report(folder: str | Path) -> ReportData:
    """Read a run folder (config.json) or a study folder (study.json).

    Raises:
        ValueError: naming the folder when it is neither, and a JSON file that holds no object.
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


def _json_object(path: Path) -> Json:
    content = read_json(path)
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise ValueError(f"{path}: expected a JSON object, got a {kind}")
    return content


def _single(folder: Path) -> ReportData:
    name = folder.resolve().name
    run = _run(name, folder, {}, "", "", records.read(folder))
    return ReportData(
        kind="run",
        name=name,
        folder=folder,
        groups=[GroupData(method=run.method, parameter="", runs=[run])],
        criterion="rankme/projector",
        accuracy=_accuracy_name([run]),
    )


def _study(folder: Path) -> ReportData:
    study = _json_object(contained(folder, "study.json"))
    criterion = str(study.get("criterion") or "rankme/projector")
    drafts = _drafts(folder, study)
    accuracy = _accuracy_name([run for _, runs in drafts for run in runs])
    return ReportData(
        kind="study",
        name=str(study.get("name") or folder.resolve().name),
        folder=folder,
        study=_facts(study),
        groups=[_group(entry, runs, criterion, accuracy) for entry, runs in drafts],
        criterion=criterion,
        accuracy=accuracy,
    )


def _drafts(folder: Path, study: Json) -> list[tuple[Json, list[RunData]]]:
    """The groups of study.json with their runs, and the runs that it does not list (yet)."""
    by_run: dict[str, list[Record]] = {}
    for record in records.read(folder):
        by_run.setdefault(record.run, []).append(record)
    drafts: list[tuple[Json, list[RunData]]] = []
    listed = set()
    for entry in mappings(study.get("groups")):
        method, parameter = str(entry.get("method") or "?"), str(entry.get("parameter") or "")
        runs = []
        for item in mappings(entry.get("runs")):
            name = str(item.get("name"))
            listed.add(name)
            place = _inside(folder, name)
            runs.append(_run(name, place, item, method, parameter, by_run.get(name, [])))
        drafts.append(({**entry, "method": method, "parameter": parameter}, runs))
    # runs that are not listed are shown by the method of their config
    for path in sorted((folder / "runs").glob("*/config.json")):
        name = path.parent.name
        if name in listed or _inside(folder, name) is None:
            continue
        run = _run(name, path.parent, {}, "", "", by_run.get(name, []))
        home = next((runs for entry, runs in drafts if entry["method"] == run.method), None)
        if home is None:
            drafts.append(({"method": run.method, "parameter": ""}, [run]))
        else:
            home.append(run)
    return drafts


def _facts(study: Json) -> StudyFacts:
    accuracies = mapping(study.get("baselines")).items()
    return StudyFacts(
        title=word(study, "title"),
        data=_data(study.get("data")),
        chosen_run=_text(study.get("chosen_run")),
        baselines={str(k): accuracy for k, v in accuracies if (accuracy := finite(v)) is not None},
        few_labels=_few_labels(study.get("few_labels")),
        findings=_findings(study),
        command=word(study, "command"),
        seconds=number(study, "seconds"),
        hardware=word(study, "hardware"),
        versions=word(study, "versions"),
        seeds=texts(study.get("seeds")),
    )


def _findings(study: Json) -> list[str]:
    """The findings, the choice in words first."""
    findings = texts(study.get("findings"))
    conclusion = word(study, "conclusion").removesuffix(".")
    if not conclusion or any(one.startswith(conclusion) for one in findings[:1]):
        return list(findings)
    return [f"{conclusion}.", *findings]


def _few_labels(content: object) -> dict[str, list[tuple[int, float, float, float]]]:
    """What few labels give, by the name of the features; parts that are no numbers are left out."""
    named = {}
    for name, rows in mapping(content).items():
        numbers = [
            tuple(number(row, key) for key in ("shots", "value", "low", "high"))
            for row in mappings(rows)
        ]
        known = [
            (int(shots), value, low, high)
            for shots, value, low, high in numbers
            if shots is not None and value is not None and low is not None and high is not None
        ]
        if known:
            named[str(name)] = known
    return named


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _data(value: object) -> str:
    """The data of a study in words."""
    if not isinstance(value, dict):
        return str(value or "")
    parts = [str(value["name"])] if value.get("name") else []
    for key, form in (
        ("n_train", "{} training images"),
        ("n_test", "{} test images"),
        ("image", "{}"),
        ("classes", "{} classes"),
    ):
        if value.get(key) is not None:
            parts.append(form.format(value[key]))
    return ", ".join(parts)


def _inside(folder: Path, name: str) -> Path | None:
    """The run's folder; None where the name is a path or a link leads out of the study."""
    if name in ("", ".", "..") or Path(name).name != name:
        return None
    try:
        path = contained(folder, "runs", name)
    except ValueError:
        return None
    return path if path.is_dir() else None


def _run(
    name: str,
    folder: Path | None,
    item: Json,
    method: str,
    parameter: str,
    more: list[Record],
) -> RunData:
    has_config = folder is not None and is_contained_file(folder, "config.json")
    config = _json_object(folder / "config.json") if folder is not None and has_config else {}
    own = records.read(folder) if folder is not None else []
    seed = item.get("seed", config.get("seed"))
    return RunData(
        name=name,
        method=method or str(config.get("objective") or "?"),
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


def _group(entry: Json, runs: list[RunData], criterion: str, accuracy: str | None) -> GroupData:
    chosen_run = _chosen_run(runs, entry, criterion)
    chosen = entry.get("chosen")
    if chosen is None and chosen_run is not None:
        chosen = chosen_run.value
    return GroupData(
        method=str(entry["method"]),
        parameter=str(entry["parameter"]),
        runs=runs,
        configs=_settings(runs, mappings(entry.get("configs")), criterion, accuracy),
        chosen=chosen,
        chosen_run=chosen_run,
        best=entry.get("best"),
        regret=number(entry, "regret"),
        random_regret=number(entry, "random_regret"),
        seed_sd=number(entry, "seed_sd"),
        conclusion=word(entry, "verdict"),
    )


def _settings(
    runs: list[RunData], listed: list[Json], criterion: str, accuracy: str | None
) -> list[SettingData]:
    """Settings as the study lists them; what it does not list comes from the runs."""
    values = [entry.get("value") for entry in listed]
    values += [run.value for run in runs if run.value not in values]
    unique = sorted({format_value(v): v for v in values}.values(), key=value_order)
    settings = []
    for value in unique:
        entry: Json = next((e for e in listed if e.get("value") == value), {})
        mine = [run for run in runs if run.value == value]
        ranks = [run.number(criterion, "pretrain") for run in mine]
        scores = [run.number(accuracy, "test") if accuracy else None for run in mine]
        settings.append(
            SettingData(
                value=value,
                rank=_first(entry.get("rankme"), mean(ranks)),
                rank_sd=_first(entry.get("rankme_sd"), standard_deviation(ranks)),
                accuracy=_first(entry.get("accuracy"), mean(scores)),
                accuracy_sd=_first(entry.get("accuracy_sd"), standard_deviation(scores)),
                runs=mine,
            )
        )
    return settings


def _chosen_run(runs: list[RunData], entry: Json, criterion: str) -> RunData | None:
    """The run that a group names as chosen; else the highest criterion at the chosen value."""
    named = next((run for run in runs if run.name == entry.get("chosen_run")), None)
    if named is not None or entry.get("chosen") is None:
        return named
    ranked = [
        (rank, run)
        for run in runs
        if run.value == entry["chosen"] and (rank := run.number(criterion, "pretrain")) is not None
    ]
    # of equal ones the first seed
    return max(ranked, key=lambda pair: (pair[0], -(pair[1].seed or 0)))[1] if ranked else None


def _first(listed: object, computed: float | None) -> float | None:
    number = finite(listed)
    return computed if number is None else number
