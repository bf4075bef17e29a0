"""Embeddings of the checkpoints of a run, kept in the run and reused where nothing changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset, open_source, unlabelled
from jessl.data.options import open_configured
from jessl.embeddings import Embeddings
from jessl.extraction.embed import embed
from jessl.pretraining.images import evaluation_images, limit_images
from jessl.runs import Run
from jessl.training import checkpoint
from jessl.views.presets import COMPARISON

# images and views of each for scores of views
_VIEW_IMAGES, _VIEWS = 1_000, 4


def checkpoint_embeddings(
    run: Run,
    layer: str,
    step: int,
    path: Path,
    images: TrainingImages,
    workers: int | None,
    device: str,
    progress: ProgressCallback | None,
    *,
    views: bool = False,
) -> Embeddings:
    """The embeddings of a checkpoint: read if they were kept, else computed and kept.

    Args:
        views: four views of each of at most 1,000 images, instead of one central view of all.
    """
    kept = run.embeddings(f"{path.name}/views/{layer}" if views else f"{path.name}/{layer}")
    weights = _checksum(path)
    if kept.is_dir():
        z = Embeddings.load(kept)
        if z.meta.get("judged") == [weights, images.identity()]:
            return z
    final = run.embeddings(layer)
    if final.is_dir() and images.requested is None and not views:
        z = Embeddings.load(final)
        if str(z.meta.get("weights", "")).endswith(f", step {step}"):
            return z
    source = images.source()
    embedded = embed(
        path,
        limit_images(source, _VIEW_IMAGES, 0) if views else source,
        layers=(layer,),
        workers=workers,
        device=device,
        progress=progress,
        views=COMPARISON if views else None,
        n_views=_VIEWS if views else None,
    )
    assert isinstance(embedded, Embeddings)
    meta = {**embedded.meta, "judged": [weights, images.identity()]}
    z = Embeddings(embedded.features, None, embedded.ids, meta, names=embedded.names)
    z.save(kept)
    return z


def _checksum(path: Path) -> str:
    """SHA-256 of the weights of a checkpoint (hexadecimal); "" where they were removed."""
    file = path / checkpoint.MODEL
    if not file.is_file():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class TrainingImages:
    """The training images on which a run is scored, opened when they are first needed.

    Args:
        run: the run.
        requested: the images as the caller passed them; None: as the run's configuration has them.
        warnings: receives a line where the images cannot be shown to be those of the run.
    """

    def __init__(
        self, run: Run, requested: Source | str | Path | None, warnings: list[str]
    ) -> None:
        self.run = run
        self.requested = requested
        self._warnings = warnings
        self._source: Source | None = None
        self._same = True

    def identity(self) -> str:
        """The identity of the images, kept with embeddings; the images are opened if necessary.

        Configured images are taken to be those of the run, until opening them shows otherwise.
        """
        if self.requested is None and self._same:
            return f"of the run, {self.run.facts().get('data_fingerprint')}"
        return self.source().fingerprint()

    def source(self) -> Source:
        """The images without labels.

        Raises:
            ValueError: where they are not the images that the run was trained on.
        """
        if self._source is None:
            self._source = self._open()
        return self._source

    def _open(self) -> Source:
        config = self.run.resolved_config()
        if self.requested is None:
            source = open_configured(config)
        else:
            source = open_source(self.requested, bits=config.bits, value_range=config.value_range)
        images = unlabelled(source)
        # the training may have used its images with or without labels
        same = self.run.facts().get("data_fingerprint") in (
            source.fingerprint(),
            images.fingerprint(),
        )
        self._same = same
        final = self.run.embeddings("backbone")
        if final.is_dir():
            index = images.index_of(Embeddings.load(final, mmap=True).ids)
            if (index < 0).any():
                raise ValueError(
                    f"data: {images.name} lacks images that run {self.run.path} was trained on"
                )
            if not same:
                self._warnings.append(
                    f"by its checksum {images.name} is not exactly what the run was trained on: "
                    "its images are matched by their ids"
                )
            return Subset(images, index)
        if not same:
            raise ValueError(
                f"data: by its checksum {images.name} is not what run {self.run.path} was "
                "trained on"
            )
        return evaluation_images(config, images)
