"""The closing table of a run or a study: rows as plain values, and as Markdown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from jessl.config import hyperparameters
from jessl.core.files import atomic_write
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE
from jessl.report.charts.risk_bars import has_risk, is_merged, merged_flags
from jessl.report.formatting import duration, finite, percent, plain
from jessl.report.model import ReportData, RunData, read_report, shown
from jessl.schema import COLUMNS, MERGED_TITLE, Column, capitalized, component_column, record_column

_FINAL = "pretrain"
_BRIEF = ("rankme_projector", "rankme_backbone", "accuracy_logistic", "accuracy_knn", "risk_total")


def summary_rows(folder: str | Path) -> list[dict[str, Any]]:
    """One row a run, in the order of the study: what it was and every number measured on it.

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


def rows_of(report: ReportData) -> list[dict[str, Any]]:
    """`summary_rows` of what was gathered already."""
    chosen = {run.name for run in report.chosen_runs()}
    rows: dict[str, dict[str, Any]] = {}
    for run in report.runs():
        if run.name not in rows:
            rows[run.name] = _row(report, run, run.name in chosen)
        elif rows[run.name]["parameter"] != run.parameter:
            # the centre of sweeps of one field at a time belongs to all of them
            rows[run.name] |= {"parameter": "", "value": None}
    return list(rows.values())


def columns_of(report: ReportData) -> list[Column]:
    """`schema.COLUMNS` with the study's criterion before them where it is another.

    Where no run has a supervised twin, approximation and usability are one column.
    """
    columns = list(COLUMNS)
    if merged_flags(report) == {True}:
        usability = component_column("usability")
        columns = [
            replace(column, title=capitalized(MERGED_TITLE)) if column.name == usability else column
            for column in columns
            if column.name != component_column("approximation")
        ]
    name = report.criterion
    if name not in {column.record for column in COLUMNS}:
        columns.insert(0, Column(record_column(name), name, _FINAL, name, "score"))
    return columns


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """Rows of `summary_rows` as a Markdown table that is aligned for a terminal as well.

    It holds the main numbers with their 95 % intervals; columns without any number are left out.
    """
    if not rows:
        return "no runs\n"
    columns = {column.name: column for column in COLUMNS}
    any_chosen = any(row["chosen"] for row in rows)
    table: list[list[str]] = [["RunData", *(["Chosen"] if any_chosen else [])]]
    table[0] += ["Method", "Setting", "Seed"]
    used = [key for key in _BRIEF if any(row.get(key) is not None for row in rows)]
    table[0] += [columns[key].title for key in used] + ["Time"]
    for row in rows:
        setting = f"{row['parameter']} {shown(row['value'])}".strip() if row["parameter"] else "–"
        cells = [
            row["run"],
            *(["✓" if row["chosen"] else ""] if any_chosen else []),
            row["method"],
            setting,
            "–" if row["seed"] is None else str(row["seed"]),
        ]
        cells += [_with_interval(row, key, columns[key].unit == "fraction") for key in used]
        table.append([_escaped(cell) for cell in [*cells, duration(row["seconds"])]])
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    left = 4 if any_chosen else 3
    written = [
        "| "
        + " | ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in table
    ]
    rule = (
        "|"
        + "|".join(
            "-" * (width + 2) if i < left else "-" * (width + 1) + ":"
            for i, width in enumerate(widths)
        )
        + "|"
    )
    return "\n".join([written[0], rule, *written[1:]]) + "\n"


def _row(report: ReportData, run: RunData, chosen: bool) -> dict[str, Any]:
    times = [s for s in (finite(r.seconds) for r in run.records) if s is not None]
    row: dict[str, Any] = {
        "run": run.name,
        "method": run.method,
        "parameter": run.parameter,
        "value": run.value,
        "seed": run.seed,
        "chosen": chosen,
        "seconds": max(times, default=None),
        "risk_merged": is_merged(run) if has_risk(run) else None,
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
    found = {c.name: (c.record, c.split) for c in (*columns_of(report), *COLUMNS)}
    for run in report.runs():
        for record in run.records:
            if record.split == _FINAL and "/" in record.name and finite(record.value) is not None:
                found.setdefault(record_column(record.name), (record.name, _FINAL))
    return [(key, name, split) for key, (name, split) in found.items()]


def _hyperparameters(run: RunData) -> dict[str, Any]:
    """What was chosen for a run, where its folder tells, as cells of a table."""
    chosen = run.config.get("chosen") or {}
    told = hyperparameters(chosen.get("config") or {})
    told.pop("objective", None)  # the column method
    return {**told, "data_fingerprint": chosen.get("data_fingerprint")}


def write_table(folder: str | Path, path: str | Path) -> Path:
    """Write `summary_rows` as a .csv or .parquet file, which `jessl zoo` and `jessl select` read.

    Raises:
        ValueError: for another ending, and as `summary_rows`.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"table: a .csv or .parquet file wanted, got {path}")
    from pandas import DataFrame

    rows = DataFrame(summary_rows(folder))
    with atomic_write(path) as part:
        if path.suffix == ".csv":
            rows.to_csv(part, index=False)
        else:
            rows.to_parquet(part, index=False)
    return path


def _with_interval(row: dict[str, Any], key: str, is_fraction: bool) -> str:
    value, low, high = (finite(row.get(key + end)) for end in ("", "_low", "_high"))
    write = percent if is_fraction else plain
    if value is None or low is None or high is None:
        return write(value)
    span = f"{write(low)} to {write(high)}".replace(" %", "")
    return f"{write(value)} ({span})"


def _escaped(cell: str) -> str:
    """A cell that neither ends its column nor opens an HTML element."""
    for sign in ("\\", "|", "<", "`"):
        cell = cell.replace(sign, "\\" + sign)
    return " ".join(cell.split())
