"""Embedding into a folder, by one process or a group of them, in parts that survive a kill."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core import collectives
from jessl.core.files import atomic_directory, contained, locked
from jessl.core.interruption import Stopped
from jessl.core.leftovers import other_names
from jessl.core.log import Log, log
from jessl.core.process_group import all_gather_object, mark_reported, on_all_ranks, on_rank_zero
from jessl.core.progress import ProgressCallback
from jessl.core.shared_work import SharedNumber, taken
from jessl.data import Subset
from jessl.embeddings import Embeddings
from jessl.embeddings.folder import is_replaceable, write_folder
from jessl.extraction.extract import (
    ExtractedBatch,
    ExtractionJob,
    Forward,
    extract_batches,
    extract_job,
    metadata,
    nothing_readable,
    rows_of,
)
from jessl.extraction.opened_encoder import weights_sha256
from jessl.extraction.part_folder import PARTS, PartFolder, PartRows
from jessl.extraction.without_labels import without_labels

# rows of a part; with random views an image has several
PART_ROWS = 4096
# raised when features of the same key may differ from those of an earlier release
_VERSION = 1
# smaller sources have smaller parts, so that several processes share them
_LEAST_PARTS = 16
_PROGRESS_SECONDS = 0.25


def embed_to_folder(
    job: ExtractionJob,
    out: Path,
    *,
    stop: Callable[[], bool],
    progress: ProgressCallback | None,
    log: Log = log,
) -> dict[str, Embeddings]:
    """The embeddings of a job, written to a folder; all processes of the group call it together.

    The images are divided into parts of whole batches, whatever the number of processes. A process
    that is ready takes the next parts and keeps each in `out/.embedding` once it is finished; the
    first process joins them. Hence any number of processes continues what others began, and the
    files are those of one process.

    Args:
        job: equal on all processes.
        out: on a disk that all processes see. One layer is written there, several into folders of
            their names.
        stop: called after every batch; True on one process stops all of them.
        progress: called on the first process with (images done by all, images in all).
        log: gets a note about the parts that are there.

    Returns:
        Embeddings by layer, whose features stay on disk where there are parts.

    Raises:
        ValueError: for a folder that holds something else, or processes with different images or
            weights.
        DamagedPart: for a part that is not as it was written; it is removed.
        NothingReadable: when not one image can be read.
        Stopped: when `stop` returned True; finished parts are kept.
    """
    rows = len(job.source) * (1 if job.views is None else len(job.views))
    if collectives.world() == 1 and rows <= PART_ROWS and not (out / PARTS).exists():
        return _embed_at_once(job, out, stop, progress)
    size = part_images(job)
    key = on_all_ranks(_key, job, size)
    if len(set(all_gather_object(key))) > 1:
        raise mark_reported(
            ValueError("data, encoder: the processes opened different images or weights")
        )
    parts = PartFolder(out, log)
    with ExitStack() as held:
        missing, token = on_rank_zero(_begin, held, job, parts, size, key, log)
        stopped = on_all_ranks(_compute, job, parts, missing, size, token, stop, progress)
        if any(all_gather_object(stopped)):
            raise mark_reported(Stopped("stopped while embedding; finished parts are kept"))
        on_rank_zero(_join, job, out, parts, -(-len(job.source) // size))
    return {
        layer: Embeddings.load(out if len(job.layers) == 1 else out / layer, mmap=True)
        for layer in job.layers
    }


def part_images(job: ExtractionJob) -> int:
    """Images of a part: whole batches, about 4,096 rows, and at least 16 parts where there are."""
    rows_of_batch = job.batch_size * (1 if job.views is None else len(job.views))
    batches = -(-len(job.source) // job.batch_size)
    return job.batch_size * max(1, min(PART_ROWS // rows_of_batch, batches // _LEAST_PARTS))


def check_out(out: Path, layers: Sequence[str]) -> None:
    """Refuse a folder in which something else would be replaced.

    Raises:
        ValueError: naming it.
    """
    PartFolder(out).check()
    places = [out] if len(layers) == 1 else [contained(out, layer) for layer in layers]
    if len(layers) > 1 and out.exists() and not out.is_dir():
        places = [out]
    for place in places:
        if place.exists() and not is_replaceable(place, besides=frozenset({PARTS})):
            raise ValueError(
                f"path: expected a new folder or one of embeddings, got {place}; not replaced"
            )


def _embed_at_once(
    job: ExtractionJob, out: Path, stop: Callable[[], bool], progress: ProgressCallback | None
) -> dict[str, Embeddings]:
    def on_batch(done: int, total: int) -> None:
        if stop():
            raise Stopped("stopped while embedding few images; nothing is kept")
        if progress is not None:
            progress(done, total)

    with locked(out, lambda: check_out(out, job.layers)):
        by_layer = extract_job(job, on_batch)
        with _places(out, job.layers) as places:
            for layer, place in places.items():
                by_layer[layer].save(place)
    return by_layer


@contextmanager
def _places(out: Path, layers: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Where to save each layer; several come into a new folder all or none."""
    if len(layers) == 1:
        yield {layers[0]: out}
    elif other_names(out) - {PARTS}:
        yield {layer: contained(out, layer) for layer in layers}
    else:
        with atomic_directory(out) as new:
            yield {layer: new / layer for layer in layers}


