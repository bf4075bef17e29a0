"""The candidates of a selection, read from run folders or from a table of runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from jessl.config import hyperparameters
from jessl.core.validation import unknown_name
from jessl.runs import Run, is_run
from jessl.schema import RUN_FACTS, SUFFIXES, parse_column, record_column
from jessl.scores import SCORES
from jessl.selection.criteria import (
    LOSS,
    Criterion,
    CriterionValue,
    criterion_value,
    latest_record,
    record_value,
)

_TABLES = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run as the input of a selection.

    Attributes:
        run, path, method: its name, folder (of a table: its name) and objective.
        seed: None where unknown.
        fields: every hyperparameter, options flattened: "objective_options.cov".
        derived: hyperparameters that the user did not set: defaults, or computed from others.
        measured: criterion -> its value.
        data: checksum of the images, "" where unknown.
        diverged: why it can never be chosen; None for a run that did not diverge.
        oracle: the number with labels, None where it was not measured.
        age: larger for newer runs.
    """

    run: str
    path: str
    method: str
    seed: int | None
    fields: dict[str, object]
    derived: frozenset[str] = frozenset()
    measured: dict[str, CriterionValue]
    data: str = ""
    diverged: str | None = None
    oracle: float | None = None
    age: float = 0.0


@dataclass(frozen=True)
class RunSummaries:
    """The runs to choose among, and the names of those that are not finished."""

    runs: list[RunSummary]
    unfinished: list[str] = field(default_factory=list)


def run_summaries(
    runs_or_table: Iterable[Run | str | Path] | Run | str | Path,
    criteria: Sequence[Criterion],
    oracle: str,
) -> RunSummaries:
    """Read runs, or one table.

    Args:
        runs_or_table: run folders, folders that hold runs, Runs; or one .csv or .parquet file with
            one row per run: run, method, seed, columns of scores (rankme_projector, with _sd, _n
            and _d where known), of accuracies, and hyperparameters under their names.
        criteria: the criteria to read; every candidate must have the first one.
        oracle: the record of the split "test" that holds the number with labels.

    Raises:
        ValueError: for no run at all, a folder that holds none, a table beside runs, or one
            without a needed column.
    """
    inputs: list[Run | str | Path] = (
        [runs_or_table] if isinstance(runs_or_table, str | Path | Run) else list(runs_or_table)
    )
    tables = [p for p in inputs if isinstance(p, str | Path) and Path(p).suffix in _TABLES]
    if tables:
        if len(inputs) > 1:
            raise ValueError(f"runs: expected one table or runs, got {tables[0]} and others")
        return _read_table(Path(tables[0]), criteria, oracle)
    summaries, unfinished = [], []
    for run in open_runs(inputs):
        summary = _read_run(run, criteria, oracle)
        if summary is None:
            unfinished.append(str(run.path))
        else:
            summaries.append(summary)
    return RunSummaries(summaries, unfinished)


def open_runs(runs: Iterable[Run | str | Path]) -> list[Run]:
    """Open runs and folders that hold runs; each run is listed once.

    Raises:
        ValueError: for no run at all, or a folder that neither is nor holds a run.
    """
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
    return list({run.path.resolve(): run for run in opened}.values())


def _read_run(run: Run, criteria: Sequence[Criterion], oracle: str) -> RunSummary | None:
    """None where the training is not finished."""
    records = run.records()
    marked = latest_record(records, "pretrain", "diverged")
    loss = latest_record(records, "train", LOSS)
    diverged = None
    if marked is not None and marked.value:
        diverged = "its training was given up"
    elif loss is not None and not math.isfinite(record_value(loss)):
        diverged = "its last loss is not finite"
    values: dict[str, CriterionValue] = {}
    for criterion in criteria:
        value = CriterionValue(math.nan)
        if diverged is None:
            measured = criterion_value(run, criterion, records)
            if measured is None:
                return None
            value = measured
        values[criterion.text] = value
    if diverged is None and not math.isfinite(values[criteria[0].text].value):
        diverged = f"its {criteria[0].text} is not finite"
    labelled = latest_record(records, "test", oracle)
    request, chosen = run.config(), run.resolved_config()
    fields, requested = _fields(chosen.as_json()), _fields(request.as_json())
    return RunSummary(
        run=run.name,
        path=str(run.path),
        method=request.objective,
        seed=chosen.seed,
        fields=fields,
        derived=frozenset(name for name in fields if requested.get(name) is None),
        measured=values,
        data=str(run.facts().get("data_fingerprint", "")),
        diverged=diverged,
        oracle=None if labelled is None else record_value(labelled),
        age=(run.path / "config.json").stat().st_mtime,
    )


