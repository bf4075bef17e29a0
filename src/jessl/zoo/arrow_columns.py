"""Columns of a Parquet file as a CSV file would hold them: numbers, truth values and texts."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

_NESTED = (
    (dict, "dictionaries"),
    ((list, tuple, set, np.ndarray), "lists"),
    ((bytes, bytearray, memoryview), "bytes"),
)


def plain_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Convert columns whose cells are one value each, and name the others.

    Dates and times become ISO 8601 text, decimals float64, pandas' own number types and categories
    their plain values, with NaN or None where missing.

    Returns:
        The frame without columns of dictionaries, lists or bytes; and column -> its content for
        these columns.
    """
    kept: dict[str, pd.Series] = {}
    nested: dict[str, str] = {}
    for column in frame.columns:
        values = _plain(frame[column])
        if what := _nested(values):
            nested[str(column)] = what
        else:
            kept[str(column)] = values
    return pd.DataFrame(kept, index=frame.index), nested


def _plain(values: pd.Series) -> pd.Series:
    kind = pd.api.types
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _plain(values.astype(values.cat.categories.dtype))
    if kind.is_datetime64_any_dtype(values):
        midnight = bool((values.dropna() == values.dropna().dt.normalize()).all())
        texts = values.dt.strftime("%Y-%m-%d" if midnight else "%Y-%m-%dT%H:%M:%S")
        return texts.astype(object).where(values.notna(), None)
    if kind.is_timedelta64_dtype(values):
        return values.astype(str).astype(object).where(values.notna(), None)
    if kind.is_extension_array_dtype(values) and not kind.is_string_dtype(values):
        if kind.is_bool_dtype(values) or not kind.is_numeric_dtype(values):
            return values.astype(object).where(values.notna(), None)
        return pd.Series(values.to_numpy(np.float64, na_value=np.nan), index=values.index)
    return values.map(_one) if values.dtype == object else values


def _one(value: object) -> object:
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def _nested(values: pd.Series) -> str:
    """The content of cells that hold several values; empty where there are none."""
    if values.dtype != object:
        return ""
    types = {type(value) for value in values}
    return next((what for kinds, what in _NESTED if any(issubclass(t, kinds) for t in types)), "")
