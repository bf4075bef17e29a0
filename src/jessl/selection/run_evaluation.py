"""The evaluation of a finished run: its scores, and probes where there are labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from jessl import records
from jessl.core.log import log
from jessl.data import Source, split_source
from jessl.data.labels import check_same_classes
from jessl.data.options import open_configured
from jessl.embeddings import Embeddings
from jessl.extraction.embed import embed
from jessl.extraction.extract import LAYERS
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.rotations import ROTATIONS, embed_rotations
from jessl.pretraining.images import evaluation_images
from jessl.probes import probe
from jessl.records import Record
from jessl.risk import decompose
from jessl.runs import Run
from jessl.schema import COMPONENT_NAMES
from jessl.scores.registry import find_score, only_recipe
from jessl.selection.candidates import open_runs
from jessl.selection.criteria import (
    Criterion,
    CriterionValue,
    criterion_value,
    final_record,
    value_of_embeddings,
)
from jessl.views.presets import COMPARISON

DIVERGED = "diverged"
# images and views of each for scores of views: LiDAR's paper has 10 views within 1 % of its 50
_IMAGES, _VIEWS = 1_000, 10
# in the conventions of a record: the preset of the views; absent for COMPARISON
_PRESET = "preset"
# kinds of probe, the first of which is shown first
PROBES = ("logistic", "knn")
_LAYER = "backbone"


def score_run(
    run: Run, criteria: list[Criterion], images: Source, *, recipe: str = COMPARISON
) -> dict[str, CriterionValue]:
    """Scores of a finished run by their full names; missing ones are computed and recorded.

    Args:
        criteria: scores at layers.
        images: the training images of the run, for scores of views.
        recipe: preset of views; scores that were taken under another are taken again.
    """
    views = [c for c in criteria if c.is_of_views and not _is_recorded(run, c, recipe)]
    if views:
        records.append(run.path, _of_views(run, views, images, recipe))
    inside = [
        c
        for c in criteria
        if c not in views and c.layer not in (None, *LAYERS) and not final_record(run, c.text)
    ]
    if inside:
        records.append(run.path, _of_layers(run, inside, images))
    values = {}
    for criterion in criteria:
        value = criterion_value(run, criterion)
        assert value is not None, "only finished runs are scored"
        if criterion.layer is not None and final_record(run, criterion.text) is None:
            records.append(run.path, [_record(run, criterion.text, value)])
        values[criterion.text] = value
    return values


def rescore_runs(runs: Iterable[Run | str | Path], criteria: list[Criterion], recipe: str) -> None:
    """Take scores of views again, under another recipe, from the images of each finished run.

    Raises:
        ValueError: where the images of a run cannot be opened, naming it.
    """
    views = [c for c in criteria if c.is_of_views]
    for run in open_runs(runs) if views else []:
        if not run.finished() or all(_is_recorded(run, c, recipe) for c in views):
            continue
        try:
            images = open_configured(run.config())
        except ValueError as error:
            raise ValueError(f"{run.path}: {error}") from None
        log.info(f"scoring {run.path} under views {recipe}")
        score_run(run, views, evaluation_images(run.resolved_config(), images), recipe=recipe)


def _is_recorded(run: Run, criterion: Criterion, recipe: str) -> bool:
    """Whether a score of views was taken under the recipe, if it is not defined for one only."""
    record = final_record(run, criterion.text)
    if record is None:
        return False
    if only_recipe(find_score(criterion.name)) is not None:
        return True
    return str((record.extra.get("params") or {}).get(_PRESET, COMPARISON)) == recipe


def _of_views(run: Run, criteria: list[Criterion], images: Source, recipe: str) -> list[Record]:
    """Records of scores of views: under one recipe for all runs, whatever they were trained on."""
    few = images if len(images) <= _IMAGES else split_source(images, _IMAGES / len(images), 0)[1]
    turned = [c for c in criteria if only_recipe(find_score(c.name)) == ROTATIONS]
    viewed = [c for c in criteria if c not in turned]
    values: dict[str, CriterionValue] = {}
    if turned:
        encoder, *_ = open_encoder(run)
        z = embed_rotations(encoder, few, workers=1)
        values |= {c.text: value_of_embeddings(z, c) for c in turned}
    if viewed:
        layers = list(dict.fromkeys(str(c.layer) for c in viewed))
        embedded = embed(run, few, layers=layers, views=recipe, n_views=_VIEWS, workers=1)
        by_layer = embedded if isinstance(embedded, dict) else {layers[0]: embedded}
        for c in viewed:
            value = value_of_embeddings(by_layer[str(c.layer)], c)
            params = {**(value.params or {}), _PRESET: recipe}
            values[c.text] = dataclasses.replace(value, params=params)
    return [_record(run, text, value) for text, value in values.items()]


def _of_layers(run: Run, criteria: list[Criterion], images: Source) -> list[Record]:
    """Records of scores inside the projector, whose embeddings a training does not keep."""
    layers = list(dict.fromkeys(str(c.layer) for c in criteria))
    embedded = embed(
        run, evaluation_images(run.resolved_config(), images), layers=layers, workers=1
    )
    by_layer = embedded if isinstance(embedded, dict) else {layers[0]: embedded}
    return [_record(run, c.text, value_of_embeddings(by_layer[str(c.layer)], c)) for c in criteria]


def _record(run: Run, name: str, value: CriterionValue) -> Record:
    return Record(
        run=run.name,
        name=name,
        value=value.value,
        sd=value.sd,
        split="pretrain",
        extra={
            "n": value.n,
            "d": value.d,
            "debiased": value.debiased,
            "warnings": list(value.warnings),
            "params": value.params,
        },
        versions=records.versions(),
    )


def probe_run(
    run: Run,
    train: Source,
    test: Source,
    *,
    kinds: Sequence[str] = PROBES,
    seed: int = 0,
    workers: int | None = 1,
) -> dict[str, float]:
    """Probe the backbone of a finished run and record the accuracies; they do not affect a choice.

    The embeddings of both sources are kept in the run, for a decomposition. Accuracies that were
    already measured on these images stay as they are.

    Returns:
        {"accuracy/logistic": ..., "accuracy/knn": ...}.

    Raises:
        ValueError: for images without labels, or classes of `test` that `train` lacks.
    """
    check_same_classes(train, test)
    done = recorded_accuracies(run, train, test)
    lacking = [kind for kind in kinds if f"accuracy/{kind}" not in done]
    if lacking:
        done |= _probed(run, {"train": train, "test": test}, lacking, seed, workers)
    return {f"accuracy/{kind}": done[f"accuracy/{kind}"] for kind in kinds}


def recorded_accuracies(run: Run, train: Source, test: Source) -> dict[str, float]:
    """Recorded accuracies of a run on these images, by the names of their records."""
    return _recorded(run, _fingerprints(train, test), "accuracy/")


def _recorded(run: Run, images: dict[str, str], prefix: str) -> dict[str, float]:
    """Recorded numbers of the split test whose names have the prefix, on these images only."""
    return {
        r.name: r.value
        for r in run.records()
        # records of earlier releases do not hold the checksums of their images
        if r.split == "test" and {**images, **r.extra} == {**r.extra, **images}
        if r.name.startswith(prefix) and isinstance(r.value, float)
    }


def _fingerprints(train: Source, test: Source) -> dict[str, str]:
    return {"train": train.fingerprint(), "test": test.fingerprint()}


def _probed(
    run: Run,
    sources: dict[str, Source],
    kinds: Sequence[str],
    seed: int,
    workers: int | None,
) -> dict[str, float]:
    embeddings = {}
    for name, source in sources.items():
        z = embed(run, source, layers=(_LAYER,), workers=workers)
        assert isinstance(z, Embeddings)
        z.save(run.embeddings(name))
        embeddings[name] = z
    train, test = embeddings["train"], embeddings["test"]
    results = {kind: probe(train, test, kind=kind, seed=seed) for kind in kinds}
    extra = {"n": test.labelled().n, "layer": _LAYER, **_fingerprints(**sources)}
    records.append(
        run.path,
        [
            Record(
                run=run.name,
                name=f"accuracy/{kind}",
                value=result.accuracy,
                split="test",
                low=1 - result.high,
                high=1 - result.low,
                extra={**extra, "params": result.params},
                versions=records.versions(),
            )
            for kind, result in results.items()
        ],
    )
    return {f"accuracy/{kind}": result.accuracy for kind, result in results.items()}


def decompose_run(run: Run, *, seed: int = 0) -> dict[str, float]:
    """Decompose the error of a run on the images of its last probe, and record the components.

    Returns:
        {"risk/usability": ..., "risk/total": ...}, fractions.
    """
    z = {name: Embeddings.load(run.embeddings(name)) for name in ("train", "test")}
    images = {name: z[name].meta["data_checksum"] for name in z}
    recorded = _recorded(run, images, "risk/")
    if recorded:
        return recorded
    risk = decompose(z["train"], z["test"], seed=seed)
    extra = {"merged": risk.merged, "order": risk.order, "params": risk.params, **images}
    parts = {name: getattr(risk, name) for name in COMPONENT_NAMES} | {"total": risk.risk}
    records.append(
        run.path,
        [
            Record(
                run=run.name,
                name=f"risk/{name}",
                value=part.value,
                low=part.low,
                high=part.high,
                split="test",
                extra=extra,
                versions=records.versions(),
            )
            for name, part in parts.items()
        ],
    )
    return {f"risk/{name}": part.value for name, part in parts.items()}


def mark_diverged(run: Run, reason: str) -> None:
    """Record that a run diverged: it stays in tables and is never chosen."""
    if final_record(run, DIVERGED) is None:
        made = Record(
            run=run.name,
            name=DIVERGED,
            value=1.0,
            split="pretrain",
            extra={"reason": reason},
            versions=records.versions(),
        )
        records.append(run.path, [made])


def summarize_run(run: Run, values: dict[str, CriterionValue]) -> dict[str, object]:
    """A finished run as the storage of a sweep keeps it, for machines without its folder."""
    recorded = run.records()
    losses = [r.value for r in recorded if r.name == "loss" and isinstance(r.value, float)]
    times = [r.seconds for r in recorded if r.seconds is not None]
    return {
        "scores": {name: _plain(value) for name, value in values.items()},
        "loss": losses[-1] if losses else None,
        "seconds": max(times, default=None),
        "folder": str(run.path.resolve()),
    }


def _plain(value: CriterionValue) -> dict[str, float | None]:
    numbers = {"value": value.value, "sd": value.sd, "n": value.n, "d": value.d}
    return {k: v if v is not None and math.isfinite(v) else None for k, v in numbers.items()}
