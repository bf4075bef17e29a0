"""From rows to results: spectra and their deletions, spread, interval, doubts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.core.resources import usable_cores
from jessl.schema import few_rows
from jessl.scores import debiasing
from jessl.scores.base import RowScore, SpectralScore
from jessl.scores.gram.gram import CONSTANT, Spectra
from jessl.scores.gram.in_memory_gram import HeldRows
from jessl.scores.gram.row_norms import Weights, weights
from jessl.scores.registry import ScoreRequest
from jessl.scores.result import ScoreResult
from jessl.scores.rows import block_of, on_cuda

NEAR_CAP = 0.95
# a spread of fewer blocks is mostly chance: no sd is better than one that looks certain
LEAST_BLOCKS = 5
# coverage and bias at d = 48, covariance eigenvalues 1/k, 300 draws: .99 and +.12 % at 2 d,
# .96 and +.05 % at 4 d; below 2 d nothing was measured
FEWEST_ROWS_OVER_D = 2
# share of the rows' squared length in their mean from which an uncentred rank is mostly about it
MOSTLY_MEAN = 0.5

# the number of BLAS's threads belongs to the process: two that set and restore it would mix
_ONE_AT_A_TIME = Lock()

_Spectra = dict[str, NDArray[np.float64]]


class State(Protocol):
    """Sums of rows: a Spectrum or HeldRows."""

    def spectra(self, without: int | None = None) -> Spectra:
        """Of all rows, or of those outside of a block."""

    def scatter(self) -> tuple[float, float]:
        """Sum of squares: of the rows, and of the centred rows."""

    def lengths(self) -> NDArray[np.int64]:
        """Histogram of the rows' squared lengths."""


