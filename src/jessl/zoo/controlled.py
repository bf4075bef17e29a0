"""Controlled comparisons: models that differ in one design choice and in nothing else.

After the controlled analysis of Dubois, Hashimoto and Liang, "Evaluating Self-Supervised Learning
via Risk Decomposition" (ICML 2023). Every model counts once: the code of that paper repeats the
rows once per column that may vary, which shrinks its p-values (a projection head on usability:
9e-12 from 21 rows that are 9 models, .006 from the 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jessl.zoo.ols import REFERENCES, OlsFit, coded, is_numeric, ols, outcomes, within
from jessl.zoo.resample import MOST_ROWS, sample
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models

# Columns that follow from a choice, and from which: never held equal, never compared themselves.
FOLLOWS = {
    "ssl_mode": ("objective",),
    "is_stopgrad": ("objective",),
    "is_ema": ("objective",),
    "is_aug_invariant": ("objective",),
    "n_classes": ("objective",),
    "n_negatives": ("objective", "batch_size", "nviews"),
    "architecture_exact": ("architecture", "z_layer"),
    "family": ("architecture",),
    "n_parameters": ("architecture", "z_dim"),
    "pred_dim": ("objective", "projection2_arch"),
    "projection_hid_width": ("architecture", "projection2_arch"),
    "projection_hid_depth": ("architecture", "projection2_arch"),
    "projection_nparameters": ("architecture", "projection2_arch"),
    "projection_nparameters_hidden": ("architecture", "projection2_arch"),
    "views": ("nviews", "img_size"),
    "augmentations": ("n_augmentations",),  # a list in any order: its flags is_aug_* are held
}
# choices of circumstance: held equal where a table has them, though no hyperparameter
_HELD_BESIDES = ("year",)
_LABELS = ("version", "other", "is_aug_invariant")  # held equal, but no choice to compare
_DRAWS = 1999  # of the permutation test


@dataclass(frozen=True)
class DesignChoice:
    """A design choice: the columns that change with it, the one that measures it, its words."""

    name: str
    columns: tuple[str, ...]
    treatment: str


_TOGETHER = (
    DesignChoice("z_dim", ("z_dim", "z_layer"), "z_dim"),
    DesignChoice("z_dim at one layer", ("z_dim",), "z_dim"),
    DesignChoice("n_parameters", ("architecture",), "n_parameters"),
    DesignChoice(
        "projection2_arch",
        ("projection2_arch", "projection1_arch", "projection_same"),
        "projection2_arch",
    ),
)
_COVERED = {column for choice in _TOGETHER for column in choice.columns}


def held(models: Models) -> tuple[str, ...]:
    """Columns that must be equal in a group: all choices but those that follow from others."""
    own = [c for c in models.choices if c not in FOLLOWS]
    if "n_augmentations" not in own and "augmentations" in models.choices:
        own.append("augmentations")  # no other column holds them
    besides = [c for c in _HELD_BESIDES if c in models.frame.columns and c not in own]
    return tuple(own + besides)


def design_choices(models: Models) -> tuple[DesignChoice, ...]:
    """Every choice of a table that is compared: those of several columns, and each other one."""
    columns = held(models)
    has = set(models.frame.columns)
    flags = tuple(c for c in columns if c.startswith("is_aug_") and c != "is_aug_invariant")
    joint = [c for c in _TOGETHER if {c.treatment, c.columns[0]} <= has]
    joint = [
        DesignChoice(c.name, tuple(v for v in c.columns if v in has), c.treatment)
        for c in joint
        if c.name != "z_dim at one layer" or "z_layer" in has
    ]
    if "n_augmentations" in has:
        joint.append(
            DesignChoice("n_augmentations", ("n_augmentations", *flags), "n_augmentations")
        )
    covered = {*_COVERED, *_HELD_BESIDES, *_LABELS, "n_augmentations", *flags}
    return (*joint, *(DesignChoice(c, (c,), c) for c in columns if c not in covered))


def keys(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
    """One number per model, equal where all columns are equal; missing equals missing."""
    numbers = np.zeros(len(frame), np.int64)
    for column in columns:
        values = frame[column]
        if values.dtype == object:  # texts, numbers and truth values in one column
            values = values.map(repr, na_action="ignore")
        codes, different = pd.factorize(values)
        # numbered anew after every column, so that the product stays small
        numbers = pd.factorize(numbers * (len(different) + 1) + codes + 1)[0]
    return pd.Series(numbers, index=frame.index)


def checkpoints(models: Models) -> pd.Series:
    """One number per training: its models differ at most in the layers taken from the network.

    Models with equal choices except z_dim and z_layer (and an equal seed, where there is one) count
    as one training, so two trainings that the table does not distinguish count as one.
    """
    seed = ("seed",) if "seed" in models.frame.columns else ()
    taken = (*(c for c in held(models) if c not in ("z_dim", "z_layer")), *seed)
    if not taken:
        return pd.Series(range(len(models.frame)), index=models.frame.index)
    return keys(models.frame, taken)


def groups(models: Models, choice: DesignChoice) -> pd.Series:
    """Group number of every model that has a partner: equal in all but the choice's columns.

    A group holds at least two values of what measures the choice; models without that value
    are left out. Each model stands in at most one group, once. Where more than MOST_ROWS models
    have a partner, whole groups are drawn, with a seed, until they hold as many.
    """
    frame = models.frame[models.frame[choice.treatment].notna()]
    same = tuple(c for c in held(models) if c not in choice.columns)
    numbers = keys(frame, same)
    values = frame[choice.treatment].groupby(numbers).transform("nunique")
    numbers = numbers[values > 1]
    if len(numbers) <= MOST_ROWS:
        return numbers
    sizes = numbers.value_counts(sort=False)
    sizes = sizes.iloc[np.random.default_rng(0).permutation(len(sizes))]
    numbers = numbers[numbers.isin(sizes.index[: int((sizes.cumsum() < MOST_ROWS).sum()) + 1])]
    if len(numbers) <= 2 * MOST_ROWS:
        return numbers
    numbers = numbers.iloc[sample(len(numbers), 0)]  # of a single group with very many models
    values = frame.loc[numbers.index, choice.treatment].groupby(numbers).transform("nunique")
    return numbers[values > 1]


def controlled(models: Models, seed: int = 0) -> dict[str, object]:
    """Effects of every choice within groups of models that differ in nothing else.

    Args:
        models: a table.
        seed: of the permutations within groups.

    Returns:
        A section with tables `effects` (rows of `controlled_effects`), `groups` (choice, its
        columns, the models of a group) and `follows` (columns that are not held equal).
    """
    members: list[Row] = []
    for choice in design_choices(models):
        numbers = groups(models, choice)
        for _, one in numbers.groupby(numbers):
            names = sorted(map(str, one.index))
            group = {"columns": list(choice.columns), "models": names, "n_models": len(names)}
            members.append({"choice": choice.name, **group})
    present = [c for c in FOLLOWS if c in models.frame.columns]
    held_too = ", ".join(held(models))
    return section(
        "What changes between models that differ in one design choice only?",
        {
            "effects": (
                "coefficient within groups (a constant a group), points of error, 95 % interval",
                controlled_effects(models, seed),
            ),
            "groups": ("models that differ in the columns of one choice only", members),
            "follows": (
                "columns that follow from choices, so that they are not held equal",
                [{"column": c, "from": list(FOLLOWS[c])} for c in present],
            ),
        },
        [
            f"Held equal, but for the choice itself (missing equals missing): {held_too}.",
            "Every model counts once. Components are fitted on models that have all of them.",
            "Intervals are not corrected for multiple comparisons: of 20 effects that are zero, "
            "about 1 interval excludes 0.",
            "p_permuted assumes no distribution; with few groups it cannot be small.",
            *_sampled(models),
        ],
    )


def _sampled(models: Models) -> list[str]:
    if len(models.frame) <= MOST_ROWS:
        return []
    return [f"For a choice with more than {MOST_ROWS} comparable models, groups are sampled."]


def controlled_effects(models: Models, seed: int = 0) -> list[Row]:
    """One row per choice (and level) and outcome, where any models can be compared.

    The error is fitted with a constant for each group (fixed effect) and the choice: the natural
    logarithm of an amount, or an indicator of a level. Components are fitted on models that have
    all of them, so that their effects add up; settings on every model that has the setting.

    Returns:
        Rows of choice, outcome, level, reference, effect (points), low, high (95 % from t), p,
        p_permuted (the share of 1999 orders of the errors within groups, and the real one, with
        an effect as large), unit, n_models, n_groups, note (why there is no effect, else "").
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for choice in design_choices(models):
        numbers = groups(models, choice)
        for outcome, column in outcomes(models).items():
            rows += _effects(models, choice, numbers, outcome, column, rng)
    return rows


