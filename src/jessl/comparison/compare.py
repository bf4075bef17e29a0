"""Which of these pretrained encoders suits my images: `compare_encoders`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jessl.comparison import labels as encoder_labels
from jessl.comparison.encoder_specs import EncoderSpec, encoder_specs
from jessl.comparison.interpretation import notes_of
from jessl.comparison.rows import ComparisonConfig, ComparisonState, row_of
from jessl.comparison.table import EncoderTable, agreement_of, orders_of
from jessl.config import Compare
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.devices import pick_device
from jessl.core.files import locked
from jessl.core.log import Log, log
from jessl.core.validation import check_int, escape_control
from jessl.data import Subset, open_source
from jessl.data.labels import check_same_classes
from jessl.encoders import Preprocess
from jessl.extraction.embed import repeat_views
from jessl.extraction.embedding_cache import without_labels
from jessl.extraction.extract import check_channels
from jessl.pretraining.images import MOST_IMAGES, limit_images


@takes_options(Compare)
@renamed_arguments(tell="log")
def compare_encoders(
    encoders: Sequence[str],
    data: Any,
    *,
    out: str | Path,
    labels: str | Path | None = None,
    groups: str | None = None,
    shots: Sequence[int] = (),
    test: Any = None,
    views: str = "simclr",
    n_views: int = 10,
    view_images: int = 1000,
    most_images: int = MOST_IMAGES,
    batch_size: int = 256,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    size: int | None = None,
    log: Log = log,
    stop: Callable[[], bool] = lambda: False,
) -> EncoderTable:
    """Judge encoders on your images, without labels, and with them where there are some.

    Each encoder sees the same images once, by its own preprocessing, at the backbone. What is made
    is kept in `out`, part after part: the same command, killed or with labels added, goes on where
    it was. An encoder that fails stays in the table with the reason.

    Args:
        log: told what a person should know meanwhile.
        stop: asked after every batch.

    Returns:
        EncoderTable; `out` then holds encoders.json, table.csv, table.parquet, and a folder an
        encoder with its embeddings and a picture of nearest neighbours.

    Raises:
        ValueError: for a mistake in the arguments, images of which none can be read, an `out` that
            another process writes, and when every encoder fails.
        Stopped: when asked to; what is whole is kept.
    """
    found, doubled = encoder_specs(encoders)
    for note in doubled:
        log.note(note)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: {out} is a file; a folder is wanted")
    seed, batch_size = check_int("seed", seed, 0), check_int("batch_size", batch_size, 1)
    most, view_images = (
        check_int("most_images", most_images, 1),
        check_int("view_images", view_images, 0),
    )
    if not 2 <= check_int("n_views", n_views, None) <= 256:
        raise ValueError(f"n_views must be in 2..256, got {n_views}")
    source = limit_images(
        check_channels(open_source(data, labels=labels, groups=groups)), most, seed
    )
    tested = None
    if test is not None:
        tested = limit_images(check_channels(open_source(test)), most, seed)
        check_same_classes(source, tested)
    viewed = limit_images(without_labels(source), view_images, seed) if view_images else None
    asked = ComparisonConfig(
        out=out,
        source=source,
        viewed=viewed,
        test=tested,
        shots=tuple(check_int("shots", k, 1) for k in shots),
        views=views,
        n_views=n_views,
        batch_size=batch_size,
        device=pick_device(device),
        workers=workers,
        seed=seed,
        size=size,
        log=log,
        stop=stop,
    )
    if viewed is not None:
        _checked_views(views, n_views)
    with locked(out):
        return _table(found, asked, list(doubled))


def _checked_views(views: str, n_views: int) -> None:
    """Refuse views that are none before an encoder is opened."""
    repeat_views(views, n_views, Preprocess(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def _table(found: list[EncoderSpec], asked: ComparisonConfig, notes: list[str]) -> EncoderTable:
    seen = ComparisonState({}, {}, None, notes)
    rows = []
    for place, contender in enumerate(found, 1):
        asked.log.info(f"{place}/{len(found)} {contender.name}")
        row = row_of(contender, asked, seen)
        if row is not None:
            rows.append(row)
            if row.failed is not None:
                asked.log.info(f"  failed: {row.failed}")
    if all(row.failed is not None for row in rows):
        first = rows[0]
        raise ValueError(
            f"encoders: all {len(rows)} failed; the first, {first.name}: {first.failed}"
        )
    if seen.labelled:
        _, apart = encoder_labels.to_best(seen.labelled, asked.seed)
        rows = [dataclasses.replace(row, to_best=apart.get(row.name)) for row in rows]
    orders, agreement = orders_of(rows), agreement_of(rows)
    settings = _settings(asked, seen)
    table = EncoderTable(
        path=asked.out,
        rows=tuple(rows),
        notes=(*notes_of(rows, orders, agreement, settings), *seen.notes, *asked.source.notes),
        orders=orders,
        agreement=agreement,
        settings=settings,
    )
    table.write()
    return table


def _settings(asked: ComparisonConfig, seen: ComparisonState) -> dict[str, Any]:
    source, plan = asked.source, seen.plan
    labelled = 0 if source.labels is None else int((source.labels >= 0).sum())
    whole_source = source.source if isinstance(source, Subset) else source
    return {
        "data": escape_control(source.name),
        "images": len(source),
        "of_images": len(whole_source),
        "data_checksum": without_labels(source).fingerprint(),
        "labelled": labelled,
        "classes": None
        if source.classes is None
        else [escape_control(str(c)) for c in source.classes],
        "groups": source.groups_column,
        "test": None if asked.test is None else escape_control(asked.test.name),
        "views": escape_control(str(asked.views)) if asked.viewed is not None else None,
        "n_views": asked.n_views if asked.viewed is not None else None,
        "view_images": 0 if asked.viewed is None else len(asked.viewed),
        "probe": None if plan is None or not seen.labelled else plan.kind,
        "shots": [] if plan is None else list(plan.shots),
        "seed": asked.seed,
    }
