"""What follows a training: the evaluation without labels, and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from jessl import records
from jessl.conclusion import run_conclusion
from jessl.config import ResolvedPretrain
from jessl.core.image_grid import write_grid
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.core.process_group import rank_zero
from jessl.core.progress import ProgressBar, ProgressCallback
from jessl.core.sampling import linspace_indices
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.extract import LAYERS, extract
from jessl.extraction.image_map import image_map, label_colours
from jessl.extraction.neighbours import nearest_neighbours
from jessl.extraction.open_encoder import open_encoder
from jessl.maps import MAP_FILE
from jessl.maps.colours import Colour, outlierness_of
from jessl.pretraining.adaptation import (
    Adaptation,
    adaptation_record,
    judge_adaptation,
    start_checkpoint,
    starts_from_weights,
)
from jessl.pretraining.build import Parts
from jessl.pretraining.evaluate import final_records
from jessl.pretraining.evaluate_views import (
    embed_views,
    rotation_record,
    view_retrieval_record,
)
from jessl.pretraining.images import MOST_IMAGES, limit_images
from jessl.pretraining.judging import count_judging
from jessl.pretraining.view_grid import view_rows
from jessl.records import Record
from jessl.runs import Run
from jessl.schema import VIEW_RETRIEVAL
from jessl.views import Views


class _Counter:
    """Counts the images of several embeddings, one after another, on a bar."""

    def __init__(self, bar: ProgressBar, total: int, check_stop: Callable[[], None]) -> None:
        self._bar, self._total, self._check_stop = bar, total, check_stop
        self._done = 0

    def begin(self) -> ProgressCallback:
        """The callback of the next embedding."""
        before = self._done

        def update(done: int, _of: int) -> None:
            self._done = before + done
            self._bar.update(self._done, self._total)
            self._check_stop()

        return update


@rank_zero
def finish(
    run: Run, parts: Parts, settings: ResolvedPretrain, log: Log, stop: Callable[[], bool]
) -> None:
    """Evaluate the trained encoder on its training images and draw its nearest neighbours."""
    # closed before the results are printed
    with ProgressBar("judging", quiet=log is SILENT, unit="images") as bar:
        total = sum(dataclasses.astuple(count_judging(parts, settings).final))
        counter = _Counter(bar, total, lambda: _check_stop(stop, run))
        measurements, adaptation = _judge(run, parts, settings, log, counter)
    versions = records.versions()
    records.append(run.path, [dataclasses.replace(r, versions=versions) for r in measurements])
    _print(run, measurements, adaptation, log)


def _judge(
    run: Run,
    parts: Parts,
    settings: ResolvedPretrain,
    log: Log,
    counter: _Counter,
) -> tuple[list[Record], Adaptation | None]:
    """All final records, and the comparison with the weights that the run began with."""
    images = limit_images(parts.train, MOST_IMAGES, settings.seed)
    encoder, objective = parts.evaluated
    embeddings = extract(
        encoder,
        objective,
        images,
        layers=LAYERS,
        workers=settings.workers,
        meta={
            "encoder": encoder.name,
            "weights": f"run {run.name}, step {parts.trainer.step}",
            "objective": settings.objective,
        },
        progress=counter.begin(),
    )
    for layer in LAYERS:
        embeddings[layer].save(run.embeddings(layer))
    skipped = {**parts.loader.skipped, **embeddings["backbone"].meta["unreadable"]}
    if skipped:
        where, reason = next(iter(skipped.items()))
        log.note(f"{len(skipped)} images cannot be read and were left out, e.g. {where}: {reason}")
    _draw_neighbours(run, embeddings["backbone"], images)
    _draw_map(run, embeddings["backbone"], images)
    measurements = final_records(
        embeddings,
        objective,
        run=run.name,
        step=parts.trainer.step,
        epoch=parts.trainer.step / len(parts.loader),
        seconds=parts.trainer.seconds,
    )
    measurements = [
        *_score_views(run, parts, settings, embeddings["backbone"].meta, counter),
        *measurements,
    ]
    if skipped:
        measurements.insert(
            0,
            Record(
                run=run.name,
                step=parts.trainer.step,
                epoch=parts.trainer.step / len(parts.loader),
                split="pretrain",
                name="unreadable",
                value=float(len(skipped)),
                extra={"images": skipped},
            ),
        )
    # before the final records, which make the run a finished one
    adaptation = None
    if starts_from_weights(settings, parts.objective):
        adaptation = _compare_with_start(run, parts, settings, log, counter)
    if adaptation is not None:
        measurements.append(adaptation_record(adaptation, measurements[-1]))
    return measurements, adaptation


def _print(
    run: Run, measurements: Sequence[Record], adaptation: Adaptation | None, log: Log
) -> None:
    """The result first, then the ranks with their warnings."""
    conclusion = run_conclusion(measurements)
    if conclusion is not None:
        log.info(f"Result    {conclusion.text}")
    if adaptation is not None and adaptation.chosen == "before":
        log.info(f"          the weights it began with are kept in {start_checkpoint(run)}")
    for r in measurements:
        if r.name.startswith("rankme/") and isinstance(r.value, float):
            n, d, debiased = r.extra["n"], r.extra["d"], r.extra["debiased"]
            sd = f" ± {r.sd:.2f}" if r.sd is not None else ""
            bars = sd if debiased is None else f" (debiased {debiased:.2f}{sd})"
            log.info(f"RankMe    {r.value:.2f}{bars} at the {r.name[7:]}, n {n:,}, d {d}")
            for warning in r.extra["warnings"]:
                log.warning(warning)


def _compare_with_start(
    run: Run, parts: Parts, settings: ResolvedPretrain, log: Log, counter: _Counter
) -> Adaptation | None:
    """Whether the training made the weights it began with better."""
    start = start_checkpoint(run)
    if not start.is_dir():
        log.note("the weights that the run began with were not kept: no comparison with them")
        return None
    before, _, _ = open_encoder(start)
    after, _ = parts.evaluated
    return judge_adaptation(
        before.to(parts.trainer.device),
        after,
        parts.train,
        parts.sample,
        held_out=parts.held_out,
        workers=settings.workers,
        begin=counter.begin,
    )


def _score_views(
    run: Run,
    parts: Parts,
    settings: ResolvedPretrain,
    meta: Mapping[str, object],
    counter: _Counter,
) -> list[Record]:
    """View retrieval, whose embeddings are kept in the run, and the rotation probe."""
    kept = {k: meta[k] for k in ("encoder", "weights", "objective")}
    encoder, _ = parts.evaluated
    z = embed_views(
        encoder, parts.sample, workers=settings.workers, meta=kept, progress=counter.begin()
    )
    if z is None or not np.isfinite(z.features).all():
        return []
    z.save(run.embeddings("views/backbone"))
    untrained = next((r.value for r in run.records() if r.name == VIEW_RETRIEVAL), None)
    here = Record(
        run=run.name,
        step=parts.trainer.step,
        epoch=parts.trainer.step / len(parts.loader),
        split="pretrain",
        seconds=parts.trainer.seconds,
        name=VIEW_RETRIEVAL,
        value=0.0,
    )
    return [
        view_retrieval_record(z, untrained, here),
        *rotation_record(
            encoder, parts.sample, here, workers=settings.workers, begin=counter.begin
        ),
    ]


def _check_stop(stop: Callable[[], bool], run: Run) -> None:
    """Stop between two batches: the training is saved, and the evaluation begins anew."""
    if stop():
        raise Stopped(f"stopped during evaluation; the training is done and saved in {run.path}")


@rank_zero
def draw_views(folder: Path, source: Source, views: Views, seed: int) -> None:
    """Draw a few images and their views, once, in views.png."""
    path = folder / "views.png"
    if not path.exists():
        grid = view_rows(source, views, seed=seed)
        write_grid(path, grid.rows, columns=grid.columns, headings_as_text=True)


def _draw_neighbours(run: Run, embeddings: Embeddings, images: Source, count: int = 6) -> None:
    """Draw a few images, each with the most similar ones by the encoder, in neighbours.png."""
    n = len(embeddings)
    if n < 2:
        return
    rows = np.unique(np.linspace(0, n - 1, min(count, n)).round().astype(int))
    near = nearest_neighbours(embeddings, rows, min(7, n - 1))
    index = images.index_of(embeddings.ids)
    grid = [
        [images.picture(int(index[j])) for j in (row, *others)]
        for row, others in zip(rows, near, strict=True)
    ]
    columns = ("image", "nearest", *(f"{k}." for k in range(2, near.shape[1] + 1)))
    write_grid(run.path / "neighbours.png", grid, columns=columns, headings_as_text=True)


# of a run: its file stays below 2 MB
_MAP_IMAGES = 1_000


def _draw_map(run: Run, embeddings: Embeddings, images: Source) -> None:
    """Write the map of a sample of the images, for the report."""
    z = embeddings.subset(linspace_indices(len(embeddings), _MAP_IMAGES))
    if not np.isfinite(z.features).all():
        return
    colours: list[Colour] = [*label_colours(z), outlierness_of(z.features)]
    drawn = image_map(z, images, colours, total=len(embeddings))
    if drawn is not None:
        drawn.write(run.path / MAP_FILE)
