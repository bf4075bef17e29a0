"""Sources of images, and batches of their views."""

from __future__ import annotations

from jessl.data.decode.image import UnreadableImage
from jessl.data.loading.loader import Batch, Loader
from jessl.data.open_source import open_source
from jessl.data.sources.base import Source, Subset, split_source, unlabelled
from jessl.data.sources.dataset import DatasetSource

__all__ = [
    "Batch",
    "DatasetSource",
    "Loader",
    "Source",
    "Subset",
    "UnreadableImage",
    "open_source",
    "split_source",
    "unlabelled",
]
