"""The closing table of a run or a study: rows as plain values, and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from jessl.config import hyperparameters
from jessl.core.csv_files import write_csv
from jessl.core.files import atomic_write
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE
from jessl.report.formatting import (
    finite,
    format_duration,
    format_interval,
    format_number,
    format_percent,
    format_value,
)
from jessl.report.model import ReportData, RunData
from jessl.report.reading import read_report
from jessl.schema import (
    COLUMNS,
    MERGED_TITLE,
    VIEW_RETRIEVAL,
    Column,
    Unit,
    capitalized,
    component_column,
    is_share,
    record_column,
    score_title,
)

Row = dict[str, object]


_FINAL = "pretrain"
_BRIEF = ("rankme_projector", "rankme_backbone", "accuracy_logistic", "accuracy_knn", "risk_total")


def summary_rows(folder: str | Path) -> list[Row]:
    """One row a run, in the order of the study: its settings and every number measured on it.

    Keys: run, method, parameter, value, seed, chosen (bool: by the score, in its group), seconds,
    risk_merged (bool: no supervised twin was trained, so risk_usability is approximation and
    usability; None without a decomposition); and for every measured number (rankme_projector,
    rankme_backbone, accuracy_logistic, accuracy_knn, risk_total, risk_approximation,
    risk_usability, risk_probe_generalization, risk_encoder_generalization,
    online_accuracy_linear, online_accuracy_knn, loss, images_per_second; every other score that
    was taken at the end of a training, such as lidar_projector) the number itself and, where known,
    the same key with _sd, _low, _high, _debiased, _n, _d; then every hyperparameter under its name
    (lr, objective_options.cov), and data_fingerprint. Accuracies and risks are fractions; what is
    missing or not finite is None.

    Raises:
        ValueError: naming the folder when it is neither a run nor a study.
    """
    return rows_of(read_report(folder))


def rows_of(report: ReportData) -> list[Row]:
    """`summary_rows` of a report that was read already."""
    chosen = {run.name for run in report.chosen_runs()}
    rows: dict[str, Row] = {}
    for run in report.runs():
        if run.name not in rows:
            rows[run.name] = _row(report, run, run.name in chosen)
        elif rows[run.name]["parameter"] != run.parameter:
            # the centre of sweeps of one field at a time belongs to all of them
            rows[run.name] |= {"parameter": "", "value": None}
    return list(rows.values())


def columns_of(report: ReportData) -> list[Column]:
    """`schema.COLUMNS` with view retrieval and the study's criterion before them.

    Where no run has a supervised twin, approximation and usability are one column.
    """
    columns = list(COLUMNS)
    if report.risk_merged() == {True}:
        usability = component_column("usability")
        columns = [
            replace(column, title=capitalized(MERGED_TITLE)) if column.name == usability else column
            for column in columns
            if column.name != component_column("approximation")
        ]
    for name in dict.fromkeys((VIEW_RETRIEVAL, report.criterion)):
        if name not in {column.record for column in columns}:
            columns.insert(0, _score_column(name))
    return columns


def _score_column(record: str) -> Column:
    score, _, layer = record.partition("/")
    title = ", ".join([capitalized(score_title(score)), *([layer] if layer else [])])
    unit: Unit = "fraction" if is_share(record) else "number"
    return Column(record_column(record), record, _FINAL, title, "score", unit)


def as_markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of `summary_rows` as a Markdown table that is aligned for a terminal as well.

    It holds the main numbers with their 95 % intervals; columns without any number are left out.
    """
    if not rows:
        return "no runs\n"
    any_chosen = any(row["chosen"] for row in rows)
    used = [
        column
        for column in COLUMNS
        if column.name in _BRIEF and any(row.get(column.name) is not None for row in rows)
    ]
    heads = ["Run", *(["Chosen"] if any_chosen else []), "Method", "Setting", "Seed"]
    table = [[*heads, *(column.title for column in used), "Time"]]
    table += [_text_cells(row, used, any_chosen=any_chosen) for row in rows]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    left = heads.index("Seed")
    written = [
        " | ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in table
    ]
    rule = "|".join(
        "-" * (width + 1) + ("-" if i < left else ":") for i, width in enumerate(widths)
    )
    lines = [f"| {line} |" for line in written]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"


