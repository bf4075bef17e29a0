"""What labels say at the end of a demo: few of them, the cost of the choice, the error."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jessl.config import Pretrain
from jessl.core.log import Log
from jessl.data import Loader, Source
from jessl.embeddings import Embeddings
from jessl.extraction.embed import embed
from jessl.probes import few_shot, probe
from jessl.probes.result import FewShot
from jessl.runs import Run
from jessl.schema import score_title
from jessl.selection.result import Choice, Group
from jessl.selection.run_evaluation import decompose_run
from jessl.sweeps.results import SweepResult
from jessl.sweeps.study_state import RUNS
from jessl.views import central_view

# labels of each class, and draws of them
SHOTS, _DRAWS = (1, 3, 5), 10
# a difference below so many seed standard deviations is called none
_NOTICEABLE = 2.0


def cost_of_choice(group: Group) -> str:
    """One sentence on what the choice among a method's settings cost, against the best and chance.

    Regret is the accuracy of the best setting less that of the choice; of a random choice, less
    the mean of all. Both are compared with the standard deviation of a single run over seeds,
    pooled over the settings. The best is picked after the fact, so regrets are a little too large
    by construction.
    """
    choice = group.choices[0]
    by = score_title(choice.score.partition("/")[0])
    chosen = f"{group.name}: {by} chose {_short(choice.setting or 'none')}"
    cost = choice.regret
    if cost is None:
        return f"{chosen}; its accuracy is unknown"
    chosen = f"{chosen} (accuracy {cost.chosen:.3f})"
    best = f"{_short(cost.best_setting)} ({cost.best:.3f})"
    sds = [setting.oracle_sd for setting in group.settings if setting.oracle_sd is not None]
    if not sds:
        place = "the best of them" if cost.regret == 0 else f"the best is {best}"
        return f"{chosen}; {place}; with one seed a configuration no difference can be shown"
    sd = math.sqrt(statistics.fmean(s * s for s in sds))
    text = f"{chosen}, none of the configurations is better"
    if cost.regret > 0:
        text = f"{chosen}, {_in_sds(cost.regret, sd)} below the best, {best}"
        text = f"{text}: {_difference(cost.regret, sd)}"
    gain = cost.random_regret - cost.regret
    side = "more" if gain >= 0 else "less"
    return (
        f"{text}. That is {_in_sds(abs(gain), sd)} {side} than a random choice gets on average: "
        f"{_difference(abs(gain), sd)}"
    )


def _short(setting: str) -> str:
    """`cov 1` of `objective_options.cov=1`."""
    return setting.replace("objective_options.", "").replace("=", " ")


def _in_sds(difference: float, sd: float) -> str:
    """A difference of accuracies in points and in seed standard deviations."""
    points = f"{100 * difference:.1f} points"
    return f"{points} ({difference / sd:.1f} seed sd)" if sd > 0 else points


def _difference(size: float, sd: float) -> str:
    none = size <= 0 or (sd > 0 and size / sd < _NOTICEABLE)
    return "no difference" if none else "a difference"


def best_of_methods(result: SweepResult) -> str | None:
    """The chosen run whose setting has the largest criterion of all methods; None without one.

    All runs are scored on views of one recipe of the same images, with features of one width.
    """
    if result.selection is None:
        return None
    values = {
        Path(path).name: setting.mean
        for group in result.selection.groups
        for setting in group.settings
        if setting.chosen and (path := result.selection.chosen.get(group.name)) is not None
    }
    return max(values, key=lambda name: values[name], default=None)


def closing_check(
    result: SweepResult, folder: Path, base: Pretrain, images: tuple[Source, Source], log: Log
) -> dict[str, object]:
    """What labels say: what a few of them give, what the choice cost, where the error comes from.

    Returns:
        "groups" with the cost of each choice, "findings", "baselines" with all labels, and
        "few_labels": name -> [{"shots", "value", "low", "high"}].
    """
    assert result.selection is not None
    assert base.encoder is not None
    assert base.size is not None
    log.info("reveal    the labels: what the choices cost")
    sentences = {group.name: cost_of_choice(group) for group in result.selection.groups}
    groups = [group.as_json() | {"verdict": sentences[group.method]} for group in result.groups]
    log.info("compare   few labels on the chosen run, the untrained encoder and raw pixels")
    best = best_of_methods(result)
    assert best is not None
    run = Run.open(folder / RUNS / best)
    chosen = tuple(Embeddings.load(run.embeddings(name)) for name in ("train", "test"))
    untrained = _untrained(base.encoder, base.size, images, result.seeds[0])
    pixels = tuple(_pixels(part, base.size) for part in images)
    few = {
        "raw pixels": _few_labels(*pixels),
        "untrained encoder": _few_labels(*untrained),
        "chosen run": _few_labels(*chosen),
    }
    log.info("explain   the error of the chosen run")
    beside = [_choice_of(other, group) for group in result.selection.groups
              for other in group.choices[1:]]  # fmt: skip
    findings = [
        *_story(few, best, len(images[1])),
        *(f"{group['verdict']}." for group in groups),
        *beside,
        f"With all labels {_largest_part(run)}",
        "Figures differ a little between machines and versions: rounding changes a training.",
    ]
    return {
        "groups": groups,
        "findings": findings,
        "baselines": {
            "untrained encoder": probe(*untrained).accuracy,
            "raw pixels": probe(*pixels).accuracy,
        },
        "few_labels": {
            name: [{"shots": one.shots, **vars(one.accuracy)} for one in results]
            for name, results in few.items()
        },
    }


def _few_labels(train: Embeddings, test: Embeddings) -> list[FewShot]:
    """Ridge probes on 1, 3 and 5 labels of each class, as far as the smallest class has them."""
    assert train.labels is not None
    least = int(np.unique(train.labels[train.labels >= 0], return_counts=True)[1].min())
    shots = [k for k in SHOTS if k <= least]
    if not shots:
        return []
    return few_shot(train, test, shots=shots, draws=_DRAWS, kind="ridge", duplicates=False)


def _story(few: Mapping[str, Sequence[FewShot]], run: str, tested: int) -> list[str]:
    """The first sentence: few labels on the chosen run, on raw pixels, on the untrained net."""
    results = few["chosen run"]
    if not results:
        return []
    labels = _listed([str(one.shots) for one in results])
    shares = {
        name: _listed([f"{100 * one.accuracy.value:.0f}" for one in each]) + " %"
        for name, each in few.items()
    }
    last = results[-1].accuracy
    return [
        f"With {labels} labels of each class, features that were learned and chosen without labels "
        f"({run}) name the class of {shares['chosen run']} of {tested:,} new images (the last "
        f"{100 * last.low:.0f} to {100 * last.high:.0f}, 95 %); raw pixels {shares['raw pixels']}, "
        f"the same net untrained {shares['untrained encoder']}."
    ]


def _choice_of(choice: Choice, group: Group) -> str:
    """What another score would have chosen, and what that costs against the choice."""
    title = score_title(choice.score.partition("/")[0])
    first = group.choices[0]
    text = f"{group.name}: {title} would have chosen {_short(choice.setting or 'none')}"
    if choice.setting == first.setting:
        return f"{text}, the same."
    if choice.regret is None or first.regret is None:
        return f"{text}."
    points = 100 * (choice.regret.chosen - first.regret.chosen)
    side = "better" if points >= 0 else "worse"
    return f"{text} (accuracy {choice.regret.chosen:.3f}), {abs(points):.1f} points {side}."


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _largest_part(run: Run) -> str:
    """A sentence on the error of a run; the decomposition is recorded with it."""
    parts = {name.removeprefix("risk/"): value for name, value in decompose_run(run).items()}
    # without a supervised twin approximation is within usability
    named = {
        "approximation and usability": parts["approximation"] + parts["usability"],
        "probe generalization": parts["probe_generalization"],
        "encoder generalization": parts["encoder_generalization"],
    }
    largest = max(named, key=lambda name: named[name])
    return (
        f"the error of {run.name} is {100 * parts['total']:.1f} %; its largest part is {largest} "
        f"({100 * named[largest]:.1f} points)."
    )


def _untrained(
    encoder: str, size: int, images: tuple[Source, Source], seed: int
) -> tuple[Embeddings, ...]:
    """Embeddings of the same encoder with random weights."""
    z = [embed(encoder, i, init="random", size=size, seed=seed, workers=1) for i in images]
    return tuple(one for one in z if isinstance(one, Embeddings))


def _pixels(part: Source, size: int) -> Embeddings:
    """The pixels of the central view, flattened, as embeddings."""
    view = central_view(size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    rows, labels = [], []
    for batch in Loader(part, view, 256, shuffle=False, workers=1, unreadable="drop"):
        x = batch.views[0].numpy()
        # grey images come as three equal channels
        rows.append(x[:, :1] if (x == x[:, :1]).all() else x)
        assert batch.labels is not None
        labels.append(batch.labels.numpy())
    channels = max(r.shape[1] for r in rows)
    flat = [np.broadcast_to(r, (len(r), channels, *r.shape[2:])).reshape(len(r), -1) for r in rows]
    return Embeddings(np.concatenate(flat), np.concatenate(labels))
