"""Tables of models: what they were made of, their errors and the components of their errors.

The published table of 169 models (Dubois, Hashimoto and Liang, "Evaluating Self-Supervised Learning
via Risk Decomposition", ICML 2023) is read as it is, flat tables with the same column names too,
and the table that jessl makes of a study. Whatever came in, errors are in percent inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jessl import schema
from jessl.core.validation import escape_control
from jessl.schema import (
    ERROR_SETTINGS,
    PUBLISHED_COMPONENTS,
    RUN_FACTS,
    component_column,
    parse_column,
)
from jessl.zoo.reading import Content, read_content

COMPONENTS = PUBLISHED_COMPONENTS
SETTINGS = {setting.name: setting.published for setting in ERROR_SETTINGS}
HIGHEST = 100.0  # percent; components are signed
_ROUNDING = 1e-6

# columns of jessl's own table -> ours
_OWN = {
    **{component_column(component.name): component.published for component in schema.COMPONENTS},
    component_column("total"): SETTINGS["full"],
    "method": "objective",
}
# what was swept, for tables without a column a hyperparameter
_SWEPT = ("parameter", "value")

# names of the published table: the kind of a column where no header row gives it
_METADATA = (
    *("where", "notes", "month", "year", "license", "is_official", "is_industry", "is_our_extract"),
    *("n_pus", "pu_type", "time_hours", "date_published", "top1acc_in1k_official"),
    *("top1acc_in1k-1%_official", "top1acc_in1k-c5_official"),
)
_SAMPLES = ("train", "test", "trainaug", "testaug", "trainrealaug", "testrealaug")
_MEASURES = ("rank", "rank_Z", "nc1", "nc1norm", "intra_var", "inter_var", "vars")
_STATISTICS = {f"{s}_{m}" for s in _SAMPLES for m in (*_MEASURES, "uniformity", "alignment")}


@dataclass(frozen=True)
class Models:
    """A table of models; errors in percent, NaN where a value is not known.

    Attributes:
        frame: a row a model, indexed by its name (unique); flat columns. Components, errors and
            statistics are float64.
        components: which of approx, usability, probe_gen, enc_gen there are.
        settings: setting (full, 30shot, 1%, 5shot, 3shot) -> column of the probe's test error.
        choices: columns that describe how a model was made.
        statistics: columns of numbers measured on representations.
        metadata: every other column.
        source: name, sha256 of the bytes, rows, missing (column -> how many, for components and
            settings), notes (what was changed on the way in).
    """

    frame: pd.DataFrame
    components: tuple[str, ...]
    settings: dict[str, str]
    choices: tuple[str, ...]
    statistics: tuple[str, ...]
    metadata: tuple[str, ...]
    source: dict[str, Any]

    def error(self, setting: str) -> pd.Series:
        """Test error of the probe in a setting, percent.

        Raises:
            ValueError: where the table has no such setting.
        """
        if setting not in self.settings:
            known = ", ".join(self.settings) or "none"
            raise ValueError(f"setting {setting!r} is not in the table; it has {known}")
        return self.frame[self.settings[setting]]

    @property
    def agg_risk(self) -> pd.Series:
        """The risk that the components explain, percent: the full-shot error where the table has
        it, else their sum (NaN where a component is not known)."""
        if "full" in self.settings:
            return self.error("full")
        return self.frame[list(self.components)].sum(axis=1, skipna=False)


def read_table(path: str | Path) -> Models:
    """Read a table of models from a CSV or Parquet file, or from an http(s) address.

    Three forms are distinguished by their columns: the published table (two header rows: group and
    name), a flat table of the same column names with errors in percent, and the rows that
    `jessl.report` makes of a study (risk_* columns, fractions), which become percent.

    Raises:
        ValueError: for an empty file, a table without any component or error, two models of one
            name, a model without a name, text where a number belongs (naming the cell), errors
            outside 0..100 and components outside -100..100, and columns that are fractions though
            others, or all by their names, are in percent.
        OSError: for a file or address that cannot be read.
    """
    content = read_content(path)
    frame, groups, notes = content.frame, dict(content.groups), _left_out(content)
    own = any(column in _OWN and column.startswith("risk_") for column in frame.columns)
    if own:
        frame, groups = _from_own(content, notes)
    _check_names(frame, content.name)
    components = tuple(c for c in COMPONENTS if c in frame.columns)
    settings = {name: column for name, column in SETTINGS.items() if column in frame.columns}
    if not components and not settings:
        raise ValueError(
            f"{content.name}: no column is a component ({', '.join(COMPONENTS)}) or an error "
            f"({', '.join(SETTINGS.values())}); it has {_some(list(frame.columns))}"
        )
    errors = (*components, *settings.values())
    kinds = {c: groups.get(c) or _kind(c) for c in frame.columns if c not in errors}
    statistics = tuple(c for c, kind in kinds.items() if kind == "statistics")
    frame = frame.copy()
    for column in (*errors, *statistics):
        frame[column] = _numbers(frame[column], content.name)
    for column in errors:
        lowest = 0.0 if column in settings.values() else -HIGHEST
        _check_range(frame[column], lowest, HIGHEST, "in percent", content.name)
    if not own:
        _check_percent(frame, components, settings, content.name)
    missing = {c: int(n) for c, n in frame[list(errors)].isna().sum().items()}
    return Models(
        frame=frame,
        components=components,
        settings=settings,
        choices=tuple(c for c, kind in kinds.items() if kind == "hyperparameters"),
        statistics=statistics,
        metadata=tuple(c for c, kind in kinds.items() if kind == "metadata"),
        source={
            "name": content.name,
            "sha256": content.sha256,
            "rows": len(frame),
            "missing": missing,
            "notes": notes,
        },
    )


def _kind(column: str) -> str:
    if column in _STATISTICS:
        return "statistics"
    return "metadata" if column in _METADATA else "hyperparameters"


def _from_own(content: Content, notes: list[str]) -> tuple[pd.DataFrame, dict[str, str]]:
    """jessl's rows of a study: percent, our names; what was measured besides is no choice."""
    frame = content.frame.copy()
    probed = frame.get("accuracy_logistic")
    if (
        probed is not None
        and probed.notna().any()
        and frame.get("risk_total", probed[:0]).isna().all()
    ):
        frame["risk_total"] = 1 - _numbers(probed, content.name)
        notes.append("the error is that of the logistic probe: no risk was decomposed")
    risks = [c for c in frame.columns if c in _OWN and c.startswith("risk_")]
    for column in risks:
        values = _numbers(frame[column], content.name)
        lowest = 0.0 if column == "risk_total" else -1.0
        _check_range(values, lowest, 1.0, "fractions", content.name)
        frame[column] = 100 * values
    merged = frame.get("risk_merged")
    if merged is not None and merged.isin([True, "True", "true", 1]).any():
        # without a supervised twin approximation is zero by convention, not by measurement
        if {"risk_usability", "risk_approximation"} <= set(frame.columns):
            frame["risk_usability"] += frame["risk_approximation"]
        frame = frame.drop(columns="risk_approximation", errors="ignore")
        notes.append("usability holds approximation too: some runs have no supervised twin")
    clash = [old for old, new in _OWN.items() if old in frame.columns and new in frame.columns]
    if clash:
        raise ValueError(
            f"{content.name}: columns {clash[0]} and {_OWN[clash[0]]} mean the same; keep one"
        )
    frame = frame.rename(columns=_OWN).dropna(axis=1, how="all")
    groups = {}
    for column in frame.columns:
        measured = parse_column(column)
        is_choice = column in _SWEPT and "data_fingerprint" not in frame.columns
        if measured is not None:
            groups[column] = "statistics" if measured.suffix is None else "metadata"
        elif column in RUN_FACTS and not is_choice:
            groups[column] = "metadata"
    return frame, groups


