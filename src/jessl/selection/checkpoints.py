"""Choosing among the checkpoints of one run without labels: when to stop training."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

from jessl.config import SelectCheckpoints
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.notebook import WARNING, Described
from jessl.core.progress import ProgressCallback
from jessl.data import Source
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE
from jessl.runs import Run
from jessl.schema import VIEW_RETRIEVAL
from jessl.selection.candidates import RunSummary
from jessl.selection.checkpoint_embeddings import TrainingImages, checkpoint_embeddings
from jessl.selection.criteria import (
    Criterion,
    CriterionValue,
    criterion_limits,
    parse_criterion,
    record_value,
    value_of_embeddings,
)
from jessl.selection.grouping import Setting
from jessl.selection.result import spread_in_words, value_in_words
from jessl.selection.ties_and_plateaus import compare_settings
from jessl.training import checkpoint


@dataclass(frozen=True)
class CheckpointScore:
    """A checkpoint as a candidate.

    Attributes:
        path: its folder, which `jessl embed` takes as an encoder.
        step: optimizer steps; epoch: the same in epochs.
        value: the score, NaN where the features are not finite; sd: over samples of images.
        debiased: corrected to infinitely many images, where a correction is known.
        n, d: rows and features.
        tied: whether it cannot be distinguished from the best; chosen: whether it is the choice.
        warnings: reasons to doubt its value.
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
class OnlineScore:
    """The same score as the training recorded it, on its small sample."""

    step: int
    epoch: float | None
    split: str
    value: float


@dataclass(frozen=True, repr=False)
class CheckpointSelection(Described):
    """The result of `select_checkpoints`.

    Attributes:
        run: the folder of the run; by: the score.
        chosen: folder of the checkpoint to take; rule: the rule that decided, in words.
        checkpoints: all on disk, in the order of training.
        online: the score during training, on the sample that was evaluated then.
        warnings: reasons to doubt the choice.
    """

    run: str
    by: str
    chosen: str
    rule: str
    checkpoints: tuple[CheckpointScore, ...]
    online: tuple[OnlineScore, ...]
    warnings: tuple[str, ...]

    @property
    def conclusion(self) -> str:
        """The checkpoint to take, its score and the rule."""
        chosen = next(one for one in self.checkpoints if one.chosen)
        spread = ""
        if chosen.sd is not None:
            spread = f" ± {spread_in_words(self.by, chosen.sd)} (sd over images)"
        value = value_in_words(self.by, chosen.value)
        return f"Take {self.chosen}: {value}{spread}; {self.rule}"

    def describe(self) -> list[tuple[str, str]]:
        """The checkpoint to take, the score, warnings."""
        return [
            ("take", self.chosen),
            ("chosen by", self.by),
            ("rule", self.rule),
            *((WARNING, text) for text in self.warnings),
        ]

    def as_json(self) -> dict[str, object]:
        """All fields as values that JSON holds; None for what is not finite."""
        answer = {"conclusion": self.conclusion, **asdict(self)}
        for row in (*answer["checkpoints"], *answer["online"]):
            row["value"] = row["value"] if math.isfinite(row["value"]) else None
        return answer


@takes_options(SelectCheckpoints)
@renamed_arguments(on_batch="progress")
def select_checkpoints(
    run: Run | str | Path,
    *,
    by: str = VIEW_RETRIEVAL,
    data: Source | str | Path | None = None,
    workers: int | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
) -> CheckpointSelection:
    """Choose the checkpoint of a run at which its score reaches its plateau.

    Every checkpoint on disk is scored on the training images on which the run itself is scored (at
    most 25,600), with the jackknife. The plateau consists of the neighbours of the best checkpoint
    that are tied with it. The ties use the jackknife's sd of each as if they saw different images;
    they see the same ones, so that the plateau is longer than necessary. Its first checkpoint is
    chosen: later ones cost time and cannot be distinguished from it. Embeddings are kept under
    RUN/embeddings/step-000000120/LAYER with the checksums of the weights and the images, and a
    second call reads them if these are unchanged. For the last step the embeddings that the run
    itself keeps are used. Scores of views are taken of at most 1,000 of these images, four views of
    each by the recipe under which runs are compared.

    Args:
        workers: threads that decode. device: "auto", "cpu", "cuda" or "cuda:N".
        progress: called with (images done, images in all) for every checkpoint.

    Raises:
        ValueError: for a run without a checkpoint, images that are not the run's, another score.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    criterion = parse_criterion(by)
    if criterion.layer is None:
        raise ValueError(
            f"by: {criterion.text} is not a score of embeddings and cannot choose among checkpoints"
        )
    steps = checkpoint.steps(run.checkpoints)
    if not steps:
        raise ValueError(f"run {run.path} has no checkpoint yet")
    warnings: list[str] = []
    images = TrainingImages(run, data, warnings)
    values = []
    for step, path in steps:
        z = checkpoint_embeddings(
            run,
            criterion.layer,
            step,
            path,
            images,
            workers,
            device,
            progress,
            views=criterion.is_of_views,
        )
        values.append((step, path, value_of_embeddings(z, criterion)))
    return _choose(run, criterion, values, warnings)


def _choose(
    run: Run, by: Criterion, values: list[tuple[int, Path, CriterionValue]], warnings: list[str]
) -> CheckpointSelection:
    epochs = [step / float(run.facts()["steps_per_epoch"]) for step, _, _ in values]
    # a checkpoint is compared like a setting with one run
    comparison = compare_settings(
        [
            Setting(f"epoch {epoch:g}", {}, (_entry(run, path, by, value),))
            for epoch, (_, path, value) in zip(epochs, values, strict=True)
        ],
        by,
        along=None,
        plateau=False,
    )
    if comparison.best is None:
        raise ValueError(f"run {run.path}: {by.text} is not finite at any of its checkpoints")
    first = comparison.best
    while first > 0 and comparison.tied[first - 1]:
        first -= 1
    rule = f"epoch {epochs[first]:g} is the best"
    if first < comparison.best:
        rule = (
            f"epoch {epochs[first]:g} is the first of a plateau that has its best at epoch "
            f"{epochs[comparison.best]:g}"
        )
    elif first == len(values) - 1 > 0:
        warnings.append("the last checkpoint is the best: the score was still moving")
    keep = run.resolved_config().keep_checkpoints
    if keep and len(values) <= keep:
        warnings.append(
            f"{len(values)} on disk: the run kept its latest {keep}; pretrain with "
            "--keep-checkpoints 0 to keep all"
        )
    if comparison.noise == "none":
        warnings.append(f"{by.text} has no error bar: the certainty of the order is unknown")
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
            tied=comparison.tied[k],
            chosen=k == first,
            warnings=value.warnings,
        )
        for k, (step, path, value) in enumerate(values)
    )
    shared = set.intersection(*(set(m.warnings) for m in made if math.isfinite(m.value)))
    return CheckpointSelection(
        run=str(run.path),
        by=by.text,
        chosen=made[first].path,
        rule=rule,
        checkpoints=made,
        online=_online(run, by.text),
        warnings=(*warnings, *criterion_limits(run, by), *sorted(shared)),
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


def _online(run: Run, name: str) -> tuple[OnlineScore, ...]:
    """By step; for a step that was recorded twice (a resumed run) the latest counts."""
    scores = {
        (r.step, r.split): OnlineScore(r.step, r.epoch, r.split, record_value(r))
        for r in run.records()
        if r.name == name and r.split in (HELD_OUT, PRETRAIN_SAMPLE) and r.step is not None
    }
    return tuple(scores[key] for key in sorted(scores))
