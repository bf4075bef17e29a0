"""Two classifiers on the same images: the difference of their accuracies, with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054


@dataclass(frozen=True)
class PairedDifference:
    """The accuracy of one classifier minus that of another, on the same images.

    Attributes:
        value: -1..1; low, high: 95 % interval (Newcombe 1998, method 10).
        first, second: the accuracies.
        n: images.
        only_first, only_second: images that one of them alone predicts rightly.
        p: two-sided exact test of McNemar.
        folds: of the images, each predicted by classifiers that were fitted without it; 1: the
            images were held out of one fit.
    """

    value: float
    low: float
    high: float
    first: float
    second: float
    n: int
    only_first: int
    only_second: int
    p: float
    folds: int = 1

    @property
    def better(self) -> bool:
        """Whether the first is better beyond chance."""
        return self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the first is worse beyond chance."""
        return self.high < 0

    @property
    def text(self) -> str:
        """One sentence for people."""
        interval = f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"
        kind = "held-out" if self.folds == 1 else "labelled"
        images = f"1 {kind} image" if self.n == 1 else f"{self.n:,} {kind} images"
        if self.folds > 1:
            images += ", each predicted by networks that did not see it"
        if not self.better and not self.worse:
            return (
                "fine-tuning and the frozen probe cannot be distinguished with "
                f"{images}: {100 * self.value:+.1f} points ({interval})"
            )
        word = "better" if self.better else "worse"
        return (
            f"fine-tuning is {word} by {100 * abs(self.value):.1f} points than the frozen probe "
            f"({interval}), on {images}"
        )


def paired_difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], *, folds: int = 1
) -> PairedDifference:
    """Compare two classifiers by which images each predicts rightly.

    The interval combines Wilson's intervals of both accuracies with their correlation (Newcombe,
    Statistics in Medicine 17, 1998, 2635-2650, method 10), and is no point where no prediction
    differs. The test of McNemar (1947) in its exact form looks at the images that they differ on.

    Images of several folds count as independent. The fits of the folds share most of their images,
    so that the variance of the mean over folds is a little larger than that (Nadeau and Bengio,
    Machine Learning 52, 2003, 239-281) and the interval a little too narrow.

    Example:
        >>> right = np.arange(50) < 40
        >>> paired_difference(right, np.arange(50) < 30).better
        True

    Args:
        first, second: bool [n], n > 0: whether the prediction is right.
        folds: that the images come from.
    """
    from scipy.stats import binomtest

    n = len(first)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    b, c = int((first & ~second).sum()), int((~first & second).sum())
    p1, p2 = (both + b) / n, (both + c) / n
    (l1, u1), (l2, u2) = _wilson(p1, n), _wilson(p2, n)
    phi = _correlation(both, b, c, neither)
    low = _distance(p1 - l1, u2 - p2, phi)
    high = _distance(u1 - p1, p2 - l2, phi)
    return PairedDifference(
        value=p1 - p2,
        low=max(-1.0, p1 - p2 - low),
        high=min(1.0, p1 - p2 + high),
        first=p1,
        second=p2,
        n=n,
        only_first=b,
        only_second=c,
        p=float(binomtest(b, b + c).pvalue) if b + c else 1.0,
        folds=folds,
    )


def _wilson(p: float, n: int) -> tuple[float, float]:
    centre, scale = p + _Z**2 / (2 * n), 1 + _Z**2 / n
    half = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def _correlation(both: int, b: int, c: int, neither: int) -> float:
    """Newcombe's phi, with his correction for continuity where it is positive."""
    margins = (both + b) * (c + neither) * (both + c) * (b + neither)
    if not margins:
        return 0.0
    product: float = both * neither - b * c
    if product > 0:
        product = max(product - (both + b + c + neither) / 2, 0)
    return product / math.sqrt(margins)


def _distance(one: float, two: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * two + two**2))
