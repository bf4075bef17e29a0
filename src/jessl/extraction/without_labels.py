"""The images of a source alone: embeddings do not depend on labels."""

from __future__ import annotations

from jessl.data import Source, Subset, unlabelled
from jessl.data.sources.relabel import SourceWithLabels


def without_labels(source: Source) -> Source:
    """The images without labels and groups: with others they are the same images."""
    if isinstance(source, Subset):
        return Subset(without_labels(source.source), source.indices)
    # a subclass reads its images in another way, such as all bands
    while type(source) is SourceWithLabels:
        source = source.source
    return source if source.labels is None and source.groups is None else unlabelled(source)
