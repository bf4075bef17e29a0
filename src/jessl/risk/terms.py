"""The risks on the path: which rows a probe is fitted on and which rows it is judged on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jessl.probes import split
from jessl.probes.kinds import Fitted, wrong

Rows = NDArray[np.float32]
Labels = NDArray[np.int64]
Fit = Callable[[Rows, Labels], Fitted]


def train_and_test(
    fit: Fit, x: Rows, y: Labels, x_test: Rows, y_test: Labels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R_{A,F} and R_{U,S}: one probe fitted on train, judged on train and on test."""
    fitted = fit(x, y)
    return wrong(fitted, x, y).astype(float), wrong(fitted, x_test, y_test).astype(float)


def held_out_folds(fit: Fit, x: Rows, y: Labels, folds: int, seed: int) -> NDArray[np.float64]:
    """R_{A,S} with every row: judged by the probe of the folds that it is not in."""
    place = split.folds(y, folds, seed)
    errors = np.empty(len(y))
    for k in range(folds):
        out = place == k
        errors[out] = wrong(fit(x[~out], y[~out]), x[out], y[out])
    return errors


def held_out_split(fit: Fit, x: Rows, y: Labels, n_sub: int, seed: int) -> NDArray[np.float64]:
    """R_{A,S} as published: one stratified part of n_sub rows; NaN for the rows fitted on."""
    part = split.stratified(y, n_sub, seed)
    errors = np.full(len(y), np.nan)
    rest = np.setdiff1d(np.arange(len(y)), part)
    if len(np.unique(y[rest])) < 2:
        raise ValueError(f"n_sub: {n_sub} of {len(y)} rows leave fewer than two classes to fit on")
    errors[part] = wrong(fit(x[rest], y[rest]), x[part], y[part])
    return errors


def union(fit: Fit, x: Rows, y: Labels, x_test: Rows, y_test: Labels) -> NDArray[np.float64]:
    """The risk of the other order: fitted on train and test together, judged on test."""
    fitted = fit(np.concatenate([x, x_test]), np.concatenate([y, y_test]))
    return wrong(fitted, x_test, y_test).astype(float)
