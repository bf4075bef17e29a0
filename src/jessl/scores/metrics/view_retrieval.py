"""View retrieval: how often a view finds the other view of its image among other images.

A view of an image is compared with one view of every image, by the cosine of centred features; it
succeeds where the other view of its own image is the nearest. The value is the share of successes
among a stated number of other images, so that samples of unlike size can be compared: with r
nearer images among the n - 1 others, none of m images drawn from those is nearer with probability
C(n - 1 - r, m) / C(n - 1, m), which is exact, where drawing would add noise. It is the share
1 - ACR of Zhao et al. 2022 (arXiv 2203.13457) with the number of images fixed, and top-1 accuracy
of instance discrimination (Wu et al. 2018, arXiv 1805.01978) between views.

All pairs of views count. Degrees of freedom: the mean has q (q - 1) n terms, but only n images are
independent; the jackknife leaves out images, both as queries and as distractors. A bootstrap would
not do: an image drawn twice is a distractor that equals the image.

Known failures: features that identify an image by something that views keep and the task ignores
(a colour tag, a border, a watermark) find it perfectly. Only values under one recipe of views, and
for one set of images, can be compared. Methods that discriminate images (SimCLR, MoCo) train on
this task. It says nothing where both are near chance 1 / (m + 1), or near 1.

Cost: q (q - 1) / 2 products of [n, d] and [d, n]; 2,000 images at most, 4 views and d = 2,048:
about ten seconds on one core; memory 2 q n d + 4 n 2^10 numbers in float64.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult
from jessl.scores.metrics._rows import unit_rows

# images in a chunk of queries
_CHUNK = 1024
# cosines closer than this are equal: rounding must not break ties
_TIE = 1e-12
# fewer images have an interval too wide to be of use
_FEWEST = 50


def compute_view_retrieval(
    z: NDArray[np.floating], block: NDArray[np.int64] | None, *, distractors: int = 500
) -> RowScoreResult:
    """Mean over pairs of views and images of the probability that the other view is the nearest.

    Example:
        jessl.score(None, "view_retrieval:distractors=100", views=z)  # z: [views, n, d]

    Args:
        z: [views, n, d], at least two views; equal rows share their places.
        block: [n], or None; `deleted` is exactly the score of the other images.
        distractors: other images among which the view is sought; n - 1 where there are fewer.

    Returns:
        0 .. 1; 1 / (distractors + 1) is chance, also for constant features.

    Raises:
        ValueError: for fewer than two views, or distractors below 1.
    """
    q, n, _ = z.shape
    if q < 2:
        raise ValueError(f"views: view_retrieval needs at least 2 views of each image, got {q}")
    if distractors < 1:
        raise ValueError(f"distractors: expected at least 1, got {distractors}")
    if n < 2:
        return RowScoreResult(
            value=float("nan"),
            deleted=None,
            warnings=("view_retrieval compares images: a single image is too few",),
        )
    unit = unit_rows(z - z.mean(axis=(0, 1), dtype=np.float64))
    which = np.zeros(n, np.int64) if block is None else np.unique(block, return_inverse=True)[1]
    nearer, equal = _count_nearer(unit, which)
    r, t = nearer.sum(axis=2), equal.sum(axis=2)
    warnings = []
    if n - 1 < distractors:
        warnings.append(
            f"among {n - 1} other images, not {distractors}: an easier task; compare it only with "
            "values among as many images"
        )
    if n < _FEWEST:
        warnings.append(f"{n} images are few: take {_FEWEST} at least")
    if not unit.any():
        warnings.append("all rows are equal: the value is that of chance")
    members = np.bincount(which)
    deleted = None
    if block is not None and len(members) > 1 and n - members.max() >= 2:
        deleted = np.array(
            [
                _success(
                    (r - nearer[..., b])[:, which != b],
                    (t - equal[..., b])[:, which != b],
                    n - m,
                    distractors,
                )
                for b, m in enumerate(members)
            ]
        )
    value = _success(r, t, n, distractors)
    return RowScoreResult(value=value, deleted=deleted, warnings=tuple(warnings))


def _count_nearer(
    unit: NDArray[np.float64], which: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Other images of each block that are nearer to a query than its own, and as near: [p, n, B].

    p: the ordered pairs of views.
    """
    q, n, _ = unit.shape
    member = np.eye(which.max() + 1)[which]
    pairs = list(itertools.combinations(range(q), 2))
    nearer = np.zeros((2 * len(pairs), n, member.shape[1]))
    equal = np.zeros_like(nearer)
    for k, (first, second) in enumerate(pairs):
        # one product serves both directions
        own = np.einsum("nd,nd->n", unit[first], unit[second])
        for start in range(0, n, _CHUNK):
            part = slice(start, start + _CHUNK)
            cosines = unit[first, part] @ unit[second].T
            rows = np.arange(len(cosines))
            # the own image is neither nearer nor as near
            cosines[rows, rows + start] = -np.inf
            for at, at_rows in ((2 * k, own[part, None]), (2 * k + 1, own[None, :])):
                above = (cosines > at_rows + _TIE).astype(np.float64)
                near = (cosines > at_rows - _TIE).astype(np.float64) - above
                if at % 2 == 0:
                    nearer[at, part] = above @ member
                    equal[at, part] = near @ member
                else:
                    nearer[at] += above.T @ member[part]
                    equal[at] += near.T @ member[part]
    return nearer.round().astype(np.int64), equal.round().astype(np.int64)


def _success(
    nearer: NDArray[np.int64], equal: NDArray[np.int64], n: int, distractors: int
) -> float:
    """The mean probability of success among `distractors` of n - 1 others; ties are random.

    nearer, equal: other images that are nearer than a query's own, and as near.
    """
    others = n - 1
    m = min(distractors, others)
    ranks = np.arange(others)
    # C(others - r, m) / C(others, m) for r = 0 .. others
    free = np.maximum(others - ranks - m, 0) / (others - ranks)
    none_nearer = np.concatenate([[1.0], np.cumprod(free)])
    total = np.concatenate([[0.0], np.cumsum(none_nearer)])
    return float(((total[nearer + equal + 1] - total[nearer]) / (equal + 1)).mean())


SCORE = RowScore(
    compute=compute_view_retrieval,
    views=True,
    most_rows=2_000,
    higher_is_better=True,
    options={"distractors": 500},
    source="share of views whose nearest is of the same image (Zhao et al. 2022, 1 - ACR), "
    "for a stated number of other images",
)
