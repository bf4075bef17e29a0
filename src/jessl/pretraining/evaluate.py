"""Judging an encoder while it trains and when it is done; without labels unless there are some."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from jessl.core import collectives
from jessl.core.process_group import all_gather_object, mark_reported, on_all_ranks, on_rank_zero
from jessl.data import Source, Subset
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extraction.embed import LAYERS, NothingReadable, extract
from jessl.objectives import Objective
from jessl.probes import online_probes
from jessl.probes.layers import LayerProbes
from jessl.records import Record
from jessl.scores import Spectrum, compute_spectra, score

# images that RankMe is taken on: the paper's number (section 3.2)
MOST_IMAGES = 25_600
# scores that the spectrum of one pass gives for nothing; the paper's first
SCORES = (
    "rankme",
    "effective_rank",
    "alpha_req",
    "nesum",
    "stable_rank",
    "participation_ratio",
)
_RANKS = ("rankme", "effective_rank")


def online(
    encoder: Encoder,
    objective: Objective,
    sample: Source,
    *,
    workers: int | None,
    probes: LayerProbes | None = None,
) -> dict[str, float]:
    """Scores of the spectrum at both layers, and with labels quick probes, of a fixed sample.

    All processes call it: each has a share of the images, and only sums of their rows travel (for
    probes the rows themselves). Probes are fitted on half of the sample's labelled images and
    tested on the other half; those that were trained beside the encoder (`probes`, one a layer)
    are tested on all of them.

    Returns:
        {"rankme/projector": ..., ...}, the same on all processes; NaN where a feature is not
        finite: a diverging run is told, not stopped, here.
    """
    layers = LAYERS if probes is None else ("backbone", *objective.layers())
    mine = np.arange(collectives.rank(), len(sample), collectives.world())
    share = sample if collectives.world() == 1 else Subset(sample, mine)

    def extracted() -> tuple[dict[str, Embeddings], Exception | None]:
        if not len(share):
            return {}, None  # fewer images than processes
        try:
            return extract(encoder, objective, share, layers=layers, workers=workers), None
        except NothingReadable as error:
            return {}, error

    found, unread = on_all_ranks(extracted)
    if not any(all_gather_object(bool(found))):
        raise mark_reported(unread or ValueError(f"{sample.name} holds no image"))
    spectra = {layer: _summed(found.get(layer)) for layer in LAYERS}
    whole = _gathered(found, sample) if sample.labels is not None else {}
    return on_rank_zero(lambda: {**_scores(spectra), **_accuracies(whole, probes)})


def _summed(mine: Embeddings | None) -> Spectrum | None:
    """The sums over the rows of all processes; None where one of them is not finite."""
    told = all_gather_object(
        None if mine is None else (mine.d, bool(np.isfinite(mine.features).all()))
    )
    known = [t for t in told if t is not None]
    if not all(finite for _, finite in known):
        return None

    def own() -> Spectrum:
        spectrum = Spectrum(known[0][0])
        return spectrum if mine is None else spectrum.update(mine)

    return on_all_ranks(own).all_reduce()


def _scores(spectra: dict[str, Spectrum | None]) -> dict[str, float]:
    numbers = {}
    for layer, spectrum in spectra.items():
        values = {} if spectrum is None else spectrum.score(SCORES)
        for name in SCORES:
            numbers[f"{name}/{layer}"] = values[name].value if values else math.nan
    return numbers


def _gathered(mine: dict[str, Embeddings], sample: Source) -> dict[str, Embeddings]:
    """The rows of all processes in the order of the sample."""
    if collectives.world() == 1:
        return mine
    parts = [part for part in all_gather_object(_plain(mine)) if part]
    place = {int(i): k for k, i in enumerate(sample.ids)}
    whole = {}
    for layer in parts[0]:
        features, labels, ids = (np.concatenate([p[layer][k] for p in parts]) for k in range(3))
        order = np.argsort([place[int(i)] for i in ids])
        whole[layer] = Embeddings(features[order], labels[order], ids[order])
    return whole


def _plain(found: dict[str, Embeddings]) -> dict[str, tuple[np.ndarray, ...]]:
    """Features, labels and ids; a share of which no image has a label has labels all the same."""
    return {
        layer: (e.features, np.full(e.n, -1) if e.labels is None else e.labels, e.ids)
        for layer, e in found.items()
    }


def _accuracies(found: dict[str, Embeddings], probes: LayerProbes | None) -> dict[str, float]:
    """Of the probes trained beside the encoder, and of quick ones."""
    numbers: dict[str, float] = {}
    if not found:
        return numbers
    z = found["backbone"].labelled()
    if z.n and not all(np.isfinite(e.features).all() for e in found.values()):
        return {"accuracy/linear": math.nan, "accuracy/knn": math.nan}
    if probes is not None and z.labels is not None and len(z.labels):
        seen = {name: e.labelled() for name, e in found.items()}
        # tensors of their own: embeddings are read-only
        features = {name: torch.tensor(e.features) for name, e in seen.items()}
        told = probes.accuracy(features, torch.tensor(z.labels))
        for layer, accuracies in told.items():
            numbers |= {f"accuracy/online_{k}/{layer}": v for k, v in accuracies.items()}
    # the order of a source can follow its labels; a fixed shuffle does not
    order = np.random.default_rng(0).permutation(z.n)
    fit, test = z.subset(order[::2]), z.subset(order[1::2])
    if test.n and fit.labels is not None and len(np.unique(fit.labels)) > 1:
        accuracy = online_probes(fit.features, fit.labels, test.features, test.labels)
        numbers |= {f"accuracy/{name}": value for name, value in accuracy.items()}
    return numbers


def final(
    found: dict[str, Embeddings],
    objective: Objective,
    *,
    run: str,
    step: int,
    seconds: float,
) -> list[Record]:
    """Records of the scores with their error bars, and of the spectrum, at each layer."""
    made = []
    for layer, embeddings in found.items():
        here = Record(
            run=run,
            step=step,
            split="pretrain",
            seconds=seconds,
            name=f"spectrum/{layer}",
            value=np.sqrt(compute_spectra(embeddings).raw).tolist(),
            extra={"n": embeddings.n},
        )
        made.append(here)
        for name, result in score(embeddings, SCORES).items():
            limits = limits_of(objective) if layer == "projector" and name in _RANKS else []
            told = {
                "n": result.n,
                "d": result.d,
                "debiased": result.debiased,
                "warnings": [*limits, *result.warnings],
                "params": result.params,
            }
            made.append(
                dataclasses.replace(
                    here,
                    name=f"{name}/{layer}",
                    value=result.value,
                    sd=result.sd,
                    low=result.low,
                    high=result.high,
                    extra=told,
                )
            )
    # rankme/backbone last: a run that has it is finished
    return sorted(made, key=lambda r: r.name == "rankme/backbone")


def limits_of(objective: Objective) -> list[str]:
    """What a rank cannot say of this objective."""
    limits = []
    if objective.raises_rank:
        limits.append(
            "the loss itself drives the rank at the projector: it follows the loss's weights, and "
            "a larger one need not be better"
        )
    if objective.uses_labels:
        limits.append("trained with labels: ranks are not made to order supervised encoders")
    return limits


def neighbours(embeddings: Embeddings, rows: np.ndarray, count: int) -> np.ndarray:
    """Indices [len(rows), count] of the most similar other rows (cosine), best first."""
    z = embeddings.features
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    similar = z[rows] @ z.T
    similar[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-similar, axis=1)[:, :count]
