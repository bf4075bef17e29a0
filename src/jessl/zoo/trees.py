"""Gradient-boosted trees of every error on the design choices, explained by TreeSHAP.

After Dubois, Hashimoto and Liang, "Evaluating Self-Supervised Learning via Risk Decomposition"
(ICML 2023), whose trees are tuned by 50 trials on the folds they are evaluated on. These are not
tuned, except that the splitting of categories was chosen by folds of the published table. TreeSHAP
(Lundberg et al., "From local explanations to global understanding with explainable AI for trees",
2020) is xgboost's own. A SHAP value shows what a tree predicts from, not the effect of a choice:
correlated choices share their values.
"""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jessl.zoo.ols import is_numeric, outcomes
from jessl.zoo.resample import sample
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models

if TYPE_CHECKING:
    from xgboost import Booster


ROUNDS = 80
PARAMETERS = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "eta": 0.15,
    "max_depth": 4,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    # one level against the rest: sets of 28 objectives fit single papers (full-shot error of an
    # objective that was left out: R2 -.19 with sets, .69 without)
    "max_cat_to_onehot": 1000,
    "nthread": 1,  # a table is small, and one thread gives the same trees everywhere
}
MIN_MODELS = 10
MOST_MODELS = 5000  # of a table; a larger one is sampled
# texts that name a variant, or repeat in one cell what further columns hold
_NOT_USED = ("architecture_exact", "augmentations", "views", "other", "is_aug_anycolor")


def choice_columns(models: Models) -> pd.DataFrame:
    """The choices that vary, as xgboost takes them: amounts as float64 with NaN where missing,
    truth values and texts as categories (missing stays missing, xgboost sends it either way)."""
    names = [c for c in models.choices if c not in _NOT_USED and models.frame[c].nunique() > 1]
    columns = {}
    for name in names:
        values = models.frame[name]
        if is_numeric(values):
            columns[name] = values.astype(np.float64)
        else:
            texts = values.astype(str).where(values.notna(), None)
            columns[name] = pd.Series(pd.Categorical(texts), index=values.index)
    return pd.DataFrame(columns, index=models.frame.index)


def fit_trees(table: pd.DataFrame, errors: np.ndarray, seed: int) -> Booster:
    """xgboost's Booster of errors [n] on the columns of `choice_columns` [n rows].

    Raises:
        ValueError: where xgboost is not installed.
    """
    xgboost = _xgboost()
    data = xgboost.DMatrix(table, label=errors, enable_categorical=True)
    return xgboost.train({**PARAMETERS, "seed": seed}, data, num_boost_round=ROUNDS)


def predict_trees(booster: Booster, table: pd.DataFrame) -> np.ndarray:
    """Errors [n] that the trees predict from the same columns."""
    data = _xgboost().DMatrix(table, enable_categorical=True)
    return np.asarray(booster.predict(data), np.float64)


def contributions(booster: Booster, table: pd.DataFrame) -> np.ndarray:
    """SHAP values [n, columns + 1], points of error; the last is the mean that they start from,
    and a row sums to the prediction."""
    data = _xgboost().DMatrix(table, enable_categorical=True)
    return np.asarray(booster.predict(data, pred_contribs=True), np.float64)


def sampled(models: Models, seed: int) -> tuple[Models, list[str]]:
    """At most MOST_MODELS models, drawn once, in their order; and a note on it."""
    n = len(models.frame)
    if n <= MOST_MODELS:
        return models, []
    frame = models.frame.iloc[sample(n, seed, MOST_MODELS)]
    return replace(models, frame=frame), [f"A seeded sample of {MOST_MODELS} of {n} models."]


def trees(models: Models, seed: int = 0) -> dict[str, object]:
    """How much the trees of each component and setting use each choice.

    Args:
        models: a table; an outcome that fewer than 10 models have is left out.
        seed: of the subsamples of rows and columns.

    Returns:
        A section with tables `shap`: a row an outcome and choice with mean_abs_shap (points of
        error, over the n models fitted), share (of the outcome's sum) and missing (models without
        a value of the choice); and `choices`: which are amounts and which categories.

    Raises:
        ValueError: where xgboost is not installed.
    """
    models, notes = sampled(models, seed)
    table = choice_columns(models)
    rows: list[Row] = []
    for outcome, column in outcomes(models).items():
        known = models.frame[column].notna()
        n = int(known.sum())
        if n < MIN_MODELS or table.empty:
            continue
        part = table[known]
        booster = fit_trees(part, models.frame.loc[known, column].to_numpy(np.float64), seed)
        mean = np.abs(contributions(booster, part)[:, :-1]).mean(axis=0)
        whole = float(mean.sum())
        order = np.argsort(-mean, kind="stable")
        for i in order:
            name = part.columns[i]
            rows.append(
                {
                    "outcome": outcome,
                    "choice": name,
                    "mean_abs_shap": float(mean[i]),
                    "share": float(mean[i] / whole) if whole else 0.0,
                    "n": n,
                    "missing": int(part[name].isna().sum()),
                }
            )
    kinds = [
        {"choice": c, "kind": "category" if _is_category(table[c]) else "amount", "n": len(table)}
        for c in table.columns
    ]
    return section(
        "Which design choices do boosted trees use to predict each error?",
        {
            "shap": ("mean size of a choice's SHAP value, points of error", rows),
            "choices": ("inputs of the trees", kinds),
        },
        [
            f"{ROUNDS} trees, the same for every table; the validation section has their accuracy.",
            "Correlated choices share their SHAP values; these are not causal effects.",
            *notes,
        ],
    )


def _is_category(values: pd.Series) -> bool:
    return isinstance(values.dtype, pd.CategoricalDtype)


def _xgboost() -> ModuleType:
    try:
        import xgboost
    except ImportError:
        raise ValueError(
            "trees need the package xgboost, which is not installed: pip install 'jessl[zoo]'"
        ) from None
    return xgboost