def _text_cells(
    row: Mapping[str, object], used: Sequence[Column], *, any_chosen: bool
) -> list[str]:
    setting = f"{row['parameter']} {format_value(row['value'])}" if row["parameter"] else "–"
    cells = [str(row["run"])]
    if any_chosen:
        cells.append("✓" if row["chosen"] else "")
    cells += [str(row["method"]), setting, format_value(row["seed"])]
    cells += [_with_interval(row, column) for column in used]
    return [_escaped(cell) for cell in [*cells, format_duration(finite(row["seconds"]))]]


def _row(report: ReportData, run: RunData, chosen: bool) -> Row:
    times = [s for s in (finite(r.seconds) for r in run.records) if s is not None]
    row: Row = {
        "run": run.name,
        "method": run.method,
        "parameter": run.parameter,
        "value": run.value,
        "seed": run.seed,
        "chosen": chosen,
        "seconds": max(times, default=None),
        "risk_merged": run.risk_is_merged if run.has_risk else None,
    }
    for key, name, split in _measured(report):
        record = run.last(name, split)
        if record is None and split == HELD_OUT:
            record = run.last(name, PRETRAIN_SAMPLE)
        row[key] = None if record is None else finite(record.value)
        if record is None:
            continue
        extra = record.extra or {}
        more = {"sd": record.sd, "low": record.low, "high": record.high}
        more |= {part: extra.get(part) for part in ("debiased", "n", "d")}
        for part, value in more.items():
            if finite(value) is not None:
                row[f"{key}_{part}"] = value
    return row | _hyperparameters(run)


def _measured(report: ReportData) -> list[tuple[str, str, str]]:
    """Key, name and split of everything that is a column of numbers."""
    columns = {c.name: (c.record, c.split) for c in (*columns_of(report), *COLUMNS)}
    for run in report.runs():
        for record in run.records:
            if record.split == _FINAL and "/" in record.name and finite(record.value) is not None:
                columns.setdefault(record_column(record.name), (record.name, _FINAL))
    return [(key, name, split) for key, (name, split) in columns.items()]


def _hyperparameters(run: RunData) -> Row:
    """The resolved hyperparameters of a run, where its folder holds them, as cells of a table."""
    chosen = run.config.get("chosen")
    resolved = chosen if isinstance(chosen, dict) else {}
    config = resolved.get("config")
    cells = hyperparameters(config if isinstance(config, dict) else {})
    cells.pop("objective", None)  # the column method
    return {**cells, "data_fingerprint": resolved.get("data_fingerprint")}


def write_table(folder: str | Path, path: str | Path) -> Path:
    """Write `summary_rows` as a .csv or .parquet file, which `jessl zoo` and `jessl select` read.

    Raises:
        ValueError: for another ending, and as `summary_rows`.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"table: expected a .csv or .parquet file, got {path}")
    from pandas import DataFrame

    rows = DataFrame(summary_rows(folder))
    if path.suffix == ".csv":
        write_csv(rows, path)
    else:
        with atomic_write(path) as part:
            rows.to_parquet(part, index=False)
    return path


def _with_interval(row: Mapping[str, object], column: Column) -> str:
    value, low, high = (finite(row.get(column.name + end)) for end in ("", "_low", "_high"))
    write = format_percent if column.unit == "fraction" else format_number
    interval = "" if value is None else format_interval(low, high, write).removesuffix(" %")
    return f"{write(value)} ({interval})" if interval else write(value)


def _escaped(cell: str) -> str:
    """A cell that neither ends its column nor opens an HTML element."""
    for sign in ("\\", "|", "<", "`"):
        cell = cell.replace(sign, "\\" + sign)
    return " ".join(cell.split())
