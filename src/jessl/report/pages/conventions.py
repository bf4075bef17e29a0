"""How the numbers with labels were measured, in words, as their records tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jessl.records import Record
from jessl.report.model import ReportData, shown


def probe_convention(report: ReportData) -> str | None:
    """How the accuracies were measured, as their records tell."""
    found = [run.last(report.accuracy or "", "test") for run in report.runs()]
    told = [(r.run, _conventions(r)) for r in found if r is not None]
    parts = _told_of(
        told,
        ("{}", lambda c: c.get("kind")),
        ("on {} features", lambda c: c.get("layer")),
        ("C {}", lambda c: c.get("C")),
        ("tuned by {}", lambda c: c.get("tuned_on")),
        ("features standardised: {}", lambda c: c.get("standardised")),
        ("{}", _rows_told),
        ("intervals: {}", lambda c: c.get("interval")),
    )
    return f"Accuracy: {'; '.join(parts)}." if parts else None


def risk_convention(report: ReportData) -> str | None:
    """Order, estimator, probe, its hyperparameter, rows and interval of the risk components."""
    found = [
        run.last("risk/total", "test") or run.last("risk/usability", "test")
        for run in report.runs()
    ]
    told = [(r.run, _conventions(r)) for r in found if r is not None]
    if not told:
        return None
    parts = _told_of(
        told,
        ("order {}", lambda c: c.get("order")),
        ("estimator {}", _estimator),
        ("probe {}", lambda c: c.get("probe")),
        ("C {}", lambda c: c.get("C")),
        ("regularisation {}", lambda c: c.get("regularisation")),
        ("features standardised: {}", lambda c: c.get("standardised")),
        ("{}", _rows_told),
        ("intervals: {}", lambda c: c.get("interval")),
    )
    said = "Components are signed, never clipped, and sum to the total."
    if parts:
        said += f" Convention: {'; '.join(parts)}."
    if any(c.get("merged") for _, c in told):
        said += " Approximation and usability are one number where no supervised twin was trained."
    return said


def _conventions(record: Record) -> dict[str, Any]:
    """What a record tells of how it was measured, whether in extra or in its params."""
    extra = record.extra or {}
    params = extra.get("params")
    return {**extra, **(params if isinstance(params, dict) else {})}


def _estimator(told: dict[str, Any]) -> str | None:
    name = told.get("estimator")
    if name and told.get("folds"):
        return f"{name} with {told['folds']} folds"
    if name and told.get("n_sub"):
        return f"{name} with {told['n_sub']} rows held out"
    return str(name) if name else None


def _rows_told(told: dict[str, Any]) -> str | None:
    train, test = told.get("train_rows"), told.get("test_rows")
    return f"{train} rows to train and {test} to test" if train and test else None


def _told_of(
    told: list[tuple[str, dict[str, Any]]],
    *parts: tuple[str, Callable[[dict[str, Any]], Any]],
) -> list[str]:
    """Each part once where the runs agree, else each of its values with how many runs have it."""
    found = []
    for form, read in parts:
        runs: dict[str, list[str]] = {}
        for run, conventions in told:
            if (value := read(conventions)) not in (None, ""):
                runs.setdefault(shown(value), []).append(run)
        if len(runs) == 1:
            said = next(iter(runs))
        else:
            said = ", ".join(
                f"{value} ({names[0] if len(names) == 1 else f'{len(names)} runs'})"
                for value, names in runs.items()
            )
        if said:
            found.append(form.format(said))
    return found
