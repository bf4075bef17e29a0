"""The verb `finetune`: train an encoder on with labels, and keep it where that helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.distance import LabelledNeighbours, unlike_the_labelled
from jessl.classification.finetune_folder import (
    CACHE,
    CLASSIFIER,
    LABELS,
    REFIT,
    START,
    TRIAL,
    begin,
    finetune_folder,
    read_result,
    write_result,
)
from jessl.classification.finetune_result import FinetuneResult
from jessl.classification.finetune_start import Start, open_start, run_config
from jessl.classification.finetuned_network import FinetunedNetwork
from jessl.classification.head_classifier import classifier_of_head
from jessl.classification.label_parts import LabelParts, divide, write_labels
from jessl.classification.labels import read_labels
from jessl.classification.mirrored import choose_flip
from jessl.classification.paired import paired_difference
from jessl.classification.provenance import about_classifier
from jessl.classification.start_head import write_start_head
from jessl.config import FINETUNE_HEADS, FINETUNE_KEEP, Finetune, Pretrain
from jessl.core.interruption import Stopped
from jessl.core.leftovers import remove_tree
from jessl.core.log import Log, several_processes
from jessl.core.log import log as standard_log
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice
from jessl.data import Source, Subset, open_source
from jessl.embeddings import Embeddings
from jessl.extraction.embedding_cache import EmbeddingCache
from jessl.extraction.extract import check_channels
from jessl.objectives import build_objective
from jessl.pretraining import pretrain
from jessl.pretraining.defaults import check_config
from jessl.runs import Run
from jessl.training import checkpoint
from jessl.views.presets import preset


def finetune(
    config: Finetune,
    *,
    source: Source | None = None,
    log: Log = standard_log,
    quiet: bool = False,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> FinetuneResult:
    """Train an encoder on with labels, compare it with its frozen probe, and keep the better.

    The labelled images are divided by class. The network is trained on one part, by a run of the
    objective "supervised" that starts from the weights (OUT/trial); the frozen probe is fitted on
    the same images; both predict the same others. What is kept is trained again on all labelled
    images (OUT/run) and written to OUT/classifier, which `jessl.classify` takes. The same call
    continues after a kill.

    Example:
        result = jessl.finetune(
            jessl.Finetune(data="photos", labels="few.csv", init="my-run", out="tuned")
        )
        print(result.summary)
        jessl.classify("new", classifier=result.classifier, out="predictions.csv")

    Args:
        config: what to train.
        source: the images, when they are open already (config.data then only names them).
        log: gets the summary, notes and warnings.
        quiet: show nothing of the trainings.
        progress: called with (images embedded, images in all) for the frozen probe.
        stop: called between two steps; True saves the state and raises Stopped.

    Raises:
        ValueError: in one line, before anything is written: for labels that are missing or of one
            class, a class with one image, `out` that holds other things or a fine-tuning with
            other options, an encoder that cannot be opened.
        Stopped: when `stop` returned True.
    """
    check_choice("keep", config.keep, FINETUNE_KEEP)
    check_choice("head", config.head, FINETUNE_HEADS)
    if several_processes():
        raise ValueError(
            "finetune: expected one process; its runs can be trained by several "
            "(torchrun ... jessl pretrain --resume)"
        )
    out = Path(config.out)
    with finetune_folder(config) as finished:
        if finished:
            log.info(f"{out} is finished: nothing to resume")
            return FinetuneResult.from_json(read_result(out), out)
        job = _prepare(config, source, log)
        return _carry_out(job, quiet, progress, stop)


@dataclass(frozen=True, eq=False)
class _Job:
    """What is trained and compared."""

    config: Finetune
    out: Path
    images: Source
    parts: LabelParts
    start: Start
    flip: float
    warnings: tuple[str, ...]
    log: Log


def _prepare(config: Finetune, source: Source | None, log: Log) -> _Job:
    """Open and check everything; nothing is written."""
    images = source
    if images is None:
        images = open_source(
            config.data,
            x_key=config.x_key,
            y_key=config.y_key,
            bits=config.bits,
            value_range=config.value_range,
        )
    check_channels(images)
    labelled, _ = read_labels(
        images, config.labels, "single-label", allow_missing=config.allow_missing
    )
    parts = divide(images, labelled, config.seed)
    start = open_start(config)
    flip = config.flip
    if flip is None:
        fit = np.sort(parts.fit)
        labels = parts.labels[np.searchsorted(parts.all, fit)]
        flip = choose_flip(images, fit, labels, seed=config.seed, workers=config.workers, log=log)
    job = _Job(config, Path(config.out), images, parts, start, flip, labelled.warnings, log)
    trial = _trial_config(job)
    check_config(trial)
    preset(trial.views, trial.size, trial.view_options)
    build_objective(trial.objective, start.opened.encoder.dim, trial.objective_options)
    for warning in labelled.warnings:
        log.warning(warning)
    return job


def _trial_config(job: _Job, head: Path | None = None) -> Pretrain:
    parts = job.parts
    return run_config(
        job.config,
        job.start,
        out=job.out / TRIAL,
        labels=job.out / LABELS / "fit.csv",
        n_train=len(parts.fit) - parts.stop,
        stop=parts.stop,
        flip=job.flip,
        head=head,
    )


def _carry_out(
    job: _Job, quiet: bool, progress: ProgressCallback | None, stop: Callable[[], bool]
) -> FinetuneResult:
    config, parts, images = job.config, job.parts, job.images
    begin(job.out, config)
    (job.out / LABELS).mkdir(exist_ok=True)
    fit_source = write_labels(job.out / LABELS / "fit.csv", images, parts, parts.fit)
    write_labels(job.out / LABELS / "compare.csv", images, parts, parts.compare)

    # the frozen probe, on the images that fine-tuning trains on and stops by
    z = _frozen_features(job, progress, stop)
    probe = EmbeddingClassifier(seed=config.seed).fit(*_labelled_rows(z, images, parts, parts.fit))
    # the classifier has seen none of the images to stop by
    trained = parts.trained(fit_source, config.seed)
    head = _start_head(job, z, trained, probe if parts.stop == 0 else None, TRIAL)
    trial = pretrain(_trial_config(job, head), source=fit_source, quiet=quiet, stop=stop)
    network = FinetunedNetwork.open(trial, config.device)
    tuned = network.features(Subset(images, parts.compare), config.workers)

    warnings = job.warnings
    if unlike := _unlike(z, images, parts, config.seed):
        job.log.warning(unlike)
        warnings += (unlike,)

    # both on the same images
    x, names = _labelled_rows(z, images, parts, parts.compare)
    logits, names_again = network.logits(tuned), _names(tuned, images, parts)
    if list(names) != list(names_again):
        raise ValueError(f"data: images of {images.name} can be read at times only")
    predicted = np.array(parts.classes)[logits.argmax(axis=1)]
    difference = paired_difference(predicted == names, probe.predict(x) == names)
    job.log.info(difference.text)

    kept = config.keep
    if kept == "better":
        kept = "finetuned" if difference.better else "probe"
    run, about = trial, about_classifier(job.start.opened, images, len(parts.fit), "single-label")
    fitted = probe
    if kept == "finetuned":
        if config.refit:
            head = _start_head(job, z, parts.all, None, REFIT)
            run = _refit(job, trial, head, quiet, stop)
        final = FinetunedNetwork.open(run, config.device)
        everything = final.features(Subset(images, parts.all), config.workers)
        place = {name: k for k, name in enumerate(parts.classes)}
        fitted = classifier_of_head(
            *final.head(),
            parts.classes,
            logits=logits,
            labels=np.array([place[name] for name in names]),
            features=everything.features,
            seed=config.seed,
        )
        count = len(parts.all) if config.refit else len(parts.fit)
        about = about_classifier(final.opened(), images, count, "single-label")
    elif config.refit:
        rows = _labelled_rows(z, images, parts, parts.all)
        fitted = EmbeddingClassifier(seed=config.seed).fit(*rows)
        about = about_classifier(job.start.opened, images, len(parts.all), "single-label")
    result = FinetuneResult(
        out=job.out,
        classifier=job.out / CLASSIFIER,
        run=run.path,
        kept=kept,
        summary=difference.text,
        difference=difference,
        train=len(parts.fit) - parts.stop,
        stop=parts.stop,
        compare=difference.n,
        classes=parts.classes,
        epochs=_epochs(trial),
        refit=config.refit,
        flip=job.flip,
        warnings=warnings,
    )
    if result.classifier.exists():  # of a call that was killed right after it was written
        remove_tree(result.classifier)
    fitted.save(result.classifier, about)
    job.log.info(f"kept: {_KEPT[kept]}. {fitted.expected_accuracy_.text}")
    write_result(job.out, config, result.as_json())
    return result


_KEPT = {"finetuned": "the fine-tuned network", "probe": "the frozen probe"}


def _frozen_features(
    job: _Job, progress: ProgressCallback | None, stop: Callable[[], bool]
) -> Embeddings:
    others = _sample_of_others(job.images, job.parts, job.config.seed)
    images = Subset(job.images, np.concatenate([job.parts.all, others]))
    opened = job.start.opened
    return EmbeddingCache(
        opened,
        job.out / CACHE / opened.sha256[:16],
        batch_size=256,
        workers=job.config.workers,
        log=job.log,
        stop=stop,
    ).embeddings(images.fingerprint(), images, progress=progress or (lambda _done, _all: None))


# images without a label that are compared with the labelled ones
_OTHERS = 500


def _sample_of_others(images: Source, parts: LabelParts, seed: int) -> NDArray[np.int64]:
    """Some of the images without a label."""
    others = np.setdiff1d(np.arange(len(images)), parts.all)
    return np.sort(np.random.default_rng([seed, 10]).permutation(others)[:_OTHERS])


def _unlike(z: Embeddings, images: Source, parts: LabelParts, seed: int) -> str | None:
    """A warning where the images without a label are unlike the labelled ones."""
    is_labelled = np.isin(_index(z, images), parts.all)
    x = np.asarray(z.features)
    distance = LabelledNeighbours.of(x[is_labelled], seed).quantile(x[~is_labelled])
    far = int(LabelledNeighbours.far(distance).sum())
    return unlike_the_labelled(far, len(distance), int(is_labelled.sum()))


def _index(z: Embeddings, images: Source) -> NDArray[np.int64]:
    """The image of each row."""
    order = np.argsort(images.ids)
    index: NDArray[np.int64] = order[np.searchsorted(images.ids, z.ids, sorter=order)]
    return index


def _names(z: Embeddings, images: Source, parts: LabelParts) -> NDArray[np.str_]:
    return parts.names(_index(z, images))


def _labelled_rows(
    z: Embeddings, images: Source, parts: LabelParts, index: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Features and class names of some images, without those that cannot be read."""
    at = _index(z, images)
    rows = np.flatnonzero(np.isin(at, index))
    return np.asarray(z.features)[rows], parts.names(at[rows])


