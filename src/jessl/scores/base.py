"""The two kinds of scores: of a spectrum, and of rows or views.

A file of `scores/metrics/` defines `SCORE`, one of the two. The name of the file is the name of
the score, and the folder is the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Options = Mapping[str, float | int | bool]


@dataclass(frozen=True, kw_only=True)
class SpectralScore:
    """A score that follows from the eigenvalues of one of three Gram matrices.

    Attributes:
        compute: (eigenvalues [min(n, d)], largest first, none negative; n; d; **options) -> the
            score. 0.0 when all eigenvalues are 0, unless the file documents another value.
        rows: whose Gram matrix: of the rows unchanged ("raw"), minus their mean ("centred"), or
            each divided by its norm ("unit"; rows of zeros stay zeros).
        cap: (k, d, options) -> the largest value that k eigenvalues can give; None: unbounded.
        higher_is_better: the direction; None where a value in between is best.
        smooth: whether the jackknife estimates its spread; False for counts and extremes.
        entropy_of_singular_values: whether the Marchenko-Pastur correction of debiasing.py holds.
        options: names and defaults of the options of `compute`.
        source: paper or code that defines it.
    """

    compute: Callable[..., float]
    rows: Literal["raw", "centred", "unit"] = "raw"
    cap: Callable[[int, int, Options], float] | None = None
    higher_is_better: bool | None
    smooth: bool = True
    entropy_of_singular_values: bool = False
    options: Options = field(default_factory=dict)
    source: str


@dataclass(frozen=True, kw_only=True)
class RowScoreResult:
    """What `RowScore.compute` returns.

    Attributes:
        value: the score; NaN where it is not defined (`warnings` gives the reason).
        deleted: [B] the score without each of the B blocks that occur, in the order of the block
            numbers; None where leaving out rows does not estimate the spread (`warnings` gives
            the reason).
        warnings: what makes the number unreliable, one sentence each.
    """

    value: float
    deleted: NDArray[np.float64] | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RowScore:
    """A score of the rows themselves, or of several views of each image.

    Attributes:
        compute: (z, block, **options) -> RowScoreResult. z: float32 or float64 [n, d], or
            [views, n, d] where `views`; finite. Rows come in a random order that depends only on
            their ids and the seed, so the first m rows are a random sample. block: int64 [n], the
            jackknife block of each row, or None when no spread is requested.
        views: whether z is [views, n, d], row i of each view of image i.
        recipe: name of the only views that the score is defined for, as the metadata of embeddings
            name them; None: any views.
        most_rows: use only the first so many rows of the random order, where the cost grows
            faster than n; None: all are used.
        higher_is_better, options, source: as in SpectralScore.
    """

    compute: Callable[..., RowScoreResult]
    views: bool = False
    recipe: str | None = None
    most_rows: int | None = None
    higher_is_better: bool | None
    options: Options = field(default_factory=dict)
    source: str


Score = SpectralScore | RowScore
