"""What one fine-tuning trains and compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.finetune_folder import LABELS, START
from jessl.classification.finetune_start import Start, run_config
from jessl.classification.label_parts import FinetuneTrial, LabelParts
from jessl.classification.start_head import write_start_head
from jessl.config import Finetune, Pretrain
from jessl.core.log import Log
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.pretraining import pretrain
from jessl.runs import Run
from jessl.tracking import Tracking


@dataclass(frozen=True, eq=False)
class FinetuneJob:
    """Options, images, their division, and the encoder to start from; all checked.

    Attributes:
        config: the options.
        out: the folder.
        images: all, with and without labels.
        parts: the labelled ones, divided.
        start: the encoder.
        flip: probability of a horizontal flip.
        warnings: reasons to doubt the labels.
        log: gets lines for people.
    """

    config: Finetune
    out: Path
    images: Source
    parts: LabelParts
    start: Start
    flip: float
    warnings: tuple[str, ...]
    log: Log

    def trial_config(self, trial: FinetuneTrial, head: Path | None = None) -> Pretrain:
        """The run of a trial.

        Args:
            head: file of the classifier to start from; None: random weights.
        """
        return run_config(
            self.config,
            self.start,
            out=self.out / trial.name,
            labels=self.out / LABELS / trial.file,
            n_train=len(trial.fit) - trial.stop,
            stop=trial.stop,
            flip=self.flip,
            head=head,
        )

    @cached_property
    def tracking(self) -> Tracking:
        """The loggers of the trainings, which they see as a group."""
        config, group = self.config, self.out.resolve().name
        return Tracking(config.log, project=config.log_project, group=group, log=self.log)

    def train(
        self, config: Pretrain, source: Source, *, quiet: bool, stop: Callable[[], bool]
    ) -> Run:
        """Train one of the runs.

        Args:
            source: of `write_labels`, which nothing else uses.
        """
        if source.bands is not None:
            # the weights and the first classifier are those of this normalisation
            pixels = self.start.opened.encoder.preprocess
            source.bands = replace(source.bands, normalisation=(pixels.mean, pixels.std))
        name = f"{self.tracking.group}/{Path(str(config.out)).name}"
        with self.tracking.tracker(name) as tracker:
            return pretrain(config, source=source, quiet=quiet, stop=stop, tracker=tracker)

    def labelled_rows(
        self, z: Embeddings, index: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features and image of each row of some images, without those that cannot be read."""
        at = rows_to_images(z, self.images)
        rows = np.flatnonzero(np.isin(at, index))
        return np.asarray(z.features)[rows], at[rows]

    def fit_probe(self, z: Embeddings, index: NDArray[np.int64]) -> EmbeddingClassifier:
        """The probe of the frozen features of some images."""
        x, at = self.labelled_rows(z, index)
        return EmbeddingClassifier(seed=self.config.seed).fit(x, self.parts.names(at))

    def start_head(
        self,
        z: Embeddings,
        index: NDArray[np.int64],
        fitted: EmbeddingClassifier | None,
        name: str,
    ) -> Path | None:
        """The file of the classifier that a training starts from: the probe of some images.

        Args:
            fitted: that probe, where there is one already.
            name: of the training.
        """
        if self.config.head != "probe":
            return None
        path = self.out / START / f"{name}.safetensors"
        write_start_head(path, fitted or self.fit_probe(z, index), self.parts.classes)
        return path


def rows_to_images(z: Embeddings, images: Source) -> NDArray[np.int64]:
    """The image of each row of features."""
    order = np.argsort(images.ids)
    index: NDArray[np.int64] = order[np.searchsorted(images.ids, z.ids, sorter=order)]
    return index
