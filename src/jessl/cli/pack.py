"""The command that makes data ready to be read: pack."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import tyro

from jessl.cli._base import Interrupted, stoppable


@dataclass(kw_only=True)
class PackCommand:
    """Any images to resized tar shards (WebDataset layout) with an index.

    Without --quality nothing is lost but by resizing: JPEG and PNG files that need no resizing keep
    their bytes; JPEG files that must be resized or turned upright are encoded at quality 90; all
    else becomes PNG. With --quality everything becomes JPEG, but for JPEG files that need no
    resizing and are small already. Ids, labels and names of classes stay those of SRC. The same
    command goes on with a packing that was interrupted.

    Attributes:
        source: SRC, the images.
        out: folder to write.
        short_side: pixels that the shorter side is reduced to; smaller images are never enlarged.
        long_side: the same of the longer side; at most one of the two.
        quality: 1 to 100 of JPEG; None: as above.
        subsampling: of the colours of JPEG: 4:4:4, 4:2:2 or 4:2:0.
        shard_mb: megabytes at which a shard is full.
        shuffle: seed that shuffles the images over the shards, for sources sorted by class that
            will be larger than memory; None: the order of SRC.
        labels: CSV file with columns path,label.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        y_key: name of the labels in an .npz file; None: y, labels or targets.
        workers: threads; None: the cores that this process may use, at most 16.
        json: print the answer as JSON on standard output.
    """

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")]
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    short_side: int | None = None
    long_side: int | None = None
    quality: int | None = None
    subsampling: str = "4:2:0"
    shard_mb: float = 100
    shuffle: int | None = None
    labels: str | None = None
    x_key: str | None = None
    y_key: str | None = None
    workers: int | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Pack."""
        from jessl.core.interruption import Stopped
        from jessl.core.log import log
        from jessl.core.progress import ProgressBar
        from jessl.data import open_source
        from jessl.data.packing.pack import pack

        source = open_source(self.source, labels=self.labels, x_key=self.x_key, y_key=self.y_key)
        for note in source.notes:
            log.note(note)
        with stoppable() as stop, ProgressBar("packing") as count:
            try:
                packing = pack(
                    source,
                    self.out,
                    short_side=self.short_side,
                    long_side=self.long_side,
                    quality=self.quality,
                    subsampling=self.subsampling,
                    shard_mb=self.shard_mb,
                    shuffle=self.shuffle,
                    workers=self.workers,
                    progress=count.update,
                    stop=stop,
                )
            except Stopped as stopped:
                raise Interrupted(f"{stopped}; the same command goes on") from None
        _tell_skipped(packing.skipped)
        return asdict(packing)

    def show(self, answer: dict[str, Any]) -> None:
        """What was written."""
        if answer["resumed"] == answer["shards"]:
            print(f"{answer['out']} was packed already; nothing was written")
        shards = "1 shard" if answer["shards"] == 1 else f"{answer['shards']:,} shards"
        before = answer["source_bytes"]
        was = "" if before is None else f" (files of {before / 1e6:,.1f} MB before)"
        print(
            f"{answer['out']}: {answer['images']:,} images in {shards}, "
            f"{answer['bytes'] / 1e6:,.1f} MB{was}; {answer['resized']:,} resized, "
            f"{answer['kept']:,} kept as they were"
        )


def _tell_skipped(skipped: dict[str, str]) -> None:
    for key, reason in list(skipped.items())[:5]:
        print(f"left out, cannot be read: {key}: {reason}", file=sys.stderr)
    if len(skipped) > 5:
        print(f"... and {len(skipped) - 5} more; manifest.json names them all", file=sys.stderr)
