"""Evaluation of an encoder during and after training; labels are used where there are some."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch

from jessl.core import collectives
from jessl.core.precision import full_float32
from jessl.core.process_group import all_gather_object, all_ranks, mark_reported, rank_zero
from jessl.data import Source, Subset
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extraction.extract import LAYERS, NothingReadable, extract
from jessl.objectives import Objective
from jessl.probes import online_probes
from jessl.probes.layers import LayerProbes
from jessl.records import Record
from jessl.schema import CLASSIFIER_ACCURACY
from jessl.scores import ScoreResult, Spectrum, compute_spectra, score

# scores that follow from the spectrum of one pass; RankMe first
SCORES = (
    "rankme",
    "effective_rank",
    "alpha_req",
    "nesum",
    "stable_rank",
    "participation_ratio",
)
_RANKS = ("rankme", "effective_rank")


def evaluate_online(
    encoder: Encoder,
    objective: Objective,
    sample: Source,
    *,
    workers: int | None,
    probes: LayerProbes | None = None,
) -> dict[str, float]:
    """Scores of the spectrum at both layers, and with labels of quick probes, on a fixed sample.

    An objective that classifies is also tested itself, on all labelled images.

    All ranks call it together: each has a share of the images, and only sums of their rows are
    exchanged (for probes the rows themselves). Probes are fitted on half of the sample's labelled
    images and tested on the other half; those that were trained beside the encoder (`probes`, one
    a layer) are tested on all of them.

    Returns:
        {"rankme/projector": ..., ...}, the same on all ranks; NaN where a feature is not finite
        (a diverging run is reported here, not stopped).
    """
    layers = LAYERS if probes is None else ("backbone", *objective.layers())
    mine = np.arange(collectives.rank(), len(sample), collectives.world())
    share = sample if collectives.world() == 1 else Subset(sample, mine)

    @all_ranks
    def extract_share() -> tuple[dict[str, Embeddings], Exception | None]:
        if not len(share):
            return {}, None  # fewer images than processes
        try:
            return extract(encoder, objective, share, layers=layers, workers=workers), None
        except NothingReadable as error:
            return {}, error

    own, error = extract_share()
    if not any(all_gather_object(bool(own))):
        raise mark_reported(error or ValueError(f"{sample.name} holds no image"))
    spectra = {layer: _sum_spectra(own.get(layer)) for layer in LAYERS}
    whole = _gather_rows(own, sample) if sample.labels is not None else {}
    return _score_sample(spectra, whole, probes, objective)


@rank_zero
def _score_sample(
    spectra: dict[str, Spectrum | None],
    whole: dict[str, Embeddings],
    probes: LayerProbes | None,
    objective: Objective,
) -> dict[str, float]:
    numbers = {**_scores(spectra), **_accuracies(whole, probes)}
    if objective.classifies and whole:
        numbers |= _classifier_accuracy(whole["backbone"].labelled(), objective)
    return numbers


@torch.inference_mode()
def _classifier_accuracy(z: Embeddings, objective: Objective) -> dict[str, float]:
    """Of the objective's own classifier, on all labelled images of the sample."""
    if z.labels is None or not z.n:
        return {}
    if not np.isfinite(z.features).all():
        return {CLASSIFIER_ACCURACY: math.nan}
    was_training = objective.training
    device = next(objective.parameters()).device
    with full_float32():
        logits = objective.eval().classify(torch.tensor(z.features, device=device))
    objective.train(was_training)
    right = logits.argmax(dim=1).cpu() == torch.tensor(z.labels)
    return {CLASSIFIER_ACCURACY: right.float().mean().item()}


def _sum_spectra(own: Embeddings | None) -> Spectrum | None:
    """The sums over the rows of all ranks; None where one of them is not finite."""
    shapes = all_gather_object(
        None if own is None else (own.d, bool(np.isfinite(own.features).all()))
    )
    known = [shape for shape in shapes if shape is not None]
    if not all(finite for _, finite in known):
        return None

    @all_ranks
    def own_spectrum() -> Spectrum:
        spectrum = Spectrum(known[0][0])
        return spectrum if own is None else spectrum.update(own)

    return own_spectrum().all_reduce()


def _scores(spectra: dict[str, Spectrum | None]) -> dict[str, float]:
    numbers = {}
    for layer, spectrum in spectra.items():
        values = {} if spectrum is None else spectrum.score(SCORES)
        for name in SCORES:
            numbers[f"{name}/{layer}"] = values[name].value if values else math.nan
    return numbers


