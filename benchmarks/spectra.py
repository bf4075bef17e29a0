"""Features of known spectra and populations, and RankMe computed apart from jessl."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_STEP = 4096


def power_law(d: int, exponent: float) -> Array:
    """Covariance eigenvalues k^-exponent, k = 1 .. d."""
    return np.arange(1, d + 1) ** -float(exponent)


def deficient(d: int, floor: float) -> Array:
    """Covariance eigenvalues 1/k of the first d/4 directions; the rest have floor^2."""
    found = np.full(d, float(floor) ** 2)
    found[: d // 4] = power_law(d // 4, 1)
    return found


def rotation(d: int, seed: int) -> Array:
    """A random orthogonal [d, d] matrix."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))
    return q * np.sign(np.diag(r))


def chunks_of(
    n: int, eigenvalues: Array, seed: int, *, mean: float = 0.0, size: int = _STEP
) -> Iterator[NDArray[np.float32]]:
    """Gaussian rows in chunks: covariance of these eigenvalues in a random rotation.

    Args:
        n: rows in all.
        eigenvalues: [d].
        seed: of the rotation and of the rows.
        mean: of every feature, in root mean square standard deviations of a feature.
        size: rows of a chunk, the last one may have fewer.

    Yields:
        float32 [size, d], computed in float64 and rounded once.
    """
    d = len(eigenvalues)
    mix = np.sqrt(eigenvalues)[:, None] * rotation(d, seed)
    shift = mean * np.sqrt(eigenvalues.mean())
    rng = np.random.default_rng([seed, 1])
    for start in range(0, n, size):
        z = rng.standard_normal((min(size, n - start), d))
        yield (z @ mix + shift).astype(np.float32)


def features(n: int, eigenvalues: Array, seed: int, *, mean: float = 0.0) -> NDArray[np.float32]:
    """The rows of `chunks_of` as one float32 [n, d] matrix; takes little more memory than that."""
    z = np.empty((n, len(eigenvalues)), np.float32)
    start = 0
    for chunk in chunks_of(n, eigenvalues, seed, mean=mean):
        z[start : start + len(chunk)] = chunk
        start += len(chunk)
    return z


def rankme_of_singular(s: Array, eps: float = 1e-7) -> float:
    """RankMe of all min(n, d) singular values: exp(-sum p log p), p = s / sum(s) + eps."""
    p = np.asarray(s, np.float64)
    p = p / p.sum() + eps
    return float(np.exp(-(p * np.log(p)).sum()))


def rankme_of_moment(moment: Array) -> float:
    """RankMe of infinitely many rows with this uncentred second moment, [d, d]."""
    return rankme_of_singular(np.sqrt(np.maximum(np.linalg.eigvalsh(moment), 0.0)))


@dataclass(frozen=True)
class Rectified:
    """max(x, 0) of a mixture of Gaussians, equally likely classes with means of their own.

    The classes share one covariance: eigenvalues 1/k in a random rotation; their means are drawn
    from the same distribution, so that half of the variance of x lies between the classes.

    Attributes:
        mix: [d, d]; x = mean + g @ mix for white g.
        means: [classes, d].
    """

    mix: Array
    means: Array

    @classmethod
    def build(cls, d: int, classes: int, seed: int) -> Rectified:
        """The population of this seed."""
        mix = np.sqrt(power_law(d, 1))[:, None] * rotation(d, seed)
        white = np.random.default_rng([seed, 2]).standard_normal((classes, d))
        return cls(mix, white @ mix)

    def draw(
        self, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """n independent rows, float32 [n, d], and the class of each."""
        label = rng.integers(len(self.means), size=n)
        z = rng.standard_normal((n, len(self.mix)), dtype=np.float32) @ self.mix.astype(np.float32)
        z += self.means.astype(np.float32)[label]
        return np.maximum(z, 0, out=z), label

    def moment(self) -> Array:
        """The uncentred second moment of the rows, [d, d], in closed form."""
        covariance = self.mix.T @ self.mix
        return np.mean([rectified_moment(mean, covariance) for mean in self.means], axis=0)


def rectified_moment(mean: Array, covariance: Array) -> Array:
    """E[max(x_i, 0) max(x_j, 0)] of Gaussian x, [d, d].

    For standard deviations 1, means a and b and correlation r (Rosenbaum 1961, moments of a
    truncated bivariate normal): (a b + r) P(x_i > 0, x_j > 0) + a phi(b) Phi((a - r b) / q)
    + b phi(a) Phi((b - r a) / q) + q phi(a) phi((b - r a) / q), q = sqrt(1 - r^2); the
    probability from Owen's T.
    """
    from scipy.special import ndtr, owens_t

    sd = np.sqrt(np.diag(covariance))
    a = mean / sd
    i, j = np.triu_indices(len(a), 1)
    h, k = a[i], a[j]
    r = covariance[i, j] / (sd[i] * sd[j])
    q = np.sqrt(1 - r**2)
    to_h, to_k = (h - r * k) / q, (k - r * h) / q
    both = (ndtr(h) + ndtr(k) - (h * k < 0)) / 2 - owens_t(h, to_k / h) - owens_t(k, to_h / k)
    value = (h * k + r) * both + h * _phi(k) * ndtr(to_h) + k * _phi(h) * ndtr(to_k)
    value += q * _phi(h) * _phi(to_k)
    found = np.diag((a**2 + 1) * ndtr(a) + a * _phi(a))
    found[i, j] = found[j, i] = value
    return found * np.outer(sd, sd)


def _phi(x: Array) -> Array:
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
