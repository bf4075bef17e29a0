"""What follows a run of a study: its scores, and the closing check where there are labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jessl import records
from jessl.data import Source, split_source
from jessl.data.labels import check_same_classes
from jessl.embeddings import Embeddings
from jessl.extraction.embed import LAYERS, embed
from jessl.pretraining.build import judged_part
from jessl.probes import probe
from jessl.records import Record
from jessl.risk import decompose
from jessl.runs import Run
from jessl.schema import COMPONENT_NAMES
from jessl.scores import score
from jessl.scores.registry import OF_VIEWS
from jessl.selection.criteria import (
    Criterion,
    CriterionValue,
    criterion_value_of,
    criterion_values,
    final_record,
)

DIVERGED = "diverged"
# images and views of each for scores of views: LiDAR's paper has 10 views within 1 % of its 50
_IMAGES, _VIEWS = 1_000, 10
# kinds of probe, the first of which is shown first
PROBES = ("logistic", "knn")
_LAYER = "backbone"


def judge_run(run: Run, wanted: list[Criterion], images: Source) -> dict[str, CriterionValue]:
    """Scores of a finished run by their whole names; those it lacks are taken and recorded.

    Args:
        wanted: scores at layers.
        images: that it was trained on, for scores of views.
    """
    views = [c for c in wanted if c.name in OF_VIEWS and final_record(run, c.text) is None]
    if views:
        records.append(run.path, _of_views(run, views, images))
    inside = [
        c
        for c in wanted
        if c not in views and c.layer not in (None, *LAYERS) and not final_record(run, c.text)
    ]
    if inside:
        records.append(run.path, _of_layers(run, inside, images))
    found = {}
    for one in wanted:
        told = criterion_values(run, one)
        assert told is not None, "a run that is judged is finished"
        if one.layer is not None and final_record(run, one.text) is None:
            records.append(run.path, [_record(run, one.text, told)])
        found[one.text] = told
    return found


def _of_views(run: Run, wanted: list[Criterion], images: Source) -> list[Record]:
    """Records of scores of views, of the views that the run was trained on."""
    few = images if len(images) <= _IMAGES else split_source(images, _IMAGES / len(images), 0)[1]
    layers = list(dict.fromkeys(str(c.layer) for c in wanted))
    found = embed(run, few, layers=layers, views=run.views, n_views=_VIEWS, workers=1)
    each = found if isinstance(found, dict) else {layers[0]: found}
    made = []
    for one in wanted:
        result = score(each[str(one.layer)], one.score)[one.score]
        told = CriterionValue(
            result.value,
            result.sd,
            result.debiased,
            result.n,
            result.d,
            result.warnings,
            {**result.params, "views": _VIEWS},
        )
        made.append(_record(run, one.text, told))
    return made


def _of_layers(run: Run, wanted: list[Criterion], images: Source) -> list[Record]:
    """Records of scores inside the projector, whose embeddings a training does not keep."""
    layers = list(dict.fromkeys(str(c.layer) for c in wanted))
    found = embed(run, judged_part(run.resolved_config(), images), layers=layers, workers=1)
    each = found if isinstance(found, dict) else {layers[0]: found}
    return [_record(run, c.text, criterion_value_of(each[str(c.layer)], c)) for c in wanted]


def _record(run: Run, name: str, told: CriterionValue) -> Record:
    return Record(
        run=run.name,
        name=name,
        value=told.value,
        sd=told.sd,
        split="pretrain",
        extra={
            "n": told.n,
            "d": told.d,
            "debiased": told.debiased,
            "warnings": list(told.warnings),
            "params": told.params,
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
    """The closing check of a run: probes of its backbone, recorded; it chooses nothing.

    Embeddings of both are kept in the run, for a decomposition. What was measured on these images
    is left as it is.

    Returns:
        {"accuracy/logistic": ..., "accuracy/knn": ...}.

    Raises:
        ValueError: for images without labels, or classes of `test` that `train` has not.
    """
    check_same_classes(train, test)
    done = probed_on(run, train, test)
    lacking = [kind for kind in kinds if f"accuracy/{kind}" not in done]
    if lacking:
        done |= _probed(run, {"train": train, "test": test}, lacking, seed, workers)
    return {f"accuracy/{kind}": done[f"accuracy/{kind}"] for kind in kinds}


def probed_on(run: Run, train: Source, test: Source) -> dict[str, float]:
    """Accuracies of a run on these images, by the names of their records."""
    return _measured_on(run, _on(train, test), "accuracy/")


def _measured_on(run: Run, on: dict[str, str], prefix: str) -> dict[str, float]:
    """Numbers of test images whose names begin so; `on`: which images they have to be of."""
    return {
        r.name: r.value
        for r in run.records()
        # records of former releases do not tell of which images they are
        if r.split == "test" and {**on, **r.extra} == {**r.extra, **on}
        if r.name.startswith(prefix) and isinstance(r.value, float)
    }


def _on(train: Source, test: Source) -> dict[str, str]:
    return {"train": train.fingerprint(), "test": test.fingerprint()}


def _probed(
    run: Run,
    sources: dict[str, Source],
    kinds: Sequence[str],
    seed: int,
    workers: int | None,
) -> dict[str, float]:
    seen = {}
    for name, source in sources.items():
        z = embed(run, source, layers=(_LAYER,), workers=workers)
        assert isinstance(z, Embeddings)
        z.save(run.path / "embeddings" / name)
        seen[name] = z
    found = {kind: probe(seen["train"], seen["test"], kind=kind, seed=seed) for kind in kinds}
    told = {"n": seen["test"].labelled().n, "layer": _LAYER, **_on(**sources)}
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
                extra={**told, "params": result.params},
                versions=records.versions(),
            )
            for kind, result in found.items()
        ],
    )
    return {f"accuracy/{kind}": result.accuracy for kind, result in found.items()}


def explain_run(run: Run, *, seed: int = 0) -> dict[str, float]:
    """The components of the error of a run that was probed, on the images of its last probe;
    recorded.

    Returns:
        {"risk/usability": ..., "risk/total": ...}, fractions.
    """
    z = {name: Embeddings.load(run.path / "embeddings" / name) for name in ("train", "test")}
    on = {name: z[name].meta["data_checksum"] for name in z}
    done = _measured_on(run, on, "risk/")
    if done:
        return done
    risk = decompose(z["train"], z["test"], seed=seed)
    extra = {"merged": risk.merged, "order": risk.order, "params": risk.params, **on}
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
    """Record that a run diverged: it is kept, shown, and never chosen."""
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


def summary(run: Run, found: dict[str, CriterionValue]) -> dict[str, Any]:
    """What the storage keeps of a finished run, for machines that do not see its folder."""
    told = run.records()
    losses = [r.value for r in told if r.name == "loss" and isinstance(r.value, float)]
    times = [r.seconds for r in told if r.seconds is not None]
    return {
        "scores": {name: _plain(told) for name, told in found.items()},
        "loss": losses[-1] if losses else None,
        "seconds": max(times, default=None),
        "folder": str(run.path.resolve()),
    }


def _plain(told: CriterionValue) -> dict[str, Any]:
    numbers = {"value": told.value, "sd": told.sd, "n": told.n, "d": told.d}
    return {k: v if v is not None and math.isfinite(v) else None for k, v in numbers.items()}
