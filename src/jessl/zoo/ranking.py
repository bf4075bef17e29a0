"""Which models are best in which setting, and how far few labels reorder them."""

from __future__ import annotations

from itertools import combinations

import pandas as pd
from scipy import stats

from jessl.zoo.section import Row, section
from jessl.zoo.table import Models


def places(models: Models) -> pd.DataFrame:
    """Place of every model in every setting, 1 the smallest error.

    Only models whose error is known in every setting, so that places of two settings compare; equal
    errors are placed in the order of the table. Columns are settings, values int.
    """
    errors = models.frame[list(models.settings.values())].dropna()
    errors.columns = list(models.settings)
    return errors.rank(method="first").astype(int)


def agreement(models: Models) -> list[Row]:
    """For every two settings: Kendall's tau of places and of errors, and the mean shift of place.

    tau and p are of places, as published; tau_b of errors, where equal errors are no order.
    """
    placed = places(models)
    rows = []
    for first, second in combinations(placed.columns, 2):
        if len(placed) < 3:
            continue
        tau = stats.kendalltau(placed[first], placed[second])
        errors = [models.error(s).loc[placed.index] for s in (first, second)]
        rows.append(
            {
                "first": first,
                "second": second,
                "models": len(placed),
                "tau": tau.statistic,
                "p": tau.pvalue,
                "tau_b": stats.kendalltau(*errors).statistic,
                "mean_shift": (placed[first] - placed[second]).abs().mean(),
                "largest_shift": (placed[first] - placed[second]).abs().max(),
            }
        )
    return rows


def shifts(models: Models, first: str, second: str) -> list[Row]:
    """Models by how many places they move from one setting to another; positive: upwards."""
    placed = places(models)
    frame = pd.DataFrame(
        {
            "model": placed.index,
            f"place_{first}": placed[first].to_numpy(),
            f"place_{second}": placed[second].to_numpy(),
            "shift": (placed[first] - placed[second]).to_numpy(),
        }
    )
    order = frame["shift"].abs().sort_values(ascending=False, kind="stable").index
    return list(frame.assign(models=len(frame)).loc[order].to_dict("records"))


def best(models: Models, top: int) -> list[Row]:
    """The `top` models of every setting, of all whose error is known in it."""
    rows = []
    for setting in models.settings:
        errors = models.error(setting).dropna().sort_values(kind="stable")
        rows += [
            {
                "setting": setting,
                "place": place,
                "model": name,
                "error": error,
                "models": len(errors),
            }
            for place, (name, error) in enumerate(errors.head(top).items(), 1)
        ]
    return rows


def best_explained(models: Models) -> list[Row]:
    """The best model of every setting among those with every component known, with components."""
    known = models.frame.dropna(subset=list(models.components))
    rows = []
    for setting, column in models.settings.items():
        errors = known[column].dropna()
        if len(errors):
            name = errors.idxmin()
            row = {"setting": setting, "model": name, "error": errors[name]}
            parts = {c: known.loc[name, c] for c in models.components}
            rows.append({**row, **parts, "models": len(errors)})
    return rows


def ranking(models: Models, seed: int = 0, *, top: int = 5) -> dict[str, object]:
    """Best models, places and their agreement between settings; `seed` is not used here."""
    if top < 1:
        raise ValueError(f"top: expected a whole number of at least 1, got {top}")
    question = "Which models are best, and does the order hold with few labels?"
    if not models.settings:
        return section(question, {}, ["the table has no test error of a probe"])
    lists = best(models, top)
    names = [{r["model"] for r in lists if r["setting"] == s} for s in models.settings]
    in_all = sorted(set.intersection(*names))
    placed = places(models)
    ordered = placed.sort_values(next(iter(models.settings)), kind="stable")
    columns: dict[str, object] = {"model": ordered.index}
    for setting in models.settings:
        columns[setting] = models.error(setting).loc[ordered.index].to_numpy()
        columns[f"{setting}_place"] = ordered[setting].to_numpy()
    rows: list[Row] = pd.DataFrame(columns).to_dict("records")
    few = list(models.settings)[-1]
    moved = shifts(models, "full", few) if "full" in models.settings and few != "full" else []
    counts = [
        {
            "top": top,
            "settings": len(models.settings),
            "models_in_every_list": len(in_all),
            "which": ", ".join(in_all) or None,
            "models": len(models.frame),
        }
    ]
    left = len(models.frame) - len(placed)
    return section(
        question,
        {
            "best": (f"the {top} smallest errors of each setting, percent", lists),
            "in_every_list": (f"models among the best {top} in all settings", counts),
            "best_explained": (
                "the smallest error of each setting among models with every component known, "
                "percent",
                best_explained(models) if models.components else [],
            ),
            "agreement": (
                "Kendall's tau of places between two settings, and of errors (tau b); mean and "
                "largest shift in places",
                agreement(models),
            ),
            "shifts": (
                "places gained (+) or lost (-) from all to the fewest labels; place 1 is the "
                "smallest error",
                moved,
            ),
            "places": (f"errors in percent, and their places among {len(placed)} models", rows),
        },
        [f"places leave out {left} models with an error missing in some setting"] if left else [],
    )
