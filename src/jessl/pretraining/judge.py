"""Judging an encoder while it trains and when it is done; without labels unless there are some."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extract import LAYERS, extract
from jessl.objectives import Objective
from jessl.probes import online_probes
from jessl.probes.layers import LayerProbes
from jessl.records import Record
from jessl.scores import Spectrum, rankme, score

# images that RankMe is taken on: the paper's number (section 3.2)
MOST_IMAGES = 25_600


def online(
    encoder: Encoder,
    objective: Objective,
    sample: Source,
    *,
    workers: int | None,
    probes: LayerProbes | None = None,
) -> dict[str, float]:
    """RankMe at both layers, and with labels the accuracy of quick probes, of a fixed sample.

    Probes are fitted on half of the sample's labelled images and tested on the other half; those
    that were trained beside the encoder (`probes`, one a layer) are tested on all of them.
    """
    layers = LAYERS if probes is None else ("backbone", *objective.layers())
    found = extract(encoder, objective, sample, layers=layers, workers=workers)
    numbers = {f"rankme/{layer}": _rankme_or_nan(found[layer]) for layer in LAYERS}
    if probes is not None:
        seen = {name: e.labelled() for name, e in found.items()}
        labels = seen["backbone"].labels
        if labels is not None and len(labels):
            # tensors of their own: embeddings are read-only
            features = {name: torch.tensor(e.features) for name, e in seen.items()}
            told = probes.accuracy(features, torch.tensor(labels))
            for layer, accuracies in told.items():
                numbers |= {f"accuracy/online_{k}/{layer}": v for k, v in accuracies.items()}
    z = found["backbone"].labelled() if found["backbone"].labels is not None else None
    if z is not None and z.labels is not None:
        # the order of a source can follow its labels; a fixed shuffle does not
        order = np.random.default_rng(0).permutation(z.n)
        fit, test = z.subset(order[::2]), z.subset(order[1::2])
        if test.n and fit.labels is not None and len(np.unique(fit.labels)) > 1:
            accuracy = online_probes(fit.features, fit.labels, test.features, test.labels)
            numbers |= {f"accuracy/{name}": value for name, value in accuracy.items()}
    return numbers


def _rankme_or_nan(embeddings: Embeddings) -> float:
    """RankMe, NaN where a feature is not a number: a diverging run is told, not stopped, here."""
    return rankme(embeddings) if np.isfinite(embeddings.features).all() else math.nan


def final(found: dict[str, Embeddings], *, run: str, step: int, seconds: float) -> list[Record]:
    """Records of RankMe with its error bar, and of the spectrum, at each layer."""
    made = []
    for layer, embeddings in found.items():
        result = score(embeddings, ("rankme",))["rankme"]
        told = {
            "n": result.n,
            "d": result.d,
            "debiased": result.debiased,
            "warnings": list(result.warnings),
            "params": result.params,
        }
        spectrum = Spectrum(embeddings.d).update(embeddings.features, embeddings.ids)
        singular = np.sqrt(spectrum.eigenvalues()).tolist()
        here = Record(
            run=run,
            step=step,
            split="pretrain",
            seconds=seconds,
            name=f"spectrum/{layer}",
            value=singular,
            extra={"n": result.n},
        )
        rank = dataclasses.replace(
            here,
            name=f"rankme/{layer}",
            value=result.value,
            sd=result.sd,
            low=result.low,
            high=result.high,
            extra=told,
        )
        made += [here, rank]
    # rankme/backbone last: a run that has it is finished
    return sorted(made, key=lambda r: r.name == "rankme/backbone")


def neighbours(embeddings: Embeddings, rows: np.ndarray, count: int) -> np.ndarray:
    """Indices [len(rows), count] of the most similar other rows (cosine), best first."""
    z = embeddings.features
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    similar = z[rows] @ z.T
    similar[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-similar, axis=1)[:, :count]
