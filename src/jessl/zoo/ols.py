"""Ordinary least squares with intervals, and with the columns that cannot be estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from jessl.zoo.table import Models

REFERENCES = {"projection2_arch": "identity"}  # else the level that most models have
_COLLINEAR = 1e-9  # of a column's length that earlier columns must leave of it
_ROUNDING = 1e-12  # of the values' length
_NOTHING = 1e-7  # a share of a kept column in a dropped one: both are of the size of 1


@dataclass(frozen=True)
class OlsFit:
    """Ordinary least squares of n values.

    Attributes:
        columns: those kept; coefficients and errors (their standard errors) in this order.
        dropped: columns that the columns before them determine.
        undetermined: kept columns whose coefficient would be another had another one been
            dropped: they have no estimate.
        freedom: n less the columns kept and the constants absorbed.
        absorbed: constants of groups that were taken off first; they count as coefficients.
        exact: nothing is left over but rounding, so there is no spread to judge an effect by.
    """

    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    undetermined: tuple[str, ...]
    coefficients: np.ndarray
    errors: np.ndarray
    n: int
    freedom: int
    absorbed: int
    exact: bool

    def of(self, column: str) -> dict[str, float] | None:
        """Effect, its 95 % interval and two-sided p from t; None where it cannot be estimated:
        see `why_not`."""
        if self.why_not(column):
            return None
        i = self.columns.index(column)
        effect, error = float(self.coefficients[i]), float(self.errors[i])
        p = float(2 * stats.t.sf(abs(effect) / error, self.freedom))
        half = float(stats.t.ppf(0.975, self.freedom)) * error
        return {"effect": effect, "low": effect - half, "high": effect + half, "p": p}

    def why_not(self, column: str) -> str:
        """Why the effect of a column cannot be estimated; empty where it can."""
        if column in self.dropped or column in self.undetermined:
            return "cannot be distinguished from the other columns"
        if self.freedom < 1:
            return f"{self.n} models for {len(self.columns) + self.absorbed} coefficients"
        if self.exact:
            return "no spread: the columns determine the values exactly"
        return ""

    def predict(self, design: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values [n] for columns [n] of the same names."""
        columns = [np.asarray(design[c], np.float64) for c in self.columns]
        return np.column_stack(columns) @ self.coefficients


def ols(
    design: Mapping[str, np.ndarray], values: np.ndarray, groups: np.ndarray | None = None
) -> OlsFit:
    """Least squares of values [n] on columns [n] by QR; no constant is added.

    A column that the columns before it determine is dropped, so the columns of interest
    belongs at its end: conditions that repeat each other then do not touch it.

    Args:
        design: columns [n] by name.
        values: float64 [n].
        groups: a label a row; a constant for each of them comes before every column, taken off as
            the mean of the group (Frisch, Waugh and Lovell), which gives the same coefficients.

    Raises:
        ValueError: for no column, or values and columns that are not finite numbers.
    """
    if not design:
        raise ValueError("design must have at least one column, got none")
    y = np.asarray(values, np.float64)
    if not np.isfinite(y).all():
        raise ValueError("values must be finite numbers")
    whole = float(np.linalg.norm(y))
    y, absorbed = within(y, groups), 0 if groups is None else len(np.unique(groups))
    kept: list[str] = []
    dropped: list[str] = []
    columns: dict[str, np.ndarray] = {}
    basis = np.empty((len(y), len(design)), order="F")
    for name, column in design.items():
        raw = np.asarray(column, np.float64)
        if raw.shape != y.shape or not np.isfinite(raw).all():
            raise ValueError(f"column {name!r} and values must be finite numbers of one length")
        x = columns[name] = within(raw, groups)
        before = basis[:, : len(kept)]
        rest = x - before @ (before.T @ x)
        rest -= before @ (before.T @ rest)  # twice is enough for orthogonality in float64
        length = float(np.linalg.norm(rest))
        if length <= _COLLINEAR * float(np.linalg.norm(raw)):
            dropped.append(name)
            continue
        basis[:, len(kept)] = rest / length
        kept.append(name)
    basis = basis[:, : len(kept)]
    upper = basis.T @ _columns(columns, kept, len(y))
    coefficients = np.linalg.solve(upper, basis.T @ y)
    residual = y - basis @ (basis.T @ y)
    freedom = len(y) - len(kept) - absorbed
    variance = float(residual @ residual) / freedom if freedom > 0 else np.nan
    spread = np.sqrt(variance * (np.linalg.inv(upper) ** 2).sum(axis=1))
    # how the dropped ones are made of those kept
    recipe = np.linalg.solve(upper, basis.T @ _columns(columns, dropped, len(y)))
    bound = [bool(np.any(np.abs(shares) > _NOTHING)) for shares in recipe]
    undetermined = tuple(c for c, one in zip(kept, bound, strict=True) if one)
    exact = float(np.linalg.norm(residual)) <= _ROUNDING * whole
    return OlsFit(
        columns=tuple(kept),
        dropped=tuple(dropped),
        undetermined=undetermined,
        coefficients=coefficients,
        errors=spread,
        n=len(y),
        freedom=freedom,
        absorbed=absorbed,
        exact=exact,
    )


def within(values: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Values [n] less the mean of their group; as they are without groups."""
    if groups is None:
        return values
    places = np.unique(groups, return_inverse=True)[1]
    return np.asarray(values - (np.bincount(places, values) / np.bincount(places))[places])


def _columns(columns: Mapping[str, np.ndarray], names: list[str], n: int) -> np.ndarray:
    return np.column_stack([columns[c] for c in names]) if names else np.empty((n, 0))


def outcomes(models: Models) -> dict[str, str]:
    """Every component and setting of a table -> its column."""
    return {**{c: c for c in models.components}, **models.settings}


def is_numeric(values: pd.Series) -> bool:
    """Numbers that mean amounts: no truth values, no texts."""
    kind = pd.api.types
    return bool(kind.is_numeric_dtype(values) and not kind.is_bool_dtype(values))


def coded(values: pd.Series, *, log: bool, reference: str | None = None) -> dict[str, np.ndarray]:
    """Columns of a design for one choice: its amount or logarithm, or 0 and 1 for each level but
    the reference (where it is not among them the most frequent, of several the first by name)."""
    name = str(values.name)
    if is_numeric(values):
        amount = values.to_numpy(np.float64)
        return {f"ln {name}" if log else name: np.log(amount) if log else amount}
    texts = values.astype(str)
    counts = texts.value_counts()
    levels = sorted(counts.index, key=lambda level: (-counts[level], level))
    base = reference if reference in levels else levels[0]
    return {f"{name}={v}": (texts == v).to_numpy(float) for v in sorted(levels) if v != base}
