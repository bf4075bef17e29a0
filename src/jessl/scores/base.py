"""What a file of this folder declares to be a score: of a spectrum, of rows, or of views.

A file offers `SCORE`, one of these; its name is the score's name, and the folder is the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SpectralScore:
    """A score that the eigenvalues of one of three Gram matrices determine.

    Attributes:
        of: (eigenvalues [min(n, d)], largest first, none negative; n; d; **options) -> the score.
            0.0 when all eigenvalues are 0, unless the file says otherwise.
        rows: whose Gram matrix: of the rows as they are ("raw"), minus their mean ("centred"), or
            each divided by its norm ("unit"; rows of zeros stay).
        cap: (k, d, options) -> the largest value that k eigenvalues can give; None: there is none.
        higher_is_better: the direction; None where a value in between is best.
        smooth: whether leaving rows out tells of its spread, as for no count and no extreme.
        entropy_of_singular_values: whether the Marchenko-Pastur correction of debias.py holds.
        options: names and defaults of what `of` can be told.
        source: paper or code that defines it.
    """

    of: Callable[..., float]
    rows: Literal["raw", "centred", "unit"] = "raw"
    cap: Callable[[int, int, dict[str, Any]], float] | None = None
    higher_is_better: bool | None
    smooth: bool = True
    entropy_of_singular_values: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    source: str


@dataclass(frozen=True, kw_only=True)
class RowScoreResult:
    """What a RowScore answers.

    Attributes:
        value: the score; NaN where it is not defined, and then `warnings` says why.
        deleted: [B] the score without each of the B blocks that occur, by the blocks' numbers;
            None where leaving rows out tells nothing of the spread (then `warnings` says why).
        warnings: what makes the number doubtful, one sentence each.
    """

    value: float
    deleted: NDArray[np.float64] | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RowScore:
    """A score of the rows themselves, or of several views of each image.

    Attributes:
        of: (z, block, **options) -> Measured. z: float32 or float64 [n, d], or [views, n, d] where
            `views`; finite. Rows come in a random order that depends on their ids and the seed
            only, so that the first m are a random sample. block: int64 [n], the jackknife block of
            each row, or None when no spread is wanted.
        views: whether z is [views, n, d], row i of each view of image i.
        most_rows: more rows than this are not used (the first so many of the random order), where
            the cost grows faster than n; None: all are used.
        higher_is_better, options, source: as in SpectralScore.
    """

    of: Callable[..., RowScoreResult]
    views: bool = False
    most_rows: int | None = None
    higher_is_better: bool | None
    options: dict[str, Any] = field(default_factory=dict)
    source: str


Score = SpectralScore | RowScore
