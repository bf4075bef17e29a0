"""The row of one encoder: embedding, scores, picture of neighbours, and errors with labels."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jessl.comparison import labels as encoder_labels
from jessl.comparison.encoder_specs import FAILURES, EncoderSpec, short_reason
from jessl.comparison.table import SCORES, EncoderRow
from jessl.core.files import contained, read_json, write_json
from jessl.core.image_grid import write_grid
from jessl.core.log import Log
from jessl.core.progress import ProgressBar
from jessl.core.validation import escape_control
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.channels import band_normalisation, check_input
from jessl.extraction.embed import repeat_views
from jessl.extraction.embedding_cache import EmbeddingCache, inference_cost
from jessl.extraction.extract import NothingReadable
from jessl.extraction.neighbours import nearest_neighbours
from jessl.extraction.opened_encoder import OpenedEncoder, open_identified
from jessl.scores import score

ScoreJson = dict[str, Any]
_OF_VIEWS = ("lidar", "alignment")
# LiDAR solves an eigenproblem of d x d for every jackknife block: minutes at 3,072 features
_WIDEST_LIDAR_SPREAD = 1024
_OF_ROWS = tuple(name for name in SCORES if name not in _OF_VIEWS)
QUERIES, NEAREST = 8, 7


@dataclass(frozen=True)
class ComparisonConfig:
    """The images and options that all encoders of a comparison share."""

    out: Path
    source: Source
    viewed: Source | None
    test: Source | None
    shots: tuple[int, ...]
    views: str
    n_views: int
    batch_size: int
    device: torch.device
    workers: int | None
    seed: int
    size: int | None
    log: Log
    stop: Callable[[], bool]


@dataclass
class ComparisonState:
    """What a comparison accumulates from encoder to encoder.

    Attributes:
        weights: checksum of weights and preprocessing -> name of the encoder.
        labelled: name -> results with labels.
        plan: how labels are used; None until the first labelled encoder.
        notes: sentences for the table.
    """

    weights: dict[str, str]
    labelled: dict[str, encoder_labels.LabelledResults]
    plan: encoder_labels.EvaluationPlan | None
    notes: list[str]


def compare_encoder(
    spec: EncoderSpec, config: ComparisonConfig, state: ComparisonState
) -> EncoderRow | None:
    """The row of an encoder; None where the same weights are in the table already."""
    row = EncoderRow(name=spec.name, encoder=escape_control(spec.spec), slug=spec.slug)
    try:
        opened = open_identified(
            spec.spec,
            size=config.size,
            seed=config.seed,
            device=config.device,
            normalisation=band_normalisation(config.source),
        )
        check_input(opened.encoder, config.source)
    except FAILURES as error:
        return dataclasses.replace(row, failed=short_reason(error))
    preprocess = json.dumps(asdict(opened.encoder.preprocess))
    other = state.weights.setdefault(opened.sha256 + preprocess, spec.name)
    if other != spec.name:
        state.notes.append(f"{spec.name} is {other} with another name: both share one row")
        config.log.note(state.notes[-1])
        return None
    cache = EmbeddingCache(
        opened,
        config.out / spec.slug,
        batch_size=config.batch_size,
        workers=config.workers,
        log=config.log,
        stop=config.stop,
    )
    try:
        return _evaluate(row, opened, cache, config, state)
    except NothingReadable:
        raise  # the images cannot be read: every other encoder would fail as well
    except (ValueError, RuntimeError) as error:
        return dataclasses.replace(row, failed=short_reason(error))


def _evaluate(
    row: EncoderRow,
    opened: OpenedEncoder,
    cache: EmbeddingCache,
    config: ComparisonConfig,
    state: ComparisonState,
) -> EncoderRow:
    net, name = opened.encoder, row.name
    with ProgressBar(f"embedding {name}", unit="images") as count:
        z = cache.embeddings("embeddings", config.source, progress=count.update)
    v = None
    if config.viewed is not None:
        random = repeat_views(config.views, config.n_views, net.preprocess)
        with ProgressBar(f"views of {name}", unit="images") as count:
            v = cache.embeddings(
                "views", config.viewed, views=random, seed=config.seed, progress=count.update
            )
    folder = contained(config.out, row.slug)
    scores, warnings = _scores(z, v, folder, config, name)
    objective = opened.provenance.get("objective")
    row = dataclasses.replace(
        row,
        method=None if objective is None else str(objective),
        weights=escape_control(str(opened.provenance.get("weights") or "")) or None,
        weights_sha256=opened.sha256,
        d=z.d,
        input_px=net.preprocess.size,
        parameters=opened.parameters,
        weights_mb=opened.weights_mb,
        feature_mb_per_1000=z.d * 4e-3,
        cost=inference_cost(z),
        scores=scores,
        neighbours=_draw(z, folder, config),
        warnings=(*warnings, *_unreadable_warnings(z)),
    )
    if config.source.labels is None:
        return row
    return _with_labels(row, z, cache, config, state)


def _scores(
    z: Embeddings, v: Embeddings | None, folder: Path, config: ComparisonConfig, encoder: str
) -> tuple[dict[str, ScoreJson], list[str]]:
    """Scores without labels and warnings; read from the folder where the features are unchanged."""
    kept = contained(config.out, folder.name, "scores.json")
    key = [z.meta["key"], None if v is None else v.meta["key"], config.seed, *SCORES]
    if kept.exists():
        held = read_json(kept)
        if isinstance(held, dict) and held.get("key") == key:
            return held["scores"], held["warnings"]
    free = Embeddings(z.features, None, z.ids)
    scores: dict[str, ScoreJson] = {}
    warnings: list[str] = []
    with ProgressBar(f"scoring {encoder}", unit="spectra") as count:
        wide = v is not None and v.d > _WIDEST_LIDAR_SPREAD
        for rows, names, blocks in (
            (free, _OF_ROWS, None),
            (v, ("lidar",), 0 if wide else None),
            (v, ("alignment",), None),
        ):
            if rows is None:
                continue
            try:
                results = score(
                    rows, names, jackknife=blocks, seed=config.seed, progress=count.update
                )
            except ValueError as error:
                warnings.append(short_reason(error))
                continue
            for name, result in results.items():
                scores[name] = result.as_json()
                warnings += [f"{name}: {w}" for w in result.warnings]
        if wide and "lidar" in scores:
            warnings.append(f"lidar: no interval, as its jackknife is slow at d = {free.d:,}")
    write_json(kept, {"key": key, "scores": scores, "warnings": warnings})
    return scores, warnings


def _with_labels(
    row: EncoderRow,
    z: Embeddings,
    cache: EmbeddingCache,
    config: ComparisonConfig,
    state: ComparisonState,
) -> EncoderRow:
    tested = None
    if config.test is not None:
        with ProgressBar(f"test images of {row.name}", unit="images") as count:
            tested = cache.embeddings("test", config.test, progress=count.update)
    try:
        train, test = encoder_labels.labelled_parts(z, tested)
    except ValueError as error:
        note = f"The labels are not used: {error}"
        if note not in state.notes:
            state.notes.append(note)
        return row
    if state.plan is None:
        state.plan = encoder_labels.plan_evaluation(train, test, config.shots, config.seed)
        state.notes += [f"Of labels: {note}." for note in state.plan.notes]
    try:
        with ProgressBar(f"probing {row.name}", unit="fits") as count:
            result = encoder_labels.evaluate_encoder(
                train, test, state.plan, seed=config.seed, progress=count.update
            )
    except ValueError as error:
        warning = f"no probe could be fitted: {short_reason(error)}"
        return dataclasses.replace(row, warnings=(*row.warnings, warning))
    state.labelled[row.name] = result
    return dataclasses.replace(row, labelled=result.as_json())


def _unreadable_warnings(z: Embeddings) -> list[str]:
    unread = z.meta["unreadable"]
    if not unread:
        return []
    where, reason = next(iter(unread.items()))
    return [
        f"{len(unread)} images cannot be read and were left out, e.g. "
        f"{escape_control(str(where))}: "
        f"{escape_control(str(reason))}"
    ]


def _draw(z: Embeddings, folder: Path, config: ComparisonConfig) -> str | None:
    """Draw a picture: in each row an image and its nearest neighbours for the encoder.

    The queries are the same for every encoder: they depend on the ids and the seed only.
    """
    if z.n < 2:
        return None
    order = np.argsort(z.ids)
    drawn = np.random.default_rng([config.seed, 11]).permutation(z.n)[:QUERIES]
    rows = order[drawn]
    near = nearest_neighbours(z, rows, min(NEAREST, z.n - 1))
    index = config.source.index_of(z.ids)
    read = [
        [config.source.picture(int(index[j])) for j in (row, *others)]
        for row, others in zip(rows, near, strict=True)
    ]
    columns = ("image", "nearest", *(f"{k}." for k in range(2, near.shape[1] + 1)))
    file = folder / "neighbours.png"
    write_grid(file, read, columns=columns, cell_px=64, headings_as_text=True)
    return f"{folder.name}/neighbours.png"
