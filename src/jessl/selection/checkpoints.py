"""Choosing among the checkpoints of one run without labels: when to stop."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jessl.core.deprecation import renamed_arguments
from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset, open_source, unlabelled
from jessl.embeddings import Embeddings
from jessl.extraction.embed import embed
from jessl.pretraining.build import judged_part, open_data
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE
from jessl.runs import Run
from jessl.scores.registry import OF_VIEWS
from jessl.selection.candidates import RunSummary
from jessl.selection.criteria import (
    Criterion,
    CriterionValue,
    criterion,
    criterion_value_of,
    limits,
    number,
)
from jessl.selection.grouping import Setting
from jessl.selection.ties_and_plateaus import compared
from jessl.training import checkpoint


@dataclass(frozen=True)
class CheckpointScore:
    """A checkpoint as a candidate.

    Attributes:
        path: its folder, which `jessl embed` takes as an encoder.
        step: optimizer steps; epoch: the same in epochs.
        value: the score, NaN where the features are not finite; sd: over samples of images.
        debiased: of infinitely many images, where a correction is known.
        n, d: rows and features.
        tied: whether the best cannot be told from it; chosen: whether it is to be taken.
        warnings: what makes its value doubtful.
    """

    path: str
    step: int
    epoch: float
    value: float
    sd: float | None
    debiased: float | None
    n: int | None
    d: int | None
    tied: bool = False
    chosen: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Online:
    """What the training itself recorded of the same score, on its small sample."""

    step: int
    epoch: float | None
    split: str
    value: float


@dataclass(frozen=True)
class CheckpointSelection:
    """The answer of `select_checkpoints`.

    Attributes:
        run: the folder of the run; by: the score.
        chosen: folder of the checkpoint to take; rule: what decided, in words.
        checkpoints: all on disk, in the order of training.
        online: the score along the training, on the sample that was judged then.
        warnings: why the choice may mean less than it seems.
    """

    run: str
    by: str
    chosen: str
    rule: str
    checkpoints: tuple[CheckpointScore, ...]
    online: tuple[Online, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds; None for what is not finite."""
        told = asdict(self)
        for row in (*told["checkpoints"], *told["online"]):
            row["value"] = row["value"] if math.isfinite(row["value"]) else None
        return told


