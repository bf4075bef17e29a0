"""Two encoders by few-shot probes on the same images: the difference, with its interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_int
from jessl.embeddings import Embeddings
from jessl.probes.bootstrap import RESAMPLES, Estimate, percentile_interval
from jessl.probes.probe import probe

DRAWS = 20


@dataclass(frozen=True)
class PairedFewShot:
    """The few-shot accuracy of one encoder minus that of another.

    Attributes:
        difference: -1..1, with its 95 % interval over draws and test images.
        first, second: mean accuracies over the draws, 0..1.
        shots: training images of each class; draws: of them; n: test images.
    """

    difference: Estimate
    first: float
    second: float
    shots: int
    draws: int
    n: int

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)


def paired_few_shot(
    first: tuple[Embeddings, Embeddings],
    second: tuple[Embeddings, Embeddings],
    *,
    shots: int = 5,
    draws: int = DRAWS,
    seed: int = 0,
) -> PairedFewShot:
    """Ridge probes of both encoders on the same few training images, over several draws.

    The interval resamples draws and test images, each with the predictions of both encoders, so
    images that are hard for both do not widen it (bootstrap of two crossed factors; Owen 2007,
    arXiv 0711.3236: mildly conservative).

    Example:
        paired_few_shot((train_a, test_a), (train_b, test_b)).difference.low > 0

    Args:
        first, second: (training rows, test rows) of each encoder, of the same images with labels.
        shots: training images of each class; draws: at least 2.
        seed: of the draws.

    Raises:
        ValueError: where the images of the two differ, and as for `probe`.
    """
    check_int("draws", draws, 2)
    for ours, theirs in zip(first, second, strict=True):
        if not np.array_equal(ours.ids, theirs.ids):
            raise ValueError("second: expected embeddings of the images of first, got others")
    right: list[list[NDArray[np.bool_]]] = [[], []]
    for k, (train, test) in enumerate((first, second)):
        for draw in range(draws):
            result = probe(
                train, test, kind="ridge", shots=shots, seed=seed + draw, duplicates=False
            )
            right[k].append(result.correct)
    one, other = (np.array(rows, np.float64) for rows in right)
    gain = one - other
    rng = np.random.default_rng([seed, 11])
    n = gain.shape[1]
    in_draws = rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES) / draws
    means = np.empty(RESAMPLES)
    for r in range(RESAMPLES):  # counts of all resamples at once would take RESAMPLES x n numbers
        means[r] = (in_draws[r] @ gain)[rng.integers(0, n, n)].mean()
    return PairedFewShot(
        Estimate(float(gain.mean()), *percentile_interval(means)),
        float(one.mean()),
        float(other.mean()),
        shots,
        draws,
        n,
    )
