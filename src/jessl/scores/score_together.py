"""Scores of embeddings whose rows the processes of a group share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from jessl.core import collectives
from jessl.core.process_group import mark_reported, on_all_ranks, on_rank_zero
from jessl.core.progress import ProgressCallback
from jessl.embeddings import Embeddings
from jessl.scores.base import SpectralScore
from jessl.scores.jackknife import spectral_results_of_sums, unit_rows
from jessl.scores.registry import ScoreRequest, parse_score
from jessl.scores.result import ScoreResult
from jessl.scores.rows import as_rows, low_precision_dtype
from jessl.scores.score import LOW_PRECISION, blocks_for, checked_blocks
from jessl.scores.spectrum import Spectrum

# features that a process holds at a time: 256 MiB of float32
_ENTRIES = 2**26


def score_together(
    z: Embeddings,
    names: Iterable[str] = ("rankme",),
    *,
    jackknife: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, ScoreResult]:
    """Scores of the spectrum of z; each process of the group reads a share of the rows.

    All processes call it. Sums over rows are added up (`Spectrum.all_reduce`, 8 d^2 bytes for each
    jackknife block), and the first process computes the scores from them. They equal those of
    `jessl.score` up to the rounding of float64 sums (1e-6 relative).

    Example:
        score_together(jessl.Embeddings.load("emb", mmap=True), ("rankme", "alpha_req"))

    Args:
        z: the same on all processes; map its features (`mmap=True`), and one block of rows at a
            time is in memory.
        names: as for `jessl.score`, scores of the spectrum only (`jessl.scores.SPECTRAL`).
        jackknife, seed, progress: as for `jessl.score`.

    Raises:
        ValueError: for scores of rows, NaN or infinite rows, and as `Spectrum`.
    """
    requests = [parse_score(name) for name in names]
    for request in requests:
        if not isinstance(request.score, SpectralScore):
            raise mark_reported(
                ValueError(
                    f"{request.text}: expected scores of the spectrum with several processes "
                    "(--scores spectral); this one needs all rows in one process"
                )
            )
    jackknife = checked_blocks(jackknife)
    blocks = blocks_for(z.d) if jackknife is None else jackknife
    sums = on_all_ranks(_sums_of_share, z, requests, blocks, seed)
    for spectrum in sums.values():
        spectrum.all_reduce()
    return on_rank_zero(_results, z, requests, sums, seed, progress)


def _sums_of_share(
    z: Embeddings, requests: list[ScoreRequest], blocks: int, seed: int
) -> dict[str, Spectrum]:
    """Sums over this process's rows, as they are and of unit length, where a score needs them."""
    kinds = {r.score.rows for r in requests if isinstance(r.score, SpectralScore)}
    sums = {}
    if kinds & {"raw", "centred"}:
        sums["as they are"] = Spectrum(z.d, blocks=blocks, seed=seed)
    if "unit" in kinds:
        sums["unit"] = Spectrum(z.d, blocks=blocks, seed=seed)
    start, stop = (z.n * (collectives.rank() + k) // collectives.world() for k in (0, 1))
    step = max(1, _ENTRIES // z.d)
    for at in range(start, stop, step):
        part = slice(at, min(at + step, stop))
        rows, ids = as_rows(z.features[part]), z.ids[part]
        for kind, spectrum in sums.items():
            spectrum.update(unit_rows(rows) if kind == "unit" else rows, ids)
    return sums


def _results(
    z: Embeddings,
    requests: list[ScoreRequest],
    sums: dict[str, Spectrum],
    seed: int,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    counts = next(iter(sums.values())).counts
    results = spectral_results_of_sums(requests, sums, counts, z.d, seed, progress)
    dtype = low_precision_dtype(z)
    if dtype is not None:
        warning = LOW_PRECISION.format(dtype=dtype)
        results = {
            name: dataclasses.replace(r, warnings=(*r.warnings, warning))
            for name, r in results.items()
        }
    return results
