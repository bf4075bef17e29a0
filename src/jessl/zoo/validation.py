"""Whether design choices predict errors: of models similar to the known ones, and of others.

Random folds put models of one checkpoint, paper and year on both sides. The other splits keep
them together, which is what a choice among new methods needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jessl.zoo.controlled import checkpoints
from jessl.zoo.linear import CIRCUMSTANCES, LOGARITHMIC, conditions, filled
from jessl.zoo.ols import coded, is_numeric, ols, outcomes
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models
from jessl.zoo.trees import MIN_MODELS, choice_columns, fit_trees, predict_trees, sampled

FOLDS = 10
SPLITS = ("random", "checkpoint", "objective", "year")
MODELS = ("trees", "linear")


@dataclass(frozen=True)
class HeldOutErrors:
    """Errors of models and what was predicted without them, by folds.

    Attributes:
        rows: index [n] of the models in the table.
        y, predicted: float64 [n], points.
        fold: [n], in which each was left out.
    """

    rows: pd.Index
    y: NDArray[np.float64]
    predicted: NDArray[np.float64]
    fold: NDArray[np.int64]

    def r2(self, places: NDArray[np.int64] | None = None) -> float:
        """1 - sum of squared mistakes / sum of squares around the mean, of some models or all."""
        places = np.arange(len(self.y)) if places is None else places
        y, predicted = self.y[places], self.predicted[places]
        return float(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))


def folds(models: Models, split: str, seed: int) -> pd.Series | None:
    """Number of the fold of every model; None where the table cannot be split so.

    random: 10 folds. checkpoint: 10 folds of whole trainings. objective and year: each value is
    a fold, left out once.
    """
    frame = models.frame
    rng = np.random.default_rng(seed)
    if split in ("objective", "year"):
        if split not in frame.columns or frame[split].nunique() < 2:
            return None
        return pd.Series(pd.factorize(frame[split])[0], index=frame.index)
    if split == "random":
        groups = pd.Series(range(len(frame)), index=frame.index)
    else:
        groups = checkpoints(models)
    names = groups.unique()
    if len(names) < FOLDS:
        return None
    places = dict(zip(rng.permutation(names), np.arange(len(names)) % FOLDS, strict=True))
    return groups.map(places)


def predictions(
    models: Models, outcome: str, *, split: str, model: str, seed: int = 0
) -> HeldOutErrors | None:
    """Predict the errors of every fold from the other folds.

    Args:
        models: a table.
        outcome: a key of `outcomes(models)`.
        split: one of SPLITS; model: "trees" or "linear".
        seed: of the folds and of the trees.

    Returns:
        None where the table cannot be split so, fewer than 10 models have the outcome, or it is
        one number for all.

    Raises:
        ValueError: where xgboost is not installed.
    """
    table, frame = choice_columns(models), filled(models.frame)
    numbers = folds(models, split, seed)
    if numbers is None or table.empty:
        return None
    column = outcomes(models)[outcome]
    known = frame[column].notna() & (numbers >= 0)
    if int(known.sum()) < MIN_MODELS or numbers[known].nunique() < 2:
        return None
    y = frame.loc[known, column].to_numpy(np.float64)
    if not np.ptp(y):  # all errors are equal
        return None
    fold = numbers[known].to_numpy()
    predicted = np.empty(len(y))
    for one in np.unique(fold):
        out = fold == one
        if model == "trees":
            part = table[known]
            booster = fit_trees(part[~out], y[~out], seed)
            predicted[out] = predict_trees(booster, part[out])
        else:
            predicted[out] = _linear(frame[known], y, out)
    return HeldOutErrors(frame.index[known], y, predicted, fold)


def validation(models: Models, seed: int = 0) -> dict[str, object]:
    """R2 of predictions for models that were not fitted, pooled over the folds.

    R2 is 1 - sum of squared mistakes / sum of squares around the mean of all models: 0 is as good
    as that mean, and below 0 is worse.

    Args:
        models: a table; an outcome that fewer than 10 models have, or that is one number for
            all, is left out.
        seed: of the folds and of the trees.

    Returns:
        A section with table `r2`: a row an outcome, model (trees, linear) and split (random,
        checkpoint, objective, year) with r2, rmse (points), n and n_folds.

    Raises:
        ValueError: where xgboost is not installed.
    """
    models, notes = sampled(models, seed)
    rows: list[Row] = []
    for split in SPLITS:
        for outcome in outcomes(models):
            for name in MODELS:
                held_out = predictions(models, outcome, split=split, model=name, seed=seed)
                if held_out is None:
                    continue
                rows.append(
                    {
                        "outcome": outcome,
                        "model": name,
                        "split": split,
                        "r2": held_out.r2(),
                        "rmse": float(np.sqrt(np.mean((held_out.y - held_out.predicted) ** 2))),
                        "n": len(held_out.y),
                        "n_folds": len(np.unique(held_out.fold)),
                    }
                )
    return section(
        "How well do design choices predict the error of unseen models?",
        {"r2": ("pooled over the folds; 0 is as good as the mean of all models", rows)},
        [
            "random: 10 folds; checkpoint: 10 folds, all layers of a training in one; objective "
            "and year: each left out once.",
            "Trees and linear models have the same settings for every table.",
            *notes,
        ],
    )


def _linear(frame: pd.DataFrame, y: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Errors of the rows in `out` from the conditions of the global linear model, fitted on the
    others. An amount that is missing is the median of those fitted; a level that was not fitted
    counts as the reference."""
    design: dict[str, np.ndarray] = {"1": np.ones(len(frame))}
    for name in conditions(frame, ""):
        values = frame[name]
        if is_numeric(values):
            values = values.fillna(values[~out].median()).rename(name)
        elif name not in CIRCUMSTANCES:
            values = values.astype(str).where(values.notna(), "none").rename(name)
        if values[~out].nunique() > 1:
            design |= coded(values, log=name in LOGARITHMIC)
    fit = ols({c: x[~out] for c, x in design.items() if c == "1" or np.ptp(x[~out])}, y[~out])
    return fit.predict({c: x[out] for c, x in design.items()})
