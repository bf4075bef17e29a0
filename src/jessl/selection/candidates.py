"""The candidates of a selection, read from run folders or from a table of runs."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jessl.config import hyperparameters
from jessl.core.csv_files import check_columns, csv_frame, csv_rows, csv_text, read_regular_file
from jessl.core.validation import escape_control, unknown_name
from jessl.records import Record
from jessl.runs import Run, is_run
from jessl.schema import RUN_FACTS, SUFFIXES, VIEW_RETRIEVAL, parse_column, record_column
from jessl.scores.registry import EXTENSIONS
from jessl.selection.criteria import (
    LOSS,
    Criterion,
    CriterionValue,
    criterion_value,
    latest_record,
    record_value,
)

if TYPE_CHECKING:
    import pandas as pd

_TABLES = (".csv", ".parquet")
_TRUE = frozenset({"true", "yes", "1", "1.0"})
# standard deviations by which a trained encoder has to be above, or below, its start
_CLEAR_SDS = 2.0
_FALSE = frozenset({"false", "no", "0", "0.0", ""})


@dataclass(frozen=True)
class DistanceFromStart:
    """View retrieval of a run before and after training.

    Attributes:
        untrained: before the first step; trained: at the end; sd: of `trained`, over images.
    """

    untrained: float
    trained: float
    sd: float

    @property
    def hardly_trained(self) -> bool:
        """Whether the encoder is not clearly better at telling images apart than at its start."""
        return self.trained < self.untrained + _CLEAR_SDS * self.sd

    @property
    def clearly_worse(self) -> bool:
        """Whether the training has made the encoder worse at telling images apart."""
        return self.trained < self.untrained - _CLEAR_SDS * self.sd


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
        start: view retrieval before and after training, None where it was not recorded.
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
    start: DistanceFromStart | None = None
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
    tables = [p for p in inputs if not isinstance(p, Run) and is_table(p)]
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


def is_table(runs: Run | str | Path) -> bool:
    """Whether the candidates are the rows of a .csv or .parquet file."""
    return not isinstance(runs, Run) and Path(runs).suffix in _TABLES


def have_scores(
    runs_or_table: Sequence[Run | str | Path] | Run | str | Path, criteria: Sequence[Criterion]
) -> bool:
    """Whether all finished runs that did not diverge, or the table, have these scores.

    Raises:
        ValueError: for no run at all, or a table that cannot be read.
    """
    inputs = [runs_or_table] if isinstance(runs_or_table, str | Path | Run) else runs_or_table
    tables = [Path(p) for p in inputs if not isinstance(p, Run) and is_table(p)]
    if tables:
        columns = {str(c) for c in _read_frame(tables[0]).columns}
        return all(record_column(c.text) in columns for c in criteria)
    for run in open_runs(inputs):
        records = run.records()
        names = {r.name for r in records if r.split == "pretrain"}
        unfinished = "rankme/backbone" not in names
        if unfinished or _divergence(records) is not None:
            continue
        if not names >= {c.text for c in criteria}:
            return False
    return True


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
    diverged = _divergence(records)
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
        start=_distance_from_start(records),
        age=(run.path / "config.json").stat().st_mtime,
    )


def _divergence(records: Sequence[Record]) -> str | None:
    """Why a run can never be chosen, by its training alone; None for one that did not diverge."""
    marked = latest_record(records, "pretrain", "diverged")
    loss = latest_record(records, "train", LOSS)
    if marked is not None and marked.value:
        return "its training was given up"
    if loss is not None and not math.isfinite(record_value(loss)):
        return "its last loss is not finite"
    return None


def _distance_from_start(records: Sequence[Record]) -> DistanceFromStart | None:
    # of the training itself: a score under other views that came later has no start
    for final in reversed(records):
        untrained = final.extra.get("untrained")
        if (final.split, final.name) != ("pretrain", VIEW_RETRIEVAL) or final.sd is None:
            continue
        if isinstance(untrained, int | float):
            return DistanceFromStart(float(untrained), record_value(final), final.sd)
    return None


def _fields(config: dict[str, object]) -> dict[str, object]:
    """The hyperparameters of a configuration without the method."""
    return {name: v for name, v in hyperparameters(config).items() if name != "objective"}


def _read_frame(path: Path) -> pd.DataFrame:
    name = escape_control(str(path))
    content = read_regular_file(path, "a table of runs is a .csv or .parquet file")
    if path.suffix == ".csv":
        header, *rows = csv_rows(csv_text(content, name), name)
        return csv_frame([column.strip() for column in header], rows, name)
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except (ValueError, OSError) as error:  # pyarrow's errors are of these classes
        reason = " ".join(str(error).split()) or repr(error)
        raise ValueError(f"{name}: the Parquet file cannot be read: {reason}") from None
    check_columns([str(column) for column in frame.columns], name)
    return frame


def _read_table(path: Path, criteria: Sequence[Criterion], oracle: str) -> RunSummaries:
    frame = _read_frame(path)
    columns = [str(c) for c in frame.columns]
    for wanted in ("method", *(record_column(c.text) for c in criteria)):
        if wanted not in columns:
            raise ValueError(f"{path}: {unknown_name('column', wanted, columns)}")
    if not len(frame):
        raise ValueError(f"{path} has no rows: select needs at least one run")
    here = {record_column(c.text) for c in criteria} | {record_column(oracle)}
    measured = {*here, *(f"{c}_{suffix}" for c in here for suffix in SUFFIXES)}
    known = EXTENSIONS.names()
    plain = [
        c
        for c in columns
        if c not in RUN_FACTS and c not in measured and parse_column(c, known) is None
    ]
    summaries, unfinished = [], []
    for place, raw in enumerate(frame.to_dict("records")):
        row = {str(k): _plain(v) for k, v in raw.items()}
        cells = _Row(row, place, escape_control(str(path)))
        summary = _read_row(cells, plain, criteria, record_column(oracle))
        if summary is None:
            unfinished.append(cells.name)
        else:
            summaries.append(summary)
    return RunSummaries(summaries, unfinished)


@dataclass(frozen=True)
class _Row:
    """A row of a table; a cell of another kind than its column is named in the error."""

    cells: dict[str, object]
    place: int
    table: str

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.cells.get("run") or f"row {self.place + 1}")

    def number(self, column: str) -> float | None:
        """A number, also where other cells made the column text; None for an empty cell."""
        value = self.cells.get(column)
        if value is None or isinstance(value, bool):
            return None
        try:
            return float(value)  # type: ignore[arg-type]  # refused by the next line
        except OverflowError:  # a whole number beyond the range of floats
            return math.inf
        except (TypeError, ValueError):
            raise self._wrong(column, "a number", value) from None

    def whole(self, column: str) -> int | None:
        """A whole number; None for an empty cell."""
        value = self.number(column)
        if value is None:
            return None
        if not value.is_integer():
            raise self._wrong(column, "a whole number", self.cells[column])
        return int(value)

    def truth(self, column: str) -> bool:
        """True or false, in the ways that tables write them; an empty cell is false."""
        value = self.cells.get(column)
        words = str(value).strip().lower()
        if value is None or words in _FALSE:
            return False
        if words in _TRUE:
            return True
        raise self._wrong(column, "true or false", value)

    def _wrong(self, column: str, expected: str, value: object) -> ValueError:
        where = f"column {escape_control(column)}, run {escape_control(self.name)}"
        return ValueError(f"{self.table}: {where}: expected {expected}, got {value!r}")


def _read_row(
    row: _Row, plain: list[str], criteria: Sequence[Criterion], oracle: str
) -> RunSummary | None:
    """None where the first criterion is missing: in a table, NaN and an empty cell are the same."""
    cells = row.cells
    values = {c.text: _measured(row, c) for c in criteria}
    loss = row.number("loss")
    diverged = None
    if row.truth("diverged"):
        diverged = "the table marks it as diverged"
    elif loss is not None and not math.isfinite(loss):
        diverged = "its last loss is not finite"
    elif math.isinf(values[criteria[0].text].value):
        diverged = f"its {criteria[0].text} is not finite"
    elif math.isnan(values[criteria[0].text].value):
        return None
    fields = {name: cells[name] for name in plain}
    swept = cells.get("parameter")
    if swept and not any(swept in (name, name.rpartition(".")[2]) for name in plain):
        fields[str(swept)] = cells.get("value")
    return RunSummary(
        run=row.name,
        path=str(cells.get("path") or row.name),
        method=str(cells["method"]),
        seed=row.whole("seed"),
        fields=fields,
        measured=values,
        data=str(cells.get("data_fingerprint") or ""),
        diverged=diverged,
        oracle=row.number(oracle),
        age=float(row.place),
    )


def _measured(row: _Row, criterion: Criterion) -> CriterionValue:
    key = record_column(criterion.text)
    value = row.number(key)
    return CriterionValue(
        value=math.nan if value is None else value,
        sd=row.number(f"{key}_sd"),
        debiased=row.number(f"{key}_debiased"),
        n=row.whole(f"{key}_n"),
        d=row.whole(f"{key}_d"),
    )


def _plain(value: object) -> object:
    """A cell as a plain value; an empty one as None."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return None if type(value).__name__ in ("NAType", "NaTType") else value
