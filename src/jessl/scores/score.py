"""The verb `score`: label-free scores of embeddings with their spread, conventions and doubts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from jessl.core.deprecation import renamed_arguments
from jessl.core.hashing import splitmix64
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_int
from jessl.embeddings import Embeddings
from jessl.scores.base import RowScore
from jessl.scores.jackknife import of_rows, of_spectrum
from jessl.scores.multiview import MultiView, as_multiview, has_views
from jessl.scores.registry import OF_VIEWS, ScoreRequest, parse_score
from jessl.scores.result import ScoreResult
from jessl.scores.rows import as_ids, as_rows, on_cuda, stored_as

# blocks of the jackknife by the number of features: a deletion costs d^3
BLOCKS = ((2048, 20), (4096, 10))
FEWEST_BLOCKS = 6
MOST_BLOCKS = 10_000


@renamed_arguments(on_block="progress")
def score(
    z: Any,
    names: str | Iterable[str] = ("rankme",),
    *,
    views: Any = None,
    jackknife: int | None = None,
    ids: Any = None,
    seed: int = 0,
    converge: bool = False,
    progress: ProgressCallback | None = None,
) -> dict[str, ScoreResult]:
    """Label-free scores of one matrix of features, from one pass over the rows.

    Args:
        z: [n, d] array, tensor or Embeddings, all finite; None where only scores of views are
            asked for.
        names: scores, "NAME" or with options "NAME:OPTION=VALUE"; `jessl.scores.SCORES` has them.
        views: what scores of views (lidar, alignment) judge: [views, n, d], a list of [n, d], or
            Embeddings in which rows of one id are views of one image. None: z, where it is such
            Embeddings.
        jackknife: blocks, 2 to 10,000, or 0 for no spread. None: 20 for d up to 2,048, 10 up to
            4,096, 6 beyond; the interval is as much wider. A deletion costs one more spectrum
            (d = 2048: about half a second of a core; they run on all cores).
        ids: [n] whole numbers that name the rows of z (without z the images of the views); None:
            those of the Embeddings, else the row numbers. They decide, with the seed, which rows
            form a block: the order of rows with ids of their own does not matter.
        seed: of the blocks, and of the rows that costly scores choose.
        converge: fill `.curve` with the values of a quarter, half and all of the rows.
        progress: told (spectra done, spectra in all).

    Returns:
        {name: ScoreResult}, in the order of `names`, by the names as asked for. Memory beside z:
        24 min(n, d)^2 bytes a core, up to 1 GiB for the blocks and for n < d z in float64; scores
        of unit rows (matrix_entropy, self_cluster) as much again and a copy of z, scores of rows
        one or two copies.

    Raises:
        ValueError: for unknown names (with the nearest), NaN or infinite rows (counted), and
            arguments out of range.
    """
    listed = [names] if isinstance(names, str) else names
    listed = list(listed) if isinstance(listed, Iterable) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise ValueError(f"names: needs names of scores, got {names!r}")
    seed = check_int("seed", seed, None)
    wanted = {n: parse_score(n) for n in listed}
    of_views = [a for a in wanted.values() if isinstance(a.score, RowScore) and a.score.views]
    if views is not None and not of_views:
        raise ValueError(
            f"views: none of the scores {', '.join(wanted)} uses views ({', '.join(OF_VIEWS)} do)"
        )
    if views is None and of_views:
        if not has_views(z):
            raise ValueError(
                f"{of_views[0].text}: needs several views of each image: `views`, or Embeddings in "
                "which rows of one id are views of one image (embed with views makes them)"
            )
        views = z
    if jackknife is not None:
        jackknife = check_int("jackknife", jackknife, None)
        if not (jackknife == 0 or 2 <= jackknife <= MOST_BLOCKS):
            raise ValueError(f"jackknife: needs 0 or 2 .. {MOST_BLOCKS:,} blocks, got {jackknife}")
    found: dict[str, ScoreResult] = {}
    if views is not None:
        seen = as_multiview(views, ids if z is None else None)
        found |= _judged(of_views, seen, jackknife, seed, converge, None)
    rest = [a for a in wanted.values() if a not in of_views]
    if rest:
        if z is None:
            raise ValueError(f"z: {rest[0].text} needs rows [n, d], got None")
        if ids is None and isinstance(z, Embeddings):
            ids = z.ids
        rows = as_rows(z)
        names_of_rows = np.arange(len(rows)) if ids is None else as_ids(ids, len(rows))
        found |= _judged(rest, MultiView(rows, names_of_rows), jackknife, seed, converge, progress)
    kind = stored_as(views if z is None else z)
    if kind is not None:
        told = f"the features were kept as {kind}: a rank may be up to 13 % too high; use float32"
        found = {
            name: dataclasses.replace(r, warnings=(*r.warnings, told)) for name, r in found.items()
        }
    return {name: found[name] for name in wanted}


def blocks_for(d: int) -> int:
    """Jackknife blocks for d features where nothing else is asked for."""
    return next((blocks for most, blocks in BLOCKS if d <= most), FEWEST_BLOCKS)


def _judged(
    wanted: list[ScoreRequest],
    held: MultiView,
    jackknife: int | None,
    seed: int,
    converge: bool,
    progress: ProgressCallback | None,
) -> dict[str, ScoreResult]:
    """Results of scores that take the same rows: all of views, or none."""
    blocks = blocks_for(held.z.shape[-1]) if jackknife is None else jackknife
    spectral = [a for a in wanted if not isinstance(a.score, RowScore)]
    found = of_spectrum(spectral, *held, blocks, seed, progress) if spectral else {}
    for one in wanted:
        if isinstance(one.score, RowScore):
            found[one.text] = of_rows(
                one, *_shuffled(held, seed, one.score.most_rows), blocks, seed
            )
    if converge:
        # scores that use the same number of rows share the subsets
        for n in {result.n for result in found.values()}:
            same = [a for a in wanted if found[a.text].n == n]
            curves: dict[str, list[tuple[int, float]]] = {a.text: [] for a in same}
            for part in sorted({max(1, n // 4), max(1, n // 2)} - {n}):
                few = _judged(same, _shuffled(held, seed, part), 0, seed, False, None)
                for text, result in few.items():
                    curves[text].append((part, result.value))
            for text, values in curves.items():
                curve = (*values, (n, found[text].value))
                found[text] = dataclasses.replace(found[text], curve=curve)
    return found


def _shuffled(held: MultiView, seed: int, most: int | None) -> MultiView:
    """The rows in an order that depends on their ids and the seed only; at most so many."""
    shift = splitmix64(np.array([(seed + 1) & (2**64 - 1)], np.uint64))
    key = splitmix64(splitmix64(held.ids.astype(np.uint64)) + shift)
    order = np.lexsort((held.ids, key))[:most]
    if on_cuda(held.z):
        import torch

        return MultiView(held.z[torch.from_numpy(order).to(held.z.device)], held.ids[order])
    return MultiView(held.z[..., order, :], held.ids[order])