def _effects(
    models: Models,
    choice: DesignChoice,
    numbers: pd.Series,
    outcome: str,
    column: str,
    rng: np.random.Generator,
) -> list[Row]:
    frame = models.frame.loc[numbers.index]
    needed = list(models.components) if column in models.components else [column]
    frame = frame[frame[needed].notna().all(axis=1)]
    labels = numbers[frame.index]
    values = frame[choice.treatment]
    kept = values.groupby(labels).transform("nunique") > 1  # partners can lack the outcome
    frame, labels, values = frame[kept], labels[kept], values[kept]
    rows: list[Row] = []
    for part in _linked(values, labels):
        rows += _fitted(choice, frame.loc[part, column], values[part], labels[part], rng)
    return [{"choice": choice.name, "outcome": outcome, **row} for row in rows]


def _linked(values: pd.Series, labels: pd.Series) -> list[pd.Index]:
    """Models in parts that share no group and no level: levels compare within a part only.
    Amounts are one part."""
    if is_numeric(values):
        return [values.index] if len(values) else []
    if values.empty:
        return []
    groups, levels = pd.factorize(labels, sort=True)[0], pd.factorize(values.astype(str))[0]
    first = groups.max() + 1  # levels are numbered after the groups
    count = first + levels.max() + 1
    met = coo_array((np.ones(len(groups)), (groups, first + levels)), shape=(count, count))
    part = connected_components(met, directed=False)[1][groups]
    last = pd.Series(groups).groupby(part).max().sort_values()
    return [values.index[part == one] for one in last.index]


