"""The trials of a fine-tuning: the network and the frozen probe predict images held out of both."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.finetune_folder import COMPARED, LABELS
from jessl.classification.finetune_job import FinetuneJob, rows_to_images
from jessl.classification.finetuned_network import FinetunedNetwork
from jessl.classification.label_parts import FinetuneTrial, write_labels
from jessl.classification.paired import PairedDifference, paired_difference
from jessl.core.files import atomic_write
from jessl.core.interruption import Stopped
from jessl.data import Subset
from jessl.embeddings import Embeddings
from jessl.runs import Run


@dataclass(frozen=True, eq=False)
class TrialOutcome:
    """What both predict in one trial.

    Attributes:
        run: of the fine-tuned network.
        probe: of the frozen encoder.
        index: int64 [m], the images that are compared on and can be read.
        logits: [m, classes] of the network.
        predicted: [m], class names by the network; by_probe: by the probe.
    """

    run: Run
    probe: EmbeddingClassifier
    index: NDArray[np.int64]
    logits: NDArray[np.float64]
    predicted: NDArray[np.str_]
    by_probe: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class FinetuneComparison:
    """All trials together.

    Attributes:
        trials: their outcomes.
        difference: over the images of all trials.
        index, logits: of all trials.
    """

    trials: tuple[TrialOutcome, ...]
    difference: PairedDifference
    index: NDArray[np.int64]
    logits: NDArray[np.float64]


def compare(
    job: FinetuneJob, z: Embeddings, quiet: bool, stop: Callable[[], bool]
) -> FinetuneComparison:
    """Train and compare in every trial; finished trainings are read.

    Args:
        z: features of the frozen encoder.
    """
    trials = job.parts.trials
    outcomes = []
    for trial in trials:
        outcome = _carry_out(job, trial, z, quiet, stop)
        outcomes.append(outcome)
        if len(trials) > 1:
            names = job.parts.names(outcome.index)
            job.log.info(
                f"{trial.name} of {len(trials)}: of {len(names):,} images, the fine-tuned network "
                f"predicts {(outcome.predicted == names).sum():,} correctly, the frozen probe "
                f"{(outcome.by_probe == names).sum():,}"
            )
    index = np.concatenate([o.index for o in outcomes])
    names = job.parts.names(index)
    difference = paired_difference(
        np.concatenate([o.predicted for o in outcomes]) == names,
        np.concatenate([o.by_probe for o in outcomes]) == names,
        folds=len(trials),
    )
    _write_compared(job, outcomes)
    return FinetuneComparison(
        tuple(outcomes), difference, index, np.concatenate([o.logits for o in outcomes])
    )


def _carry_out(
    job: FinetuneJob, trial: FinetuneTrial, z: Embeddings, quiet: bool, stop: Callable[[], bool]
) -> TrialOutcome:
    config, parts, images = job.config, job.parts, job.images
    if stop():
        raise Stopped(f"stopped before {trial.name}")
    fit_source = write_labels(job.out / LABELS / trial.file, images, parts, trial.fit)

    # the frozen probe, on the images that fine-tuning trains on and stops by
    probe = job.fit_probe(z, trial.fit)
    # the classifier has seen none of the images to stop by
    trained = trial.trained(fit_source, config.seed)
    head = job.start_head(z, trained, None if trial.stop else probe, trial.name)
    run = job.train(job.trial_config(trial, head), fit_source, quiet=quiet, stop=stop)
    network = FinetunedNetwork.open(run, config.device)
    tuned = network.features(Subset(images, trial.compare), config.workers)

    # both on the same images
    x, index = job.labelled_rows(z, trial.compare)
    if not np.array_equal(index, rows_to_images(tuned, images)):
        raise ValueError(f"data: images of {images.name} can be read at times only")
    logits = network.logits(tuned)
    predicted = np.array(parts.classes)[logits.argmax(axis=1)]
    return TrialOutcome(run, probe, index, logits, predicted, probe.predict(x))


def _write_compared(job: FinetuneJob, outcomes: list[TrialOutcome]) -> None:
    """A CSV file with what both predict about each image."""
    rows = [
        (job.images.key(i), name, k, predicted, by_probe)
        for k, o in enumerate(outcomes, 1)
        for i, name, predicted, by_probe in zip(
            o.index.tolist(), job.parts.names(o.index), o.predicted, o.by_probe, strict=True
        )
    ]
    path: Path = job.out / COMPARED
    with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "fold", "finetuned", "probe"), *rows])
