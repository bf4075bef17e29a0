"""The command `jessl curate`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jessl.cli._command import Command, JsonObject, ValueRangeOption
from jessl.cli._inputs import ReadsEmbeddings, data_options
from jessl.cli._output import print_left_out, print_lines, print_next, print_table
from jessl.config import Curate
from jessl.core.log import log

if TYPE_CHECKING:
    from jessl.curation.result import Curation


@dataclass(frozen=True, kw_only=True)
class CurateCommand(Command, ReadsEmbeddings, Curate):
    """List what to label first, near-duplicates, outliers, label errors and faulty images.

    Attributes:
        out: folder to write; it must not exist.
        x_key: name of the images in an .npz file of `data`.
    """

    embeddings: tyro.conf.Positional[str] = field()
    out: str = field()
    x_key: str | None = None
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Curate."""
        from jessl.core.progress import ProgressBar
        from jessl.curation.curate import curate, pool_path
        from jessl.data import open_source

        images = None
        if self.data is not None:
            images = open_source(
                self.data, x_key=self.x_key, bits=self.bits, value_range=self.value_range
            )
            for note in images.notes:
                log.note(note)
        pool = self.load_embeddings(str(pool_path(self.embeddings)))
        already = dict.fromkeys(("bits", "value_range"))
        with ProgressBar("curating", unit="images") as bar:
            result = curate(self, embeddings=pool, data=images, **already, progress=bar.update)
        return {**result.as_json(), "next": self._next(result, pool.meta)}

    def _next(self, result: Curation, meta: Mapping[str, object]) -> list[str]:
        """The command that follows; none where all images have a label."""
        if self.budget is None:
            budget = min(100, len(result.names) - len(result.labels.rows))
            if not budget:
                return []
            pool = shlex.quote(self.embeddings)
            return [f"jessl curate {pool} --budget {budget} --out OTHER-FOLDER"]
        data = data_options(self.data or "SRC", self.x_key, self.bits, self.value_range)
        labels = shlex.quote(f"{self.out}/label_first.csv")
        return [
            f"jessl classify {data} --encoder {shlex.quote(self._encoder(meta))} "
            f"--labels {labels} --out predictions.csv"
        ]

    def _encoder(self, meta: Mapping[str, object]) -> str:
        """The encoder of the embeddings, as --encoder takes it."""
        from jessl.runs import is_run

        if is_run(self.embeddings):
            return self.embeddings
        name, weights = meta.get("encoder"), str(meta.get("weights", ""))
        if not isinstance(name, str):
            return "ENCODER"
        if weights == "published":
            return name
        return f"ckpt:{weights}@{name}" if Path(weights).is_file() else "ENCODER"

    def show(self, result: JsonObject) -> None:
        """The result in one sentence, counts, files, and the next command."""
        out, errors, faults = result["out"], result["label_errors"], result["image_faults"]
        rows = [["near-duplicates to leave out", result["duplicates"]["surplus"], "duplicates.csv"]]
        rows += [["outliers", result["outliers"], "outliers.csv"]]
        if errors["skipped"] is None:
            rows += [["suspected label errors", errors["suspected"], "label_errors.csv"]]
        if faults is not None:
            total = sum(faults["kinds"].values())
            rows += [["faults that show in pixels", total, "image_faults.csv"]]
        if result["label_first"] is not None:
            chosen = result["label_first"]["budget"]
            rows = [["images to label first", chosen, "label_first.csv"], *rows]
        print_lines(result["sentence"], "")
        print_table(["what", "images", "file"], rows)
        print_lines("", f"folder  {out}")
        if result["page"]:
            print_lines(f"page    {result['page']}")
        if self.budget:
            print_lines(f"then    fill in the column label of {out}/label_first.csv")
        print_next(result["next"])
        if errors["skipped"] and result["labelled"]:
            log.note(errors["skipped"])
        if faults is not None:
            print_left_out(faults["unreadable"])
