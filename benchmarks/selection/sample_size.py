"""How the number of images and of views moves the regret of a choice by view retrieval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from measured import Measured
from sweeps import unit

import jessl

IMAGES = (50, 100, 200, 400, 800, 1_200)
VIEWS = (2, 3, 4)
# samples of images of each size
DRAWS = 5


def sample_sizes(measured: list[Measured], work: Path) -> list[str]:
    """A row for each number of images and views: mean regret, and the score's error bar.

    The seed-0 training of each value is judged on DRAWS samples of its images.
    """
    known = [m for m in measured if m.informative]
    lines = [
        "| images | views | mean regret over sweeps, points | sd between samples of images | "
        "standard error of the score, relative |",
        "|---:|---:|---:|---:|---:|",
    ]
    sizes = [(n, 4) for n in IMAGES] + [(IMAGES[-1], q) for q in VIEWS if q < 4]
    for images, views in sizes:
        regrets, errors = [], []
        for m in known:
            stacks = [_views(m, k, work) for k in range(len(m.sweep.values))]
            lost, relative = _regrets(m, stacks, images, views)
            regrets.append(lost)
            errors += relative
        by_draw = np.array(regrets)
        spread = f"{by_draw.mean(axis=0).std(ddof=1):.2f}" if by_draw.shape[1] > 1 else "-"
        lines.append(
            f"| {images:,} | {views} | {by_draw.mean():.2f} | {spread} | {np.median(errors):.2f} |"
        )
    return lines


def _views(m: Measured, place: int, work: Path) -> np.ndarray | None:
    path = work / "units" / unit(m.sweep, m.sweep.values[place], 0).key / "backbone-simclr.npy"
    if not path.is_file():
        return None
    z = np.load(path).astype(np.float32)
    return z if np.isfinite(z).all() else None


def _regrets(
    m: Measured, stacks: list[np.ndarray | None], images: int, views: int
) -> tuple[list[float], list[float]]:
    """(regret of each draw, relative standard errors) of a choice from a part of the features."""
    accuracy = np.nan_to_num(100 * m.accuracy["logistic"][:, 0])
    rng = np.random.default_rng(1)
    n = next(z.shape[1] for z in stacks if z is not None)
    lost, relative = [], []
    for draw in range(DRAWS if images < n else 1):
        blocks = None if draw == 0 else 0
        rows = rng.permutation(n)[:images]
        values = []
        for z in stacks:
            if z is None:
                values.append(-np.inf)
                continue
            part = z[:views, rows]
            result = jessl.score(None, "view_retrieval", views=part, jackknife=blocks)[
                "view_retrieval"
            ]
            values.append(result.value)
            if result.sd is not None and result.value > 0:
                relative.append(result.sd / result.value)
        lost.append(float(accuracy.max() - accuracy[int(np.argmax(values))]))
    return lost * (1 if images < n else DRAWS), relative
