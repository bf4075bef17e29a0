"""How the components of the error vary between models, over the years, and with the errors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jessl.zoo.resample import MOST_ROWS, SAMPLED, correlated
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models


def spread(models: Models) -> list[Row]:
    """Mean, standard deviation (n - 1) and range of components and errors, percent.

    `sum` is the sum of the components; `all errors` are those of every setting of the models with
    every component known, one number a model and setting.
    """
    frame = models.frame
    parts = {c: frame[c] for c in models.components}
    if models.components:
        parts["sum"] = frame[list(models.components)].sum(axis=1, skipna=False)
    parts |= {name: frame[column] for name, column in models.settings.items()}
    if models.components and models.settings:
        errors = _explained(models)[list(models.settings.values())].to_numpy().ravel()
        parts["all errors"] = pd.Series(errors)
    rows = []
    for name, values in parts.items():
        known = values.dropna()
        rows.append(
            {
                "of": name,
                "n": len(known),
                "mean": known.mean(),
                "std": known.std(),
                "smallest": known.min(),
                "largest": known.max(),
            }
        )
    return rows


def correlations(models: Models, seed: int = 0) -> list[Row]:
    """Rank correlation of every component with every error, of models where both are known.

    Rows: component, with (a setting), and the result of `correlated`, with objectives as groups.
    """
    targets = {name: models.frame[column] for name, column in models.settings.items()}
    return _correlated(models, models.frame, targets, seed)


def added(models: Models, seed: int = 0) -> list[Row]:
    """Rank correlation of every component with what few labels add to the full-shot error.

    Of models with every component known, so that the components compare; rows as `correlations`.
    """
    if "full" not in models.settings:
        return []
    frame = _explained(models)
    full = frame[models.settings["full"]]
    targets = {
        f"{name} - full": frame[column] - full
        for name, column in models.settings.items()
        if name != "full"
    }
    return _correlated(models, frame, targets, seed)


def trends(models: Models) -> list[Row]:
    """Mean of every component and error by the year of the model, percent; n is of that mean."""
    if "year" not in models.frame.columns:
        return []
    years = pd.to_numeric(models.frame["year"], errors="coerce")
    rows = []
    for year in sorted(years.dropna().unique()):
        of_year = models.frame[years == year]
        row: Row = {"year": int(year), "models": len(of_year)}
        for name, column in {**{c: c for c in models.components}, **models.settings}.items():
            row[name] = of_year[column].mean()
            row[f"{name}_n"] = int(of_year[column].notna().sum())
        rows.append(row)
    return rows


def components(models: Models, seed: int = 0) -> dict[str, object]:
    """Spread, trends and correlations of the components."""
    question = "Which component makes the difference between models, and for which error?"
    if not models.components:
        return section(question, {}, ["the table has no component of the error"])
    notes = []
    if "objective" in models.frame.columns:
        notes = [
            "intervals draw models again; those by group draw whole objectives, as models of one "
            "objective are no separate evidence"
        ]
    if len(models.frame) > MOST_ROWS:
        notes.append(SAMPLED)
    return section(
        question,
        {
            "spread": ("mean, standard deviation and range, percent", spread(models)),
            "by_year": ("means of the models of a year, percent, each with its n", trends(models)),
            "correlations": (
                "rank correlation with errors, where both are known; 95 % intervals",
                correlations(models, seed),
            ),
            "added": (
                "rank correlation with what few labels add to the full-shot error, of models with "
                "every component known; 95 % intervals",
                added(models, seed),
            ),
        },
        notes,
    )


def _correlated(
    models: Models, frame: pd.DataFrame, targets: dict[str, pd.Series], seed: int
) -> list[Row]:
    groups = _objectives(frame)
    return [
        {"component": component, "with": name}
        | correlated(frame[component].to_numpy(), values.to_numpy(), seed, groups=groups)
        for name, values in targets.items()
        for component in models.components
    ]


def _explained(models: Models) -> pd.DataFrame:
    return models.frame.dropna(subset=list(models.components))


def _objectives(frame: pd.DataFrame) -> np.ndarray | None:
    if "objective" not in frame.columns:
        return None
    return np.asarray(frame["objective"].astype(object).fillna("unknown").astype(str).to_numpy())
