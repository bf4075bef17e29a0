"""How well the few-shot laws predict errors of models of a kind that they were not fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from jessl.zoo.law import LAWS, fit, pairs_of, quality
from jessl.zoo.resample import MOST_ROWS, drawn, interval, sample
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models

KINDS = ("year", "ssl_mode", "family")
EACH_OUT = ("objective", "year", "ssl_mode", "family")
FEWEST = 8  # models that a law must have to be fitted on, and to be evaluated on
FOLDS = 10
DRAWS = 200


def fitted(models: Models, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Every law fitted on all models: its parameters with 95 % intervals, and its quality.

    Intervals are percentiles over 200 resamples of models. Quality is of the same models, overall
    and by setting.
    """
    pairs = pairs_of(models)
    parameters: list[Row] = []
    qualities: list[Row] = []
    for law in _possible(pairs):
        whole = fit(law, pairs)
        spread = _resampled(law, pairs, seed)
        count = pairs["model"].nunique()
        for name, value in whole.parameters.items():
            low, high = interval(spread[name])
            row = {"law": law, "parameter": name, "value": value, "low": low, "high": high}
            parameters.append({**row, "models": count, "pairs": len(pairs)})
        predicted = whole.predict(pairs)
        settings = pairs["setting"].to_numpy()
        parts = {"all": settings != "", "all but full": settings != "full"}
        parts |= {name: settings == name for name in pairs["setting"].unique()}
        for name, inside in parts.items():
            row = {"law": law, "setting": name, "models": pairs["model"][inside].nunique()}
            qualities.append(row | quality(pairs["error"].to_numpy()[inside], predicted[inside]))
    return parameters, qualities


def held_out(models: Models) -> list[Row]:
    """Every law fitted on all models but those of a kind and evaluated on these, for each kind."""
    pairs = pairs_of(models)
    rows: list[Row] = []
    laws = _possible(pairs)
    for kind in KINDS:
        if kind not in models.frame.columns:
            continue
        values = _values(models, kind, pairs)
        for value in sorted(set(values) - {""}):
            inside = values == value
            counts = [pairs["model"][side].nunique() for side in (~inside, inside)]
            if min(counts) < FEWEST:
                continue
            for law in laws:
                result = _quality(pairs[inside], fit(law, pairs[~inside]).predict(pairs[inside]))
                row = {"kind": kind, "held_out": value, "law": law}
                rows.append({**row, "fitted_on": counts[0], "models": counts[1], **result})
    return rows


def each_out(models: Models, seed: int = 0) -> list[Row]:
    """Every law, pooled over folds: each kind left out in turn, and random folds of models.

    Random folds flatter: a model has near twins (same objective, other epochs) on the other side.
    """
    pairs = pairs_of(models)
    rows: list[Row] = []
    folds = {
        f"each {kind}": _values(models, kind, pairs)
        for kind in EACH_OUT
        if kind in models.frame.columns
    }
    names = pairs["model"].unique()
    order = np.random.default_rng(seed).permutation(len(names))
    number = dict(zip(names, order % FOLDS, strict=True))
    folds["random folds of models (flattering)"] = pairs["model"].map(number).astype(str).to_numpy()
    for law in _possible(pairs):
        whole = _quality(pairs, fit(law, pairs).predict(pairs))
        count = len(names)
        same = "nothing: fitted on the same models (flattering)"
        rows.append({"left_out": same, "law": law, "folds": 0, "models": count, **whole})
        for what, values in folds.items():
            if (predicted := _pooled(law, pairs, values)) is None:
                continue
            row = {"left_out": what, "law": law, "folds": len(set(values)), "models": count}
            rows.append(row | _quality(pairs, predicted))
    return sorted(rows, key=lambda r: LAWS.index(r["law"]))