def _start_head(
    job: _Job,
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
    if job.config.head != "probe":
        return None
    if fitted is None:
        rows = _labelled_rows(z, job.images, job.parts, index)
        fitted = EmbeddingClassifier(seed=job.config.seed).fit(*rows)
    path = job.out / START / f"{name}.safetensors"
    write_start_head(path, fitted, job.parts.classes)
    return path


def _refit(job: _Job, trial: Run, head: Path | None, quiet: bool, stop: Callable[[], bool]) -> Run:
    """The run on all labelled images, for as many epochs as the trial."""
    if stop():
        raise Stopped(f"stopped; the comparison is done, and {trial.path} is complete")
    parts = job.parts
    path = job.out / LABELS / "all.csv"
    source = write_labels(path, job.images, parts, parts.all)
    config = run_config(
        job.config,
        job.start,
        out=job.out / REFIT,
        labels=path,
        n_train=len(parts.all),
        stop=0,
        flip=job.flip,
        epochs=_epochs(trial),
        head=head,
    )
    return pretrain(config, source=source, quiet=quiet, stop=stop)


def _epochs(run: Run) -> int:
    """Epochs that a run was trained for."""
    last = checkpoint.steps(run.checkpoints)[-1][0]
    return max(1, round(last / int(run.facts()["steps_per_epoch"])))
