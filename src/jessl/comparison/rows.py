"""The row of one encoder: embedded once, scored, drawn, and with labels judged by them."""

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
from jessl.comparison.encoder_specs import FAILURES, EncoderSpec, open_encoder_spec, reason_of
from jessl.comparison.table import SCORES, EncoderRow
from jessl.core.files import read_json, write_json
from jessl.core.image_grid import write_grid
from jessl.core.log import Log
from jessl.core.progress import ProgressBar
from jessl.core.validation import escape_control
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.embed import repeat_views
from jessl.extraction.embedding_cache import EmbeddingCache, inference_cost
from jessl.extraction.extract import NothingReadable
from jessl.extraction.neighbours import nearest_neighbours
from jessl.extraction.opened_encoder import OpenedEncoder
from jessl.scores import score

Held = dict[str, Any]
_OF_VIEWS = ("lidar", "alignment")
_OF_ROWS = tuple(name for name in SCORES if name not in _OF_VIEWS)
QUERIES, NEAREST = 8, 7


@dataclass(frozen=True)
class ComparisonConfig:
    """What is the same for every encoder."""

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
    """What comes up while encoder after encoder is judged."""

    weights: dict[str, str]
    labelled: dict[str, encoder_labels.LabelledResults]
    plan: encoder_labels.EvaluationPlan | None
    notes: list[str]


def row_of(
    contender: EncoderSpec, asked: ComparisonConfig, seen: ComparisonState
) -> EncoderRow | None:
    """The row of an encoder; None where it is one that stands in the table already."""
    row = EncoderRow(
        name=contender.name, encoder=escape_control(contender.spec), slug=contender.slug
    )
    try:
        opened = open_encoder_spec(contender, size=asked.size, seed=asked.seed, device=asked.device)
    except FAILURES as error:
        return dataclasses.replace(row, failed=reason_of(error))
    preprocess = json.dumps(asdict(opened.encoder.preprocess))
    other = seen.weights.setdefault(opened.sha256 + preprocess, contender.name)
    if other != contender.name:
        seen.notes.append(f"{contender.name} is {other} with another name: one row stands for both")
        asked.log.note(seen.notes[-1])
        return None
    cache = EmbeddingCache(
        opened,
        asked.out / contender.slug,
        batch_size=asked.batch_size,
        workers=asked.workers,
        log=asked.log,
        stop=asked.stop,
    )
    try:
        return _judged(row, opened, cache, asked, seen)
    except NothingReadable:
        raise  # the images' fault: no other encoder would fare better
    except (ValueError, RuntimeError) as error:
        return dataclasses.replace(row, failed=reason_of(error))
    finally:
        cache.close()


def _judged(
    row: EncoderRow,
    opened: OpenedEncoder,
    cache: EmbeddingCache,
    asked: ComparisonConfig,
    seen: ComparisonState,
) -> EncoderRow:
    net, name = opened.encoder, row.name
    with ProgressBar(f"embedding {name}") as count:
        z = cache.embeddings("embeddings", asked.source, progress=count.update)
    v = None
    if asked.viewed is not None:
        random = repeat_views(asked.views, asked.n_views, net.preprocess)
        with ProgressBar(f"views of {name}") as count:
            v = cache.embeddings(
                "views", asked.viewed, views=random, seed=asked.seed, progress=count.update
            )
    folder = asked.out / row.slug
    scores, doubts = _scores(z, v, folder, asked, name)
    row = dataclasses.replace(
        row,
        method=opened.provenance.get("objective"),
        weights=escape_control(str(opened.provenance.get("weights") or "")) or None,
        weights_sha256=opened.sha256,
        d=z.d,
        input_px=net.preprocess.size,
        parameters=opened.parameters,
        weights_mb=opened.weights_mb,
        feature_mb_per_1000=z.d * 4e-3,
        cost=inference_cost(z),
        scores=scores,
        neighbours=_draw(z, folder, asked),
        warnings=(*doubts, *_unread(z)),
    )
    if asked.source.labels is None:
        return row
    return _with_labels(row, z, cache, asked, seen)