@renamed_arguments(on_batch="progress")
def select_checkpoints(
    run: Run | str | Path,
    *,
    by: str = "rankme",
    data: Any = None,
    workers: int | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> CheckpointSelection:
    """Choose the checkpoint of a run at which its score reaches its plateau.

    Every checkpoint on disk is judged on the training images that the run itself is judged on (at
    most 25,600), with the jackknife. The plateau is the run of neighbours of the best checkpoint
    that are tied with it (by the jackknife's sd of each as if they saw other
    images; they see the same, so that a plateau is longer than need be). Its first checkpoint is
    taken: what comes after costs time and cannot be told from it. Embeddings are kept under
    RUN/embeddings/step-000000120/LAYER with the checksums of the weights and the images, and a
    second call reads them where these are the same. Of the last step those count that the run
    itself keeps.

    Args:
        run: a run; it need not be finished.
        by: NAME or NAME/LAYER, as of `select`; not the loss, and no score of views.
        data: the images of the run as SRC or Source, where they have moved; None: as configured.
        workers: threads that decode. device: "auto", "cpu", "cuda" or "cuda:N".
        progress: told (images done, images in all) of every checkpoint.

    Raises:
        ValueError: for a run without a checkpoint, images that are not the run's, another score.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    wanted = criterion(by)
    if wanted.layer is None or wanted.name in OF_VIEWS:
        why = "is no score of embeddings" if wanted.layer is None else "needs views of each image"
        raise ValueError(f"by: {wanted.text} {why}, and cannot choose among checkpoints")
    steps = checkpoint.steps(run.checkpoints)
    if not steps:
        raise ValueError(f"run {run.path} has no checkpoint yet")
    warnings: list[str] = []
    images = _Images(run, data, warnings)
    found = []
    for step, path in steps:
        z = _embeddings(run, wanted.layer, step, path, images, workers, device, progress)
        found.append((step, path, criterion_value_of(z, wanted)))
    return _chosen(run, wanted, found, warnings)


def _chosen(
    run: Run, by: Criterion, found: list[tuple[int, Path, CriterionValue]], warnings: list[str]
) -> CheckpointSelection:
    epochs = [step / float(run.facts()["steps_per_epoch"]) for step, _, _ in found]
    # a checkpoint is compared as a setting of one run is
    told = compared(
        [
            Setting(f"epoch {epoch:g}", {}, (_entry(run, path, by, value),))
            for epoch, (_, path, value) in zip(epochs, found, strict=True)
        ],
        by,
        along=None,
        plateau=False,
    )
    if told.best is None:
        raise ValueError(f"run {run.path}: {by.text} is not finite at any of its checkpoints")
    first = told.best
    while first > 0 and told.tied[first - 1]:
        first -= 1
    rule = f"epoch {epochs[first]:g} is the best"
    if first < told.best:
        rule = (
            f"epoch {epochs[first]:g} is the first of a plateau that has its best at epoch "
            f"{epochs[told.best]:g}"
        )
    elif first == len(found) - 1 > 0:
        warnings.append("the last checkpoint is the best: the score was still moving")
    keep = run.resolved_config().keep_checkpoints
    if keep and len(found) <= keep:
        warnings.append(
            f"{len(found)} on disk: the run kept its latest {keep}; pretrain with "
            "--keep-checkpoints 0 to keep all"
        )
    if told.noise == "none":
        warnings.append(f"{by.text} has no error bar: nothing tells how sure the order is")
    made = tuple(
        CheckpointScore(
            path=str(path),
            step=step,
            epoch=epochs[k],
            value=value.value,
            sd=value.sd,
            debiased=value.debiased,
            n=value.n,
            d=value.d,
            tied=told.tied[k],
            chosen=k == first,
            warnings=value.warnings,
        )
        for k, (step, path, value) in enumerate(found)
    )
    shared = set.intersection(*(set(m.warnings) for m in made if math.isfinite(m.value)))
    return CheckpointSelection(
        run=str(run.path),
        by=by.text,
        chosen=made[first].path,
        rule=rule,
        checkpoints=made,
        online=_online(run, by.text),
        warnings=(*warnings, *limits(run, by), *sorted(shared)),
    )


def _entry(run: Run, path: Path, by: Criterion, value: CriterionValue) -> RunSummary:
    return RunSummary(
        run=path.name,
        path=str(path),
        method=run.config().objective,
        seed=None,
        fields={},
        measured={by.text: value},
        diverged=None if math.isfinite(value.value) else "not finite",
    )


def _online(run: Run, name: str) -> tuple[Online, ...]:
    """By step; of those of one step (a resumed run) the latest counts."""
    found = {
        (r.step, r.split): Online(r.step, r.epoch, r.split, number(r))
        for r in run.records()
        if r.name == name and r.split in (HELD_OUT, PRETRAIN_SAMPLE) and r.step is not None
    }
    return tuple(found[key] for key in sorted(found))


def _embeddings(
    run: Run,
    layer: str,
    step: int,
    path: Path,
    images: _Images,
    workers: int | None,
    device: str,
    progress: ProgressCallback | None,
) -> Embeddings:
    """Those kept, or made now and kept."""
    kept = run.embeddings(f"{path.name}/{layer}")
    weights = _checksum(path)
    if kept.is_dir():
        z = Embeddings.load(kept)
        if z.meta.get("judged") == [weights, images.told()]:
            return z
    final = run.embeddings(layer)
    if final.is_dir() and images.asked is None:
        z = Embeddings.load(final)
        if str(z.meta.get("weights", "")).endswith(f", step {step}"):
            return z
    found = embed(
        path, images.source(), layers=(layer,), workers=workers, device=device, progress=progress
    )
    assert isinstance(found, Embeddings)
    meta = {**found.meta, "judged": [weights, images.told()]}
    z = Embeddings(found.features, None, found.ids, meta)
    z.save(kept)
    return z


def _checksum(path: Path) -> str:
    """SHA-256 of the weights of a checkpoint (hexadecimal); "" where they are gone."""
    file = path / checkpoint.MODEL
    if not file.is_file():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _Images:
    """The training images that a run is judged on, opened when one is needed.

    Args:
        run: whose.
        asked: the source handed in, or None.
        warnings: gets a line where the images cannot be shown to be the run's.
    """

    def __init__(self, run: Run, asked: Any, warnings: list[str]) -> None:
        self.run = run
        self.asked = asked
        self._warnings = warnings
        self._source: Source | None = None
        self._same = True

    def told(self) -> str:
        """What embeddings are kept with: a checksum of the images, opened only where it must be.

        Images as configured are those of the run, until they were opened and are others.
        """
        if self.asked is None and self._same:
            return f"of the run, {self.run.facts().get('data_fingerprint')}"
        return self.source().fingerprint()

    def source(self) -> Source:
        """Without labels.

        Raises:
            ValueError: where they are not those that the run was trained on.
        """
        if self._source is None:
            self._source = self._opened()
        return self._source

    def _opened(self) -> Source:
        config = self.run.resolved_config()
        whole = open_data(config) if self.asked is None else open_source(self.asked)
        bare = unlabelled(whole)
        # a training may have been handed its images with labels or without
        same = self.run.facts().get("data_fingerprint") in (whole.fingerprint(), bare.fingerprint())
        self._same = same
        final = self.run.embeddings("backbone")
        if final.is_dir():
            ids = Embeddings.load(final, mmap=True).ids
            order = np.argsort(bare.ids)
            place = np.searchsorted(bare.ids, ids, sorter=order).clip(max=len(bare) - 1)
            if (bare.ids[order[place]] != ids).any():
                raise ValueError(
                    f"data: {bare.name} lacks images that run {self.run.path} was trained on"
                )
            if not same:
                self._warnings.append(
                    f"by its checksum {bare.name} is not exactly what the run was trained on: its "
                    "images are taken by their ids"
                )
            return Subset(bare, order[place])
        if not same:
            raise ValueError(
                f"data: by its checksum {bare.name} is not what run {self.run.path} was trained on"
            )
        return judged_part(config, bare)
