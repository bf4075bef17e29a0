"""The verb `finetune`: train an encoder on with labels, and keep it where that helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jessl.classification.finetune_folder import (
    CLASSIFIER,
    LABELS,
    REFIT,
    begin,
    finetune_folder,
    read_result,
    started_folds,
    write_result,
)
from jessl.classification.finetune_job import FinetuneJob
from jessl.classification.finetune_result import FinetuneResult
from jessl.classification.finetune_start import open_start, run_config
from jessl.classification.finetune_trials import compare
from jessl.classification.finetuned_network import FinetunedNetwork
from jessl.classification.frozen_features import frozen_features, unlike_warning
from jessl.classification.head_classifier import classifier_of_head
from jessl.classification.label_parts import divide, write_labels
from jessl.classification.labels import read_labels
from jessl.classification.mirrored import choose_flip
from jessl.classification.paired import PairedDifference
from jessl.classification.provenance import about_classifier
from jessl.config import FINETUNE_HEADS, FINETUNE_KEEP, Finetune
from jessl.core.interruption import Stopped
from jessl.core.leftovers import remove_tree
from jessl.core.log import Log, several_processes
from jessl.core.log import log as standard_log
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int
from jessl.data import Source, Subset, open_source
from jessl.extraction.channels import check_input, check_source
from jessl.objectives import build_objective
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

    The labelled images are divided by class into folds. For each of them the network is trained on
    the others, by a run of the objective "supervised" that starts from the weights (OUT/trial-1,
    OUT/trial-2, ...); the frozen probe is fitted on the same images; both predict the fold. Of many
    labelled images one part is compared on instead (OUT/trial). What is kept is trained again on
    all labelled images (OUT/run) and written to OUT/classifier, which `jessl.classify` takes. The
    same call continues after a kill.

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
            class, no class with two images, `out` that holds other things or a fine-tuning with
            other options, an encoder that cannot be opened.
        Stopped: when `stop` returned True.
    """
    check_choice("keep", config.keep, FINETUNE_KEEP)
    check_choice("head", config.head, FINETUNE_HEADS)
    if config.folds is not None:
        check_int("folds", config.folds, 1)
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
        job = _prepare(config, source, started_folds(out), log)
        return _carry_out(job, quiet, progress, stop)


def _prepare(config: Finetune, source: Source | None, folds: int | None, log: Log) -> FinetuneJob:
    """Open and check everything; nothing is written.

    Args:
        folds: of a fine-tuning that is continued; None: of a new one, by the options.
    """
    images = source
    if images is None:
        images = open_source(
            config.data,
            x_key=config.x_key,
            y_key=config.y_key,
            bits=config.bits,
            value_range=config.value_range,
        )
    check_source(images)
    labelled, _ = read_labels(
        images, config.labels, "single-label", allow_missing=config.allow_missing
    )
    parts = divide(images, labelled, config.seed, folds or config.folds)
    start = open_start(config, images)
    check_input(start.opened.encoder, images)
    flip = config.flip
    if flip is None:
        # with folds it is one choice for all trainings, from all labels
        rows = parts.trials[0].fit if len(parts.trials) == 1 else parts.all
        flip = choose_flip(
            images, rows, parts.places(rows), seed=config.seed, workers=config.workers, log=log
        )
    job = FinetuneJob(config, Path(config.out), images, parts, start, flip, labelled.warnings, log)
    for trial in parts.trials:
        check_config(job.trial_config(trial))
    trial_config = job.trial_config(parts.trials[0])
    preset(trial_config.views, trial_config.size, trial_config.view_options)
    build_objective(
        trial_config.objective, start.opened.encoder.dim, trial_config.objective_options
    )
    for warning in labelled.warnings:
        log.warning(warning)
    log.info(_plan(job))
    return job


def _plan(job: FinetuneJob) -> str:
    """How many trainings there will be."""
    trials, n = job.parts.trials, len(job.parts.all)
    first = trials[0]
    text = (
        f"1 training on {len(first.fit):,} of {n:,} labelled images, compared on the other "
        f"{len(first.compare):,}"
        if len(trials) == 1
        else f"{len(trials)} trainings, each on about {len(first.fit):,} of {n:,} labelled images "
        "and compared on the others"
    )
    if job.config.refit and job.config.keep != "probe":
        text += ", and one on all of them" + (
            " where the fine-tuned network is kept" if job.config.keep == "better" else ""
        )
    return text


