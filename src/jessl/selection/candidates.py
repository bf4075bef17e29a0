"""What competes in a selection: finished runs, and rows of a study's table, as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jessl.config import hyperparameters
from jessl.core.validation import unknown_name
from jessl.runs import Run, is_run
from jessl.schema import RUN_FACTS, SUFFIXES, parse_column, record_column
from jessl.scores import SCORES
from jessl.selection.criteria import LOSS, Criterion, CriterionValue, criterion_values, last, number

_TABLES = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run as it comes into a selection.

    Attributes:
        run, path, method: its name, folder (of a table: its name) and objective.
        seed: None where unknown.
        fields: every hyperparameter, "objective_options.cov" and the like spelt out.
        derived: those of them that nobody asked for: they follow from others, or are defaults.
        measured: criterion -> its value.
        data: checksum of the images, "" where unknown.
        diverged: why it can never be chosen; None for a sound run.
        oracle: the number with labels, None where it was not measured.
        age: a larger one was made later.
    """

    run: str
    path: str
    method: str
    seed: int | None
    fields: dict[str, Any]
    derived: frozenset[str] = frozenset()
    measured: dict[str, CriterionValue]
    data: str = ""
    diverged: str | None = None
    oracle: float | None = None
    age: float = 0.0


@dataclass(frozen=True)
class RunSummaries:
    """All that compete, and the names of those that cannot yet."""

    found: list[RunSummary]
    left_out: list[str] = field(default_factory=list)


def run_summaries(
    runs_or_table: Iterable[Run | str | Path] | Run | str | Path,
    criteria: Sequence[Criterion],
    oracle: str,
) -> RunSummaries:
    """Read runs, or one table.

    Args:
        runs_or_table: run folders, folders that hold runs, Runs; or one .csv or .parquet file with
            a row a run: run, method, seed, columns of scores (rankme_projector, with _sd, _n and
            _d where known), of accuracies, and hyperparameters under their names.
        criteria: what is read of each; the first one every candidate must have.
        oracle: the record of the split "test" that tells what labels say.

    Raises:
        ValueError: for no run at all, a folder that holds none, a table beside runs, or one
            without a needed column.
    """
    given: list[Run | str | Path] = (
        [runs_or_table] if isinstance(runs_or_table, str | Path | Run) else list(runs_or_table)
    )
    tables = [g for g in given if isinstance(g, str | Path) and Path(g).suffix in _TABLES]
    if tables:
        if len(given) > 1:
            raise ValueError(f"one table or runs, not both: {tables[0]} came beside others")
        return _of_table(Path(tables[0]), criteria, oracle)
    found, left_out = [], []
    for run in opened(given):
        entry = _of_run(run, criteria, oracle)
        if entry is None:
            left_out.append(str(run.path))
        else:
            found.append(entry)
    return RunSummaries(found, left_out)


def opened(runs: Iterable[Run | str | Path]) -> list[Run]:
    """Runs, and those in folders of runs; each once.

    Raises:
        ValueError: for none at all, or a folder that neither is nor holds one.
    """
    found: list[Run] = []
    for run in runs:
        if isinstance(run, Run):
            found.append(run)
            continue
        path = Path(run)
        inside = sorted(p.parent for p in path.glob("**/config.json") if is_run(p.parent))
        if not is_run(path) and inside:
            found += [Run(p) for p in inside]
        else:
            found.append(Run.open(path))
    if not found:
        raise ValueError("select needs at least one run, got none")
    return list({run.path.resolve(): run for run in found}.values())


def _of_run(run: Run, criteria: Sequence[Criterion], oracle: str) -> RunSummary | None:
    """None where the training is not finished."""
    records = run.records()
    marked = last(records, "pretrain", "diverged")
    loss = last(records, "train", LOSS)
    diverged = None
    if marked is not None and marked.value:
        diverged = "its training was given up"
    elif loss is not None and not math.isfinite(number(loss)):
        diverged = "its last loss is not finite"
    values: dict[str, CriterionValue] = {}
    for criterion in criteria:
        value = CriterionValue(math.nan)
        if diverged is None:
            found = criterion_values(run, criterion, records)
            if found is None:
                return None
            value = found
        values[criterion.text] = value
    if diverged is None and not math.isfinite(values[criteria[0].text].value):
        diverged = f"its {criteria[0].text} is not finite"
    labelled = last(records, "test", oracle)
    asked, chosen = run.config(), run.resolved_config()
    fields, wanted = _spelt(chosen.as_json()), _spelt(asked.as_json())
    return RunSummary(
        run=run.name,
        path=str(run.path),
        method=asked.objective,
        seed=chosen.seed,
        fields=fields,
        derived=frozenset(name for name in fields if wanted.get(name) is None),
        measured=values,
        data=str(run.facts().get("data_fingerprint", "")),
        diverged=diverged,
        oracle=None if labelled is None else number(labelled),
        age=(run.path / "config.json").stat().st_mtime,
    )


def _spelt(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration's hyperparameters; the method has a place of its own."""
    return {name: v for name, v in hyperparameters(config).items() if name != "objective"}


def _of_table(path: Path, criteria: Sequence[Criterion], oracle: str) -> RunSummaries:
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
    found, left_out = [], []
    for number_, raw in enumerate(frame.to_dict("records")):
        row = {str(k): _plain(v) for k, v in raw.items()}
        entry = _of_row(row, number_, plain, criteria, record_column(oracle))
        if entry is None:
            left_out.append(_name(row, number_))
        else:
            found.append(entry)
    return RunSummaries(found, left_out)


def _of_row(
    row: dict[str, Any], place: int, plain: list[str], criteria: Sequence[Criterion], oracle: str
) -> RunSummary | None:
    """None where the first criterion is missing: a table tells no NaN from an empty cell."""
    values = {c.text: _measured(row, c) for c in criteria}
    diverged = None
    if row.get("diverged"):
        diverged = "the table marks it as diverged"
    elif isinstance(row.get("loss"), float) and not math.isfinite(row["loss"]):
        diverged = "its last loss is not finite"
    elif math.isinf(values[criteria[0].text].value):
        diverged = f"its {criteria[0].text} is not finite"
    elif math.isnan(values[criteria[0].text].value):
        return None
    fields = {name: row[name] for name in plain}
    swept = row.get("parameter")
    if swept and not any(swept in (name, name.rpartition(".")[2]) for name in plain):
        fields[str(row["parameter"])] = row.get("value")
    seed = row.get("seed")
    name = _name(row, place)
    return RunSummary(
        run=name,
        path=str(row.get("path") or name),
        method=str(row["method"]),
        seed=None if seed is None else int(seed),
        fields=fields,
        measured=values,
        data=str(row.get("data_fingerprint") or ""),
        diverged=diverged,
        oracle=_number(row.get(oracle)),
        age=float(place),
    )


def _measured(row: dict[str, Any], criterion: Criterion) -> CriterionValue:
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


def _name(row: dict[str, Any], place: int) -> str:
    return str(row.get("run") or f"row {place + 1}")


def _plain(value: Any) -> Any:
    """A cell as a plain value; an empty one as None."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
