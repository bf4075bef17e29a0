"""Claims on the published table of 169 models, by jessl.zoo and intervals over objectives.

    python benchmarks/claims/zoo.py risk-few-shot-order --data DIR

The table is DIR/all_results.csv where it is there, else it is read from its address. Models of one
objective are near twins, so intervals draw whole objectives (28), where not said otherwise.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import stats
from script import Options, Outcome, main

from jessl.claims.decision import MORE, ClaimPart
from jessl.claims.intervals import over_groups
from jessl.zoo.analysis import analyse
from jessl.zoo.ols import outcomes
from jessl.zoo.table import Models, read_table
from jessl.zoo.validation import predictions

TABLE = "https://raw.githubusercontent.com/YannDubs/SSL-Risk-Decomposition/main/all_results.csv"
COMPONENTS = ["approx", "usability", "probe_gen", "enc_gen"]
RECENT, OLD = 2021, 2019
SPLIT_WORDS = {
    "random": "random folds",
    "objective": "each objective left out",
    "year": "each year left out",
}


@lru_cache
def models(options: Options) -> Models:
    """The published table."""
    file = None if options.data is None else options.data / "all_results.csv"
    return read_table(str(file) if file is not None and file.is_file() else TABLE)


def _decomposed(table: Models) -> pd.DataFrame:
    """Models with every component and the errors of all settings, percent."""
    frame = table.frame[[*COMPONENTS, "objective", "year"]].copy()
    for setting in table.settings:
        frame[setting] = table.error(setting)
    return frame.dropna()


def few_shot_order(options: Options) -> Outcome:
    """1 - tau between the order with all labels and that with 3 labels a class."""
    table = models(options)
    frame = table.frame[["objective"]].copy()
    for setting in table.settings:
        frame[setting] = table.error(setting)
    frame = frame.dropna()
    parts, notes = [], []
    full = frame["full"].to_numpy()
    for setting in [s for s in table.settings if s != "full"]:
        few = frame[setting].to_numpy()

        def disagreement(rows, few=few):
            return 1 - float(stats.kendalltau(full[rows], few[rows]).statistic)

        effect, low, high = over_groups(disagreement, frame["objective"].tolist())
        rule = MORE if setting == "3shot" else None
        parts.append(
            ClaimPart(
                f"1 minus Kendall's tau of the errors, full and {setting}",
                effect,
                low,
                high,
                0.1,
                rule,
                "tau",
                f"{len(frame)} models of {frame['objective'].nunique()} objectives",
            )
        )
        notes.append(f"tau full and {setting}: {1 - effect:.3f}")
    notes.append("the noise of drawing few labels lowers tau too; the table has one draw a model")
    return Outcome(parts, notes)


def largest_part(options: Options) -> Outcome:
    """Probe generalization minus usability, of recent and of old models."""
    frame = _decomposed(models(options))
    parts, notes = [], []
    for name, some, rule in (
        (f"models of {RECENT} and later", frame[frame["year"] >= RECENT], MORE),
        ("all models", frame, None),
        (f"models up to {OLD}", frame[frame["year"] <= OLD], None),
    ):
        gap = (some["probe_gen"] - some["usability"]).to_numpy()
        effect, low, high = over_groups(
            lambda rows, gap=gap: float(gap[rows].mean()), some["objective"].tolist()
        )
        n = f"{len(some)} models of {some['objective'].nunique()} objectives"
        parts.append(
            ClaimPart(
                f"probe generalization minus usability, {name}",
                effect,
                low,
                high,
                2.0,
                rule,
                "points",
                n,
            )
        )
        largest = some[COMPONENTS].idxmax(axis=1).value_counts(normalize=True)
        shares = ", ".join(f"{k} {100 * v:.0f} %" for k, v in largest.items())
        notes.append(f"largest component, {name}: {shares}")
    return Outcome(parts, notes)


def usability_improved(options: Options) -> Outcome:
    """The fall of usability from old to recent models, beside that of probe generalization."""
    frame = _decomposed(models(options))
    old = (frame["year"] <= OLD).to_numpy()
    recent = (frame["year"] >= RECENT).to_numpy()

    def fall(column):
        values = frame[column].to_numpy()

        def statistic(rows):
            before, after = values[rows][old[rows]], values[rows][recent[rows]]
            return float(before.mean() - after.mean()) if len(before) and len(after) else np.nan

        return statistic

    groups = frame["objective"].tolist()
    n = f"{old.sum()} and {recent.sum()} models of {frame['objective'].nunique()} objectives"
    parts = [
        ClaimPart(
            f"fall of {c}, up to {OLD} to {RECENT} and later",
            *over_groups(fall(c), groups),
            2.0,
            MORE if c == "usability" else None,
            "points",
            n,
        )
        for c in COMPONENTS
    ]
    both = over_groups(lambda r: fall("usability")(r) - fall("probe_gen")(r), groups)
    parts.append(
        ClaimPart(
            "fall of usability minus fall of probe generalization", *both, 2.0, MORE, "points", n
        )
    )
    return Outcome(parts)


@lru_cache
def _effects(options: Options) -> list[dict]:
    analysis = analyse(models(options), sections=["controlled"], seed=0)
    return analysis["sections"]["controlled"]["tables"]["effects"]["rows"]


def _controlled(options: Options, choice: str, outcome: str, level: str = "") -> dict:
    return next(
        r
        for r in _effects(options)
        if (r["choice"], r["outcome"], r["level"]) == (choice, outcome, level)
    )


def _controlled_part(
    row: dict, name: str, smallest: float, rule: str | None, sign: int
) -> ClaimPart:
    low, high = sorted((sign * row["low"], sign * row["high"]))
    n = f"{row['n_models']} models in {row['n_groups']} groups that differ in this only"
    return ClaimPart(name, sign * row["effect"], low, high, smallest, rule, row["unit"], n)


def dimension_trade(options: Options) -> Outcome:
    """Usability and probe generalization within groups that differ in the dimension."""
    rows = {c: _controlled(options, "z_dim", c) for c in ("usability", "probe_gen", "full")}
    return Outcome(
        [
            _controlled_part(
                rows["usability"], "fall of usability with the dimension", 1.0, MORE, -1
            ),
            _controlled_part(
                rows["probe_gen"], "rise of probe generalization with it", 1.0, MORE, 1
            ),
            _controlled_part(rows["full"], "rise of the whole error with it", 1.0, None, 1),
        ],
        [
            f"p {r['p']:.2g} by t, {r['p_permuted']:.2g} by permutation: {c}"
            for c, r in rows.items()
        ],
    )


def mlp_head(options: Options) -> Outcome:
    """Usability with an MLP projection head instead of none."""
    row = _controlled(options, "projection2_arch", "usability", "mlp")
    part = _controlled_part(row, "fall of usability with an MLP head", 2.0, MORE, -1)
    return Outcome([part], [f"p {row['p']:.2g} by t, {row['p_permuted']:.2g} by permutation"])


def batch_size(options: Options) -> Outcome:
    """The whole error within groups that differ in the batch only."""
    parts = [
        _controlled_part(
            _controlled(options, "batch_size", setting),
            f"fall of the {setting} error per ln of the batch",
            1.0,
            MORE if setting == "full" else None,
            -1,
        )
        for setting in ("full", "3shot")
    ]
    return Outcome(parts)


def vit_and_size(options: Options) -> Outcome:
    """ViTs against ResNets within an objective, and the number of parameters within groups."""
    table = models(options)
    frame = table.frame[["objective", "family", "probe_gen"]].copy()
    for setting in ("full", "3shot"):
        frame[setting] = table.error(setting)
    parts = []
    for outcome, rule in (("full", MORE), ("3shot", None), ("probe_gen", None)):
        some = frame.dropna(subset=[outcome])
        values = some[outcome].to_numpy()
        vit, resnet = ((some["family"] == f).to_numpy() for f in ("vit", "resnet"))
        objectives = some["objective"].to_numpy()

        def gain(rows, values=values, vit=vit, resnet=resnet, objectives=objectives):
            gains = []
            for name in np.unique(objectives[rows]):
                mine = rows[objectives[rows] == name]
                if vit[mine].any() and resnet[mine].any():
                    weight = sum(objectives[rows] == name) / sum(objectives == name)
                    gap = values[mine][resnet[mine]].mean() - values[mine][vit[mine]].mean()
                    gains += [gap] * round(weight)
            return float(np.mean(gains)) if gains else np.nan

        both = [
            o
            for o in np.unique(objectives)
            if (vit & (objectives == o)).any() and (resnet & (objectives == o)).any()
        ]
        parts.append(
            ClaimPart(
                f"error of ResNets minus that of ViTs of the same objective, {outcome}",
                *over_groups(gain, objectives.tolist()),
                2.0,
                rule,
                "points",
                f"{len(both)} objectives with both",
            )
        )
    size = _controlled(options, "n_parameters", "full")
    parts.append(
        _controlled_part(size, "fall of the full error per ln of the parameters", 1.0, MORE, -1)
    )
    return Outcome(parts, ["ViTs of an objective also differ in size and training"])


def few_shot_law(options: Options) -> Outcome:
    """R2 of the two-parameter law on the errors with few labels, each objective left out."""
    from jessl.zoo.law import fit, pairs_of

    table = models(options)
    pairs = pairs_of(table)
    objective = table.frame["objective"].reindex(pairs["model"]).to_numpy()
    predicted = np.full(len(pairs), np.nan)
    for name in np.unique(objective):
        inside = objective == name
        predicted[inside] = fit("two parameters", pairs[~inside]).predict(pairs[inside])
    few = (pairs["setting"] != "full").to_numpy()
    error = pairs["error"].to_numpy()

    def r2(rows):
        rows = rows[few[rows]]
        return 1 - np.mean((predicted[rows] - error[rows]) ** 2) / np.var(error[rows])

    n = f"{pairs['model'].nunique()} models of {len(np.unique(objective))} objectives"
    whole = fit("two parameters", pairs).parameters
    return Outcome(
        [
            ClaimPart(
                "R2 on the errors with few labels, each objective left out in turn",
                *over_groups(r2, objective.tolist()),
                0.5,
                MORE,
                "R2",
                n,
            )
        ],
        [f"alpha {whole['alpha']:.4f}, B {whole['B']:.4f} on all models"],
    )


def components_beat_full(options: Options) -> Outcome:
    """Regressions of the few-shot error on the components, and on the full-shot error alone."""
    frame = _decomposed(models(options))
    return compare_predictors(
        frame,
        ["approx", "usability", "probe_gen", "enc_gen"],
        ["full"],
        "objective",
        ["30shot", "1%", "5shot", "3shot"],
        primary="3shot",
    )


def compare_predictors(
    frame: pd.DataFrame,
    first: list[str],
    second: list[str],
    group: str,
    targets: list[str],
    *,
    primary: str,
    smallest: float = 0.5,
) -> Outcome:
    """The fall of the root mean squared error, each group left out in turn, by `first`."""
    parts, notes = [], []
    groups = frame[group].astype(str).to_numpy()
    for target in targets:
        squared = {}
        y = frame[target].to_numpy()
        for name, columns in (("first", first), ("second", second)):
            design = np.column_stack([np.ones(len(frame)), frame[columns].to_numpy()])
            predicted = np.full(len(frame), np.nan)
            for one in np.unique(groups):
                out = groups == one
                solution = np.linalg.lstsq(design[~out], y[~out], rcond=None)[0]
                predicted[out] = design[out] @ solution
            squared[name] = (y - predicted) ** 2

        def gain(rows, squared=squared):
            return float(
                np.sqrt(squared["second"][rows].mean()) - np.sqrt(squared["first"][rows].mean())
            )

        estimate = over_groups(gain, groups.tolist())
        rule = MORE if target == primary else None
        n = f"{len(frame)} encoders, {len(np.unique(groups))} groups left out in turn"
        parts.append(
            ClaimPart(
                f"error of predicting {target} from the full error minus that from the components",
                *estimate,
                smallest,
                rule,
                "points",
                n,
            )
        )
        rmse = {k: float(np.sqrt(v.mean())) for k, v in squared.items()}
        notes.append(
            f"{target}: root mean squared error {rmse['first']:.2f} points from the components, "
            f"{rmse['second']:.2f} from the full error"
        )
    return Outcome(parts, notes)


def hyperparameters(options: Options) -> Outcome:
    """R2 of boosted trees for models that they were not fitted on."""
    table = models(options)
    objectives = table.frame["objective"].astype(str)
    parts = []
    for outcome in outcomes(table):
        for split in ("random", "objective", "year"):
            found = predictions(table, outcome, split=split, model="trees")
            if found is None:
                continue
            groups = objectives[found.rows].tolist()
            decided = outcome == "full" and split in ("random", "objective")
            parts.append(
                ClaimPart(
                    f"R2, {outcome}, {SPLIT_WORDS[split]}",
                    *over_groups(found.r2, groups),
                    0.25,
                    MORE if decided else None,
                    "R2",
                    f"{len(found.y)} models of {len(set(groups))} objectives",
                )
            )
    return Outcome(parts)


TESTS = {
    "risk-hyperparameters": hyperparameters,
    "risk-few-shot-order": few_shot_order,
    "risk-largest-part": largest_part,
    "risk-usability-improved": usability_improved,
    "risk-dimension-trade": dimension_trade,
    "risk-mlp-head": mlp_head,
    "risk-batch-size": batch_size,
    "risk-vit-and-size": vit_and_size,
    "risk-few-shot-law": few_shot_law,
    "risk-components-few-shot": components_beat_full,
}

if __name__ == "__main__":
    main(TESTS, __doc__)
