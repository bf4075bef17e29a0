"""From rows to score results: spectra of all rows and without each block, spread, warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from jessl.core.progress import ProgressCallback
from jessl.core.resources import usable_cores
from jessl.schema import few_rows
from jessl.scores.base import RowScore, SpectralScore
from jessl.scores.debiasing import jackknife_estimate, log_remaining_bias, student_t_interval
from jessl.scores.gram.gram import CONSTANT_SHARE, Spectra
from jessl.scores.gram.in_memory_gram import InMemoryGram
from jessl.scores.gram.row_norms import RowScales, row_scales
from jessl.scores.registry import ScoreRequest
from jessl.scores.result import ScoreResult
from jessl.scores.rows import Rows, is_cuda_tensor, jackknife_blocks, to_numpy

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


NEAR_CAP = 0.95
# an sd of fewer blocks is mostly chance: no sd is better than one that looks certain
MIN_BLOCKS = 5
# coverage and bias at d = 48, covariance eigenvalues 1/k, 300 draws: .99 and +.12 % at 2 d,
# .96 and +.05 % at 4 d; below 2 d nothing was measured
MIN_ROWS_OVER_D = 2
# share of the rows' squared length in their mean from which an uncentred rank mostly reflects it
LARGE_MEAN_SHARE = 0.5

# the number of BLAS threads belongs to the process: two that set and restore it would mix
_BLAS_THREADS_LOCK = Lock()

_SpectraByKind = dict[str, NDArray[np.float64]]


class SpectralSums(Protocol):
    """Sums of rows from which spectra follow: a Spectrum or an InMemoryGram."""

    def spectra(self, without: int | None = None) -> Spectra:
        """Of all rows, or of those outside a block."""

    def scatter(self) -> tuple[float, float]:
        """Sum of squares: of the rows, and of the centred rows."""

    def norm_histogram(self) -> NDArray[np.int64]:
        """Histogram of the rows' squared lengths."""


