"""View retrieval during and after training: does the encoder find the other view of an image?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from jessl.core import collectives
from jessl.core.process_group import all_gather_object, all_ranks, rank_zero
from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extraction.embed import repeat_views
from jessl.extraction.extract import NothingReadable, extract
from jessl.extraction.rotations import TURNS, embed_rotations
from jessl.pretraining.evaluate import score_record
from jessl.pretraining.images import limit_images
from jessl.records import Record
from jessl.schema import VIEW_RETRIEVAL
from jessl.scores import score
from jessl.views.presets import COMPARISON
from jessl.views.recipe_key import recipe_key

# images of the sample: 2 views of each cost about 1 % of an epoch of 50,000 images, and the
# standard error is one point
_IMAGES = 1_200
_VIEWS = 2
# views of an image at the end of a run, where their embeddings are kept for other scores
_FINAL_VIEWS = 4


def count_online(sample: Source) -> int:
    """Views that `evaluate_views` embeds."""
    return _VIEWS * len(limit_images(sample, _IMAGES, 0))


def count_final(sample: Source) -> tuple[int, int]:
    """Views that `embed_views` embeds, and turned images that `rotation_record` embeds."""
    n = len(limit_images(sample, _IMAGES, 0))
    return _FINAL_VIEWS * n, TURNS * n


def evaluate_views(
    encoder: Encoder,
    sample: Source,
    *,
    workers: int | None,
    progress: ProgressCallback | None = None,
) -> dict[str, float]:
    """View retrieval at the backbone on a fixed sample, under one recipe for all runs.

    All ranks call it together, each with a share of the images; the rows are gathered. The views
    depend on the images alone, so every evaluation of a run has the same ones.

    Returns:
        {"view_retrieval/backbone": ...}, the same on all ranks; NaN where a feature is not finite,
        and {} for fewer than two readable images.
    """
    few = limit_images(sample, _IMAGES, 0)
    mine = np.arange(collectives.rank(), len(few), collectives.world())
    views = repeat_views(COMPARISON, _VIEWS, encoder.preprocess)

    @all_ranks
    def extract_share() -> tuple[np.ndarray, np.ndarray] | None:
        if not len(mine):
            return None
        try:
            share = few if len(mine) == len(few) else Subset(few, mine)
            rows = extract(
                encoder,
                None,
                share,
                layers=("backbone",),
                workers=workers,
                views=views,
                progress=progress,
            )["backbone"]
        except NothingReadable:
            return None
        return rows.features, rows.ids

    parts = [part for part in all_gather_object(extract_share()) if part is not None]
    return _retrieval(parts)


def embed_views(
    encoder: Encoder,
    sample: Source,
    *,
    workers: int | None,
    meta: Mapping[str, object],
    progress: ProgressCallback | None = None,
) -> Embeddings | None:
    """Embeddings of four views of each image of the sample, for scores of views at the end.

    None where fewer than two images can be read.
    """
    few = limit_images(sample, _IMAGES, 0)
    views = repeat_views(COMPARISON, _FINAL_VIEWS, encoder.preprocess)
    try:
        z = extract(
            encoder,
            None,
            few,
            layers=("backbone",),
            workers=workers,
            views=views,
            meta=meta,
            progress=progress,
        )["backbone"]
    except NothingReadable:
        return None
    return z if z.n > _FINAL_VIEWS else None


def rotation_record(
    encoder: Encoder,
    sample: Source,
    here: Record,
    *,
    workers: int | None,
    begin: Callable[[], ProgressCallback | None] = lambda: None,
) -> list[Record]:
    """The rotation probe at the end of a run; none where it is not defined.

    Args:
        here: a record of the run at its last step.
        begin: called before each embedding; gives the callback that follows it.
    """
    few = limit_images(sample, _IMAGES, 0)
    try:
        turned = embed_rotations(encoder, few, workers=workers, begin=begin)
    except NothingReadable:
        return []
    if not np.isfinite(turned.features).all():
        return []
    result = score(turned, "rotation")["rotation"]
    if not math.isfinite(result.value):
        return []
    return [score_record(here, "rotation/backbone", result, result.warnings)]


def view_retrieval_record(z: Embeddings, untrained: object, here: Record) -> Record:
    """The final record of view retrieval, with its error bar and the value before training.

    Args:
        here: a record of the run at its last step.
    """
    result = score(z, "view_retrieval")["view_retrieval"]
    warnings = list(result.warnings)
    if isinstance(untrained, float) and result.high is not None and result.high < untrained:
        warnings.append(
            f"below the encoder before training ({untrained:.3g}): the training has made it worse "
            "at telling images apart"
        )
    result = dataclasses.replace(
        result, params={**result.params, "recipe": recipe_key(z.meta["views"])}
    )
    return score_record(here, VIEW_RETRIEVAL, result, warnings, untrained=untrained)


@rank_zero
def _retrieval(parts: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    if sum(len(ids) for _, ids in parts) < 2 * _VIEWS:
        return {}
    features, ids = (np.concatenate([part[k] for part in parts]) for k in range(2))
    if not np.isfinite(features).all():
        return {VIEW_RETRIEVAL: math.nan}
    result = score(Embeddings(features, None, ids), "view_retrieval", jackknife=0)
    return {VIEW_RETRIEVAL: result["view_retrieval"].value}
