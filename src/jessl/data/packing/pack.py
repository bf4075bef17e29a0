"""Any source to tar shards with an index: the verb `pack`."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features

from jessl.config import Pack
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.files import atomic_write, contained, locked, read_json, write_json
from jessl.core.hashing import splitmix64
from jessl.core.interruption import Stopped
from jessl.core.leftovers import other_names
from jessl.core.progress import ProgressCallback
from jessl.core.resources import usable_cores
from jessl.core.validation import escape_control
from jessl.data.decode.image import UnreadableImage
from jessl.data.open_source import open_source
from jessl.data.packing.encode import Packed, Recipe, packed
from jessl.data.packing.existing import (
    PLAN,
    VERSION,
    Packing,
    finished_packing,
    packing_result,
    refuse_other,
)
from jessl.data.packing.shard_writer import ShardFile, member_keys
from jessl.data.sources.base import Source
from jessl.data.sources.shard_checksums import record_verified
from jessl.data.sources.shard_index import (
    INDEX,
    UNFINISHED,
    Index,
    joined,
    read_index,
    write_index,
)
from jessl.data.sources.shard_manifest import (
    BANDS,
    FORMAT,
    MANIFEST,
    bands_as_json,
    check_fields,
    check_shard,
    sealed,
)

# images that are encoded ahead of the one being written, for each worker
_AHEAD = 2


@takes_options(Pack, data="source")
@renamed_arguments(on_progress="progress")
def pack(
    source: Source | Any,
    out: str | Path,
    *,
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
    short_side: int | None = None,
    long_side: int | None = None,
    quality: int | None = None,
    subsampling: str = "4:2:0",
    shard_mb: float = 100,
    shuffle: int | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
) -> Packing:
    """Pack images into tar shards that jessl and plain webdataset read.

    What an image becomes:
        - Its own bytes, where it is a JPEG or PNG file in 8-bit grey or RGB, opaque and upright,
          that needs no resizing; with `quality` only a JPEG file that is no larger than its
          encoding at that quality. PNG files of 16 bits keep theirs as well.
        - JPEG, with `quality`; and without it at quality 90 what is a JPEG file already but must
          be resized, turned upright or brought to RGB. Huffman tables are optimised.
        - PNG otherwise, so that without `quality` nothing but resizing changes what was lossless.
          Sources that have no files (arrays, torchvision) count as lossless. Opaque images of 16
          bits keep them, unless `bits` or `value_range` says how they become 8.
        Resizing is Pillow's antialiased Lanczos filter, keeps the aspect, and never enlarges.
        Grey stays grey; what is encoded anew has no metadata, and pixels as `Source.read` gives
        them.

    What is written: shard-000000.tar, ... with KEY.jpg or KEY.png and, where there is a label,
    KEY.cls; index.npz, with which jessl opens the folder at once and finds the ids, keys, labels
    and class names of `source` again; manifest.json with options, versions, the size and SHA-256 of
    each shard, and what was skipped and why. KEY is the key of the image without the extension of
    an image, with % escapes where WebDataset would read it otherwise (dots in the file name). The
    shards depend on the source and the options alone, not on the workers. Without index.npz the
    shards are read like any others: keys and ids are those of KEY, classes have no names.

    A packing that was stopped or killed goes on, when called again, at the first shard that is not
    whole; a finished one is left as it is. Memory holds the names of all images and three images a
    worker (two encoded, one in pixels), and never a shard.

    Args:
        source: a Source, or whatever `open_source` opens.
        progress: called with the number of images that are done, and of all.
        stop: asked before each image whether to stop.

    Raises:
        ValueError: for a wrong option; when `out` is of another source, of other options or not of
            a packing; when another process writes it; when no image can be read.
        Stopped: when `stop` says so.
        OSError: when the disk is full, say; whole shards are kept, and the next call goes on.
    """
    recipe = Recipe(short_side, long_side, quality, subsampling)
    if isinstance(shard_mb, bool) or not 0 < shard_mb < float("inf"):
        raise ValueError(f"shard_mb: expected a number above 0, got {shard_mb!r}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: expected a whole number of at least 1, got {workers!r}")
    if shuffle is not None and not 0 <= shuffle < 2**64:
        raise ValueError(f"shuffle: expected a seed of at least 0, got {shuffle!r}")
    source = open_source(source, bits=bits, value_range=value_range)
    if source.bands is not None:
        _check_bands(source, recipe)
    chosen = source.value_range
    stored = {} if chosen is None else {"value_range": [chosen.low, chosen.high]}
    out = Path(out)
    plan = {
        "format": FORMAT,
        "version": VERSION,
        "source": source.fingerprint(),
        "images": len(source),
        "options": {**asdict(recipe), "shard_mb": shard_mb, "shuffle": shuffle, **stored},
    }
    with locked(out, check=lambda: refuse_other(out, plan, source.name)):
        finished = finished_packing(out, plan, source.name)
        if finished is not None:
            return finished
        work = _Work(out, plan, source, recipe)
        try:
            work.run(workers or min(16, usable_cores()), progress, stop)
        except BaseException:
            # a first shard may be in its place and not in the notes yet: they tell that it is ours
            if not other_names(out) - {UNFINISHED}:
                shutil.rmtree(out / UNFINISHED, ignore_errors=True)
            raise
        return work.finish()


def _check_bands(source: Source, recipe: Recipe) -> None:
    """Refuse what images of bands cannot be packed as, before anything is written."""
    if recipe.quality is not None:
        raise ValueError(
            f"quality: {source.name} has bands, which JPEG does not hold; leave it out"
        )
    assert source.bands is not None
    if len(source.bands.names) not in (1, 3) and find_spec("tifffile") is None:
        raise ValueError("packing several bands needs tifffile: pip install 'jessl[bands]'")


class _Work:
    """A packing between its first shard and its manifest."""

    def __init__(self, out: Path, plan: dict[str, Any], source: Source, recipe: Recipe) -> None:
        self.out = out
        self.plan = plan
        self.source = source
        self.recipe = recipe
        self.notes = contained(out, UNFINISHED)
        self.notes.mkdir(exist_ok=True)
        if not (self.notes / PLAN).exists():
            write_json(self.notes / PLAN, {**plan, "name": source.name})
        self.entries: list[dict[str, Any]] = []
        self.parts: list[Index] = []
        self._find_whole_shards()
        self.resumed = len(self.entries)

    def _find_whole_shards(self) -> None:
        while True:
            name = shard_name(len(self.entries))
            entry, shard = self.notes / f"{name}.json", self.out / name
            if not (entry.is_file() and shard.is_file()):
                return
            try:
                written, part = read_json(entry), read_index(self.notes / f"{name}.npz")
                check_shard(entry, written)
                check_fields(entry, "", written, {"next": (int,)})
            except ValueError:
                return
            if shard.stat().st_size != written["bytes"]:
                return
            self.parts.append(part)
            self.entries.append(written)

    def run(
        self,
        workers: int,
        progress: ProgressCallback | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        """Write the shards that are missing."""
        order = _order(self.source, self.plan["options"]["shuffle"])
        start = self.entries[-1]["next"] if self.entries else 0
        if start == len(order):
            return
        keys = member_keys([self.source.key(i) for i in range(len(order))])
        most = int(self.plan["options"]["shard_mb"] * 1e6)
        with contextlib.closing(_encoded(self.source, order[start:], self.recipe, workers)) as each:
            item = next(each, None)
            done = start
            while item is not None:
                name = shard_name(len(self.entries))
                with atomic_write(self.out / name) as part, part.open("wb") as file:
                    shard = ShardFile(file, name, most)
                    while item is not None and self._takes(shard, item, keys):
                        done += 1
                        if progress is not None:
                            progress(done, len(order))
                        if stop is not None and stop():
                            raise Stopped(
                                f"stopped at {done} of {len(order)} images; "
                                f"whole shards so far: {len(self.entries)}"
                            )
                        item = next(each, None)
                    shard.end()
                    if not shard.rows:
                        key, reason = next(iter(shard.skipped.items()))
                        raise ValueError(
                            f"not one image of {self.source.name} can be read; the first: {key}: "
                            f"{reason}"
                        )
                index, entry = shard.index(), {**shard.entry(), "next": done}
                write_index(self.notes / f"{name}.npz", index)
                write_json(self.notes / f"{name}.json", entry)
                self.parts.append(index)
                self.entries.append(entry)

    def _takes(self, shard: ShardFile, item: _Item, keys: list[str]) -> bool:
        """Put an image into a shard, or say that it is full."""
        key = self.source.key(item.index)
        if isinstance(item.image, UnreadableImage):
            shard.skipped[escape_control(key)] = item.image.reason
            return True
        labels = self.source.labels
        label = -1 if labels is None else int(labels[item.index])
        return shard.add(
            keys[item.index], item.image, label=label, id=int(self.source.ids[item.index]), key=key
        )

    def finish(self) -> Packing:
        """Write the index and, last, the manifest."""
        write_index(self.out / INDEX, joined(self.parts, self.source.classes))
        index = (self.out / INDEX).read_bytes()
        bands = self.source.bands
        manifest = sealed(
            {
                **self.plan,
                "name": self.source.name,
                "notes": list(self.source.notes),
                **({} if bands is None else {BANDS: bands_as_json(bands)}),
                "versions": {
                    "jessl": version("jessl"),
                    "pillow": PIL.__version__,
                    "libjpeg-turbo": features.version("libjpeg_turbo"),
                },
                "packed": sum(entry["images"] for entry in self.entries),
                "shards": [{k: v for k, v in e.items() if k != "next"} for e in self.entries],
                "index": {
                    "file": INDEX,
                    "bytes": len(index),
                    "sha256": hashlib.sha256(index).hexdigest(),
                },
            }
        )
        write_json(self.out / MANIFEST, manifest)
        record_verified([self.out / entry["file"] for entry in self.entries])
        shutil.rmtree(self.notes)
        return packing_result(self.out, self.entries, self.resumed)


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard-{number:06d}.tar"


@dataclass(frozen=True, slots=True)
class _Item:
    index: int
    image: Packed | UnreadableImage


def _encoded(
    source: Source, order: np.ndarray, recipe: Recipe, workers: int
) -> Generator[_Item, None, None]:
    """The images of an order, encoded by threads that run a little ahead."""

    def one(index: int) -> _Item:
        try:
            return _Item(index, packed(source, index, recipe))
        except UnreadableImage as error:
            return _Item(index, error)

    waiting: deque[Future[_Item]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pack")
    try:
        for index in order:
            waiting.append(pool.submit(one, int(index)))
            if len(waiting) > _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _order(source: Source, seed: int | None) -> np.ndarray:
    """The images in the order in which they are packed: by a hash of id and seed, or as is."""
    if seed is None:
        return np.arange(len(source))
    key = splitmix64(np.array([seed], dtype=np.uint64))
    return np.lexsort((source.ids, splitmix64(source.ids.astype(np.uint64) ^ key)))
