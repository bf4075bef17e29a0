"""Global linear models: one regression over all models, a design choice against an error.

After the global linear analysis of Dubois, Hashimoto and Liang, "Evaluating Self-Supervised
Learning via Risk Decomposition" (ICML 2023): the error on a choice, given the choices and
circumstances that could lie behind both. The rows are taken for independent, though several can be
layers of one checkpoint: n_checkpoints, beside every n, is how many trainings there are.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from jessl.zoo.controlled import checkpoints, held
from jessl.zoo.ols import REFERENCES, coded, is_numeric, ols, outcomes
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models

# given besides the choice itself; of the first pair the second where the first is the choice
CONDITIONS = (
    *("pretraining_data", "ssl_mode", "epochs", "batch_size", "nviews", "n_augmentations"),
    *("projection2_arch", "n_parameters", "family", "z_dim", "patch_size"),
    *("year", "is_industry", "is_official"),
)
LOGARITHMIC = ("epochs", "batch_size", "nviews", "n_parameters", "z_dim")  # as conditions
CIRCUMSTANCES = ("year", "is_industry", "is_official")  # conditions that cannot be chosen
_MEASURED = "train_rank"  # no choice: the effective dimensionality of the representation
# not treatments: names of variants, and columns that follow from another column
_NO_TREATMENTS = ("version", "other", "finetuning_data", "z_layer", "architecture")
_REDUNDANT = ("projection1_arch", "projection_same", "pred_dim")
MIN_OF_A_LEVEL = 10  # models; a rarer level of the choice is left out with its models


def filled(frame: pd.DataFrame) -> pd.DataFrame:
    """Without a projection head of its own the student has the teacher's; no head is "none"."""
    if "projection2_arch" not in frame.columns:
        return frame
    heads = frame["projection2_arch"]
    if "projection1_arch" in frame.columns:
        heads = heads.fillna(frame["projection1_arch"])
    return frame.assign(projection2_arch=heads.fillna("none"))


def conditions(frame: pd.DataFrame, choice: str) -> tuple[str, ...]:
    """The conditions of a choice; the objective where its family is the choice or missing."""
    swap = choice == "objective" or "ssl_mode" not in frame.columns
    given = ("objective" if c == "ssl_mode" and swap else c for c in CONDITIONS)
    return tuple(c for c in given if c in frame.columns and c != choice)


def treatments(models: Models) -> tuple[str, ...]:
    """The choices whose effects are estimated: conditions that can be chosen, and other choices."""
    known = [c for c in CONDITIONS if c not in CIRCUMSTANCES]
    left = (*_NO_TREATMENTS, *_REDUNDANT, *CIRCUMSTANCES, *known)
    further = [c for c in held(models) if c not in left]
    candidates = [*known, *(c for c in further if not c.startswith("is_aug_")), "is_ema", _MEASURED]
    return tuple(c for c in candidates if c in models.frame and models.frame[c].nunique() > 1)


def design_of(frame: pd.DataFrame, given: tuple[str, ...]) -> dict[str, np.ndarray]:
    """A constant and the conditions, coded; no cell of them may be missing."""
    design: dict[str, np.ndarray] = {"1": np.ones(len(frame))}
    for one in given:
        design |= coded(frame[one], log=one in LOGARITHMIC)
    return design


def linear(models: Models, seed: int = 0) -> dict[str, object]:
    """The effect of every choice on every component and setting, given the conditions.

    Args:
        models: a table; every outcome uses the models that have it.
        seed: not used here; all sections have the same arguments.

    Returns:
        A section whose table `effects` has the rows of `linear_effects`.
    """
    given = ", ".join(c for c in CONDITIONS if c in models.frame.columns)
    return section(
        "Which design choices are associated with less error over all models, with the "
        "conditions fixed?",
        {
            "effects": (
                "coefficient of ordinary least squares, points of error, with its 95 % interval",
                linear_effects(models),
            )
        },
        [
            f"Conditions: {given}; epochs, batch size, views, parameters and dimensions as "
            "logarithms.",
            "Rows are treated as independent; n_checkpoints is the number of trainings they come "
            "from.",
            "Intervals are not corrected for multiple comparisons: of 20 effects that are zero, "
            "about 1 interval excludes 0.",
            f"A level of fewer than {MIN_OF_A_LEVEL} models is left out of its choice's effects.",
        ],
    )


def linear_effects(models: Models) -> list[Row]:
    """One row per choice (and level) and outcome.

    Returns:
        Rows of choice, level, reference, outcome, effect (points), low, high (95 %), p, unit,
        n_models, n_checkpoints, collinear (conditions dropped), missing (models left out: column
        -> how many), rare (levels left out), note (why there is no effect, else ""). A choice
        whose values are amounts above 0 enters as natural logarithm: "points per ln" is for a
        factor of e.
    """
    frame = filled(models.frame)
    trainings = checkpoints(models)
    rows: list[Row] = []
    for choice in treatments(models):
        for outcome, column in outcomes(models).items():
            rows += _effects(frame, trainings, choice, outcome, column)
    return rows


def _effects(
    frame: pd.DataFrame, trainings: pd.Series, choice: str, outcome: str, column: str
) -> list[Row]:
    given = tuple(c for c in conditions(frame, choice) if frame[c].nunique() > 1)
    frequent = list(frame[choice].dropna().astype(str).value_counts(sort=True).index)
    frame = frame[frame[column].notna()]
    missing = {c: int(k) for c, k in frame[[choice, *given]].isna().sum().items() if k}
    frame = frame.dropna(subset=[choice, *given])
    numeric, rare, reference = is_numeric(frame[choice]), [], ""
    if not numeric:
        counts = frame[choice].astype(str).value_counts()
        rare = sorted(counts.index[counts < MIN_OF_A_LEVEL])
        frame = frame[~frame[choice].astype(str).isin(rare)]
    if frame[choice].nunique() < 2:
        return []
    log = numeric and bool((frame[choice] > 0).all())
    if not numeric:
        levels = set(frame[choice].astype(str))
        wished = REFERENCES.get(choice, "")
        reference = wished if wished in levels else next(v for v in frequent if v in levels)
    terms = coded(frame[choice], log=log, reference=reference)
    fit = ols(design_of(frame, given) | terms, frame[column].to_numpy(np.float64))
    return [
        {
            "choice": choice,
            "level": "" if numeric else name.split("=", 1)[1],
            "reference": reference,
            "outcome": outcome,
            **(fit.of(name) or dict.fromkeys(("effect", "low", "high", "p"))),
            "unit": "points per ln" if log else "points per 1" if numeric else "points",
            "n_models": fit.n,
            "n_checkpoints": int(trainings[frame.index].nunique()),
            "collinear": [c for c in fit.dropped if c not in terms],
            "missing": missing,
            "rare": rare,
            "note": fit.why_not(name),
        }
        for name in terms
    ]