def _scores(
    z: Embeddings, v: Embeddings | None, folder: Path, asked: ComparisonConfig, name: str
) -> tuple[dict[str, Held], list[str]]:
    """The scores without labels, from the folder where they were taken of the same features."""
    kept = folder / "scores.json"
    key = [z.meta["key"], None if v is None else v.meta["key"], asked.seed, *SCORES]
    if kept.exists():
        held = read_json(kept)
        if isinstance(held, dict) and held.get("key") == key:
            return held["scores"], held["warnings"]
    free = Embeddings(z.features, None, z.ids)
    found: dict[str, Held] = {}
    doubts: list[str] = []
    with ProgressBar(f"scoring {name}") as count:
        for rows, names in ((free, _OF_ROWS), (v, _OF_VIEWS)):
            if rows is None:
                continue
            try:
                results = score(rows, names, seed=asked.seed, progress=count.update)
            except ValueError as error:
                doubts.append(reason_of(error))
                continue
            for one, result in results.items():
                found[one] = result.as_json()
                doubts += [f"{one}: {w}" for w in result.warnings]
    write_json(kept, {"key": key, "scores": found, "warnings": doubts})
    return found, doubts


def _with_labels(
    row: EncoderRow,
    z: Embeddings,
    cache: EmbeddingCache,
    asked: ComparisonConfig,
    seen: ComparisonState,
) -> EncoderRow:
    held = None
    if asked.test is not None:
        with ProgressBar(f"test images of {row.name}") as count:
            held = cache.embeddings("test", asked.test, progress=count.update)
    try:
        train, test = encoder_labels.train_test_split(z, held, asked.seed)
    except ValueError as error:
        note = f"The labels are not used: {error}"
        if note not in seen.notes:
            seen.notes.append(note)
        return row
    if seen.plan is None:
        seen.plan = encoder_labels.planned(train, test, asked.shots)
        seen.notes += [f"Of labels: {note}." for note in seen.plan.notes]
    try:
        with ProgressBar(f"probing {row.name}") as count:
            found = encoder_labels.judged(
                train, test, seen.plan, seed=asked.seed, progress=count.update
            )
    except ValueError as error:
        doubt = f"no probe could be fitted: {reason_of(error)}"
        return dataclasses.replace(row, warnings=(*row.warnings, doubt))
    seen.labelled[row.name] = found
    return dataclasses.replace(row, labelled=found.as_json())


def _unread(z: Embeddings) -> list[str]:
    unread = z.meta["unreadable"]
    if not unread:
        return []
    where, reason = next(iter(unread.items()))
    return [
        f"{len(unread)} images cannot be read and were left out, e.g. "
        f"{escape_control(str(where))}: "
        f"{escape_control(str(reason))}"
    ]


def _draw(z: Embeddings, folder: Path, asked: ComparisonConfig) -> str | None:
    """A picture: in each row an image and those that the encoder finds most alike to it.

    The queries are the same for every encoder: they hang on ids and the seed.
    """
    if z.n < 2:
        return None
    order = np.argsort(z.ids)
    drawn = np.random.default_rng([asked.seed, 11]).permutation(z.n)[:QUERIES]
    rows = order[drawn]
    near = nearest_neighbours(z, rows, min(NEAREST, z.n - 1))
    at = {int(i): k for k, i in enumerate(asked.source.ids)}
    read = [
        [asked.source.read(at[int(z.ids[j])]) for j in (row, *others)]
        for row, others in zip(rows, near, strict=True)
    ]
    columns = ("image", "nearest", *(f"{k}." for k in range(2, near.shape[1] + 1)))
    write_grid(folder / "neighbours.png", read, columns=columns, cell_px=64)
    return f"{folder.name}/neighbours.png"
