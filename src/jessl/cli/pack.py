"""The command `jessl pack`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._inputs import open_images
from jessl.cli._output import print_left_out, print_lines
from jessl.cli._signals import stop_on_signals
from jessl.config import Pack


@dataclass(frozen=True, kw_only=True)
class PackCommand(Command, Pack):
    """Write images as resized tar shards (WebDataset layout) with an index, for fast reading.

    Without --quality only resizing loses information: JPEG and PNG files that need no resizing keep
    their bytes; JPEG files that must be resized or rotated upright are encoded at quality 90;
    everything else becomes PNG. With --quality everything becomes JPEG, except JPEG files that need
    no resizing and are small already. Ids, labels and class names stay those of SRC. The same
    command continues an interrupted packing.

    Attributes:
        labels: CSV file with columns path,label.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        y_key: name of the labels in an .npz file; None: y, labels or targets.
    """

    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")] = field()
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = field()
    labels: str | None = None
    x_key: str | None = None
    y_key: str | None = None

    def run(self) -> JsonObject:
        """Pack."""
        from jessl.core.progress import ProgressBar
        from jessl.data.packing.pack import pack

        source = open_images(self.data, labels=self.labels, x_key=self.x_key, y_key=self.y_key)
        with stop_on_signals("the same command continues") as stop, ProgressBar("packing") as bar:
            packing = pack(self, source=source, progress=bar.update, stop=stop)
        print_left_out(packing.skipped, rest="; manifest.json lists them all")
        return asdict(packing)

    def show(self, result: JsonObject) -> None:
        """What was written."""
        if result["resumed"] == result["shards"]:
            print_lines(f"{result['out']} was packed already; nothing was written")
        shards = "1 shard" if result["shards"] == 1 else f"{result['shards']:,} shards"
        before = result["source_bytes"]
        source_size = "" if before is None else f" (source files: {before / 1e6:,.1f} MB)"
        print_lines(
            f"{result['out']}: {result['images']:,} images in {shards}, "
            f"{result['bytes'] / 1e6:,.1f} MB{source_size}; {result['resized']:,} resized, "
            f"{result['kept']:,} unchanged"
        )