def predictions(models: Models) -> list[Row]:
    """The error of every model and setting beside the predictions of laws fitted on all models."""
    pairs = pairs_of(models)
    table = pairs[["model", "setting", "images", "error"]].astype({"images": int})
    for law in _possible(pairs):
        table[law] = fit(law, pairs).predict(pairs)
    return list(table.to_dict("records"))


def few_shot(models: Models, seed: int = 0) -> dict[str, object]:
    """The few-shot laws: fits, their quality on unseen kinds, and every prediction."""
    question = "Can the error with few labels be predicted from the components?"
    known = models.frame.dropna(subset=list(models.components))
    notes = []
    if len(known) > MOST_ROWS:
        notes = [f"a seeded sample of {MOST_ROWS} of {len(known)} models with every component"]
        models = replace(models, frame=known.iloc[sample(len(known), seed)])
    try:
        laws = _possible(pairs_of(models))
    except ValueError as error:
        return section(question, {}, [str(error)])
    if not laws:
        return section(question, {}, ["the laws need errors in two settings or more"])
    parameters, qualities = fitted(models, seed)
    return section(
        question,
        {
            "parameters": ("fitted on all models; 95 % intervals draw models again", parameters),
            "fit": ("on the models fitted on: rmse in percent", qualities),
            "held_out": (
                "fitted on all models but those of a kind, evaluated on these: rmse in percent; "
                "few: "
                "without the full-shot errors",
                held_out(models),
            ),
            "left_out": (
                "pooled over folds: rmse in percent; few: without the full-shot errors",
                each_out(models, seed),
            ),
            "predictions": ("errors and the prediction of each law, percent", predictions(models)),
        },
        [
            "the laws of the components use the full-shot error; columns 'few' leave it out",
            "images per setting are those of ImageNet-1k with 1000 classes",
            *notes,
        ],
    )


def _possible(pairs: pd.DataFrame) -> list[str]:
    """Laws that have enough settings and models."""
    settings = pairs["setting"].nunique()
    if settings < 2 or pairs["model"].nunique() < 3:
        return []
    return [law for law in LAWS if law != "standard" or settings > 2]


def _values(models: Models, kind: str, pairs: pd.DataFrame) -> np.ndarray:
    values = models.frame[kind]
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")  # 2022, not 2022.0
    words = values.astype(object).map(lambda v: "" if pd.isna(v) else str(v))
    return np.asarray(pairs["model"].map(words).to_numpy(), dtype=object)


def _quality(pairs: pd.DataFrame, predicted: np.ndarray) -> dict[str, float | int]:
    """`quality`, and again (_few) without the full setting, whose error the laws use."""
    error, few = pairs["error"].to_numpy(), (pairs["setting"] != "full").to_numpy()
    without = quality(error[few], predicted[few])
    return quality(error, predicted) | {
        "pairs_few": without["pairs"],
        "rmse_few": without["rmse"],
        "r2_few": without["r2"],
    }


def _pooled(law: str, pairs: pd.DataFrame, values: np.ndarray) -> np.ndarray | None:
    """Predictions for every pair from the others' fit; None where some fold cannot be left out."""
    predicted = np.empty(len(pairs))
    for value in set(values):
        inside = values == value
        rest = pairs[~inside]
        if rest["model"].nunique() < FEWEST or law not in _possible(rest):
            return None
        predicted[inside] = fit(law, rest).predict(pairs[inside])
    return predicted


def _resampled(law: str, pairs: pd.DataFrame, seed: int) -> dict[str, np.ndarray]:
    names = pairs["model"].unique()
    place = pairs["model"].map(dict(zip(names, range(len(names)), strict=True))).to_numpy()
    samples: list[dict[str, float]] = []
    for counts in drawn(len(names), seed, draws=DRAWS).astype(int):
        again = pairs.iloc[np.repeat(np.arange(len(pairs)), counts[place])]
        if law in _possible(again):
            samples.append(fit(law, again).parameters)
    return {name: np.array([f[name] for f in samples]) for name in fit(law, pairs).parameters}