def _fields(config: dict[str, object]) -> dict[str, object]:
    """The hyperparameters of a configuration without the method."""
    return {name: v for name, v in hyperparameters(config).items() if name != "objective"}


def _read_table(path: Path, criteria: Sequence[Criterion], oracle: str) -> RunSummaries:
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"there is no table {path}")
    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        reason = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(f"{path} cannot be read as a table: {reason}") from None
    columns = [str(c) for c in frame.columns]
    for wanted in ("method", *(record_column(c.text) for c in criteria)):
        if wanted not in columns:
            raise ValueError(f"{path}: {unknown_name('column', wanted, columns)}")
    if not len(frame):
        raise ValueError(f"{path} has no rows: select needs at least one run")
    here = {record_column(c.text) for c in criteria} | {record_column(oracle)}
    measured = {*here, *(f"{c}_{suffix}" for c in here for suffix in SUFFIXES)}
    plain = [
        c
        for c in columns
        if c not in RUN_FACTS and c not in measured and parse_column(c, SCORES) is None
    ]
    summaries, unfinished = [], []
    for place, raw in enumerate(frame.to_dict("records")):
        row = {str(k): _plain(v) for k, v in raw.items()}
        summary = _read_row(row, place, plain, criteria, record_column(oracle))
        if summary is None:
            unfinished.append(_name(row, place))
        else:
            summaries.append(summary)
    return RunSummaries(summaries, unfinished)


def _read_row(
    row: dict[str, object], place: int, plain: list[str], criteria: Sequence[Criterion], oracle: str
) -> RunSummary | None:
    """None where the first criterion is missing: in a table, NaN and an empty cell are the same."""
    values = {c.text: _measured(row, c) for c in criteria}
    loss = row.get("loss")
    diverged = None
    if row.get("diverged"):
        diverged = "the table marks it as diverged"
    elif isinstance(loss, float) and not math.isfinite(loss):
        diverged = "its last loss is not finite"
    elif math.isinf(values[criteria[0].text].value):
        diverged = f"its {criteria[0].text} is not finite"
    elif math.isnan(values[criteria[0].text].value):
        return None
    fields = {name: row[name] for name in plain}
    swept = row.get("parameter")
    if swept and not any(swept in (name, name.rpartition(".")[2]) for name in plain):
        fields[str(swept)] = row.get("value")
    seed = row.get("seed")
    name = _name(row, place)
    return RunSummary(
        run=name,
        path=str(row.get("path") or name),
        method=str(row["method"]),
        seed=None if seed is None else int(cast(float, seed)),
        fields=fields,
        measured=values,
        data=str(row.get("data_fingerprint") or ""),
        diverged=diverged,
        oracle=_number(row.get(oracle)),
        age=float(place),
    )


def _measured(row: dict[str, object], criterion: Criterion) -> CriterionValue:
    key = record_column(criterion.text)
    value = _number(row[key])
    n, d = (_number(row.get(f"{key}_{part}")) for part in ("n", "d"))
    return CriterionValue(
        value=math.nan if value is None else value,
        sd=_number(row.get(f"{key}_sd")),
        debiased=_number(row.get(f"{key}_debiased")),
        n=None if n is None else int(n),
        d=None if d is None else int(d),
    )


def _name(row: dict[str, object], place: int) -> str:
    return str(row.get("run") or f"row {place + 1}")


def _plain(value: object) -> object:
    """A cell as a plain value; an empty one as None."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
