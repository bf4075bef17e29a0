"""The teacher of a distillation: its features of the plain training images, kept in the run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from jessl.config import ResolvedPretrain
from jessl.core.files import contained
from jessl.core.leftovers import other_names
from jessl.core.log import SILENT, Log
from jessl.core.process_group import all_ranks, on_all_ranks, on_rank_zero
from jessl.core.progress import ProgressBar
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.embeddings.folder import is_replaceable
from jessl.encoders import Encoder
from jessl.extraction.embed_to_folder import embed_to_folder
from jessl.extraction.extract import ExtractionJob
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.opened_encoder import weights_sha256
from jessl.extraction.part_folder import PARTS, DamagedPart
from jessl.extraction.reading import warn_unlike_training
from jessl.extraction.without_labels import without_labels
from jessl.pretraining.images import split_images

# where the features lie in the folder of the run
FOLDER = "teacher"
_BATCH_SIZE = 256


@dataclass(frozen=True)
class TeacherFacts:
    """What a run records of its teacher.

    Attributes:
        dim: width of its features.
        sha256: of its weights, or of the features where they are given.
    """

    dim: int
    sha256: str


@dataclass(frozen=True, eq=False)
class Targets:
    """Features of the training images, less their mean: rows in the order of the source.

    Attributes:
        features: float32 [rows, width], perhaps a memory map.
        rows: int64 [images], the row of each image; -1 where it cannot be read.
        mean: float32 [width].
    """

    features: NDArray[np.float32]
    rows: NDArray[np.int64]
    mean: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]:
        centred: NDArray[np.float32] = self.features[self.rows[indices]] - self.mean
        return centred


def inspect_teacher(teacher: str, source: Source) -> TeacherFacts:
    """Width and checksum of a teacher.

    Args:
        teacher: an encoder as `jessl.embed` takes it, or a folder of embeddings.
        source: the images that it is to see.

    Raises:
        ValueError: for an unknown encoder, or one for images of other channels.
    """
    if _is_embeddings(teacher):
        features = Embeddings.load(teacher)
        return TeacherFacts(features.features.shape[1], features.checksum())
    encoder, _ = _open_teacher(teacher, source)
    return TeacherFacts(encoder.dim, weights_sha256(encoder))


def teacher_targets(
    settings: ResolvedPretrain,
    source: Source,
    run: Path,
    device: torch.device,
    *,
    stop: Callable[[], bool],
    log: Log,
) -> Targets | None:
    """The features of all training images, read from the run or computed; None without a teacher.

    A central view of each image, as the teacher expects it, goes through the teacher once; a
    killed run continues with the parts that are finished. All ranks call it together, and each
    computes a share.

    Raises:
        ValueError: for a teacher with other weights than the run began with, or, where features are
            given, images without any.
        Stopped: when `stop` returned True; finished parts are kept.
    """
    if settings.teacher is None:
        return None
    train, _ = split_images(source, settings)
    images = without_labels(train)
    if _is_embeddings(settings.teacher):
        features = on_all_ranks(_given_features, settings)
        return _align(features, images, refuse_missing=True)
    folder = contained(run, FOLDER)
    key = f"{settings.teacher_sha256}/{images.fingerprint()}"
    if not on_rank_zero(_is_complete, folder, key):
        job = on_all_ranks(_job, settings, images, key, device)
        warn_unlike_training(job.meta or {}, images, log)
        with ProgressBar("teacher", quiet=log is SILENT, unit="images") as bar:
            embed = functools.partial(
                embed_to_folder, job, folder, stop=stop, progress=bar.update, log=log
            )
            try:
                embed()
            except DamagedPart as error:
                log.note(str(error))
                embed()
    return _align(on_all_ranks(_load, folder), images, refuse_missing=False)


def is_unfinished(folder: Path) -> bool:
    """Whether a folder holds nothing but features of a teacher: of a run killed before it began."""
    besides = frozenset({PARTS})
    return other_names(folder) == {FOLDER} and is_replaceable(folder / FOLDER, besides=besides)


def _is_embeddings(teacher: str) -> bool:
    folder = Path(teacher)
    return (folder / "meta.json").is_file() and is_replaceable(folder)


def _open_teacher(teacher: str, source: Source) -> tuple[Encoder, dict[str, object]]:
    try:
        encoder, _, provenance = open_encoder(teacher)
    except ValueError as error:
        raise ValueError(f"teacher: {error}") from None
    channels = 3 if source.bands is None else len(source.bands.names)
    if encoder.channels != channels:
        raise ValueError(
            f"teacher: expected an encoder of images with {channels} channels, got {teacher} with "
            f"{encoder.channels}"
        )
    return encoder.eval().requires_grad_(False), provenance


def _job(
    settings: ResolvedPretrain, images: Source, key: str, device: torch.device
) -> ExtractionJob:
    assert settings.teacher is not None
    encoder, provenance = _open_teacher(settings.teacher, images)
    sha256 = weights_sha256(encoder)
    if sha256 != settings.teacher_sha256:
        raise ValueError(
            f"teacher: expected the weights that the run began with, SHA-256 "
            f"{str(settings.teacher_sha256)[:12]}, got {settings.teacher} with {sha256[:12]}"
        )
    return ExtractionJob(
        encoder.to(device),
        None,
        images,
        ("backbone",),
        _BATCH_SIZE,
        settings.workers,
        {**provenance, "key": key},
        finite=True,
    )


def _is_complete(folder: Path, key: str) -> bool:
    try:
        return Embeddings.load(folder, mmap=True).meta.get("key") == key
    except (ValueError, FileNotFoundError):
        return False


def _load(folder: Path) -> Embeddings:
    return Embeddings.load(folder, mmap=True)


def _given_features(settings: ResolvedPretrain) -> Embeddings:
    assert settings.teacher is not None
    features = Embeddings.load(settings.teacher)
    if features.checksum() != settings.teacher_sha256:
        raise ValueError(
            f"teacher: expected the features that the run began with, got others in "
            f"{settings.teacher}"
        )
    return features


@all_ranks
def _align(features: Embeddings, images: Source, *, refuse_missing: bool) -> Targets:
    """Targets in the order of the images; those that cannot be read have none.

    Raises:
        ValueError: for images without features, where that is refused.
    """
    order = np.argsort(features.ids)
    place = np.searchsorted(features.ids, images.ids, sorter=order).clip(max=len(order) - 1)
    rows = order[place].astype(np.int64)
    rows[features.ids[rows] != images.ids] = -1
    missing = np.flatnonzero(rows < 0)
    if refuse_missing and len(missing):
        raise ValueError(
            f"teacher: expected features of all {len(images):,} training images, got none of "
            f"{len(missing):,}, such as {images.where(int(missing[0]))}"
        )
    held = np.sort(rows[rows >= 0])
    total = np.zeros(features.features.shape[1])
    for block in np.array_split(held, max(1, len(held) // 4096)):
        total += features.features[block].sum(axis=0, dtype=np.float64)
    mean = (total / max(1, len(held))).astype(np.float32)
    return Targets(features.features, rows, mean)
