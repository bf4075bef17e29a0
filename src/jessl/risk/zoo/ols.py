"""Ordinary least squares with what it takes to be believed: intervals, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from jessl.risk.zoo.table import Models

REFERENCES = {"projection2_arch": "identity"}  # else the level that most models have
_COLLINEAR = 1e-9  # of a column's length that earlier columns must leave of it
_ROUNDING = 1e-12  # of the values' length
_NOTHING = 1e-7  # a share of a kept column in a dropped one: both are of the size of 1


@dataclass(frozen=True)
class Fit:
    """Ordinary least squares of n values.

    Attributes:
        columns: those kept; coefficients and errors (their standard errors) in this order.
        dropped: columns that the columns before them determine.
        undetermined: kept columns whose coefficient would be another had another one been
            dropped: no number is told of them.
        freedom: n less the columns kept.
        exact: nothing is left over but rounding, so there is no spread to judge an effect by.
    """

    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    undetermined: tuple[str, ...]
    coefficients: np.ndarray
    errors: np.ndarray
    n: int
    freedom: int
    exact: bool

    def of(self, column: str) -> dict[str, float] | None:
        """Effect, its 95 % interval and two-sided p from t; None where nothing can be told:
        see `why_not`."""
        if self.why_not(column):
            return None
        i = self.columns.index(column)
        effect, error = float(self.coefficients[i]), float(self.errors[i])
        p = float(2 * stats.t.sf(abs(effect) / error, self.freedom))
        half = float(stats.t.ppf(0.975, self.freedom)) * error
        return {"effect": effect, "low": effect - half, "high": effect + half, "p": p}

    def why_not(self, column: str) -> str:
        """Why no effect of a column can be told; empty where it can."""
        if column in self.dropped or column in self.undetermined:
            return "cannot be told from the other columns"
        if self.freedom < 1:
            return f"{self.n} models for {len(self.columns)} coefficients"
        if self.exact:
            return "no spread: the columns tell the values exactly"
        return ""

    def predict(self, design: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values [n] for columns [n] of the same names."""
        columns = [np.asarray(design[c], np.float64) for c in self.columns]
        return np.column_stack(columns) @ self.coefficients


def ols(design: Mapping[str, np.ndarray], values: np.ndarray) -> Fit:
    """Least squares of values [n] on columns [n] by QR; no constant is added.

    A column that the columns before it determine is dropped, so what a design is asked about
    belongs at its end: conditions that repeat each other then do not touch it.

    Raises:
        ValueError: for no column, or values and columns that are not finite numbers.
    """
    if not design:
        raise ValueError("design must have at least one column, got none")
    y = np.asarray(values, np.float64)
    kept: list[str] = []
    dropped: list[str] = []
    basis = np.empty((len(y), 0))
    for name, column in design.items():
        x = np.asarray(column, np.float64)
        if x.shape != y.shape or not np.isfinite(x).all() or not np.isfinite(y).all():
            raise ValueError(f"column {name!r} and values must be finite numbers of one length")
        rest = x - basis @ (basis.T @ x)
        rest -= basis @ (basis.T @ rest)  # twice is enough for orthogonality in float64
        length = float(np.linalg.norm(rest))
        if length <= _COLLINEAR * float(np.linalg.norm(x)):
            dropped.append(name)
            continue
        kept.append(name)
        basis = np.column_stack([basis, rest / length])
    upper = basis.T @ _columns(design, kept, len(y))
    coefficients = np.linalg.solve(upper, basis.T @ y)
    residual = y - basis @ (basis.T @ y)
    freedom = len(y) - len(kept)
    variance = float(residual @ residual) / freedom if freedom > 0 else np.nan
    spread = np.sqrt(variance * (np.linalg.inv(upper) ** 2).sum(axis=1))
    # how the dropped ones are made of those kept
    recipe = np.linalg.solve(upper, basis.T @ _columns(design, dropped, len(y)))
    bound = [bool(np.any(np.abs(shares) > _NOTHING)) for shares in recipe]
    undetermined = tuple(c for c, one in zip(kept, bound, strict=True) if one)
    exact = float(np.linalg.norm(residual)) <= _ROUNDING * float(np.linalg.norm(y))
    return Fit(
        tuple(kept), tuple(dropped), undetermined, coefficients, spread, len(y), freedom, exact
    )


def _columns(design: Mapping[str, np.ndarray], names: list[str], n: int) -> np.ndarray:
    columns = [np.asarray(design[c], np.float64) for c in names]
    return np.column_stack(columns) if columns else np.empty((n, 0))


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
