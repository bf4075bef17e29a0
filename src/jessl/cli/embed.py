"""The command embed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro


@dataclass(kw_only=True)
class EmbedCommand:
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
        from jessl.core.log import log
        from jessl.core.progress import ProgressBar
        from jessl.data import open_source
        from jessl.encoders.load_report import summary_of
        from jessl.extraction.embed import embed

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
            log.note(note)
        with ProgressBar("embedding") as count:
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
                progress=count.update,
            )
        each = found if isinstance(found, dict) else {self.layers[0]: found}
        report = next(iter(each.values())).meta.get("weights_report")
        if report is not None:
            log.note(summary_of(report))
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
