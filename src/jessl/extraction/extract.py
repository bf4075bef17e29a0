"""Embeddings of all images of a source, at any layer of an encoder and its objective."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from jessl.core.precision import full_float32
from jessl.core.progress import ProgressCallback
from jessl.data import Loader, Source, UnreadableImage
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.objectives import Objective
from jessl.views import Views, central_view

LAYERS = ("backbone", "projector")

# images, milliseconds, whether it was the first, the batch size, the device
Forward: TypeAlias = tuple[int, float, bool, int, str]


class NothingReadable(ValueError):
    """Not one image of a source can be read."""


@dataclass(frozen=True, eq=False)
class ExtractionJob:
    """What is computed: the outputs of some layers for the images of a source.

    Attributes:
        encoder: on the device that computes.
        objective: of a run, None for a bare encoder.
        source: the images.
        layers: "backbone", and names of the objective's layers.
        batch_size: images at a time.
        workers: threads that decode.
        meta: JSON values for the metadata of the embeddings.
        views: a row for each of these views, drawn from `seed`; None: the central view.
        seed: of the views.
        timed: measure the encoder, without the reading of images, for meta["forwards"].
        finite: refuse NaN and infinite features.
    """

    encoder: Encoder
    objective: Objective | None
    source: Source
    layers: Sequence[str]
    batch_size: int = 256
    workers: int | None = None
    meta: Mapping[str, object] | None = None
    views: Views | None = None
    seed: int = 0
    timed: bool = False
    finite: bool = False


@dataclass(frozen=True, eq=False)
class ExtractedBatch:
    """Rows of the images `start` .. `stop` - 1 of a source, in its order.

    Attributes:
        indices: int64 [rows], the image of each row; with views several rows have one image.
        features: layer -> float32 [rows, d]; empty where no image can be read.
        unreadable: the place of each image that cannot be read, and the reason.
        forwards: one for each view, where they are measured.
    """

    start: int
    stop: int
    indices: np.ndarray
    features: dict[str, np.ndarray]
    unreadable: dict[str, str]
    forwards: tuple[Forward, ...] = ()


@torch.inference_mode()
def extract_batches(job: ExtractionJob) -> Generator[ExtractedBatch, None, None]:
    """The batches of a job, which cover its source without gaps; modes are put back at the end.

    Raises:
        ValueError: for features that are not finite, where the job refuses them.
    """
    encoder, objective, source = job.encoder, job.objective, job.source
    device = next(encoder.parameters(), torch.empty(0)).device
    p = encoder.preprocess
    loader = Loader(
        source,
        central_view(p.size, p.mean, p.std, p.crop_share) if job.views is None else job.views,
        job.batch_size,
        seed=job.seed,
        shuffle=False,
        workers=job.workers,
        unreadable="drop",
        device=device,
    )
    modules: list[nn.Module] = [encoder] if objective is None else [encoder, objective.to(device)]
    were_training = [m.training for m in modules]
    for m in modules:
        m.eval()
    outputs: dict[str, torch.Tensor] = {}
    hooks = [] if objective is None else _capture_layers(objective, job.layers, outputs)
    batches = len(loader)
    at = 0  # the batch that comes next
    is_first = True
    try:
        for batch in loader:
            position = loader.state_dict()
            current = (batches if position["epoch"] else position["batch"]) - 1
            for k in range(at, current):  # of which no image can be read
                yield _batch(job, k, None, {}, loader.skipped)
            at = current + 1
            parts: dict[str, list[np.ndarray]] = {layer: [] for layer in job.layers}
            forwards: list[Forward] = []
            for view in batch.views:
                with full_float32():
                    started = _now(device) if job.timed else 0.0
                    h = encoder(view)
                    if job.timed:
                        ms = 1000 * (_now(device) - started)
                        forwards.append(
                            (len(view), ms, is_first, job.batch_size, _device_name(device))
                        )
                        is_first = False
                    outputs["backbone"] = h = h.float()
                    if objective is not None and hooks:
                        objective.project(h)
                for layer, rows in parts.items():
                    rows.append(outputs[layer].float().cpu().numpy())
            features = {layer: np.concatenate(rows) for layer, rows in parts.items()}
            if job.finite:
                _check_finite(features)
            ids = batch.ids.numpy()
            yield _batch(job, current, ids, features, loader.skipped, tuple(forwards))
        for k in range(at, batches):
            yield _batch(job, k, None, {}, loader.skipped)
    finally:
        for hook in hooks:
            hook.remove()
        for m, was in zip(modules, were_training, strict=True):
            m.train(was)


def _batch(
    job: ExtractionJob,
    k: int,
    ids: np.ndarray | None,
    features: dict[str, np.ndarray],
    skipped: Mapping[str, str],
    forwards: tuple[Forward, ...] = (),
) -> ExtractedBatch:
    """Batch k of a job; ids: of the images that were read, None: of none."""
    source = job.source
    start, stop = k * job.batch_size, min((k + 1) * job.batch_size, len(source))
    read = np.zeros(stop - start, bool)
    if ids is not None:
        read = np.isin(source.ids[start:stop], ids, assume_unique=True)
    indices = start + np.flatnonzero(read)
    unreadable = [_reason(source, int(i), skipped) for i in start + np.flatnonzero(~read)]
    rows = len(next(iter(features.values()))) if features else 0
    return ExtractedBatch(
        start,
        stop,
        np.tile(indices, rows // max(1, len(indices))),
        features,
        dict(unreadable),
        forwards,
    )


def _check_finite(features: Mapping[str, np.ndarray]) -> None:
    for rows in features.values():
        bad = int((~np.isfinite(rows).all(axis=1)).sum())
        if bad:
            raise ValueError(f"NaN or infinite features in {bad} of {len(rows)} rows")


def _now(device: torch.device) -> float:
    """Seconds, once the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def _reason(source: Source, index: int, skipped: Mapping[str, str]) -> tuple[str, str]:
    """The name of an image that cannot be read, and why; a source may call it otherwise."""
    where = source.where(index)
    if where in skipped:
        return where, skipped[where]
    try:
        source.read(index)
    except UnreadableImage as error:
        return error.where, error.reason
    return where, "it could not be read the first time"