def _key(job: ExtractionJob, size: int) -> str:
    """A hash of all that the parts depend on: 32 hexadecimal digits."""
    origin = {
        "version": _VERSION,
        "weights": weights_sha256(job.encoder),
        "objective": None if job.objective is None else weights_sha256(job.objective),
        "layers": list(job.layers),
        "preprocess": asdict(job.encoder.preprocess),
        "images": [len(job.source), without_labels(job.source).fingerprint()],
        "views": None if job.views is None else [job.views.as_dict(), job.seed],
        "part": size,
        "batch": job.batch_size,
    }
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()[:32]


def _begin(
    held: ExitStack, job: ExtractionJob, parts: PartFolder, size: int, key: str, log: Log
) -> tuple[list[int], str]:
    """Take the lock; the parts that are missing, and a name for the counters of this call."""
    held.enter_context(locked(parts.out, lambda: check_out(parts.out, job.layers)))
    done = parts.begin(key)
    count = -(-len(job.source) // size)
    if done:
        log.note(f"{len(done):,} of {count:,} parts are there; the others are computed")
    return [k for k in range(count) if k not in done], secrets.token_hex(8)


def _compute(
    job: ExtractionJob,
    parts: PartFolder,
    missing: list[int],
    size: int,
    token: str,
    stop: Callable[[], bool],
    progress: ProgressCallback | None,
) -> bool:
    """Compute and keep the parts that this process takes; whether it was stopped before the end."""
    images, n = without_labels(job.source), len(job.source)
    stopping, done = SharedNumber(f"{token}/stop"), SharedNumber(f"{token}/done")
    finished = n - sum(min(size, n - k * size) for k in missing)
    counted, reported = 0, time.monotonic()
    if progress is not None and collectives.rank() == 0:
        progress(finished, n)
    try:
        for piece in taken(missing, f"{token}/turn"):
            rows = np.concatenate([np.arange(k * size, min((k + 1) * size, n)) for k in piece])
            collected: list[ExtractedBatch] = []
            with closing(extract_batches(replace(job, source=Subset(images, rows)))) as batches:
                for batch in batches:
                    if stop():
                        stopping.add(1)
                        return True
                    collected.append(batch)
                    counted += batch.stop - batch.start
                    last = batch.stop % size == 0 or batch.stop == len(rows)
                    if last or time.monotonic() - reported > _PROGRESS_SECONDS:
                        by_all, counted, reported = done.add(counted), 0, time.monotonic()
                        if progress is not None and collectives.rank() == 0:
                            progress(finished + by_all, n)
                    if last:
                        parts.write(piece[batch.start // size], *_rows(collected, rows))
                        collected = []
                        if stopping.add(0):
                            return True
    except Exception:
        stopping.add(1)
        raise
    return False


def _rows(
    batches: list[ExtractedBatch], images: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.float32]], PartRows]:
    """Features by layer of some batches, and what belongs to their rows."""
    read = [batch for batch in batches if batch.features]
    layers = read[0].features if read else {}
    features = {layer: np.concatenate([b.features[layer] for b in read]) for layer in layers}
    index = images[np.concatenate([b.indices for b in batches])]
    unreadable = {k: v for b in batches for k, v in b.unreadable.items()}
    return features, PartRows(index, unreadable, [f for b in batches for f in b.forwards])


def _join(job: ExtractionJob, out: Path, parts: PartFolder, count: int) -> None:
    """Write the embeddings from all parts, one at a time in memory, and remove these."""
    indices: list[NDArray[np.int64]] = []
    unreadable: dict[str, str] = {}
    forwards: list[Forward] = []
    for k in range(count):
        rows = parts.rows(k)
        indices.append(rows.index)
        unreadable |= rows.unreadable
        forwards += rows.forwards
    whole = np.concatenate(indices)
    if not len(whole):
        parts.remove()
        raise nothing_readable(job.source, unreadable)
    names = job.source.names(whole)
    held = [k for k, index in enumerate(indices) if len(index)]
    with _places(out, job.layers) as places:
        for layer, place in places.items():
            with atomic_directory(place) as folder:
                write_folder(
                    folder,
                    (parts.features(k, layer) for k in held),
                    (len(whole), parts.features(held[0], layer).shape[1]),
                    ids=job.source.ids[whole],
                    labels=rows_of(job.source.labels, whole),
                    groups=rows_of(job.source.groups, whole),
                    names=names,
                    meta=metadata(job, layer, unreadable, forwards),
                )
    parts.remove()  # where the folder was not replaced as a whole
