"""What the evaluations of a run cost: images that are embedded, and seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jessl.config import ResolvedPretrain
from jessl.core import collectives
from jessl.core.process_group import rank_zero
from jessl.data import Subset
from jessl.embeddings import Embeddings
from jessl.extraction.embed import repeat_views
from jessl.extraction.extract import LAYERS, NothingReadable, extract
from jessl.pretraining import adaptation, evaluate_views
from jessl.pretraining.build import Parts
from jessl.pretraining.evaluate import SCORES
from jessl.pretraining.images import MOST_IMAGES
from jessl.scores import score
from jessl.views.presets import COMPARISON

# images of the batch that is timed: on a GPU a smaller one would take as long
_TIMED_IMAGES, _TIMED_IMAGES_CUDA = 32, 256
# the rows and features whose scores are timed; the time grows with the cube of the features
_TIMED_ROWS, _TIMED_FEATURES = 512, 256


@dataclass(frozen=True)
class Passes:
    """Images that go through the encoder in evaluation mode: as they are, and as random views."""

    plain: int = 0
    views: int = 0


@dataclass(frozen=True)
class Judging:
    """What is embedded to judge an encoder, by one process of a run.

    Attributes:
        untrained: before the first step.
        online: at each evaluation on the way.
        final: at the end.
        evaluations: on the way, that are still to come.
    """

    untrained: Passes
    online: Passes
    final: Passes
    evaluations: int


@dataclass(frozen=True)
class JudgingTime:
    """The same in seconds.

    Attributes:
        untrained, online, final: seconds of each; final with the scores.
        evaluations: on the way, that are still to come.
    """

    untrained: float = 0.0
    online: float = 0.0
    final: float = 0.0
    evaluations: int = 0

    @property
    def total(self) -> float:
        """Seconds of all that is still to come."""
        return self.untrained + self.evaluations * self.online + self.final


def count_judging(parts: Parts, settings: ResolvedPretrain) -> Judging:
    """The images that a run embeds from here on, where all of them can be read."""
    world = collectives.world()
    every, start = settings.evaluate_epochs, parts.trainer.step
    epochs = range(start // len(parts.loader) + 1, settings.epochs + 1)
    evaluations = sum(not e % every or e == settings.epochs for e in epochs) if every else 0
    views = -(-evaluate_views.count_online(parts.sample) // world)
    final_views, turned = evaluate_views.count_final(parts.sample)
    plain = min(len(parts.train), MOST_IMAGES) + turned
    if adaptation.starts_from_weights(settings, parts.objective):
        more, more_views = adaptation.count_images(parts.train, parts.sample)
        plain, final_views = plain + more, final_views + more_views
    return Judging(
        untrained=Passes(views=views if every and not start else 0),
        online=Passes(-(-len(parts.sample) // world), views),
        final=Passes(plain, final_views),
        evaluations=evaluations,
    )


@rank_zero
def time_judging(parts: Parts, settings: ResolvedPretrain) -> JudgingTime:
    """Measure one batch of the sample in evaluation mode, and multiply by what will be embedded.

    All ranks call it together; rank zero measures, and all get the result. The training is left
    untouched.
    """
    counts = count_judging(parts, settings)
    encoder, objective = parts.evaluated
    on_gpu = parts.trainer.device.type == "cuda"
    n = min(len(parts.sample), _TIMED_IMAGES_CUDA if on_gpu else _TIMED_IMAGES)
    few = Subset(parts.sample, np.arange(n))
    views = repeat_views(COMPARISON, 2, encoder.preprocess)

    def embed_plain() -> dict[str, Embeddings]:
        return extract(encoder, objective, few, layers=LAYERS, workers=settings.workers)

    def embed_views() -> dict[str, Embeddings]:
        return extract(
            encoder, None, few, layers=("backbone",), workers=settings.workers, views=views
        )

    try:
        embedded = embed_plain()  # warms up
        of_plain, of_view = _seconds(embed_plain) / n, _seconds(embed_views) / (2 * n)
    except NothingReadable:  # the evaluation reports it, where it is all images
        return JudgingTime(evaluations=counts.evaluations)

    def total(passes: Passes) -> float:
        return passes.plain * of_plain + passes.views * of_view

    rows = min(len(parts.train), MOST_IMAGES)
    scoring = sum(_seconds_of_scores(rows, z.d) for z in embedded.values())
    return JudgingTime(
        total(counts.untrained),
        total(counts.online),
        total(counts.final) + scoring,
        counts.evaluations,
    )


def _seconds(function: Callable[[], object]) -> float:
    since = time.perf_counter()
    function()
    return time.perf_counter() - since


def _seconds_of_scores(n: int, d: int) -> float:
    """Of the final scores of [n, d] with their error bars, from those of fewer features."""
    width = min(n, d, _TIMED_FEATURES)
    z = np.random.default_rng(0).standard_normal((min(n, _TIMED_ROWS), width), dtype=np.float32)
    return _seconds(lambda: score(z, SCORES)) * (min(n, d) / width) ** 3
