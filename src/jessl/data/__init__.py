"""Sources of images, their decoding and packing, and batches of their views.

May import core; never views, encoders, objectives, scores or probes.
"""

from __future__ import annotations

from jessl.data.decode.image import UnreadableImage
from jessl.data.loading.batch import Batch
from jessl.data.loading.loader import Loader
from jessl.data.open_source import open_source
from jessl.data.sources.base import Source
from jessl.data.sources.dataset import DatasetSource
from jessl.data.sources.relabel import unlabelled
from jessl.data.sources.split import split_by_class, split_source
from jessl.data.sources.subset import Subset
from jessl.data.statistics import band_statistics

__all__ = [
    "Batch",
    "DatasetSource",
    "Loader",
    "Source",
    "Subset",
    "UnreadableImage",
    "band_statistics",
    "open_source",
    "split_by_class",
    "split_source",
    "unlabelled",
]
