"""Comparing pretrained encoders on your images: `compare_encoders`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from jessl.comparison import labels as encoder_labels
from jessl.comparison.encoder_specs import EncoderSpec, parse_encoder_specs
from jessl.comparison.interpretation import best_encoder, interpretation_notes
from jessl.comparison.map import write_comparison_map
from jessl.comparison.rows import ComparisonConfig, ComparisonState, compare_encoder
from jessl.comparison.table import EncoderTable, column_agreement, rank_by_columns
from jessl.config import Compare
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.devices import pick_device
from jessl.core.files import is_contained_file, locked, read_json, write_json
from jessl.core.leftovers import other_names
from jessl.core.log import Log, log
from jessl.core.validation import check_int, escape_control
from jessl.data import Source, Subset, open_source
from jessl.data.labels import check_same_classes, with_class_names
from jessl.encoders import Preprocess
from jessl.extraction.channels import check_same_bands, check_source
from jessl.extraction.embed import repeat_views
from jessl.extraction.extract import value_range_meta
from jessl.extraction.without_labels import without_labels
from jessl.maps.layouts import check_map
from jessl.pretraining.images import MOST_IMAGES, limit_images

# marks a folder as one of a comparison from its beginning on
_MARK, _MARK_FORMAT = "comparison.json", "jessl.comparison"


@takes_options(Compare)
@renamed_arguments(tell="log")
def compare_encoders(
    encoders: Sequence[str],
    data: Source | str | Path,
    *,
    out: str | Path,
    labels: str | Path | None = None,
    class_names: str | Path | Sequence[str] | None = None,
    groups: str | None = None,
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
    shots: Sequence[int] = (),
    test: Source | str | Path | None = None,
    views: str = "simclr",
    n_views: int = 10,
    view_images: int = 1000,
    map: str = "pca",
    most_images: int = MOST_IMAGES,
    batch_size: int = 256,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    size: int | None = None,
    log: Log = log,
    stop: Callable[[], bool] = lambda: False,
) -> EncoderTable:
    """Compare encoders on your images without labels, and with labels where there are some.

    Each encoder embeds the same images once, with its own preprocessing, at the backbone. Every
    part is kept in `out` as soon as it is complete: the same command continues there after a kill,
    or when labels are added. An encoder that fails stays in the table with the reason.

    Args:
        log: receives lines for people.
        stop: called after every batch; True stops the comparison.

    Returns:
        EncoderTable; `out` then holds encoders.json, table.csv, table.parquet, and one folder per
        encoder with its embeddings and a picture of nearest neighbours, and map.json.

    Raises:
        ValueError: for an invalid argument, images of which none can be read, an `out` that another
            process is writing, and when every encoder fails.
        Stopped: when `stop` returns True; complete parts are kept.
    """
    specs, notes = parse_encoder_specs(encoders)
    for note in notes:
        log.note(note)
    check_map(map)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a folder, got the file {out}")
    seed, batch_size = check_int("seed", seed, 0), check_int("batch_size", batch_size, 1)
    most, view_images = (
        check_int("most_images", most_images, 1),
        check_int("view_images", view_images, 0),
    )
    if not 2 <= check_int("n_views", n_views, None) <= 256:
        raise ValueError(f"n_views: expected 2 to 256, got {n_views}")
    opened = partial(open_source, bits=bits, value_range=value_range)
    sources = {"data": check_source(opened(data, labels=labels, groups=groups))}
    if test is not None:
        sources["test"] = check_source(opened(test))
        check_same_bands(sources["data"], sources["test"])
    named = with_class_names(class_names, **sources)
    source = limit_images(named[0], most, seed)
    tested = limit_images(named[1], most, seed) if test is not None else None
    if tested is not None:
        check_same_classes(source, tested)
    viewed = limit_images(without_labels(source), view_images, seed) if view_images else None
    config = ComparisonConfig(
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
    with locked(out, check=partial(_check_folder, out)):
        write_json(out / _MARK, {"format": _MARK_FORMAT, "version": 1})
        return _compare(specs, config, list(notes), map)


def _check_folder(out: Path) -> None:
    """Refuse a folder with anything but a comparison."""
    names = other_names(out)
    if not names or _has_format(out / _MARK, _MARK_FORMAT):
        return
    # earlier releases wrote no mark
    if _has_format(out / "encoders.json", "jessl.encoders"):
        return
    if all(_is_of_encoder(out / name) for name in names):
        return
    raise ValueError(
        f"out: {out} is not empty and holds no comparison of encoders; give a new folder"
    )


def _has_format(file: Path, name: str) -> bool:
    if not is_contained_file(file.parent, file.name):
        return False
    try:
        content = read_json(file)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == name


def _is_of_encoder(folder: Path) -> bool:
    """Whether a folder is one that an interrupted comparison leaves for an encoder."""
    parts, meta = folder / "embeddings.parts", folder / "embeddings" / "meta.json"
    return parts.is_dir() or meta.is_file()


def _checked_views(views: str, n_views: int) -> None:
    """Refuse unknown views before an encoder is opened."""
    repeat_views(views, n_views, Preprocess(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def _compare(
    specs: list[EncoderSpec], config: ComparisonConfig, notes: list[str], kind: str
) -> EncoderTable:
    state = ComparisonState({}, {}, None, notes)
    rows = []
    for place, spec in enumerate(specs, 1):
        config.log.info(f"{place}/{len(specs)} {spec.name}")
        row = compare_encoder(spec, config, state)
        if row is not None:
            rows.append(row)
            if row.failed is not None:
                config.log.info(f"  failed: {row.failed}")
    if all(row.failed is not None for row in rows):
        first = rows[0]
        raise ValueError(
            f"encoders: all {len(rows)} failed; the first, {first.name}: {first.failed}"
        )
    if state.labelled:
        _, differences = encoder_labels.differences_to_best(state.labelled, config.seed)
        rows = [dataclasses.replace(row, to_best=differences.get(row.name)) for row in rows]
    orders, agreement = rank_by_columns(rows), column_agreement(rows)
    settings = _settings(config, state)
    table = EncoderTable(
        path=config.out,
        rows=tuple(rows),
        notes=(
            *interpretation_notes(rows, orders, agreement, settings),
            *state.notes,
            *config.source.notes,
        ),
        orders=orders,
        agreement=agreement,
        settings=settings,
        conclusion=best_encoder([row for row in rows if row.failed is None], orders),
    )
    write_comparison_map(rows, config, kind)
    table.write()
    return table


def _settings(config: ComparisonConfig, state: ComparisonState) -> dict[str, object]:
    source, plan = config.source, state.plan
    labelled = 0 if source.labels is None else int((source.labels >= 0).sum())
    whole_source = source.source if isinstance(source, Subset) else source
    return {
        "data": escape_control(source.name),
        "images": len(source),
        "of_images": len(whole_source),
        "data_checksum": without_labels(source).fingerprint(),
        **value_range_meta(source),
        "labelled": labelled,
        "classes": None
        if source.classes is None
        else [escape_control(str(c)) for c in source.classes],
        "groups": source.groups_column,
        "test": None if config.test is None else escape_control(config.test.name),
        "views": escape_control(str(config.views)) if config.viewed is not None else None,
        "n_views": config.n_views if config.viewed is not None else None,
        "view_images": 0 if config.viewed is None else len(config.viewed),
        "probe": None if plan is None or not state.labelled else plan.kind,
        "shots": [] if plan is None else list(plan.shots),
        "seed": config.seed,
    }
