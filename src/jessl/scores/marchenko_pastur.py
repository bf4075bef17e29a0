"""How few rows change a white spectrum: the Marchenko-Pastur law, also for unequal row scales.

n rows x_i = s_i g_i, g_i white in d dimensions, d/n = c: the eigenvalues of sum_i x_i x_i' / n have
a limit as n and d grow together (Marchenko and Pastur 1967; Silverstein, J. Multivariate Anal. 55,
1995). Its Stieltjes transform solves m(z) = 1 / (-z + int t / (1 + c t m(z)) dH(t)), H the
distribution of the squared scales t = s^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.row_norms import RowScales

_Floats = NDArray[np.float64]

# equal to 512 points within 1e-14 for scales from equal to those of a t with 2 degrees of freedom
_POINTS = 64
# a lower edge of the spectrum this near 0 means that too few rows carry weight
_SMALLEST_EDGE = 1e-3


def white_rank_share(c: float) -> float:
    """rho(c): effective rank over d of white rows of equal scale, d/n = c.

    log rho = log m1 - E[s log s] / m1 with s = sqrt(x), x of the Marchenko-Pastur law of ratio c
    and unit variance, m1 = E[s]. With x = 1 + c - 2 sqrt(c) cos(u) the density is
    2 sin(u)^2 / (pi x) on 0 .. pi, smooth and periodic, for which the midpoint rule converges
    geometrically.
    """
    points = 4096
    u = (np.arange(points) + 0.5) * (math.pi / points)
    x = 1 + c - 2 * math.sqrt(c) * np.cos(u)
    weight = 2 * np.sin(u) ** 2 / x / points
    s = np.sqrt(x)
    m1 = float((weight * s).sum())
    return m1 * math.exp(-float((weight * s * np.log(s)).sum()) / m1)


def scaled_rank_share(c: float, scales: RowScales) -> float:
    """`white_rank_share` for rows of unequal scale; NaN where too few rows carry weight.

    The integrals of sqrt(x) and sqrt(x) log sqrt(x) are taken around the support of the law, on an
    ellipse in log z that crosses the real axis between 0 and the lower edge, and above the upper
    edge; the midpoint rule converges geometrically (equal scales: `white_rank_share` to 1e-15).
    """
    t, share = scales
    low, high = _support_edges(c, t, share)
    if not low > _SMALLEST_EDGE:
        return math.nan
    left, right = math.log(low / 3), math.log(high * 2)
    middle, width, height = (left + right) / 2, (right - left) / 2, min(1.5, (right - left) / 2)
    theta = (np.arange(_POINTS) + 0.5) * (math.pi / _POINTS)
    z = np.exp(middle + width * np.cos(theta) + 1j * height * np.sin(theta))
    dz = z * (-width * np.sin(theta) + 1j * height * np.cos(theta)) * (math.pi / _POINTS)
    m = -1 / (z[0] * 400)
    for far in np.geomspace(400, 1, 16):  # where m is near -1/z, and from there along the ellipse
        m = _solve_stieltjes(m, z[0] * far, c, t, share)
    first = second = 0.0
    for point, step in zip(z, dz, strict=True):
        m = _solve_stieltjes(m, point, c, t, share)
        s = np.sqrt(point)
        first -= (s * m * step).imag / math.pi
        second -= (s * np.log(s) * m * step).imag / math.pi
    return first * math.exp(-second / first)


def _solve_stieltjes(m: complex, z: complex, c: float, t: _Floats, share: _Floats) -> complex:
    """The root of 1 + m z - m int t / (1 + c t m) dH next to `m`, by Newton's method."""
    for _ in range(50):
        denominator = 1 + c * t * m
        integral = (share * t / denominator).sum()
        slope = z - integral + m * (share * c * t * t / denominator**2).sum()
        step = (1 + m * z - m * integral) / slope
        m = m - step
        if abs(step) < 1e-13 * abs(m):
            return m
    raise ArithmeticError(f"the law of scales did not converge at {z}, c = {c}")


def _support_edges(c: float, t: _Floats, share: _Floats) -> tuple[float, float]:
    """Where the support begins and ends (Silverstein and Choi 1995).

    With z(m) = -1/m + int t / (1 + c t m) dH: the largest z(m) for m > 0, and the smallest for m
    between -1 / (c max t) and 0.
    """
    from scipy.optimize import minimize_scalar

    def z(m: _Floats) -> _Floats:
        values: _Floats = -1 / m + (share * t / (1 + c * t * m[:, None])).sum(axis=1)
        return values

    def extreme(sign: float, grid: _Floats, to_m: Callable[[_Floats], _Floats]) -> float:
        values = sign * z(to_m(grid))
        k = int(np.clip(values.argmin(), 1, len(grid) - 2))
        minimum = minimize_scalar(
            lambda u: float(sign * z(to_m(np.array([u])))[0]),
            bounds=(grid[k - 1], grid[k + 1]),
            method="bounded",
        )
        return sign * float(minimum.fun)

    grid = np.linspace(-14, 14, 400)
    low = extreme(-1.0, grid, np.exp)
    end = -1 / (c * float(t.max()))
    high = extreme(1.0, grid, lambda u: end / (1 + np.exp(-u)))
    return low, high