def extract(
    encoder: Encoder,
    objective: Objective | None,
    source: Source,
    *,
    layers: Sequence[str],
    batch_size: int = 256,
    workers: int | None = None,
    meta: Mapping[str, object] | None = None,
    views: Views | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, Embeddings]:
    """Embeddings of all readable images at each layer, in memory; modes of modules are put back.

    Args:
        encoder, objective, source, layers, batch_size, workers, meta, views, seed: as the
            attributes of `ExtractionJob`.
        progress: called with (images done, images in all).

    Raises:
        NothingReadable: when not one image can be read.
    """
    job = ExtractionJob(encoder, objective, source, layers, batch_size, workers, meta, views, seed)
    return extract_job(job, progress)


def extract_job(job: ExtractionJob, progress: ProgressCallback | None) -> dict[str, Embeddings]:
    """As `extract`.

    Raises:
        NothingReadable: when not one image can be read.
        ValueError: for features that are not finite, where the job refuses them.
    """
    source = job.source
    rows: dict[str, list[np.ndarray]] = {layer: [] for layer in job.layers}
    indices: list[np.ndarray] = []
    unreadable: dict[str, str] = {}
    forwards: list[Forward] = []
    for batch in extract_batches(job):
        for layer, features in batch.features.items():
            rows[layer].append(features)
        indices.append(batch.indices)
        unreadable |= batch.unreadable
        forwards += batch.forwards
        if progress is not None:
            progress(batch.stop - len(unreadable), len(source))
    index = np.concatenate(indices) if indices else np.empty(0, np.int64)
    if not len(index):
        raise nothing_readable(source, unreadable)
    labels, groups = rows_of(source.labels, index), rows_of(source.groups, index)
    names = source.names(index)
    return {
        layer: Embeddings(
            np.concatenate(rows[layer]),
            labels,
            source.ids[index],
            metadata(job, layer, unreadable, forwards),
            groups,
            names,
        )
        for layer in job.layers
    }


def nothing_readable(source: Source, unreadable: Mapping[str, str]) -> NothingReadable:
    """The error about a source of which no image can be read."""
    where, reason = next(iter(unreadable.items()), (source.name, "it is empty"))
    return NothingReadable(f"not one image of {source.name} can be read; first {where}: {reason}")


def rows_of(values: np.ndarray | None, index: np.ndarray) -> np.ndarray | None:
    """Labels or groups of these images; None where there are none."""
    return None if values is None else values[index]


def metadata(
    job: ExtractionJob,
    layer: str,
    unreadable: Mapping[str, str],
    forwards: Sequence[Forward] = (),
) -> dict[str, object]:
    """The metadata of the embeddings of a layer: JSON values."""
    source, p = job.source, job.encoder.preprocess
    return {
        **(job.meta or {}),
        "data": source.name,
        "data_checksum": source.fingerprint(),
        "classes": list(source.classes) if source.classes is not None else None,
        "preprocess": {"size": p.size, "mean": p.mean, "std": p.std, "crop_share": p.crop_share},
        "unreadable": dict(unreadable),
        **({"data_notes": list(source.notes)} if source.notes else {}),
        **value_range_meta(source),
        **({} if source.bands is None else {"bands": list(source.bands.names)}),
        **({} if source.groups is None else {"groups_column": source.groups_column}),
        **({} if job.views is None else {"views": job.views.as_dict(), "views_seed": job.seed}),
        **({"forwards": [list(forward) for forward in forwards]} if job.timed else {}),
        "layer": layer,
    }


def value_range_meta(source: Source) -> dict[str, list[float]]:
    """The stored values that are black and white, for metadata; nothing where none were chosen."""
    chosen = source.value_range
    return {} if chosen is None else {"value_range": [chosen.low, chosen.high]}


def _capture_layers(
    objective: Objective, layers: Sequence[str], outputs: dict[str, torch.Tensor]
) -> list[RemovableHandle]:
    """Write the outputs of these layers of the objective into `outputs`, until the hooks go."""

    def into(layer: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        return lambda _module, _inputs, output: outputs.__setitem__(layer, output)

    modules = objective.layers()
    return [modules[n].register_forward_hook(into(n)) for n in layers if n in modules]
