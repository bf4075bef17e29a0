"""Before against after: whether training on from other weights made an encoder better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from jessl.config import ResolvedPretrain
from jessl.core.files import contained
from jessl.core.process_group import all_ranks, rank_zero
from jessl.core.progress import ProgressCallback
from jessl.data import Source, Subset
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extraction.embed import repeat_views
from jessl.extraction.extract import NothingReadable, extract
from jessl.objectives import Objective
from jessl.pretraining.build import Parts
from jessl.pretraining.images import limit_images
from jessl.probes.paired_few_shot import PairedFewShot, paired_few_shot
from jessl.records import Record
from jessl.runs import Run
from jessl.schema import ADAPTATION
from jessl.scores.paired_views import paired_view_retrieval
from jessl.training import checkpoint
from jessl.training.anchor import Anchor
from jessl.views.presets import COMPARISON

_START = "start"
_SHOTS = 5
# images whose labels the probes draw from, and on which view retrieval is taken
_TRAIN_IMAGES, _VIEW_IMAGES, _VIEWS = 2_000, 1_200, 4
# fewer labelled test images have an interval that says nothing
_FEWEST_TEST = 20

Conclusion = Literal["better", "worse", "cannot be distinguished"]


@dataclass(frozen=True)
class Adaptation:
    """An encoder after training against the weights that it began with, on the same images.

    Attributes:
        conclusion: better, worse, or cannot be distinguished, always the last without labels.
        chosen: "after" where it is better, else "before": the weights to use.
        text: one sentence.
        few_shot: after minus before by probes of five labels a class; None without labels.
        view_retrieval: (after minus before, low, high), 95 % interval; None for few images.
    """

    conclusion: Conclusion
    chosen: Literal["before", "after"]
    text: str
    few_shot: PairedFewShot | None
    view_retrieval: tuple[float, float, float] | None

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)


def count_images(train: Source, sample: Source) -> tuple[int, int]:
    """At most so many images, and views of images, does `judge_adaptation` embed."""
    plain = 0 if train.labels is None else min(len(train), _TRAIN_IMAGES) + len(sample)
    return 2 * plain, 2 * _VIEWS * len(limit_images(sample, _VIEW_IMAGES, 0))


def judge_adaptation(
    before: Encoder,
    after: Encoder,
    train: Source,
    sample: Source,
    *,
    held_out: bool,
    workers: int | None = None,
    begin: Callable[[], ProgressCallback | None] = lambda: None,
) -> Adaptation:
    """Compare both encoders by labels where there are some, and by view retrieval.

    Example:
        judge_adaptation(published, adapted, train, held_out_images, held_out=True).text

    Args:
        train: images that were trained on; sample: images to compare on.
        held_out: whether sample was not trained on.
        begin: called before each embedding; gives the callback that follows it, which may raise.
    """

    def embed(encoder: Encoder, images: Source, n_views: int | None) -> Embeddings | None:
        views = None
        if n_views is not None:
            views = repeat_views(COMPARISON, n_views, encoder.preprocess)
        try:
            z = extract(
                encoder,
                None,
                images,
                layers=("backbone",),
                workers=workers,
                views=views,
                progress=begin(),
            )["backbone"]
        except NothingReadable:
            return None
        return z if np.isfinite(z.features).all() else None

    few_shot = _few_shot(
        lambda e, images: embed(e, images, None), before, after, train, sample, held_out
    )
    few = limit_images(sample, _VIEW_IMAGES, 0)
    old, new = (embed(encoder, few, _VIEWS) for encoder in (before, after))
    by_views = None
    if old is not None and new is not None and np.array_equal(old.ids, new.ids):
        by_views = paired_view_retrieval(new, old)
    return _decide(few_shot, by_views)


def _few_shot(
    embed: Callable[[Encoder, Source], Embeddings | None],
    before: Encoder,
    after: Encoder,
    train: Source,
    sample: Source,
    held_out: bool,
) -> PairedFewShot | None:
    """After minus before; None without labels of two classes of enough images."""
    if held_out:
        parts = _labelled(limit_images(train, _TRAIN_IMAGES, 1)), _labelled(sample)
    else:
        labelled = _labelled(limit_images(train, 2 * _TRAIN_IMAGES, 1))
        order = np.random.default_rng(0).permutation(len(labelled))
        half = len(order) // 2
        parts = Subset(labelled, order[:half]), Subset(labelled, order[half:])
    rows = [part.labels for part in parts if part.labels is not None]
    if len(rows) < len(parts):
        return None
    classes, counts = np.unique(rows[0], return_counts=True)
    classes = np.intersect1d(classes[counts >= _SHOTS], rows[1])
    if len(classes) < 2:
        return None
    kept = [
        Subset(p, np.flatnonzero(np.isin(y, classes))) for p, y in zip(parts, rows, strict=True)
    ]
    if len(kept[1]) < _FEWEST_TEST:
        return None
    embedded = [[embed(encoder, part) for part in kept] for encoder in (after, before)]
    (train_after, test_after), (train_before, test_before) = embedded
    if train_after is None or test_after is None or train_before is None or test_before is None:
        return None
    return paired_few_shot((train_after, test_after), (train_before, test_before), shots=_SHOTS)


def _labelled(images: Source) -> Source:
    if images.labels is None:
        return images
    return Subset(images, np.flatnonzero(images.labels >= 0))


def _decide(
    few_shot: PairedFewShot | None, by_views: tuple[float, float, float] | None
) -> Adaptation:
    if few_shot is not None:
        d = few_shot.difference
        conclusion = _conclude(d.low, d.high)
        span = (
            f"{_points(d.value, d.low, d.high)} of accuracy with {few_shot.shots} labels a class, "
            f"{100 * few_shot.second:.1f} % before and {100 * few_shot.first:.1f} % after, on "
            f"{few_shot.n:,} images"
        )
    elif by_views is not None:
        # it rose by 6 points where the accuracy fell by 11, and fell where the accuracy stayed
        # (docs/training.md)
        text = (
            "whether the encoder is better than the weights it began with cannot be judged without "
            f"labels: {_points(*by_views)} of view retrieval, which can rise while the "
            f"accuracy falls, and fall while it stays; give --labels for {_SHOTS} images a class"
        )
        return Adaptation("cannot be distinguished", "before", text, None, by_views)
    else:
        conclusion, span = "cannot be distinguished", "too few images to compare on"
    relation = {
        "better": "is better than",
        "worse": "is worse than",
        "cannot be distinguished": "cannot be distinguished from",
    }[conclusion]
    text = f"the encoder {relation} the weights it began with: {span}"
    return Adaptation(
        conclusion, "after" if conclusion == "better" else "before", text, few_shot, by_views
    )


def _conclude(low: float, high: float) -> Conclusion:
    return "better" if low > 0 else "worse" if high < 0 else "cannot be distinguished"


def _points(value: float, low: float, high: float) -> str:
    return f"{100 * value:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def starts_from_weights(settings: ResolvedPretrain, objective: Objective) -> bool:
    """Whether a run has a start to be compared with: training without labels, from weights."""
    return settings.init is not None and not objective.uses_labels


@rank_zero
def keep_start(run: Run, encoder: Encoder, objective: Objective) -> None:
    """Keep the weights that a run begins with, as a checkpoint in RUN/start."""
    if not start_checkpoint(run).is_dir():
        modules = {"encoder": encoder, "objective": objective}
        checkpoint.save(run.path / _START, 0, modules, {})


@all_ranks
def anchor_to_start(run: Run, parts: Parts, strength: float) -> None:
    """Have every step pull the encoder towards the weights that the run began with."""
    tensors = checkpoint.load(start_checkpoint(run)).tensors
    start = {k.removeprefix("encoder."): v for k, v in tensors.items()}
    parts.trainer.anchor = Anchor(parts.encoder, start, strength)


def start_checkpoint(run: Run) -> Path:
    """Where the weights that a run began with are; `jessl embed` and `--init` take the path."""
    return contained(run.path, _START, f"step-{0:09d}")


def adaptation_record(result: Adaptation, here: Record) -> Record:
    """The record of the comparison: the difference with its interval, and all of it in `extra`.

    Args:
        here: a record of the run at its last step.
    """
    value, low, high = None, None, None
    if result.few_shot is not None:
        d = result.few_shot.difference
        value, low, high = d.value, d.low, d.high
    elif result.view_retrieval is not None:
        value, low, high = result.view_retrieval
    return dataclasses.replace(
        here,
        name=ADAPTATION,
        split=ADAPTATION,
        value=value,
        low=low,
        high=high,
        extra=result.as_json(),
    )
