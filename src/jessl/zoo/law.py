"""Errors with few labels, predicted from the components of the full-shot error.

After Dubois, Hashimoto and Liang, ICML 2023: only what a probe loses to finite data grows when the
labels get fewer. In percent, with n training images, N those of the full-shot decomposition and
train = max(0, full-shot error - probe_gen - enc_gen):

    two parameters   enc_gen + (1 - B) train + (B train + probe_gen) (N / n)^alpha
    one parameter    the same with B = 0
    standard         a + b / n^c, the same for every model

each clipped to 0..100. Fitted by least squares over every (model, setting) whose error is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize

from jessl.zoo.table import Models

LAWS = ("two parameters", "one parameter", "standard")
# of ImageNet-1k, 1000 classes; the decomposition held 50,000 images out
DECOMPOSED = 1_281_167 - 50_000
IMAGES = {"full": 1_281_167, "30shot": 30_000, "1%": 12_811, "5shot": 5_000, "3shot": 3_000}
HIGHEST_ALPHA = 0.5


@dataclass(frozen=True)
class LawFit:
    """A fitted law: its name and its parameters by name."""

    law: str
    parameters: dict[str, float]

    def predict(self, pairs: pd.DataFrame) -> np.ndarray:
        """Errors of rows of `pairs_of`, percent in 0..100: [rows]."""
        values = list(self.parameters.values())
        return np.clip(_FORMS[self.law](values, _columns(pairs)), 0, 100)


def pairs_of(models: Models) -> pd.DataFrame:
    """One row per (model, setting) whose error is known, of models with every component known.

    Columns: model, setting, images (n), error, train, probe_gen, enc_gen; percent.

    Raises:
        ValueError: without probe_gen, enc_gen, and either the full-shot error or the other parts.
    """
    missing = [c for c in ("probe_gen", "enc_gen") if c not in models.components]
    if missing or not ("full" in models.settings or "usability" in models.components):
        needed = ", ".join(missing) or "the full-shot error or usability"
        raise ValueError(f"the few-shot laws need {needed}, which the table does not have")
    known = models.frame.dropna(subset=list(models.components))
    train = models.agg_risk.loc[known.index] - known["probe_gen"] - known["enc_gen"]
    parts = []
    for setting, column in models.settings.items():
        part = pd.DataFrame({"model": known.index, "setting": setting})
        part["images"] = float(IMAGES[setting])
        part["error"] = known[column].to_numpy()
        part["train"] = train.clip(lower=0).to_numpy()
        part["probe_gen"] = known["probe_gen"].to_numpy()
        part["enc_gen"] = known["enc_gen"].to_numpy()
        parts.append(part)
    if not parts:
        raise ValueError("the few-shot laws need the test error in some setting")
    return pd.concat(parts, ignore_index=True).dropna(subset=["error", "train"])


def fit(law: str, pairs: pd.DataFrame) -> LawFit:
    """Fit a law by least squares; alpha in 0..0.5, B at least 0.

    Raises:
        ValueError: for an unknown law, and where there are fewer settings than parameters
            (two, or three for the standard law).
    """
    if law not in LAWS:
        raise ValueError(f"law: expected one of {', '.join(LAWS)}, got {law!r}")
    needed = 3 if law == "standard" else 2
    settings = pairs["setting"].nunique()
    if settings < needed:
        raise ValueError(
            f"the law '{law}' needs errors in {needed} settings or more, got {settings}"
        )
    if law == "standard":
        return LawFit(law, _standard(pairs))
    columns, error = _columns(pairs), pairs["error"].to_numpy()
    names = ("alpha", "B") if law == "two parameters" else ("alpha",)

    def residuals(values: np.ndarray) -> np.ndarray:
        return np.clip(_FORMS[law](list(values), columns), 0, 100) - error

    bounds = ([0.0] * len(names), [HIGHEST_ALPHA, np.inf][: len(names)])
    start = [0.2, 0.5][: len(names)]
    solution = optimize.least_squares(
        residuals, start, bounds=bounds, xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    return LawFit(law, dict(zip(names, map(float, solution.x), strict=True)))


def quality(error: np.ndarray, predicted: np.ndarray) -> dict[str, float | int]:
    """pairs (n), rmse (percent) and r2: 1 - mean squared residual / variance (over n) of errors."""
    if not len(error):
        return {"pairs": 0, "rmse": float("nan"), "r2": float("nan")}
    squared = float(np.mean((predicted - error) ** 2))
    variance = float(np.var(error))
    r2 = 1 - squared / variance if variance > 0 else float("nan")
    return {"pairs": len(error), "rmse": squared**0.5, "r2": r2}


def _standard(pairs: pd.DataFrame) -> dict[str, float]:
    """a, b, c of a + b / n^c: for a given c linear least squares, so c alone is searched."""
    # every model of a setting gets the same prediction, so only the settings' means matter
    groups = pairs.groupby("images")["error"].agg(["mean", "size"])
    images, mean = groups.index.to_numpy(), groups["mean"].to_numpy()
    weight = np.sqrt(groups["size"].to_numpy())
    middle = np.exp(np.log(images).mean())  # keeps the columns of like size

    def linear(c: float) -> tuple[float, np.ndarray]:
        design = np.stack([np.ones_like(images), (middle / images) ** c], axis=1)
        values, *_ = np.linalg.lstsq(design * weight[:, None], mean * weight, rcond=None)
        return float(np.sum((weight * (design @ values - mean)) ** 2)), values

    grid = np.geomspace(0.01, 4, 60)
    losses = [linear(c)[0] for c in grid]
    best = int(np.argmin(losses))
    ends = (grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)])
    c = float(optimize.minimize_scalar(lambda c: linear(c)[0], bounds=ends, method="bounded").x)
    a, b = linear(c)[1]
    return {"a": float(a), "b": float(b * middle**c), "c": c}


Columns = Mapping[str, np.ndarray]


def _columns(pairs: pd.DataFrame) -> Columns:
    names = ("images", "train", "probe_gen", "enc_gen")
    return {name: pairs[name].to_numpy(np.float64) for name in names}


def _components_law(values: list[float], of: Columns) -> np.ndarray:
    alpha, share = values[0], values[1] if len(values) > 1 else 0.0
    lost = share * of["train"] + of["probe_gen"]
    grown = lost * (DECOMPOSED / of["images"]) ** alpha
    return np.asarray(of["enc_gen"] + (1 - share) * of["train"] + grown)


def _standard_law(values: list[float], of: Columns) -> np.ndarray:
    a, b, c = values
    return np.asarray(a + b / of["images"] ** c)


_FORMS: dict[str, Callable[[list[float], Columns], np.ndarray]] = {
    "two parameters": _components_law,
    "one parameter": _components_law,
    "standard": _standard_law,
}
