"""What follows a training: the judgement without labels, and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from jessl import records
from jessl.core.image_grid import write_grid
from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.embed import LAYERS, extract
from jessl.pretraining import evaluate
from jessl.pretraining.build import Parts, judged_images
from jessl.pretraining.view_grid import view_rows
from jessl.records import Record
from jessl.runs import Run


def finish(run: Run, parts: Parts, log: Log, stop: Callable[[], bool]) -> None:
    """Judge the trained encoder on its training images and draw its nearest neighbours."""
    images = judged_images(parts.train, evaluate.MOST_IMAGES, parts.config.seed)
    found = extract(
        parts.encoder,
        parts.objective,
        images,
        layers=LAYERS,
        workers=parts.config.workers,
        meta={
            "encoder": parts.encoder.name,
            "weights": f"run {run.name}, step {parts.trainer.step}",
            "objective": parts.config.objective,
        },
        progress=lambda _done, _all: _give_way(stop, run),
    )
    for layer in LAYERS:
        found[layer].save(run.embeddings(layer))
    skipped = {**parts.loader.skipped, **found["backbone"].meta["unreadable"]}
    if skipped:
        where, reason = next(iter(skipped.items()))
        log.note(f"{len(skipped)} images cannot be read and were left out, e.g. {where}: {reason}")
    _draw_neighbours(run, found["backbone"], images)
    judged = evaluate.final(
        found, parts.objective, run=run.name, step=parts.trainer.step, seconds=parts.trainer.seconds
    )
    if skipped:
        judged.insert(
            0,
            Record(
                run=run.name,
                step=parts.trainer.step,
                split="pretrain",
                name="unreadable",
                value=float(len(skipped)),
                extra={"images": skipped},
            ),
        )
    versions = records.versions()
    records.append(run.path, [dataclasses.replace(r, versions=versions) for r in judged])
    for r in judged:
        if r.name.startswith("rankme/") and isinstance(r.value, float):
            n, d, debiased = r.extra["n"], r.extra["d"], r.extra["debiased"]
            sd = f" ± {r.sd:.2f}" if r.sd is not None else ""
            bars = sd if debiased is None else f" (debiased {debiased:.2f}{sd})"
            log.info(f"RankMe    {r.value:.2f}{bars} at the {r.name[7:]}, n {n:,}, d {d}")
            for warning in r.extra["warnings"]:
                log.warning(warning)


def _give_way(stop: Callable[[], bool], run: Run) -> None:
    """Leave between two batches: the training is saved, and the judgement begins anew."""
    if stop():
        raise Stopped(f"stopped while judging; the training is done and saved in {run.path}")


def draw_views(run: Run, parts: Parts) -> None:
    """A picture of a few images and what the encoder sees of them; drawn once."""
    path = run.path / "views.png"
    if not path.exists():
        grid = view_rows(parts.train, parts.views, seed=parts.config.seed)
        write_grid(path, grid.rows, columns=grid.columns)


def _draw_neighbours(run: Run, embeddings: Embeddings, images: Source, count: int = 6) -> None:
    """A picture of a few images, each with the images that the encoder finds most alike."""
    n = len(embeddings)
    if n < 2:
        return
    rows = np.unique(np.linspace(0, n - 1, min(count, n)).round().astype(int))
    near = evaluate.neighbours(embeddings, rows, min(7, n - 1))
    at = {int(i): k for k, i in enumerate(images.ids)}
    read = [
        [images.read(at[int(embeddings.ids[j])]) for j in (row, *others)]
        for row, others in zip(rows, near, strict=True)
    ]
    columns = ("image", "nearest", *(f"{k}." for k in range(2, near.shape[1] + 1)))
    write_grid(run.path / "neighbours.png", read, columns=columns)
