"""SIGReg: distance from a standard normal cloud (Balestriero and LeCun, arXiv 2511.08544)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.scores.base import RowScore, RowScoreResult

# where the integral over the frequency is cut off (authors' code)
_T_MAX = 3.0
# complex numbers in a chunk of rows (32 MiB)
_CHUNK = 2**21


def compute_sigreg(
    z: NDArray[np.floating],
    block: NDArray[np.int64] | None,
    *,
    directions: int = 256,
    knots: int = 17,
    directions_seed: int = 0,
) -> RowScoreResult:
    """Epps and Pulley's statistic of normality, mean over random directions.

    In a direction, with x the n projections, phi(t) = exp(-t^2 / 2) and e(t) the mean of
    exp(i t x): n times the integral of |e(t) - phi(t)|^2 exp(-t^2 / 2) over t from -3 to 3, by the
    trapezoid rule on [0, 3], doubled: the convention of `jessl.objectives.sigreg`, which it equals
    to 1e-9 on the same directions. Balestriero and LeCun, arXiv 2511.08544, section 4.

    0 and more; near 1.05 for a standard normal cloud of any n, otherwise growing with n: compare
    equal n only. Lower is better, and only within LeJEPA's family of losses. Permuting the rows
    changes nothing; rotating the features amounts to another draw of directions. Time: n *
    directions * (2 d + 10 knots) operations (n = 25,600, d = 2048: about 3 s on two cores); memory
    100 MiB, and 32 * directions * knots * B bytes for B blocks.

    Limits: features that were not trained towards N(0, I) are far from it whatever their quality
    (N(0, 4 I) scores 900 times N(0, I) at n = 4000), and noise has the best value. Many independent
    features look normal in every random direction, even where each takes only two values.

    Args:
        z: [n, d].
        block: [n], or None; `deleted` is exactly the score of the other rows, with the factor n of
            all rows: with their own number, blocks of unequal size would make the sd of a cloud far
            from normal too large (rectified features, n = 4000: 12.5 instead of 2.2; true 2.1).
        directions: unit vectors drawn, at least 1.
        knots: points of the trapezoid rule, including t = 0 (where both functions are 1), >= 2.
        directions_seed: of the directions; at least 0.

    Raises:
        ValueError: for an option out of range.
    """
    for name, number, least in (
        ("directions", directions, 1),
        ("knots", knots, 2),
        ("directions_seed", directions_seed, 0),
    ):
        if number < least:
            raise ValueError(f"{name}: expected at least {least}, got {number}")
    n, d = z.shape
    which = np.zeros(n, np.int64) if block is None else np.unique(block, return_inverse=True)[1]
    count = np.bincount(which)
    drawn = draw_directions(d, directions, directions_seed)
    sums = np.array([_characteristic_sums(z[which == b], drawn, knots) for b in range(len(count))])
    value = _statistic(sums.sum(axis=0), n, knots)
    if block is None:
        return RowScoreResult(value=value, deleted=None)
    if len(count) == 1:
        why = "all rows are in one block: there is no spread"
        return RowScoreResult(value=value, deleted=None, warnings=(why,))
    left = [
        _statistic(np.delete(sums, b, axis=0).sum(axis=0), n - int(count[b]), knots, n)
        for b in range(len(count))
    ]
    return RowScoreResult(value=value, deleted=np.array(left))


def draw_directions(d: int, number: int, seed: int) -> NDArray[np.float64]:
    """Unit vectors [d, number], uniform on the sphere, by numpy's default generator."""
    directions = np.random.default_rng(seed).standard_normal((d, number))
    directions /= np.linalg.norm(directions, axis=0)
    return directions


def _characteristic_sums(
    z: NDArray[np.floating], directions: NDArray[np.float64], knots: int
) -> NDArray[np.complex128]:
    """Sums over rows of exp(i t x), [knots - 1, number]: t = 3 k / (knots - 1), k from 1 on."""
    number = directions.shape[1]
    sums = np.zeros((knots - 1, number), np.complex128)
    step = max(1, _CHUNK // max(number, z.shape[1]))
    for start in range(0, len(z), step):
        x = np.asarray(z[start : start + step], np.float64) @ directions
        # powers of the first knot's: one cosine and one sine for all knots
        turn = np.exp(1j * (_T_MAX / (knots - 1)) * x)
        power = turn.copy()
        for k in range(knots - 1):
            if k:
                power *= turn
            sums[k] += power.sum(axis=0)
    return sums


def _statistic(sums: NDArray[np.complex128], rows: int, knots: int, n: int | None = None) -> float:
    """The statistic from sums over `rows` rows, with the factor n (None: their number)."""
    t = np.linspace(0, _T_MAX, knots)[1:]
    phi = np.exp(-(t**2) / 2)
    # the trapezoid rule, twice for t < 0: half a step at the end; at t = 0 the integrand is 0
    width = np.full(knots - 1, 2 * _T_MAX / (knots - 1))
    width[-1] /= 2
    deviation = np.abs(sums / rows - phi[:, None]) ** 2
    return float((n or rows) * ((phi * width) @ deviation).mean())


SCORE = RowScore(
    compute=compute_sigreg,
    higher_is_better=False,
    options={"directions": 256, "knots": 17, "directions_seed": 0},
    source="Balestriero and LeCun 2025, arXiv 2511.08544",
)