def _gather_rows(own: dict[str, Embeddings], sample: Source) -> dict[str, Embeddings]:
    """The rows of all ranks in the order of the sample."""
    if collectives.world() == 1:
        return own
    parts = [part for part in all_gather_object(_as_arrays(own)) if part]
    place = {int(i): k for k, i in enumerate(sample.ids)}
    whole = {}
    for layer in parts[0]:
        features, labels, ids = (np.concatenate([p[layer][k] for p in parts]) for k in range(3))
        order = np.argsort([place[int(i)] for i in ids])
        whole[layer] = Embeddings(features[order], labels[order], ids[order])
    return whole


def _as_arrays(embeddings: dict[str, Embeddings]) -> dict[str, tuple[np.ndarray, ...]]:
    """Features, labels and ids; -1 for each label of a share that has none."""
    return {
        layer: (e.features, np.full(e.n, -1) if e.labels is None else e.labels, e.ids)
        for layer, e in embeddings.items()
    }


def _accuracies(embeddings: dict[str, Embeddings], probes: LayerProbes | None) -> dict[str, float]:
    """Of the probes trained beside the encoder, and of quick ones."""
    numbers: dict[str, float] = {}
    if not embeddings:
        return numbers
    z = embeddings["backbone"].labelled()
    if z.n and not all(np.isfinite(e.features).all() for e in embeddings.values()):
        return {"accuracy/linear": math.nan, "accuracy/knn": math.nan}
    if probes is not None and z.labels is not None and len(z.labels):
        labelled = {name: e.labelled() for name, e in embeddings.items()}
        # copies: embeddings are read-only
        features = {name: torch.tensor(e.features) for name, e in labelled.items()}
        by_layer = probes.accuracy(features, torch.tensor(z.labels))
        for layer, accuracies in by_layer.items():
            numbers |= {f"accuracy/online_{k}/{layer}": v for k, v in accuracies.items()}
    # the order of a source can follow its labels; a fixed shuffle does not
    order = np.random.default_rng(0).permutation(z.n)
    fit, test = z.subset(order[::2]), z.subset(order[1::2])
    if fit.labels is None or test.labels is None:
        return numbers
    if test.n and len(np.unique(fit.labels)) > 1:
        accuracy = online_probes(fit.features, fit.labels, test.features, test.labels)
        numbers |= {f"accuracy/{name}": value for name, value in accuracy.items()}
    return numbers


def final_records(
    embeddings_by_layer: dict[str, Embeddings],
    objective: Objective,
    *,
    run: str,
    step: int,
    epoch: float,
    seconds: float,
) -> list[Record]:
    """Records of the scores with their error bars, and of the spectrum, at each layer."""
    measurements = []
    for layer, embeddings in embeddings_by_layer.items():
        here = Record(
            run=run,
            step=step,
            epoch=epoch,
            split="pretrain",
            seconds=seconds,
            name=f"spectrum/{layer}",
            value=np.sqrt(compute_spectra(embeddings).raw).tolist(),
            extra={"n": embeddings.n},
        )
        measurements.append(here)
        for name, result in score(embeddings, SCORES).items():
            limits = rank_limits(objective) if layer == "projector" and name in _RANKS else []
            warnings = (*limits, *result.warnings)
            measurements.append(score_record(here, f"{name}/{layer}", result, warnings))
    # rankme/backbone last: a run that has it is finished
    return sorted(measurements, key=lambda r: r.name == "rankme/backbone")


def score_record(
    here: Record, name: str, result: ScoreResult, warnings: Sequence[str], **extra: object
) -> Record:
    """A score with its error bar and conventions.

    Args:
        here: a record of the same run and step; its name and value are replaced.
        extra: further JSON values.
    """
    return dataclasses.replace(
        here,
        name=name,
        value=result.value,
        sd=result.sd,
        low=result.low,
        high=result.high,
        extra={
            "n": result.n,
            "d": result.d,
            "debiased": result.debiased,
            "warnings": list(warnings),
            "params": result.params,
            **extra,
        },
    )


def rank_limits(objective: Objective | type[Objective]) -> list[str]:
    """Why a rank is no measure of quality for an objective: one line each."""
    limits = []
    if objective.raises_rank:
        limits.append(
            "the loss itself drives the rank at the projector: it follows the loss's weights, and "
            "a larger one need not be better"
        )
    if objective.uses_labels:
        limits.append("trained with labels: ranks are not made to order supervised encoders")
    return limits
