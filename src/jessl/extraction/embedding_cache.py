"""Embeddings that are made once: part after part, so that a killed command goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jessl.core.files import remove_partial
from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset, UnreadableImage, unlabelled
from jessl.data.sources.relabel import SourceWithLabels
from jessl.embeddings import Embeddings
from jessl.extraction.embed import NothingReadable, extract
from jessl.extraction.opened_encoder import OpenedEncoder
from jessl.views import Views

# images of a part; of random views so many views
PART_IMAGES = 4096
# moves on when features of the same key may come out otherwise
_VERSION = 1


class Forwards:
    """How long an encoder alone takes for each batch: reading of images is not in it."""

    def __init__(self, encoder: torch.nn.Module) -> None:
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

    def _before(self, _module: Any, _inputs: Any) -> None:
        self._start = self._now()

    def _after(self, _module: Any, inputs: Any, _output: Any) -> None:
        self._taken.append((len(inputs[0]), 1000 * (self._now() - self._start), self._first))
        self._first = False


class Cache:
    """What one encoder says of some images, kept in a folder of its own.

    Args:
        opened: the encoder.
        folder: where its embeddings go.
        batch_size, workers: as of `embed`.
        log: told what of the folder cannot be used.
        stop: asked after every batch.
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
        self._forwards = Forwards(opened.encoder)

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
        """Embeddings at the backbone, from the folder where they are there whole.

        Args:
            what: name of their folder: embeddings, views, test.
            source: the images; its labels and groups are put to the rows afterwards, and are no
                part of what a cache is told by.
            views: random ones instead of the central one.
            seed: of the views.
            progress: told (images done, images in all).

        Raises:
            ValueError: when not one image can be read, or a feature is not finite.
            Stopped: when asked to; the parts that are whole stay.
        """
        images = bare(source)
        key = self._key(images, views, seed)
        place, parts = self._folder / what, self._folder / f"{what}.parts"
        held = self._held(place, key)
        if held is None:
            remove_partial(parts)
            held = self._whole(images, views, seed, parts, key, progress)
            _judged_by(held, source).save(place)
        shutil.rmtree(parts, ignore_errors=True)
        found = _judged_by(held, source)
        if not (_same(found.labels, held.labels) and _same(found.groups, held.groups)):
            found.save(place)
        progress(len(images), len(images))
        return found

    def _key(self, images: Source, views: Views | None, seed: int) -> str:
        """What embeddings were made of, in 32 hexadecimal digits."""
        told = {
            "version": _VERSION,
            "encoder": self._opened.spec,
            "weights": self._opened.sha256,
            "preprocess": asdict(self._opened.encoder.preprocess),
            "images": images.fingerprint(),
            "views": None if views is None else [views.as_dict(), seed],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    def _held(self, place: Path, key: str) -> Embeddings | None:
        """What lies at `place` already, where it is whole and of the same key."""
        if not place.exists():
            return None
        try:
            held = Embeddings.load(place)
        except ValueError as error:
            self._log.note(f"{error}; embedded again")
            return None
        if held.meta.get("key") != key:
            self._log.note(
                f"{place} is of other weights, images, views or preprocessing; embedded again"
            )
            return None
        return held

    def _whole(
        self,
        images: Source,
        views: Views | None,
        seed: int,
        parts: Path,
        key: str,
        progress: ProgressCallback,
    ) -> Embeddings:
        step = PART_IMAGES if views is None else max(1, PART_IMAGES // len(views))
        found = []
        for start in range(0, len(images), step):
            rows = np.arange(start, min(start + step, len(images)))
            place = parts / f"{start:09d}"
            part = self._held(place, key)
            if part is None:
                part = self._part(
                    Subset(images, rows), views, seed, key, start, len(images), progress
                )
                part.save(place)
            found.append(part)
            progress(int(rows[-1]) + 1, len(images))
        told = [part.meta for part in found]
        unreadable = {k: v for meta in told for k, v in meta["unreadable"].items()}
        if not any(part.n for part in found):
            where, reason = next(iter(unreadable.items()))
            raise NothingReadable(
                f"not one image of {images.name} can be read; first {where}: {reason}"
            )
        meta = {
            **told[0],
            "unreadable": unreadable,
            "data_checksum": images.fingerprint(),
            "forwards": [f for meta in told for f in meta["forwards"]],
        }
        features, ids = (
            np.concatenate(kind)
            for kind in zip(*((part.features, part.ids) for part in found), strict=True)
        )
        return Embeddings(features, None, ids, meta)

    def _part(
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
                raise Stopped("stopped while embedding; the parts that are whole are kept")
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
                meta=self._opened.told,
                views=views,
                seed=seed,
                progress=part_progress,
            )["backbone"]
        except NothingReadable:
            none = np.empty((0, encoder.dim), np.float32)
            told = {"unreadable": _unreadable(images)}
            part = Embeddings(none, None, np.empty(0, np.int64), told)
        bad = int((~np.isfinite(part.features).all(axis=1)).sum())
        if bad:
            raise ValueError(f"NaN or infinite features in {bad} of {part.n} rows")
        device = next(encoder.parameters()).device
        words = (
            torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else f"cpu, {torch.get_num_threads()} of {os.cpu_count()} threads"
        )
        forwards = [[*f, self._batch_size, words] for f in self._forwards.take()]
        meta = {**part.meta, "key": key, "forwards": forwards}
        return Embeddings(part.features, None, part.ids, meta)


def bare(source: Source) -> Source:
    """The images without the labels: with other labels they are the same images."""
    if isinstance(source, Subset):
        return Subset(bare(source.source), source.indices)
    while isinstance(source, SourceWithLabels):
        source = source.source
    return source if source.labels is None and source.groups is None else unlabelled(source)


def cost_of(embeddings: Embeddings) -> dict[str, Any] | None:
    """Milliseconds that the encoder took for an image, as it was when it was embedded.

    The median over full batches after the first (which warms up), else over what there is, with
    the quartiles, the number of batches, their size, the device, and whether it was warm.
    """
    forwards = embeddings.meta.get("forwards") or []
    warm = [f for f in forwards if not f[2]]
    chosen = [f for f in warm if f[0] == f[3]] or warm or forwards
    if not chosen:
        return None
    each = sorted(ms / images for images, ms, _, _, _ in chosen)
    low, high = (float(q) for q in np.quantile(each, (0.25, 0.75)))
    return {
        "ms_per_image": statistics.median(each),
        "low": low,
        "high": high,
        "batches": len(each),
        "batch_size": max(f[0] for f in chosen),
        "device": "; ".join(sorted({f[4] for f in chosen})),
        "warm": bool(warm),
    }


def _unreadable(images: Source) -> dict[str, str]:
    """Where and why, of images of which not one can be read."""
    found = {}
    for i in range(len(images)):
        try:
            images.read(i)
        except UnreadableImage as error:
            found[error.where] = error.reason
    return found


def _judged_by(held: Embeddings, source: Source) -> Embeddings:
    """The same rows with the labels and groups that the source has now."""
    order = np.argsort(source.ids)
    at = order[np.searchsorted(source.ids, held.ids, sorter=order)]
    classes = None if source.classes is None else list(source.classes)
    return Embeddings(
        held.features,
        None if source.labels is None else source.labels[at],
        held.ids,
        {**held.meta, "classes": classes},
        None if source.groups is None else source.groups[at],
    )


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)