def _carry_out(
    job: FinetuneJob,
    quiet: bool,
    progress: ProgressCallback | None,
    stop: Callable[[], bool],
) -> FinetuneResult:
    config, parts, images = job.config, job.parts, job.images
    begin(job.out, config, len(parts.trials))
    (job.out / LABELS).mkdir(exist_ok=True)
    z = frozen_features(job, progress, stop)
    warnings = job.warnings
    if unlike := unlike_warning(job, z):
        job.log.warning(unlike)
        warnings += (unlike,)
    compared = compare(job, z, quiet, stop)
    difference = compared.difference
    kept, reason = choose_kept(config.keep, difference)
    summary = f"{difference.text}; kept: {reason}"
    job.log.info(summary)

    first, run = parts.trials[0], compared.trials[0].run
    epochs = round(float(np.mean([_epochs(t.run) for t in compared.trials])))
    used = len(parts.all) if config.refit else len(first.fit)
    if kept == "finetuned":
        if config.refit:
            run = _refit(job, job.start_head(z, parts.all, None, REFIT), epochs, quiet, stop)
        final = FinetunedNetwork.open(run, config.device)
        fitted = classifier_of_head(
            *final.head(),
            parts.classes,
            logits=compared.logits,
            labels=parts.places(compared.index),
            features=final.features(Subset(images, parts.all), config.workers).features,
            folds=len(parts.trials),
            each=float(np.median(np.bincount(parts.labels))),
            alone=len(parts.alone),
            seed=config.seed,
        )
        about = about_classifier(final.opened(), images, used, "single-label")
    else:
        fitted = job.fit_probe(z, parts.all) if config.refit else compared.trials[0].probe
        about = about_classifier(job.start.opened, images, used, "single-label")
    result = FinetuneResult(
        out=job.out,
        classifier=job.out / CLASSIFIER,
        run=run.path,
        kept=kept,
        summary=summary,
        difference=difference,
        train=len(first.fit) - first.stop,
        stop=first.stop,
        compare=difference.n,
        classes=parts.classes,
        epochs=epochs,
        refit=config.refit,
        flip=job.flip,
        folds=len(parts.trials),
        warnings=warnings,
    )
    if result.classifier.exists():  # of a call that was killed right after it was written
        remove_tree(result.classifier)
    fitted.save(result.classifier, about)
    job.log.info(fitted.expected_accuracy_.text)
    write_result(job.out, config, result.as_json())
    return result


_KEPT = {"finetuned": "the fine-tuned network", "probe": "the frozen probe"}


def choose_kept(keep: str, difference: PairedDifference) -> tuple[str, str]:
    """What is kept, finetuned or probe, and the words for it.

    Example:
        kept, reason = choose_kept("better", difference)

    Args:
        keep: the option.
    """
    if keep != "better":
        return keep, _KEPT[keep]
    kept = "finetuned" if difference.value > 0 else "probe"
    if difference.better or difference.worse:
        return kept, _KEPT[kept]
    if difference.value == 0:
        return kept, f"{_KEPT[kept]}, as both are equally accurate"
    return kept, f"{_KEPT[kept]}, which is ahead by {100 * abs(difference.value):.1f} points"


def _refit(
    job: FinetuneJob, head: Path | None, epochs: int, quiet: bool, stop: Callable[[], bool]
) -> Run:
    """The run on all labelled images, for as many epochs as the trials."""
    if stop():
        raise Stopped(f"stopped; the comparison is done, and the trials in {job.out} are complete")
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
        epochs=epochs,
        head=head,
    )
    return job.train(config, source, quiet=quiet, stop=stop)


def _epochs(run: Run) -> int:
    """Epochs that a run was trained for."""
    last = checkpoint.steps(run.checkpoints)[-1][0]
    return max(1, round(last / int(run.facts()["steps_per_epoch"])))
