"""The function `score`: label-free scores of embeddings with spread, conventions and warnings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jessl.config import Score
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.hashing import splitmix64
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_int
from jessl.embeddings import Embeddings, as_embeddings
from jessl.scores.base import RowScore
from jessl.scores.jackknife import row_result, spectral_results_of_rows
from jessl.scores.multiview import MultiView, as_multiview, equal_views, has_views, recipe_of
from jessl.scores.registry import (
    OF_VIEWS,
    ScoreRequest,
    expand_groups,
    has_recipe,
    parse_score,
)
from jessl.scores.result import ScoreResult
from jessl.scores.rows import as_ids, as_rows, is_cuda_tensor, low_precision_dtype

# blocks of the jackknife by the number of features: leaving out a block costs d^3
BLOCKS = ((2048, 20), (4096, 10))
BLOCKS_BEYOND = 6
MOST_BLOCKS = 10_000
LOW_PRECISION = (
    "the features were stored as {dtype}: a rank may be up to 13 % too high; use float32"
)


@takes_options(Score, embeddings="z", scores="names")
@renamed_arguments(on_block="progress")
def score(
    z: object,
    names: str | Iterable[str] = ("rankme",),
    *,
    views: object = None,
    jackknife: int | None = None,
    ids: object = None,
    seed: int = 0,
    converge: bool = False,
    progress: ProgressCallback | None = None,
) -> dict[str, ScoreResult]:
    """Label-free scores of one matrix of features, from one pass over the rows.

    Example:
        results = jessl.score(z, ("rankme", "alpha_req:first=2:last=20"))
        print(results["rankme"])

    Args:
        z: [n, d] array, tensor or Embeddings, all finite; None where only scores of views are
            requested.
        names: scores, "NAME" or with options "NAME:OPTION=VALUE"; `jessl.scores.SCORES` has them.
            "spectral": all that need only the spectrum; "all": all that z and views allow.
        views: the input of scores of views (lidar, alignment): [views, n, d], a list of [n, d], or
            Embeddings in which rows of one id are views of one image. None: z, where it is such
            Embeddings.
        ids: [n] whole numbers that name the rows of z (without z the images of the views); None:
            those of the Embeddings, else the row numbers. Together with the seed they determine
            which rows form a block, so the order of rows with ids of their own does not matter.
        progress: called with (spectra done, spectra in all).

    Returns:
        {name: ScoreResult}, in the order of `names`, keyed by the names as written. Memory beside
        z: 24 min(n, d)^2 bytes a core, up to 1 GiB for the blocks and for n < d z in float64;
        scores of unit rows (matrix_entropy, self_cluster) as much again and a copy of z, scores
        of rows one or two copies.

    Raises:
        ValueError: for unknown names (with the nearest), NaN or infinite rows (counted), and
            arguments out of range.
    """
    if isinstance(z, str | Path):
        z = as_embeddings(z)
    listed = [names] if isinstance(names, str) else names
    listed = list(listed) if isinstance(listed, Iterable) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"names: expected names of scores, got {names!r}")
    seed = check_int("seed", seed, None)
    listed = expand_groups(
        listed,
        views=views is not None or ("all" in listed and equal_views(z)),
        recipe=recipe_of(z if views is None else views),
    )
    requests = {name: parse_score(name) for name in listed}
    of_views = [r for r in requests.values() if isinstance(r.score, RowScore) and r.score.views]
    if views is not None and not of_views:
        raise ValueError(
            f"views: none of the scores {', '.join(requests)} uses views ({', '.join(OF_VIEWS)} do)"
        )
    if views is None and of_views:
        if not has_views(z):
            raise ValueError(
                f"{of_views[0].text}: expected several views of each image: `views`, or Embeddings "
                "in which rows of one id are views of one image (embed with views makes them)"
            )
        views = z
    jackknife = checked_blocks(jackknife)
    results: dict[str, ScoreResult] = {}
    if views is not None:
        for request in of_views:
            _check_recipe(request, views)
        multiview = as_multiview(views, ids if z is None else None)
        results |= _compute(of_views, multiview, jackknife, seed, converge, None)
    of_rows = [r for r in requests.values() if r not in of_views]
    if of_rows:
        if z is None:
            raise ValueError(f"z: expected rows [n, d] for {of_rows[0].text}, got None")
        if ids is None and isinstance(z, Embeddings):
            ids = z.ids
        rows = as_rows(z)
        row_ids = np.arange(len(rows)) if ids is None else as_ids(ids, len(rows))
        results |= _compute(of_rows, MultiView(rows, row_ids), jackknife, seed, converge, progress)
    dtype = low_precision_dtype(views if z is None else z)
    if dtype is not None:
        warning = LOW_PRECISION.format(dtype=dtype)
        results = {
            name: dataclasses.replace(r, warnings=(*r.warnings, warning))
            for name, r in results.items()
        }
    return {name: results[name] for name in requests}


def _check_recipe(request: ScoreRequest, views: object) -> None:
    """Refuse embeddings of other views than those that a score is defined for."""
    if isinstance(views, Embeddings) and not has_recipe(request.score, recipe_of(views)):
        assert isinstance(request.score, RowScore)
        raise ValueError(
            f"{request.text}: expected embeddings of {request.score.recipe}, got other views "
            "(jessl.extraction.rotations.embed_rotations makes them)"
        )


def checked_blocks(jackknife: int | None) -> int | None:
    """The number of jackknife blocks: None, 0, or 2 to 10,000."""
    if jackknife is None:
        return None
    jackknife = check_int("jackknife", jackknife, None)
    if not (jackknife == 0 or 2 <= jackknife <= MOST_BLOCKS):
        raise ValueError(f"jackknife: expected 0 or 2 .. {MOST_BLOCKS:,} blocks, got {jackknife}")
    return jackknife


def blocks_for(d: int) -> int:
    """The default number of jackknife blocks for d features."""
    return next((blocks for most, blocks in BLOCKS if d <= most), BLOCKS_BEYOND)


def _compute(
    requests: list[ScoreRequest],
    data: MultiView,
    jackknife: int | None,
    seed: int,
    converge: bool,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    """Results of scores that take the same rows: all of views, or none."""
    blocks = blocks_for(data.z.shape[-1]) if jackknife is None else jackknife
    spectral = [r for r in requests if not isinstance(r.score, RowScore)]
    results = spectral_results_of_rows(spectral, *data, blocks, seed, progress) if spectral else {}
    for request in requests:
        if isinstance(request.score, RowScore):
            shuffled = _shuffle(data, seed, request.score.most_rows)
            results[request.text] = row_result(request, *shuffled, blocks, seed)
    if converge:
        # scores that use the same number of rows share the subsets
        for n in {result.n for result in results.values()}:
            same = [r for r in requests if results[r.text].n == n]
            curves: dict[str, list[tuple[int, float]]] = {r.text: [] for r in same}
            for part in sorted({max(1, n // 4), max(1, n // 2)} - {n}):
                subset = _compute(same, _shuffle(data, seed, part), 0, seed, False, None)
                for text, result in subset.items():
                    curves[text].append((part, result.value))
            for text, values in curves.items():
                curve = (*values, (n, results[text].value))
                results[text] = dataclasses.replace(results[text], curve=curve)
    return results


def _shuffle(data: MultiView, seed: int, most: int | None) -> MultiView:
    """At most so many rows, in an order that depends only on their ids and the seed."""
    shift = splitmix64(np.array([(seed + 1) & (2**64 - 1)], np.uint64))
    key = splitmix64(splitmix64(data.ids.astype(np.uint64)) + shift)
    order = np.lexsort((data.ids, key))[:most]
    if is_cuda_tensor(data.z):
        import torch

        return MultiView(data.z[torch.from_numpy(order).to(data.z.device)], data.ids[order])
    return MultiView(data.z[..., order, :], data.ids[order])