def spectral_results_of_rows(
    requests: Sequence[ScoreRequest],
    rows: Rows,
    ids: NDArray[np.int64],
    blocks: int,
    seed: int,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    """Results of spectral scores of rows [n, d]."""
    n, d = rows.shape
    block = jackknife_blocks(ids, blocks, seed) if blocks else np.zeros(n, np.int64)
    kinds = {r.score.rows for r in requests if isinstance(r.score, SpectralScore)}
    sums: dict[str, SpectralSums] = {}
    if kinds & {"raw", "centred"}:
        sums["as they are"] = InMemoryGram(rows, block, blocks)
    if "unit" in kinds:
        sums["unit"] = InMemoryGram(unit_rows(rows), block, blocks)
    counts = np.bincount(block, minlength=blocks)
    return spectral_results_of_sums(requests, sums, counts, d, seed, progress)


def spectral_results_of_sums(
    requests: Sequence[ScoreRequest],
    sums: Mapping[str, SpectralSums],
    counts: NDArray[np.int64],
    d: int,
    seed: int,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    """Results of spectral scores.

    Args:
        requests: the scores.
        sums: of the rows "as they are", and of "unit" rows where a score needs them.
        counts: rows of each block; a single block for no jackknife.
        d: features.
        seed: of the blocks.
        progress: called with (spectra done, spectra in all).
    """
    if not requests:
        return {}
    n = int(counts.sum())
    blocks = len(counts) if len(counts) > 1 else 0
    usable = _usable_blocks(counts)
    whole, deleted = _all_spectra(sums, usable, progress)
    common_warnings = _sample_size_warnings(n, d, blocks, len(usable))
    mean_share = 0.0
    raw, centred = next(iter(sums.values())).scatter()
    if raw == 0:
        common_warnings.append("all features are zero: the rank is 0")
    elif centred <= CONSTANT_SHARE * raw and n > 1:
        common_warnings.append("the features are constant: all rows are equal")
    elif n > 1:
        mean_share = 1 - centred / raw
    scales = None
    if usable and any(_has_bias_correction(r) for r in requests) and n >= MIN_ROWS_OVER_D * d:
        raw_and_centred = Spectra(whole["raw"], whole["centred"])
        scales = row_scales(sums["as they are"].norm_histogram(), raw_and_centred)
    results = {}
    for request in requests:
        score = request.score
        assert isinstance(score, SpectralScore)
        warnings = list(common_warnings)
        if score.rows == "raw" and score.smooth and mean_share > LARGE_MEAN_SHARE:
            warnings.append(
                f"{mean_share:.0%} of the rows' squared length is a mean that they share: it "
                "lowers a score of rows that are not centred"
            )
        spectrum = whole[score.rows]
        value = score.compute(spectrum, n, d, **request.options)
        # n centred rows span n - 1 directions
        k = len(spectrum) - (score.rows == "centred" and n <= d)
        if math.isnan(value):
            warnings.append(f"not defined for these rows ({k} directions at most)")
        if value == math.inf:
            warnings.append("infinite: a direction is empty up to rounding")
        cap = score.cap(k, d, request.options) if score.cap is not None and k > 1 else math.inf
        if NEAR_CAP * cap <= value < math.inf:
            warnings.append(
                f"{value:.6g} is near the largest possible value {cap:.6g} ({k} directions): "
                "differences between runs mean little"
            )
        without_block = []
        if score.smooth:
            for b, spectra in zip(usable, deleted, strict=True):
                rows_left = n - int(counts[b])
                without_block.append(
                    score.compute(spectra[score.rows], rows_left, d, **request.options)
                )
        elif usable:
            warnings.append("a count or an extreme has no jackknife: there is no spread")
        results[request.text] = _build_result(
            request, value, np.array(without_block), n, d, seed, warnings, scales
        )
    return results


def row_result(
    request: ScoreRequest, z: Rows, ids: NDArray[np.int64], blocks: int, seed: int
) -> ScoreResult:
    """The result of a score of the rows z [n, d], or of views z [q, n, d], in random order."""
    assert isinstance(request.score, RowScore)
    rows = to_numpy(z)
    n, d = rows.shape[-2:]
    block = jackknife_blocks(ids, blocks, seed) if blocks else None
    usable = [] if block is None else _usable_blocks(np.bincount(block, minlength=blocks))
    measured = request.score.compute(rows, block if usable else None, **request.options)
    deleted = np.array([]) if measured.deleted is None else measured.deleted
    warnings = [*_sample_size_warnings(n, None, blocks, len(usable)), *measured.warnings]
    result = _build_result(request, measured.value, deleted, n, d, seed, warnings)
    if request.score.views:
        result.params["views"] = len(rows)
    return result


def _has_bias_correction(request: ScoreRequest) -> bool:
    """Whether the bias of few rows is known for a score."""
    return isinstance(request.score, SpectralScore) and request.score.entropy_of_singular_values


def _usable_blocks(counts: NDArray[np.int64]) -> list[int]:
    """The blocks that hold rows, or none where there are too few of them for a jackknife."""
    used = np.flatnonzero(counts).tolist()
    return used if len(used) >= max(2, min(len(counts), MIN_BLOCKS)) else []


def _all_spectra(
    sums: Mapping[str, SpectralSums], usable: list[int], progress: ProgressCallback | None
) -> tuple[_SpectraByKind, list[_SpectraByKind]]:
    """The spectra of all rows, and those without each usable block; on all cores."""

    def spectra(without: int | None) -> _SpectraByKind:
        by_kind: _SpectraByKind = {}
        if "as they are" in sums:
            by_kind["raw"], by_kind["centred"] = sums["as they are"].spectra(without)
        if "unit" in sums:
            by_kind["unit"] = sums["unit"].spectra(without).raw
        return by_kind

    def report(done: int) -> None:
        if progress is not None:
            progress(done, 1 + len(usable))

    whole = spectra(None)
    report(1)
    deleted = []
    if usable:
        # a reduction gains little from a second thread of BLAS; two reductions side by side do
        with (
            _BLAS_THREADS_LOCK,
            _blas().limit(limits=1, user_api="blas"),
            ThreadPoolExecutor(usable_cores()) as pool,
        ):
            for without_block in pool.map(spectra, usable):
                deleted.append(without_block)
                report(1 + len(deleted))
    return whole, deleted


@cache
def _blas() -> ThreadpoolController:
    """The controller of the BLAS that the reductions call; locating it takes milliseconds."""
    import scipy.linalg  # noqa: F401  # loads its own BLAS, which the controller must see
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def unit_rows(rows: Rows) -> Rows:
    """Each row divided by its norm; rows of zeros stay zeros."""
    if is_cuda_tensor(rows):
        top = rows.abs().amax(dim=1, keepdim=True)
        scaled = rows / top.where(top > 0, top.new_ones(()))
        norm = scaled.double().norm(dim=1, keepdim=True)
        unit: Rows = scaled / norm.where(norm > 0, norm.new_ones(())).to(scaled.dtype)
        return unit
    x = to_numpy(rows)
    # divide by the largest entry first: squares could overflow
    largest = np.abs(x).max(axis=1, keepdims=True)
    shrunk: NDArray[np.floating] = np.divide(x, largest, out=np.zeros_like(x), where=largest > 0)
    length = np.sqrt(np.einsum("ij,ij->i", shrunk, shrunk, dtype=np.float64))[:, None]
    np.divide(shrunk, length, out=shrunk, where=length > 0, casting="same_kind")
    return shrunk


def _sample_size_warnings(n: int, d: int | None, requested: int, usable: int) -> list[str]:
    warnings = []
    if d is not None and few_rows(n, d):
        warnings.append(
            f"n = {n} rows are fewer than 4 d = {4 * d}: the value depends strongly on n"
        )
    if requested and usable < requested:
        detail = f"{usable} of {requested} blocks hold rows" if usable else "no sd and no interval"
        warnings.append(f"too few rows for {requested} jackknife blocks: {detail}")
    return warnings


def _build_result(
    request: ScoreRequest,
    value: float,
    deleted: NDArray[np.float64],
    n: int,
    d: int,
    seed: int,
    warnings: list[str],
    scales: RowScales | None = None,
) -> ScoreResult:
    sd = debiased = low = high = None
    if len(deleted) and not (math.isfinite(value) and np.isfinite(deleted).all()):
        if math.isfinite(value):
            warnings.append("without one of the blocks it is not defined: there is no spread")
        deleted = deleted[:0]
    blocks = len(deleted)
    if blocks:
        estimate, sd = jackknife_estimate(value, deleted)
        log_bias = math.nan
        if _has_bias_correction(request) and n >= MIN_ROWS_OVER_D * d and value > 0:
            log_bias = log_remaining_bias(d / n, blocks, scales)
        if math.isfinite(log_bias):
            shrink = math.exp(-log_bias)
            debiased, sd = estimate * shrink, sd * shrink
        elif _has_bias_correction(request) and value > 0:
            below = f"n is below {MIN_ROWS_OVER_D} d"
            reason = below if n < MIN_ROWS_OVER_D * d else "most of the weight is in too few rows"
            warnings.append(
                f"{reason}: not corrected, and the interval around the value does not include its "
                "bias"
            )
        low, high = student_t_interval(value if debiased is None else debiased, sd, blocks)
    return ScoreResult(
        value=value,
        sd=sd,
        debiased=debiased,
        low=low,
        high=high,
        n=n,
        d=d,
        higher_is_better=request.score.higher_is_better,
        params={
            **request.options,
            "jackknife": blocks,
            "seed": seed,
            "source": request.score.source,
        },
        warnings=tuple(warnings),
    )