def of_spectrum(
    wanted: list[ScoreRequest],
    rows: Any,
    ids: NDArray[np.int64],
    blocks: int,
    seed: int,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    """Results of spectral scores of rows [n, d]."""
    n, d = rows.shape
    block = block_of(ids, blocks, seed) if blocks else np.zeros(n, np.int64)
    kinds = {a.score.rows for a in wanted if isinstance(a.score, SpectralScore)}
    states: dict[str, State] = {}
    if kinds & {"raw", "centred"}:
        states["as they are"] = HeldRows(rows, block, blocks)
    if "unit" in kinds:
        states["unit"] = HeldRows(_unit(rows), block, blocks)
    return of_states(wanted, states, np.bincount(block, minlength=blocks), d, seed, progress)


def of_states(
    wanted: list[ScoreRequest],
    states: Mapping[str, State],
    counts: NDArray[np.int64],
    d: int,
    seed: int,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    """Results of spectral scores.

    Args:
        wanted: the scores.
        states: sums of the rows "as they are", and of "unit" rows where a score wants them.
        counts: rows of each block; of one for no jackknife.
        d: features.
        seed: of the blocks.
        progress: told (spectra done, spectra in all).
    """
    if not wanted:
        return {}
    n = int(counts.sum())
    blocks = len(counts) if len(counts) > 1 else 0
    used = _used(counts)
    whole, deleted = _spectra(states, used, progress)
    doubts = _doubts(n, d, blocks, len(used))
    mean_share = 0.0
    raw, centred = next(iter(states.values())).scatter()
    if raw == 0:
        doubts.append("all features are zero: the rank is 0")
    elif centred <= CONSTANT * raw and n > 1:
        doubts.append("the features are constant: every row is the same")
    elif n > 1:
        mean_share = 1 - centred / raw
    scales = None
    if used and any(_corrected(a) for a in wanted) and n >= FEWEST_ROWS_OVER_D * d:
        raw_and_centred = Spectra(whole["raw"], whole["centred"])
        scales = weights(states["as they are"].lengths(), raw_and_centred)
    found = {}
    for a in wanted:
        one = a.score
        assert isinstance(one, SpectralScore)
        warnings = list(doubts)
        if one.rows == "raw" and one.smooth and mean_share > MOSTLY_MEAN:
            warnings.append(
                f"{mean_share:.0%} of the rows' squared length is a mean that they share: it "
                "lowers a score of rows that are not centred"
            )
        spectrum = whole[one.rows]
        value = one.of(spectrum, n, d, **a.options)
        # n centred rows span n - 1 directions
        k = len(spectrum) - (one.rows == "centred" and n <= d)
        if math.isnan(value):
            warnings.append(f"not defined for these rows ({k} directions at most)")
        if value == math.inf:
            warnings.append("infinite: a direction is empty up to rounding")
        cap = one.cap(k, d, a.options) if one.cap is not None and k > 1 else math.inf
        if NEAR_CAP * cap <= value < math.inf:
            warnings.append(
                f"{value:.6g} is near the largest possible value {cap:.6g} ({k} directions): "
                "differences between runs mean little"
            )
        left = []
        if one.smooth:
            for b, spectra in zip(used, deleted, strict=True):
                left.append(one.of(spectra[one.rows], n - int(counts[b]), d, **a.options))
        elif used:
            warnings.append("a count or an extreme has no jackknife: there is no spread")
        found[a.text] = _result(a, value, np.array(left), n, d, seed, warnings, scales)
    return found


def of_rows(
    one: ScoreRequest, z: Any, ids: NDArray[np.int64], blocks: int, seed: int
) -> ScoreResult:
    """The result of a score of the rows z [n, d], or of views z [q, n, d], in random order."""
    assert isinstance(one.score, RowScore)
    z = z.cpu().numpy() if on_cuda(z) else z
    n, d = z.shape[-2:]
    block = block_of(ids, blocks, seed) if blocks else None
    used = [] if block is None else _used(np.bincount(block, minlength=blocks))
    measured = one.score.of(z, block if used else None, **one.options)
    left = np.array([]) if measured.deleted is None else measured.deleted
    warnings = [*_doubts(n, None, blocks, len(used)), *measured.warnings]
    found = _result(one, measured.value, left, n, d, seed, warnings)
    if one.score.views:
        found.params["views"] = len(z)
    return found


def _corrected(a: ScoreRequest) -> bool:
    """Whether the bias of few rows is known for a score."""
    return isinstance(a.score, SpectralScore) and a.score.entropy_of_singular_values


def _used(counts: NDArray[np.int64]) -> list[int]:
    """Blocks that hold rows, where they are enough and leave rows when one of them is left out."""
    used = np.flatnonzero(counts).tolist()
    return used if len(used) >= max(2, min(len(counts), LEAST_BLOCKS)) else []


def _spectra(
    states: Mapping[str, State], used: list[int], progress: ProgressCallback | None
) -> tuple[_Spectra, list[_Spectra]]:
    """The spectra of all rows, and those without each block that is used; on all cores."""

    def spectra(without: int | None) -> _Spectra:
        found: _Spectra = {}
        if "as they are" in states:
            found["raw"], found["centred"] = states["as they are"].spectra(without)
        if "unit" in states:
            found["unit"] = states["unit"].spectra(without).raw
        return found

    def told(done: int) -> None:
        if progress is not None:
            progress(done, 1 + len(used))

    whole = spectra(None)
    told(1)
    deleted = []
    if used:
        # a reduction gains little from a second thread of BLAS; two reductions side by side do
        with (
            _ONE_AT_A_TIME,
            _blas().limit(limits=1, user_api="blas"),
            ThreadPoolExecutor(usable_cores()) as pool,
        ):
            for found in pool.map(spectra, used):
                deleted.append(found)
                told(1 + len(deleted))
    return whole, deleted


@cache
def _blas() -> Any:
    """The control of the BLAS that the reductions call; finding it takes milliseconds."""
    import scipy.linalg  # noqa: F401  # has its own BLAS, to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _unit(rows: Any) -> Any:
    """Each row divided by its norm; rows of zeros stay."""
    if on_cuda(rows):
        top = rows.abs().amax(dim=1, keepdim=True)
        scaled = rows / top.where(top > 0, top.new_ones(()))
        norm = scaled.double().norm(dim=1, keepdim=True)
        return scaled / norm.where(norm > 0, norm.new_ones(())).to(scaled.dtype)
    # over the largest entry first: squares could overflow
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    norm = np.sqrt(np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64))[:, None]
    return np.divide(scaled, norm, out=scaled, where=norm > 0, casting="same_kind")


def _doubts(n: int, d: int | None, asked: int, used: int) -> list[str]:
    doubts = []
    if d is not None and few_rows(n, d):
        doubts.append(f"n = {n} rows are fewer than 4 d = {4 * d}: the value depends strongly on n")
    if asked and used < asked:
        what = f"{used} of {asked} blocks hold rows" if used else "no sd and no interval"
        doubts.append(f"too few rows for {asked} jackknife blocks: {what}")
    return doubts


def _result(
    one: ScoreRequest,
    value: float,
    left: NDArray[np.float64],
    n: int,
    d: int,
    seed: int,
    warnings: list[str],
    scales: Weights | None = None,
) -> ScoreResult:
    sd = debiased = low = high = None
    if len(left) and not (math.isfinite(value) and np.isfinite(left).all()):
        if math.isfinite(value):
            warnings.append("without one of the blocks it is not defined: there is no spread")
        left = left[:0]
    blocks = len(left)
    if blocks:
        estimate, sd = debiasing.jackknife(value, left)
        left_over = math.nan
        if _corrected(one) and n >= FEWEST_ROWS_OVER_D * d and value > 0:
            left_over = debiasing.correction(d / n, blocks, scales)
        if math.isfinite(left_over):
            shrink = math.exp(-left_over)
            debiased, sd = estimate * shrink, sd * shrink
        elif _corrected(one) and value > 0:
            few = f"n is below {FEWEST_ROWS_OVER_D} d"
            why = few if n < FEWEST_ROWS_OVER_D * d else "most of the weight is in too few rows"
            warnings.append(
                f"{why}: not corrected, and the interval around the value leaves its bias out"
            )
        low, high = debiasing.interval(value if debiased is None else debiased, sd, blocks)
    return ScoreResult(
        value=value,
        sd=sd,
        debiased=debiased,
        low=low,
        high=high,
        n=n,
        d=d,
        higher_is_better=one.score.higher_is_better,
        params={**one.options, "jackknife": blocks, "seed": seed, "source": one.score.source},
        warnings=tuple(warnings),
    )
