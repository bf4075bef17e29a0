"""What few rows make of a white spectrum: the Marchenko-Pastur law, also of rows of unlike scale.

n rows x_i = s_i g_i, g_i white in d dimensions, d/n = c: the eigenvalues of sum_i x_i x_i' / n have
a limit as n and d grow together (Marchenko and Pastur 1967; Silverstein, J. Multivariate Anal. 55,
1995). Its Stieltjes transform solves m(z) = 1 / (-z + int t / (1 + c t m(z)) dH(t)), H the law of
the squared scales t = s^2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from jessl.scores.gram.row_norms import Weights

# equal to 512 points within 1e-14 for scales from equal to those of a t with 2 degrees of freedom
_POINTS = 64
# a lower edge of the spectrum so near 0 that rows are as good as missing
_LEAST_EDGE = 1e-3


def rho(c: float) -> float:
    """Effective rank of white rows of one scale over d: log rho = log m1 - E[s log s] / m1.

    s = sqrt(x), x of the Marchenko-Pastur law of ratio c and unit variance, m1 = E[s]. With
    x = 1 + c - 2 sqrt(c) cos(u) the density is 2 sin(u)^2 / (pi x) on 0 .. pi, smooth and
    periodic, for which the midpoint rule converges geometrically.
    """
    points = 4096
    u = (np.arange(points) + 0.5) * (math.pi / points)
    x = 1 + c - 2 * math.sqrt(c) * np.cos(u)
    weight = 2 * np.sin(u) ** 2 / x / points
    s = np.sqrt(x)
    m1 = float((weight * s).sum())
    return m1 * math.exp(-float((weight * s * np.log(s)).sum()) / m1)


def rho_of_scales(c: float, scales: Weights) -> float:
    """The same for rows of unlike scale; NaN where too few rows carry weight.

    The integrals of sqrt(x) and sqrt(x) log sqrt(x) are taken around the support of the law, on an
    ellipse in log z that crosses the real axis between 0 and the lower edge, and above the upper
    one; the midpoint rule converges geometrically (equal scales: `rho` to 1e-15).
    """
    t, share = scales
    low, high = _edges(c, t, share)
    if not low > _LEAST_EDGE:
        return math.nan
    left, right = math.log(low / 3), math.log(high * 2)
    middle, wide, tall = (left + right) / 2, (right - left) / 2, min(1.5, (right - left) / 2)
    theta = (np.arange(_POINTS) + 0.5) * (math.pi / _POINTS)
    z = np.exp(middle + wide * np.cos(theta) + 1j * tall * np.sin(theta))
    dz = z * (-wide * np.sin(theta) + 1j * tall * np.cos(theta)) * (math.pi / _POINTS)
    m = -1 / (z[0] * 400)
    for far in np.geomspace(400, 1, 16):  # where m is near -1/z, and from there along the ellipse
        m = _solved(m, z[0] * far, c, t, share)
    first = second = 0.0
    for at, step in zip(z, dz, strict=True):
        m = _solved(m, at, c, t, share)
        s = np.sqrt(at)
        first -= (s * m * step).imag / math.pi
        second -= (s * np.log(s) * m * step).imag / math.pi
    return first * math.exp(-second / first)


def _solved(
    m: complex, z: complex, c: float, t: NDArray[np.float64], share: NDArray[np.float64]
) -> complex:
    """The root of 1 + m z - m int t / (1 + c t m) dH next to `m`, by Newton's method."""
    for _ in range(50):
        under = 1 + c * t * m
        pull = (share * t / under).sum()
        slope = z - pull + m * (share * c * t * t / under**2).sum()
        step = (1 + m * z - m * pull) / slope
        m = m - step
        if abs(step) < 1e-13 * abs(m):
            return m
    raise ArithmeticError(f"the law of scales did not converge at {z}, c = {c}")


def _edges(c: float, t: NDArray[np.float64], share: NDArray[np.float64]) -> tuple[float, float]:
    """Where the support begins and ends: the largest z(m) for m > 0, and the smallest for m
    between -1 / (c max t) and 0, z(m) = -1/m + int t / (1 + c t m) dH (Silverstein and Choi 1995).
    """
    from scipy.optimize import minimize_scalar

    def z(m: NDArray[np.float64]) -> NDArray[np.float64]:
        return -1 / m + (share * t / (1 + c * t * m[:, None])).sum(axis=1)

    def extreme(sign: float, of: NDArray[np.float64], m_of: object) -> float:
        values = sign * z(m_of(of))  # type: ignore[operator]
        k = int(np.clip(values.argmin(), 1, len(of) - 2))
        found = minimize_scalar(
            lambda u: float(sign * z(m_of(np.array([u])))[0]),  # type: ignore[operator]
            bounds=(of[k - 1], of[k + 1]),
            method="bounded",
        )
        return sign * float(found.fun)

    low = extreme(-1.0, np.linspace(-14, 14, 400), np.exp)
    end = -1 / (c * float(t.max()))
    high = extreme(1.0, np.linspace(-14, 14, 400), lambda u: end / (1 + np.exp(-u)))
    return low, high
