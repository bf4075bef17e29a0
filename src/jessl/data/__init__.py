"""Sources of images, and batches of their views."""

from __future__ import annotations

from jessl.data.decode import UnreadableImage
from jessl.data.loader import Batch, Loader
from jessl.data.sources import Source, Subset, open_source, split, unlabelled

__all__ = [
    "Batch",
    "Loader",
    "Source",
    "Subset",
    "UnreadableImage",
    "open_source",
    "split",
    "unlabelled",
]
