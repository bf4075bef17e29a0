"""Sources of images, and batches of their views."""

from __future__ import annotations

from jessl.data.dataset import DatasetSource
from jessl.data.decode import UnreadableImage
from jessl.data.loader import Batch, Loader
from jessl.data.opening import open_source
from jessl.data.sources import Source, Subset, split, unlabelled

__all__ = [
    "Batch",
    "DatasetSource",
    "Loader",
    "Source",
    "Subset",
    "UnreadableImage",
    "open_source",
    "split",
    "unlabelled",
]