def _fitted(
    choice: DesignChoice,
    errors: pd.Series,
    values: pd.Series,
    labels: pd.Series,
    rng: np.random.Generator,
) -> list[Row]:
    numeric, reference = is_numeric(values), ""
    log = numeric and bool((values > 0).all())
    terms = coded(values, log=log, reference=REFERENCES.get(choice.treatment))
    if not numeric:
        levels = set(values.astype(str))
        reference = (levels - {name.split("=", 1)[1] for name in terms}).pop()
    y, members = errors.to_numpy(np.float64), labels.to_numpy()
    fit = ols(terms, y, members)
    permuted = _permuted(fit, terms, members, _shuffled(y, members, rng))
    rows = []
    for name in terms:
        effect = fit.of(name)
        rows.append(
            {
                "level": "" if numeric else name.split("=", 1)[1],
                "reference": reference,
                **(effect or dict.fromkeys(("effect", "low", "high", "p"))),
                "p_permuted": permuted[name] if effect else None,
                "unit": "points per ln" if log else "points per 1" if numeric else "points",
                "n_models": fit.n,
                "n_groups": fit.absorbed,
                "note": fit.why_not(name),
            }
        )
    return rows


def _shuffled(y: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n, draws]: values in other orders, each within its group."""
    out = np.empty((len(y), _DRAWS))
    for g in np.unique(labels):
        places = np.flatnonzero(labels == g)
        orders = rng.permuted(np.tile(places, (_DRAWS, 1)), axis=1)
        out[places] = y[orders].T
    return out


def _permuted(
    fit: OlsFit, terms: dict[str, np.ndarray], labels: np.ndarray, shuffled: np.ndarray
) -> dict[str, float]:
    """p of every column kept: the share of orders with an effect as large."""
    if not fit.columns:
        return {}
    x = np.column_stack([within(terms[c], labels) for c in fit.columns])
    effects = np.abs(np.linalg.pinv(x) @ shuffled)
    as_large = effects >= np.abs(fit.coefficients)[:, None] * (1 - 1e-9)
    p = (1 + as_large.sum(axis=1)) / (1 + _DRAWS)
    return dict(zip(fit.columns, map(float, p), strict=True))
