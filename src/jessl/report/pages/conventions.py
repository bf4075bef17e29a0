"""How the numbers with labels were measured, in words, from the conventions in their records."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jessl.records import Record
from jessl.report.formatting import format_value
from jessl.report.model import ReportData

Convention = Mapping[str, object]
# how a part of the convention is written, and what it is read from
Part = tuple[str, Callable[[Convention], object]]


def probe_convention(report: ReportData) -> str:
    """How the accuracies were measured; empty where their records do not say."""
    records = [run.last(report.accuracy or "", "test") for run in report.runs()]
    parts = _agreed_parts(
        _conventions(records),
        ("{}", lambda c: c.get("kind")),
        ("on {} features", lambda c: c.get("layer")),
        ("C {}", lambda c: c.get("C")),
        ("tuned by {}", lambda c: c.get("tuned_on")),
        *_PREPARATION,
    )
    return f"Accuracy: {'; '.join(parts)}." if parts else ""


def risk_convention(report: ReportData) -> str:
    """Order, estimator, probe, its hyperparameter, rows and interval of the risk components."""
    records = [run.risk("total") or run.risk("usability") for run in report.runs()]
    conventions = _conventions(records)
    if not conventions:
        return ""
    parts = _agreed_parts(
        conventions,
        ("order {}", lambda c: c.get("order")),
        ("estimator {}", _estimator),
        ("probe {}", lambda c: c.get("probe")),
        ("C {}", lambda c: c.get("C")),
        ("regularisation {}", lambda c: c.get("regularisation")),
        *_PREPARATION,
    )
    text = "Components are signed, never clipped, and sum to the total."
    if parts:
        text += f" Convention: {'; '.join(parts)}."
    if any(c.get("merged") for _, c in conventions):
        text += " Approximation and usability are one number where no supervised twin was trained."
    return text


def _conventions(records: list[Record | None]) -> list[tuple[str, Convention]]:
    """Run -> how its record was measured, whether that stands in extra or in its params."""
    conventions: list[tuple[str, Convention]] = []
    for record in records:
        if record is not None:
            extra = record.extra or {}
            params = extra.get("params")
            merged = {**extra, **(params if isinstance(params, dict) else {})}
            conventions.append((record.run, merged))
    return conventions


def _estimator(convention: Convention) -> str | None:
    name = convention.get("estimator")
    if name and convention.get("folds"):
        return f"{name} with {convention['folds']} folds"
    if name and convention.get("n_sub"):
        return f"{name} with {convention['n_sub']} rows held out"
    return str(name) if name else None


def _rows(convention: Convention) -> str | None:
    train, test = convention.get("train_rows"), convention.get("test_rows")
    return f"{train} rows to train and {test} to test" if train and test else None


_PREPARATION: tuple[Part, ...] = (
    ("features standardised: {}", lambda c: c.get("standardised")),
    ("{}", _rows),
    ("intervals: {}", lambda c: c.get("interval")),
)


def _agreed_parts(conventions: list[tuple[str, Convention]], *parts: Part) -> list[str]:
    """Each part once where the runs agree, else each of its values with how many runs have it."""
    agreed = []
    for form, read in parts:
        runs: dict[str, list[str]] = {}
        for run, convention in conventions:
            if (value := read(convention)) not in (None, ""):
                runs.setdefault(format_value(value), []).append(run)
        if len(runs) == 1:
            agreed.append(form.format(next(iter(runs))))
        elif runs:
            values = (
                f"{value} ({names[0] if len(names) == 1 else f'{len(names)} runs'})"
                for value, names in runs.items()
            )
            agreed.append(form.format(", ".join(values)))
    return agreed
