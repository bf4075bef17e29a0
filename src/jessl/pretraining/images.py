"""Which images a run reads, trains on, and is evaluated on."""

from __future__ import annotations

import numpy as np

from jessl.config import Pretrain, ResolvedPretrain
from jessl.core.process_group import all_ranks, is_rank_zero, rank_zero
from jessl.data import Source, Subset, split_by_class, split_source
from jessl.data.options import open_configured

# images that RankMe is taken on: the number of the paper (section 3.2)
MOST_IMAGES = 25_600
# images of the fixed sample that is evaluated during training
_SAMPLE = 2_048


def open_images(config: Pretrain, source: Source | None) -> Source:
    """The images on every rank; where they must be downloaded, rank zero does it first."""
    if source is not None:
        return source
    opened: list[Source] = []

    @rank_zero
    def open_first() -> None:
        opened.append(open_configured(config))

    @all_ranks
    def open_elsewhere() -> Source:
        return opened[0] if is_rank_zero() else open_configured(config)

    open_first()
    return open_elsewhere()


def usable_images(config: Pretrain, source: Source) -> Source:
    """The images that a run may train on: all, or those with a label.

    Raises:
        ValueError: where there are to be labels and there are none.
    """
    if not config.labelled_only:
        return source
    rows = np.flatnonzero(source.labels >= 0) if source.labels is not None else np.arange(0)
    if not len(rows):
        raise ValueError(f"labelled_only: {source.name} has no labels")
    return source if len(rows) == len(source) else Subset(source, rows)


def split_images(source: Source, config: ResolvedPretrain) -> tuple[Source, Source]:
    """(images to train on, fixed sample); without a hold-out the sample is trained on as well.

    Args:
        source: all images of a run.
        config: of the run.
    """
    source = usable_images(config, source)
    if not config.holdout:
        return source, limit_images(source, _SAMPLE, config.seed)
    if config.labelled_only:
        return split_by_class(source, config.holdout, config.seed)
    return split_source(source, config.holdout / len(source), config.seed)


def limit_images(source: Source, most: int, seed: int) -> Source:
    """At most `most` images of a source, chosen by a hash of their ids."""
    return source if len(source) <= most else split_source(source, most / len(source), seed)[1]


def evaluation_images(config: ResolvedPretrain, source: Source) -> Source:
    """Training images that a run is evaluated on at its end, at most MOST_IMAGES.

    Args:
        config: of the run.
        source: all its images.
    """
    train, _ = split_images(source, config)
    return limit_images(train, MOST_IMAGES, config.seed)
