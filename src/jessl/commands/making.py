"""Commands that make things: demo, views, embed, report.

A command is a dataclass of its options: `run` gives the answer, which is what --json prints, and
`show` prints it for people. Rooms are imported inside `run`, so that asking for help is fast.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from jessl.commands.base import Interrupted, stoppable, table

# side of an image in the picture of views: wide enough for its caption
_CELL_PX = 144


@dataclass(kw_only=True)
class Demo:
    """The whole story on real images: train, judge without labels, choose, reveal, explain.

    Attributes:
        data: SRC; digits is embedded in the installation. Labels, where there are some, are
            hidden from everything but the closing check.
        labels: CSV file with columns path,label.
        out: study folder to write; a study that was interrupted goes on.
        quick: a smaller study in under 90 seconds.
        epochs: of each run; None: as many as a few minutes allow on two cores.
        images: how many images at most; None: 6000, and 2000 with --quick.
        workers: runs at a time, one core each; None: the cores of the machine, at most 8.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        y_key: name of the labels in an .npz file; None: y, labels or targets.
        json: print the answer as JSON on standard output.
    """

    data: str = "digits"
    labels: str | None = None
    out: str = "demo"
    quick: bool = False
    epochs: int | None = None
    images: int | None = None
    workers: int | None = None
    x_key: str | None = None
    y_key: str | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Tell the story."""
        from jessl.demo import demo
        from jessl.pretraining import Stopped
        from jessl.report import write_report

        with stoppable() as stop:
            try:
                study = demo(
                    self.data,
                    out=self.out,
                    labels=self.labels,
                    quick=self.quick,
                    epochs=self.epochs,
                    images=self.images,
                    workers=self.workers,
                    x_key=self.x_key,
                    y_key=self.y_key,
                    stop=stop,
                )
            except Stopped as stopped:
                raise Interrupted(f"{stopped}; the same command goes on") from None
        return {**study, "report": str(write_report(self.out))}

    def show(self, answer: dict[str, Any]) -> None:
        """The closing table and what was found."""
        from jessl.demo import closing_table

        headers, rows = closing_table(answer)
        table(headers, rows)
        print()
        for finding in answer["findings"]:
            print(f"- {finding}")
        print(f"\nreport: {answer['report']}")


