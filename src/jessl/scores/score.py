"""The verb `score`: label-free scores of embeddings with their spread, conventions and doubts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.names import one_of
from jessl.scores import debias, effective_rank, participation_ratio, stable_rank
from jessl.scores.rankme import SCORE as RANKME
from jessl.scores.result import ScoreResult
from jessl.scores.rowgram import RowGram
from jessl.scores.rows import as_ids, as_rows
from jessl.scores.spectral import SpectralScore
from jessl.scores.spectrum import CONSTANT, Spectrum

SCORES: dict[str, SpectralScore] = {
    "rankme": RANKME,
    "effective_rank": effective_rank.SCORE,
    "stable_rank": stable_rank.SCORE,
    "participation_ratio": participation_ratio.SCORE,
}
NEAR_CAP = 0.95
# a spread of fewer blocks is mostly chance: no sd is better than one that looks certain
LEAST_BLOCKS = 5
# coverage and bias at d = 48, covariance eigenvalues 1/k, 300 draws: .99 and +.12 % at 2 d,
# .96 and +.05 % at 4 d; below 2 d nothing was measured
FEWEST_ROWS_OVER_D = 2


def score(
    z: Any,
    names: str | Iterable[str] = ("rankme",),
    *,
    views: Any = None,
    jackknife: int = 20,
    ids: Any = None,
    seed: int = 0,
) -> dict[str, ScoreResult]:
    """Label-free scores of one matrix of features, from one pass over the rows.

    Args:
        z: [n, d] array, tensor or Embeddings, all finite.
        names: of rankme, effective_rank, stable_rank, participation_ratio.
        views: further views of the same images; none of these scores uses them, so they are
            refused.
        jackknife: blocks of the jackknife, at least 2, or 0 for none. Each costs one more
            spectrum (d = 2048: about half a second on two cores).
        ids: [n] whole numbers that name the rows; None: those of the Embeddings, else the row
            numbers. They decide, with the seed, which rows form a block: the result does not
            depend on the order of the rows.
        seed: of the blocks.

    Returns:
        {name: ScoreResult}, in the order of `names`.

    Raises:
        ValueError: for unknown names (with the nearest), NaN or infinite rows (counted), and
            arguments out of range.
    """
    asked = [names] if isinstance(names, str) else list(names)
    chosen = {name: SCORES[one_of("score", name, SCORES)] for name in asked}
    if views is not None:
        raise ValueError(f"views: none of the scores {', '.join(chosen)} uses views; leave it out")
    if jackknife < 0 or jackknife == 1:
        raise ValueError(f"jackknife: needs 0 or at least 2 blocks, got {jackknife}")
    if ids is None and isinstance(z, Embeddings):
        ids = z.ids
    rows = as_rows(z)
    n, d = rows.shape
    names_of_rows = np.arange(n) if ids is None else as_ids(ids, n)
    state: Spectrum | RowGram
    if n < d:
        held = rows.cpu().numpy() if hasattr(rows, "cpu") else rows
        state = RowGram(held, blocks=jackknife, ids=names_of_rows, seed=seed)
    else:
        state = Spectrum(d, blocks=jackknife, seed=seed).update(rows, names_of_rows)
    spectra, deleted = _spectra(state, {s.center for s in chosen.values()}, jackknife)
    doubts = _doubts(state, n, d, jackknife, len(deleted))
    return {
        name: _result(
            one, spectra[one.center], [left[one.center] for left in deleted], n, d, seed, doubts
        )
        for name, one in chosen.items()
    }


def _spectra(
    state: Spectrum | RowGram, centrings: set[bool], blocks: int
) -> tuple[dict[bool, NDArray[Any]], list[dict[bool, NDArray[Any]]]]:
    """The spectrum of all rows and, where enough blocks hold rows, those without each of them."""
    used = [b for b in range(blocks) if state.counts[b]]
    if len(used) < min(blocks, LEAST_BLOCKS):
        used = []
    whole = {center: state.eigenvalues(center=center) for center in centrings}
    deleted = [
        {center: state.eigenvalues(center=center, without=b) for center in centrings} for b in used
    ]
    return whole, deleted


def _doubts(state: Spectrum | RowGram, n: int, d: int, asked: int, used: int) -> list[str]:
    doubts = []
    raw, centred = state.scatter()
    if raw == 0:
        doubts.append("all features are zero: the rank is 0")
    elif centred <= CONSTANT * raw and n > 1:
        doubts.append("the features are constant: every row is the same")
    if n < 4 * d:
        doubts.append(f"n = {n} rows are fewer than 4 d = {4 * d}: the value depends strongly on n")
    if asked and used < asked:
        what = f"{used} blocks were used" if used else "there is no sd and no interval"
        doubts.append(f"only {used} of {asked} jackknife blocks can be left out: {what}")
    return doubts


def _result(
    one: SpectralScore,
    whole: NDArray[Any],
    deleted: list[NDArray[Any]],
    n: int,
    d: int,
    seed: int,
    doubts: list[str],
) -> ScoreResult:
    value = one.of(whole)
    warnings = list(doubts)
    if value >= NEAR_CAP * one.cap(len(whole)) and len(whole) > 1:
        warnings.append(
            f"{value:.6g} is near the largest possible value {one.cap(len(whole)):.6g} "
            f"(min(n, d) = {len(whole)}): differences between runs mean little"
        )
    sd = debiased = low = high = None
    blocks = len(deleted)
    if blocks:
        estimate, sd = debias.jackknife(value, np.array([one.of(left) for left in deleted]))
        if one.entropy_of_singular_values and n >= FEWEST_ROWS_OVER_D * d and value > 0:
            shrink = np.exp(-debias.correction(d / n, blocks))
            debiased, sd = float(estimate * shrink), float(sd * shrink)
        elif n < FEWEST_ROWS_OVER_D * d:
            warnings.append(
                f"n is below {FEWEST_ROWS_OVER_D} d: not corrected, and the interval around the "
                "value leaves its bias out"
            )
        low, high = debias.interval(value if debiased is None else debiased, sd, blocks)
    return ScoreResult(
        value=value,
        sd=sd,
        debiased=debiased,
        low=low,
        high=high,
        n=n,
        d=d,
        higher_is_better=one.higher_is_better,
        params={**one.params, "jackknife": blocks, "seed": seed},
        warnings=tuple(warnings),
    )
