"""From features to two coordinates an image."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_choice

# what --map accepts
NONE, PCA, PACMAP = "none", "pca", "pacmap"
MAPS = (PCA, PACMAP, NONE)
# principal axes that PaCMAP works on; its own default
_PACMAP_AXES = 100
_LEAST_ROWS = 3
# PaCMAP cannot draw fewer rows or columns
_PACMAP_LEAST_ROWS, _PACMAP_LEAST_COLUMNS = 4, 2


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the images lie.

    Attributes:
        name: for people.
        xy: float32 [n, 2], y upwards.
        about: one sentence, how it was computed.
    """

    name: str
    xy: NDArray[np.float32]
    about: str


def check_map(name: str) -> str:
    """The name of a map, when it can be drawn here.

    Raises:
        ValueError: for another name, or when its package is not installed.
    """
    check_choice("map", name, MAPS)
    if name == PACMAP and importlib.util.find_spec("pacmap") is None:
        raise ValueError("map: pacmap needs the package pacmap: pip install 'jessl[maps]'")
    return name


def layouts(features: NDArray[np.floating], name: str, seed: int, of: str = "") -> list[Layout]:
    """The layouts of a map: PCA, and PaCMAP behind it where `name` asks for it.

    Args:
        features: [n, d], finite.
        name: one of MAPS.
        seed: of the random starts.
        of: whose features they are, where a map shows several encoders.

    Returns:
        Nothing for `none`, and for fewer than three rows or rows that are all equal. PCA alone
        for fewer than four rows or two columns.
    """
    if name == NONE or len(features) < _LEAST_ROWS:
        return []
    rows = np.asarray(features, np.float32)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    if np.ptp(rows, axis=0).max() < 1e-6:  # rounding
        return []
    behind = f" of {of}" if of else ""
    drawn = [_pca(rows, seed, f"PCA{behind}")]
    n, d = rows.shape
    if name == PACMAP and n >= _PACMAP_LEAST_ROWS and d >= _PACMAP_LEAST_COLUMNS:
        drawn.append(_pacmap(rows, seed, f"PaCMAP{behind}"))
    return drawn


def _pca(rows: NDArray[np.float32], seed: int, name: str) -> Layout:
    """The first two principal axes of the rows of length 1; time n d, memory a copy of the rows."""
    from sklearn.decomposition import PCA as PrincipalAxes

    count = min(2, *rows.shape)
    fit = PrincipalAxes(count, svd_solver="randomized", random_state=seed)
    xy = np.zeros((len(rows), 2), np.float32)
    xy[:, :count] = fit.fit_transform(rows)
    shares: Sequence[float] = fit.explained_variance_ratio_.tolist()
    share = " and ".join(f"{100 * value:.0f} %" for value in shares)
    return Layout(
        name,
        xy,
        f"The first two principal axes of the L2-normalised features, {share} of the variance.",
    )


def _pacmap(rows: NDArray[np.float32], seed: int, name: str) -> Layout:
    """PaCMAP (Wang et al., JMLR 22, 2021); half a minute of CPU time for 20,000 rows."""
    # it prints its settings, and warns that a seed was given or that there are few rows
    logging.getLogger("pacmap").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from pacmap import PaCMAP

        fit = PaCMAP(
            n_components=2,
            n_neighbors=min(10, len(rows) - 1),
            random_state=seed,
            apply_pca=rows.shape[1] > _PACMAP_AXES,
        )
        xy = np.asarray(fit.fit_transform(rows, init="pca"), np.float32)
    return Layout(
        name,
        xy,
        "PaCMAP keeps neighbours together: groups mean something, distances between groups little.",
    )
