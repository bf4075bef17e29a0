"""A cache of embeddings on disk, with the time that their encoder took."""

from __future__ import annotations

import hashlib
import json
import re
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from jessl.core.files import contained
from jessl.core.leftovers import other_names, remove_tree
from jessl.core.log import Log
from jessl.core.progress import ProgressCallback
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.embed_to_folder import embed_to_folder
from jessl.extraction.extract import ExtractionJob
from jessl.extraction.opened_encoder import OpenedEncoder
from jessl.extraction.part_folder import PARTS, DamagedPart
from jessl.extraction.reading import warn_unlike_training
from jessl.extraction.without_labels import without_labels
from jessl.views import Views

# raised when features of the same key may differ from those of an earlier release
_VERSION = 1


class EmbeddingCache:
    """The embeddings of one encoder in a folder of its own; a killed command resumes.

    Args:
        opened: the encoder.
        folder: where its embeddings go.
        batch_size, workers: as of `embed`.
        log: gets a note for whatever in the folder cannot be used.
        stop: called after every batch; True raises Stopped.
        mmap: leave the features on disk.
    """

    def __init__(
        self,
        opened: OpenedEncoder,
        folder: Path,
        *,
        batch_size: int,
        workers: int | None,
        log: Log,
        stop: Callable[[], bool],
        mmap: bool = False,
    ) -> None:
        self._opened = opened
        self._folder = folder
        self._batch_size = batch_size
        self._workers = workers
        self._log = log
        self._stop = stop
        self._mmap = mmap

    def embeddings(
        self,
        what: str,
        source: Source,
        *,
        views: Views | None = None,
        seed: int = 0,
        progress: ProgressCallback = lambda _done, _all: None,
    ) -> Embeddings:
        """Embeddings at the backbone, read from the folder where they are complete.

        Args:
            what: name of their folder: embeddings, views, test.
            source: the images; labels and groups are added to the rows afterwards and are not
                part of the key.
            views: random ones instead of the central one.
            seed: of the views.
            progress: called with (images done, images in all).

        Raises:
            ValueError: when not one image can be read, or a feature is not finite.
            Stopped: when `stop` returned True; finished parts stay.
        """
        images = without_labels(source)
        warn_unlike_training(self._opened.provenance, images, self._log)
        key = self._key(images, views, seed)
        # the folder of all encoders is the given one: links in it are not followed
        folder = contained(self._folder.parent, self._folder.name, what)
        cached = self._load(folder, key)
        if cached is None:
            self._remove_former_parts(what)
            job = ExtractionJob(
                self._opened.encoder,
                None,
                images,
                ("backbone",),
                self._batch_size,
                self._workers,
                {**self._opened.provenance, "key": key},
                views,
                seed,
                timed=True,
                finite=True,
            )
            self._embed(job, folder, progress)
            cached = Embeddings.load(folder, mmap=self._mmap)
        current = _with_labels_of(cached, source)
        same_labels = _equal(current.labels, cached.labels)
        # embeddings of earlier releases have no names
        if not (same_labels and _equal(current.groups, cached.groups) and cached.names):
            current.save(folder)
        progress(len(images), len(images))
        return current

    def _key(self, images: Source, views: Views | None, seed: int) -> str:
        """A hash of all that embeddings depend on: 32 hexadecimal digits."""
        origin = {
            "version": _VERSION,
            "encoder": self._opened.spec,
            "weights": self._opened.sha256,
            "preprocess": asdict(self._opened.encoder.preprocess),
            "images": images.fingerprint(),
            "views": None if views is None else [views.as_dict(), seed],
        }
        return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:32]

    def _load(self, folder: Path, key: str) -> Embeddings | None:
        """The embeddings in a folder, where they are complete and of the same key."""
        if not other_names(folder) - {PARTS}:
            return None
        try:
            cached = Embeddings.load(folder, mmap=self._mmap)
        except ValueError as error:
            self._log.note(f"{error}; embedded again")
            return None
        if cached.meta.get("key") != key:
            self._log.note(
                f"{folder} is of other weights, images, views or preprocessing; embedded again"
            )
            return None
        return cached

    def _embed(self, job: ExtractionJob, folder: Path, progress: ProgressCallback) -> None:
        def embed() -> None:
            embed_to_folder(job, folder, stop=self._stop, progress=progress, log=self._log)

        try:
            embed()
        except DamagedPart as error:
            self._log.note(str(error))
            embed()

    def _remove_former_parts(self, what: str) -> None:
        """Remove the unfinished parts of an earlier release, which kept them beside the folder."""
        parts = contained(self._folder.parent, self._folder.name, f"{what}.parts")
        if parts.is_dir() and all(re.fullmatch(r"\d{9,}", name) for name in other_names(parts)):
            self._log.note(f"{parts} is of an earlier release; embedded again")
            with suppress(OSError):
                remove_tree(parts)


def inference_cost(embeddings: Embeddings) -> dict[str, float | int | str | bool] | None:
    """Milliseconds per image that the encoder took when the embeddings were computed.

    The median over full batches after the first (which warms up), else over what there is, with
    the quartiles, the number of batches, their size, the device, and whether it was warm.
    """
    forwards = embeddings.meta.get("forwards") or []
    warm = [f for f in forwards if not f[2]]
    counted = [f for f in warm if f[0] == f[3]] or warm or forwards
    if not counted:
        return None
    each = sorted(ms / images for images, ms, _, _, _ in counted)
    low, high = (float(q) for q in np.quantile(each, (0.25, 0.75)))
    return {
        "ms_per_image": statistics.median(each),
        "low": low,
        "high": high,
        "batches": len(each),
        "batch_size": max(f[0] for f in counted),
        "device": "; ".join(sorted({f[4] for f in counted})),
        "warm": bool(warm),
    }


def _with_labels_of(embeddings: Embeddings, source: Source) -> Embeddings:
    """The same rows with the labels and groups that the source has now."""
    rows = source.index_of(embeddings.ids)
    classes = None if source.classes is None else list(source.classes)
    return Embeddings(
        embeddings.features,
        None if source.labels is None else source.labels[rows],
        embeddings.ids,
        {**embeddings.meta, "classes": classes},
        None if source.groups is None else source.groups[rows],
        source.names(rows),
    )


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)
