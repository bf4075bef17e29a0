"""The command `jessl pack`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from jessl.cli._command import Command, JsonObject, ValueRangeOption
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
        verify: write nothing; SRC is a packed folder, whose shards are all compared with the
            checksums in its manifest.
    """

    data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SRC")] = field()
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = ""
    labels: str | None = None
    x_key: str | None = None
    y_key: str | None = None
    verify: bool = False
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Pack, or verify a packed folder."""
        if self.verify:
            return self._verify()
        if not self.out:
            raise ValueError("OUT: expected a folder to write, got none")
        from jessl.core.progress import ProgressBar
        from jessl.data.packing.pack import pack

        source = open_images(self)
        with stop_on_signals("the same command continues") as stop, ProgressBar("packing") as bar:
            already = dict.fromkeys(("bits", "value_range"))
            packing = pack(self, source=source, **already, progress=bar.update, stop=stop)
        print_left_out(packing.skipped, rest="; manifest.json lists them all")
        return {**asdict(packing), "notes": list(source.notes)}

    def _verify(self) -> JsonObject:
        from jessl.data.sources.shard_checksums import check_shards
        from jessl.data.sources.shards import tars_in

        if self.out:
            raise ValueError(f"OUT: expected none with --verify, got {self.out}")
        folder = Path(self.data)
        tars = tars_in(folder) if folder.is_dir() else []
        count = check_shards(tars, all_of_them=True)
        if not count:
            raise ValueError(f"SRC: expected a folder that jessl pack wrote, got {folder}")
        return {"out": str(folder), "verified": count, "shards": len(tars)}

    def show(self, result: JsonObject) -> None:
        """What was written, or verified."""
        if "verified" in result:
            print_lines(f"{result['out']}: {result['verified']:,} shards are as they were packed")
            return
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
