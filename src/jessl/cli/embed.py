"""The command `jessl embed`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jessl.cli._command import Command, JsonObject, ValueRangeOption, options_of
from jessl.cli._inputs import data_options, describe_labels, open_images, submits
from jessl.cli._output import print_conclusion, print_job, print_left_out, print_lines, print_next
from jessl.cli._signals import stop_on_signals
from jessl.config import Embed
from jessl.core.leftovers import other_names
from jessl.core.log import is_first_process

if TYPE_CHECKING:
    from jessl.data import Source
    from jessl.embeddings import Embeddings


@dataclass(frozen=True, kw_only=True)
class EmbedCommand(Command, Embed):
    """Compute representations of images by a run or any pretrained encoder.

    The encoder is in evaluation mode and sees one central view of each image, or random views with
    --views; features are float32. The same command continues after a kill, also with another number
    of processes: torchrun --nproc-per-node 4 -m jessl.cli embed ... divides the images among them.

    Attributes:
        x_key: name of the images in an .npz file.
        y_key: name of the labels in an .npz file.
        csv: also write a CSV file: name, label and a column for each feature.
        parquet: the same as a Parquet file.
        slurm: submit it as a job instead, in as many processes as the options give; it is queued
            again when it is preempted or its time is over, and goes on (needs jessl[slurm]).
        slurm_options: options of the job, such as partition gpu nodes 2 gpus_per_node 8 timeout_min
            600.
    """

    encoder: tyro.conf.Positional[str] = field()
    out: str = field()
    x_key: str | None = None
    y_key: str | None = None
    value_range: ValueRangeOption = None
    csv: str | None = None
    parquet: str | None = None
    slurm: bool = False
    slurm_options: dict[str, int | str] = field(default_factory=dict)

    def run(self) -> JsonObject:
        """Embed and save, or submit the job that will."""
        self._check_tables()
        if submits(self.slurm, self.slurm_options):
            from jessl.launch.slurm import submit_embed

            self._check_out()
            keys = {"x_key": self.x_key, "y_key": self.y_key}
            return submit_embed(options_of(Embed, self), self.slurm_options, **keys)
        from jessl.core.log import log
        from jessl.core.process_group import on_all_ranks, on_rank_zero, process_group
        from jessl.core.progress import ProgressBar
        from jessl.encoders.load_report import summary_of
        from jessl.extraction.embed import embed

        with (
            process_group(self.device),
            ProgressBar("embedding", unit="images", quiet=not is_first_process()) as bar,
            stop_on_signals("the same command continues") as stop,
        ):
            on_rank_zero(self._check_out)
            source = on_all_ranks(open_images, self)
            already = dict.fromkeys(("labels", "groups", "bits", "value_range"))
            embedded = embed(self, source=source, **already, progress=bar.update, stop=stop)
        by_layer = embedded if isinstance(embedded, dict) else {self.layers[0]: embedded}
        meta = next(iter(by_layer.values())).meta
        if (report := meta.get("weights_report")) is not None:
            log.note(summary_of(report))
        tables = [by_layer[self.layers[0]].write_table(file) for file in self._tables()]
        shapes = {layer: [e.n, e.d] for layer, e in by_layer.items()}
        first = by_layer[self.layers[0]]
        return {
            "conclusion": self._conclusion(first, by_layer, source),
            "out": self.out,
            "layers": shapes,
            "unreadable": meta["unreadable"],
            **({"tables": [str(file) for file in tables]} if tables else {}),
            "notes": list(source.notes),
            "damaged_checkpoints": meta.get("damaged_checkpoints", []),
            "next": self._next(first),
        }

    def _conclusion(self, z: Embeddings, layers: dict[str, Embeddings], source: Source) -> str:
        """What was embedded, what was left out, and the labels that were read."""
        rows = "images" if self.views is None else "views of images"
        widths = " and ".join(f"{e.d} features ({layer})" for layer, e in layers.items())
        left_out = len(z.meta["unreadable"])
        text = f"{self.out} holds {widths} of {z.n:,} {rows}"
        if left_out:
            text += f"; {left_out:,} could not be read and are left out"
        return f"{text}; {describe_labels(source)}"

    def _next(self, z: Embeddings) -> list[str]:
        """What the embeddings are good for, with the labels that they have."""
        folder = Path(self.out) / self.layers[0] if len(set(self.layers)) > 1 else Path(self.out)
        out = shlex.quote(str(folder))
        data = data_options(self.data, self.x_key, self.bits, self.value_range)
        import numpy as np

        if self.views is not None:
            return [f"jessl score {out} --scores all"]
        labels = np.array([], np.int64) if z.labels is None else z.labels[z.labels >= 0]
        can_probe = (np.unique(labels, return_counts=True)[1] >= 2).sum() >= 2
        return [
            *([f"jessl probe --train {out}"] if can_probe else []),
            f"jessl score {out}",
            f"jessl curate {out} {data} --out curated",
        ]

    def _tables(self) -> list[str]:
        """The tables to write; none in the other processes of torchrun."""
        return [file for file in (self.csv, self.parquet) if file] if is_first_process() else []

    def _check_tables(self) -> None:
        """Refuse tables that exist, and those of several layers."""
        for option, file in (("csv", self.csv), ("parquet", self.parquet)):
            if file is None:
                continue
            if Path(file).suffix.lower() != f".{option}":
                raise ValueError(f"{option}: expected a file that ends in .{option}, got {file}")
            if Path(file).exists():
                raise ValueError(f"{option}: {file} exists; remove it, or give another name")
            if len(set(self.layers)) > 1:
                raise ValueError(f"{option}: expected one layer, got {', '.join(self.layers)}")
            if self.slurm:
                raise ValueError(f"{option} is not written by a job; leave out --slurm")

    def _check_out(self) -> None:
        """Refuse a folder with anything in it, and say what to do about a part of a result."""
        from jessl.extraction.part_folder import PARTS

        out = Path(self.out)
        if out.exists() and not out.is_dir():
            raise ValueError(f"out: expected a new or an empty folder, got the file {out}")
        names = other_names(out) - {PARTS}
        self._check_complete(out, names)
        layers = sorted(names & set(self.layers))
        if layers and names == set(layers) != set(self.layers):
            raise ValueError(
                f"out: {out} holds {', '.join(layers)} only, of an interrupted or another command; "
                f"delete {out} and embed again, or give a new folder"
            )
        if names:
            raise ValueError(f"out: expected a new or an empty folder, got {out}")

    def _check_complete(self, out: Path, names: set[str]) -> None:
        """Refuse a folder with a whole result, by those words: a killed command may have ended."""
        from jessl.embeddings import Embeddings

        several = set(self.layers) if len(set(self.layers)) > 1 else set()
        if not names or (several and names != several):
            return
        try:
            whole = [Embeddings.load(out / layer) for layer in sorted(several) or [""]]
        except (OSError, ValueError):
            return
        rows = f"{whole[0].n:,} rows" + (
            f" each of {', '.join(sorted(several))}" if several else ""
        )
        raise ValueError(
            f"out: {out} holds complete embeddings already ({rows}); use them, or give a new folder"
            + (
                f"; a table of them: jessl.Embeddings.load({str(out)!r}).write_table(FILE)"
                if self._tables()
                else ""
            )
        )

    def show(self, result: JsonObject) -> None:
        """What was embedded, the images that could not be read, and what comes next; or the job."""
        if "job" in result:
            print_job(result)
            return
        print_conclusion(result)
        for file in result.get("tables", []):
            print_lines(f"{file}: the same as a table")
        print_left_out(result["unreadable"])
        print_next(result["next"])
