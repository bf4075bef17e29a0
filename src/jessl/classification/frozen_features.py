"""Features of the frozen encoder: of the labelled images, and of some others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jessl.classification.distance import LabelledNeighbours, unlike_the_labelled
from jessl.classification.finetune_folder import CACHE
from jessl.classification.finetune_job import FinetuneJob, rows_to_images
from jessl.classification.label_parts import LabelParts
from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset
from jessl.embeddings import Embeddings
from jessl.extraction.embedding_cache import EmbeddingCache

# images without a label that are compared with the labelled ones
_OTHERS = 500


def frozen_features(
    job: FinetuneJob, progress: ProgressCallback | None, stop: Callable[[], bool]
) -> Embeddings:
    """Of all labelled images and a sample of the others, computed once."""
    others = _sample_of_others(job.images, job.parts, job.config.seed)
    images = Subset(job.images, np.concatenate([job.parts.all, others]))
    opened = job.start.opened
    return EmbeddingCache(
        opened,
        job.out / CACHE / opened.sha256[:16],
        batch_size=256,
        workers=job.config.workers,
        log=job.log,
        stop=stop,
    ).embeddings(images.fingerprint(), images, progress=progress or (lambda _done, _all: None))


def _sample_of_others(images: Source, parts: LabelParts, seed: int) -> NDArray[np.int64]:
    """Some of the images without a label."""
    others = np.setdiff1d(np.arange(len(images)), parts.all)
    return np.sort(np.random.default_rng([seed, 10]).permutation(others)[:_OTHERS])


def unlike_warning(job: FinetuneJob, z: Embeddings) -> str | None:
    """A warning where the images without a label are unlike the labelled ones."""
    is_labelled = np.isin(rows_to_images(z, job.images), job.parts.all)
    x = np.asarray(z.features)
    distance = LabelledNeighbours.of(x[is_labelled], job.config.seed).quantile(x[~is_labelled])
    far = int(LabelledNeighbours.far(distance).sum())
    return unlike_the_labelled(far, len(distance), int(is_labelled.sum()))