@dataclass(kw_only=True)
class ViewsPicture:
    """Draw a few images and the views that an encoder will see of them, with what was done.

    Attributes:
        data: SRC, the images.
        preset: recipe of the views: byol, coarse, dino, gaussian_noise, multicrop, simclr, swav or
            vicreg; or a .toml or .json file.
        options: of the preset, such as flip 0 min_scale 0.3.
        out: PNG file to write.
        size: side of the largest views, pixels; None: by the file, or chosen from the data.
        count: how many images.
        seed: of the views.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        json: print the answer as JSON on standard output.
    """

    data: str
    preset: str = "simclr"
    options: dict[str, float] = field(default_factory=dict)
    out: str = "views.png"
    size: int | None = None
    count: int = 6
    seed: int = 0
    x_key: str | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Draw."""
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")
        if self.size is not None and self.size < 8:
            raise ValueError(f"size must be at least 8 pixels, got {self.size}")
        import torch

        from jessl.data import open_source
        from jessl.pictures import write_grid
        from jessl.pretraining.grids import view_rows
        from jessl.pretraining.plan import default_size
        from jessl.progress import say
        from jessl.views.presets import is_file, preset

        source = open_source(self.data, x_key=self.x_key)
        for note in source.notes:
            say(f"note: {note}")
        size = self.size
        if size is None and not is_file(self.preset):
            size = default_size(source, torch.device("cpu"))
        views = preset(self.preset, size, self.options)
        grid = view_rows(source, views, seed=self.seed, count=self.count)
        write_grid(
            self.out, grid.rows, columns=grid.columns, captions=grid.captions, cell_px=_CELL_PX
        )
        return {
            "out": self.out,
            "size": max(view.size for view in views.recipes),
            "views": [str(v) for v in views.recipes],
        }

    def show(self, answer: dict[str, Any]) -> None:
        """Where to look."""
        print(answer["out"])


@dataclass(kw_only=True)
class Embed:
    """Images to representations: evaluation mode, one central view or random ones, float32.

    Attributes:
        encoder: a run folder or RUN/checkpoints/step-N, a file of weights (ckpt:PATH,
            ckpt:PATH@ARCH, or the path), smallconv[:WIDTH], resnet_cifar:LAYERS, timm:NAME,
            torchvision:NAME or hf:NAME.
        data: SRC, the images.
        out: folder of embeddings to write.
        layers: backbone; of runs also projector. Several: a folder each inside of out.
        init: weights of a named encoder: a file, "random", or the published ones.
        stem: small or standard, for ResNets by name.
        size: side of the input, pixels, for encoders by name.
        arch: the net that a file of weights is of, such as timm:resnet50; None: by its tensors.
        key: prefix of the tensors to take of a file that holds several encoders.
        labels: CSV file with columns path,label.
        groups: another column of that file, such as patient or camera: images with the same cell
            are a group, which no split of the embeddings divides.
        x_key: name of the images in an .npz file.
        y_key: name of the labels in an .npz file.
        views: preset or file of random views to embed instead of the central one, for scores of
            views (lidar, alignment).
        n_views: how many of each image; None: 10.
        batch_size: images at a time.
        workers: threads that decode; None: the cores that this process may use, at most 16.
        seed: of random weights and views.
        device: auto, cpu, cuda or cuda:N.
        json: print the answer as JSON on standard output.
    """

    encoder: tyro.conf.Positional[str]
    data: str
    out: str
    layers: list[str] = field(default_factory=lambda: ["backbone"])
    init: str | None = None
    stem: str | None = None
    size: int | None = None
    arch: str | None = None
    key: str | None = None
    labels: str | None = None
    groups: str | None = None
    x_key: str | None = None
    y_key: str | None = None
    views: str | None = None
    n_views: int | None = None
    batch_size: int = 256
    workers: int | None = None
    seed: int = 0
    device: str = "auto"
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Embed and save."""
        from jessl.data import open_source
        from jessl.extract import embed
        from jessl.progress import Count, say

        if Path(self.out).exists() and any(Path(self.out).iterdir()):
            raise ValueError(f"out {self.out} is not empty; give a new folder")
        source = open_source(
            self.data,
            labels=self.labels,
            groups=self.groups,
            x_key=self.x_key,
            y_key=self.y_key,
        )
        for note in source.notes:
            say(f"note: {note}")
        with Count("embedding") as count:
            found = embed(
                self.encoder,
                source,
                out=self.out,
                batch_size=self.batch_size,
                layers=self.layers,
                init=self.init,
                stem=self.stem,
                size=self.size,
                device=self.device,
                workers=self.workers,
                seed=self.seed,
                views=self.views,
                n_views=self.n_views,
                arch=self.arch,
                key=self.key,
                on_batch=count.update,
            )
        each = found if isinstance(found, dict) else {self.layers[0]: found}
        report = next(iter(each.values())).meta.get("weights_report")
        if report is not None:
            say(f"note: {report['told']}")
        shapes = {layer: [e.n, e.d] for layer, e in each.items()}
        unreadable = next(iter(each.values())).meta["unreadable"]
        return {"out": self.out, "layers": shapes, "unreadable": unreadable}

    def show(self, answer: dict[str, Any]) -> None:
        """Shapes, and what could not be read."""
        for layer, (n, d) in answer["layers"].items():
            what = "images" if self.views is None else "views of images"
            print(f"{answer['out']}: {layer}, {n:,} {what}, {d} features")
        _tell_unreadable(answer["unreadable"])


def _tell_unreadable(unreadable: dict[str, str]) -> None:
    for where, reason in list(unreadable.items())[:5]:
        print(f"left out, cannot be read: {where}: {reason}", file=sys.stderr)
    if len(unreadable) > 5:
        print(f"... and {len(unreadable) - 5} more", file=sys.stderr)


@dataclass(kw_only=True)
class Report:
    """Write report.html of a run or a study: one file to look at, without a network.

    Attributes:
        folder: a run or a study.
        table: a .csv or .parquet file to write as well, a row a run, which jessl zoo reads.
        json: print the answer as JSON on standard output.
    """

    folder: tyro.conf.Positional[str]
    table: Path | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Write."""
        from jessl.report import write_report, write_table

        if self.table is None:
            return {"report": str(write_report(self.folder))}
        table = write_table(self.folder, self.table)
        return {"report": str(write_report(self.folder)), "table": str(table)}

    def show(self, answer: dict[str, Any]) -> None:
        """Where to look."""
        print("\n".join(answer.values()))