def _numbers(values: pd.Series, name: str) -> pd.Series:
    """As float64; NaN where missing.

    Raises:
        ValueError: naming the first cell that is no number.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[numbers.isna() & values.notna()]
    if pd.api.types.is_bool_dtype(values):
        wrong = values
    if len(wrong):
        raise ValueError(
            f"{name}: {escape_control(str(values.name))} of model "
            f"{escape_control(str(wrong.index[0]))} must "
            f"be a number, got {wrong.iloc[0]!r}"
        )
    return numbers.astype(np.float64)


def _check_names(frame: pd.DataFrame, name: str) -> None:
    if frame.index.hasnans:
        place = int(np.flatnonzero(frame.index.isna())[0]) + 1
        raise ValueError(f"{name}: the model in row {place} of the table has no name")
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        places = [int(i) + 1 for i in np.flatnonzero(frame.index == twice[0])[:2]]
        raise ValueError(
            f"{name}: two models are called {twice[0]!r} "
            f"(rows {places[0]} and {places[1]} of the table); names must be unique"
        )


def _check_range(values: pd.Series, lowest: float, highest: float, what: str, name: str) -> None:
    outside = values[(values < lowest - _ROUNDING) | (values > highest + _ROUNDING)]
    if len(outside):
        raise ValueError(
            f"{name}: {values.name} of model {escape_control(str(outside.index[0]))} must be "
            f"{what}, "
            f"{lowest:g} to {highest:g}, got {outside.iloc[0]:g}"
        )


def _check_percent(
    frame: pd.DataFrame, components: tuple[str, ...], settings: dict[str, str], name: str
) -> None:
    """Refuse fractions: errors by their size, components by what they must sum to."""
    highest = {c: float(frame[c].abs().max()) for c in (*components, *settings.values())}
    small = [c for c, value in highest.items() if 0 < value <= 1]
    errors = [c for c in small if c in settings.values()]
    known = [c for c, value in highest.items() if np.isfinite(value) and value > 0]
    if small and small == known and (errors or "usability" in small):
        raise ValueError(
            f"{name}: the largest of all errors is {max(highest[c] for c in small):g}; errors must "
            "be in percent, these look like fractions"
        )
    parts = [c for c in small if c in components]
    if not errors and parts and {"usability", "probe_gen", "enc_gen"} <= set(components):
        whole, total = (
            frame.get(SETTINGS["full"]),
            frame[list(components)].sum(axis=1, skipna=False),
        )
        if whole is not None:
            off = (whole - total).abs().median()
            if (whole - total - 99 * frame[parts].sum(axis=1)).abs().median() < off:
                errors = parts
    if errors:
        raise ValueError(
            f"{name}: {errors[0]} is {highest[errors[0]]:g} at most, which looks like fractions "
            "beside columns in percent; every error must be in percent"
        )


def _left_out(content: Content) -> list[str]:
    """Notes on columns whose cells hold several values; an error must not be one of them."""
    wrong = [c for c in content.nested if c in (*COMPONENTS, *SETTINGS.values(), *_OWN)]
    if wrong:
        raise ValueError(
            f"{content.name}: column {wrong[0]} holds {content.nested[wrong[0]]}; its cells must "
            "be one value each"
        )
    return [
        f"column {escape_control(column)} is left out: its cells hold {what}"
        for column, what in content.nested.items()
    ]


def _some(names: list[str]) -> str:
    shown = ", ".join(escape_control(str(n)) for n in names[:6])
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "") if names else "none"
