"""A cache of embeddings on disk, written in parts so that a killed command resumes."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence, Sized
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from jessl.core.files import contained
from jessl.core.interruption import Stopped
from jessl.core.leftovers import remove_leftovers, remove_tree
from jessl.core.log import Log
from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset, UnreadableImage
from jessl.embeddings import Embeddings
from jessl.extraction.extract import NothingReadable, extract
from jessl.extraction.opened_encoder import OpenedEncoder
from jessl.extraction.without_labels import without_labels
from jessl.views import Views

# images of a part; of random views so many views
PART_IMAGES = 4096
# raised when features of the same key may differ from those of an earlier release
_VERSION = 1


class ForwardTimer:
    """Measures the time of an encoder for each batch, without the reading of images."""

    def __init__(self, encoder: nn.Module) -> None:
        self._device = next(encoder.parameters()).device
        self._taken: list[tuple[int, float, bool]] = []
        self._first = True
        self._start = 0.0
        self._handles = [
            encoder.register_forward_pre_hook(self._before),
            encoder.register_forward_hook(self._after),
        ]

    def remove(self) -> None:
        """Leave the encoder as it was."""
        for handle in self._handles:
            handle.remove()

    def take(self) -> list[tuple[int, float, bool]]:
        """(images, milliseconds, whether it was the first of all) since the last call."""
        taken, self._taken = self._taken, []
        return taken

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _before(self, _module: nn.Module, _inputs: object) -> None:
        self._start = self._now()

    def _after(self, _module: nn.Module, inputs: Sequence[Sized], _output: object) -> None:
        self._taken.append((len(inputs[0]), 1000 * (self._now() - self._start), self._first))
        self._first = False


class EmbeddingCache:
    """The embeddings of one encoder in a folder of its own.

    Args:
        opened: the encoder.
        folder: where its embeddings go.
        batch_size, workers: as of `embed`.
        log: gets a note for whatever in the folder cannot be used.
        stop: called after every batch; True raises Stopped.
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
    ) -> None:
        self._opened = opened
        self._folder = folder
        self._batch_size = batch_size
        self._workers = workers
        self._log = log
        self._stop = stop
        self._forwards = ForwardTimer(opened.encoder)

    def close(self) -> None:
        """Leave the encoder as it was."""
        self._forwards.remove()

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
            Stopped: when `stop` returned True; complete parts stay.
        """
        images = without_labels(source)
        key = self._key(images, views, seed)
        # the folder of all encoders is the given one: links in it are not followed
        folder, parts = (
            contained(self._folder.parent, self._folder.name, name)
            for name in (what, f"{what}.parts")
        )
        cached = self._load(folder, key)
        if cached is None:
            remove_leftovers(parts)
            cached = self._embed_all(images, views, seed, parts, key, progress)
            _with_labels_of(cached, source).save(folder)
        with suppress(OSError):
            remove_tree(parts)
        current = _with_labels_of(cached, source)
        if not (_equal(current.labels, cached.labels) and _equal(current.groups, cached.groups)):
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
        if not folder.exists():
            return None
        try:
            cached = Embeddings.load(folder)
        except ValueError as error:
            self._log.note(f"{error}; embedded again")
            return None
        if cached.meta.get("key") != key:
            self._log.note(
                f"{folder} is of other weights, images, views or preprocessing; embedded again"
            )
            return None
        return cached

    def _embed_all(
        self,
        images: Source,
        views: Views | None,
        seed: int,
        parts: Path,
        key: str,
        progress: ProgressCallback,
    ) -> Embeddings:
        step = PART_IMAGES if views is None else max(1, PART_IMAGES // len(views))
        done: list[Embeddings] = []
        for start in range(0, len(images), step):
            rows = np.arange(start, min(start + step, len(images)))
            folder = parts / f"{start:09d}"
            part = self._load(folder, key)
            if part is None:
                part = self._embed_part(
                    Subset(images, rows), views, seed, key, start, len(images), progress
                )
                part.save(folder)
            done.append(part)
            progress(int(rows[-1]) + 1, len(images))
        metas = [part.meta for part in done]
        unreadable = {k: v for meta in metas for k, v in meta["unreadable"].items()}
        if not any(part.n for part in done):
            where, reason = next(iter(unreadable.items()))
            raise NothingReadable(
                f"not one image of {images.name} can be read; first {where}: {reason}"
            )
        meta = {
            **metas[0],
            "unreadable": unreadable,
            "data_checksum": images.fingerprint(),
            "forwards": [f for meta in metas for f in meta["forwards"]],
        }
        features, ids = (
            np.concatenate(kind)
            for kind in zip(*((part.features, part.ids) for part in done), strict=True)
        )
        return Embeddings(features, None, ids, meta)

    def _embed_part(
        self,
        images: Source,
        views: Views | None,
        seed: int,
        key: str,
        before: int,
        total: int,
        progress: ProgressCallback,
    ) -> Embeddings:
        def part_progress(done: int, _all: int) -> None:
            if self._stop():
                raise Stopped("stopped while embedding; complete parts are kept")
            progress(before + done, total)

        encoder = self._opened.encoder
        try:
            part = extract(
                encoder,
                None,
                images,
                layers=("backbone",),
                batch_size=self._batch_size,
                workers=self._workers,
                meta=self._opened.provenance,
                views=views,
                seed=seed,
                progress=part_progress,
            )["backbone"]
        except NothingReadable:
            no_rows = np.empty((0, encoder.dim), np.float32)
            part = Embeddings(
                no_rows, None, np.empty(0, np.int64), {"unreadable": _unreadable(images)}
            )
        bad = int((~np.isfinite(part.features).all(axis=1)).sum())
        if bad:
            raise ValueError(f"NaN or infinite features in {bad} of {part.n} rows")
        device = next(encoder.parameters()).device
        device_name = (
            torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else f"cpu, {torch.get_num_threads()} of {os.cpu_count()} threads"
        )
        forwards = [[*f, self._batch_size, device_name] for f in self._forwards.take()]
        meta = {**part.meta, "key": key, "forwards": forwards}
        return Embeddings(part.features, None, part.ids, meta)


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


def _unreadable(images: Source) -> dict[str, str]:
    """Place and reason of every image of a part of which none can be read."""
    reasons = {}
    for i in range(len(images)):
        try:
            images.read(i)
        except UnreadableImage as error:
            reasons[error.where] = error.reason
    return reasons


def _with_labels_of(embeddings: Embeddings, source: Source) -> Embeddings:
    """The same rows with the labels and groups that the source has now."""
    order = np.argsort(source.ids)
    rows = order[np.searchsorted(source.ids, embeddings.ids, sorter=order)]
    classes = None if source.classes is None else list(source.classes)
    return Embeddings(
        embeddings.features,
        None if source.labels is None else source.labels[rows],
        embeddings.ids,
        {**embeddings.meta, "classes": classes},
        None if source.groups is None else source.groups[rows],
    )


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)
