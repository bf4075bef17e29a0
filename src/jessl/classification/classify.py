"""The verb `classify`: labels for all images of a source from those of a few."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.classification.abstention import check_max_error
from jessl.classification.distance import unlike_the_labelled
from jessl.classification.files import classifier_folder
from jessl.classification.labels import Labelled, read_labels
from jessl.classification.outcome import FittedTask, Outcome
from jessl.classification.page import write_page
from jessl.classification.prediction_map import prediction_map
from jessl.classification.predictions import write_predictions
from jessl.classification.provenance import about_classifier, preprocess_values, reading_warnings
from jessl.classification.tasks import fit_task, load_task, save_task
from jessl.config import Classify
from jessl.config.verb import takes_options
from jessl.core.devices import pick_device
from jessl.core.log import Log, log
from jessl.core.notebook import WARNING, Described, percent
from jessl.core.progress import ProgressCallback
from jessl.data import Source, open_source
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.encoders.build import Normalisation
from jessl.extraction.channels import band_normalisation, check_input, check_source
from jessl.extraction.embedding_cache import EmbeddingCache
from jessl.extraction.opened_encoder import OpenedEncoder, open_identified
from jessl.maps.embedding_map import EmbeddingMap
from jessl.maps.layouts import check_map
from jessl.schema import capitalized

CACHE = "classify-cache"


@dataclass(frozen=True, eq=False, repr=False)
class Classification(Described):
    """What `classify` wrote.

    Attributes:
        out: the file of predictions, None where all images have a label.
        classifier: the folder of the classifier; page: the HTML file, None without one.
        images: readable images; labelled: those with labels; predicted: rows of the file.
        unreadable: place and reason of each image that cannot be read.
        task: single-label, multi-label or regression.
        predicted_as: class -> number of images.
        far, abstained: number of images that are flagged so.
        expected: what was announced, as JSON values; announcement: in sentences.
        warnings: reasons to doubt the result.
    """

    out: Path | None
    classifier: Path
    page: Path | None
    images: int
    labelled: int
    predicted: int
    unreadable: Mapping[str, str]
    task: str
    predicted_as: Mapping[str, int]
    far: int
    abstained: int
    expected: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    announcement: tuple[str, ...] = ()

    @property
    def conclusion(self) -> str:
        """How many images were predicted, and how many of the labels to expect to be right."""
        images = f"{self.predicted:,} image{'' if self.predicted == 1 else 's'} predicted"
        if self.out is None:
            images = f"All {self.labelled:,} images have a label: a classifier for others is fitted"
        right, low, high = (self.expected.get(k) for k in ("expected_accuracy", "low", "high"))
        if right is not None and low is not None and high is not None:
            return (
                f"{images}; expect {percent(right, low, high)} of their labels to be right, for "
                "images like the labelled ones"
            )
        return f"{images}. {self.announcement[0]}" if self.announcement else images

    def describe(self) -> list[tuple[str, str]]:
        """The files, the counts, warnings."""
        return [
            ("predictions", "" if self.out is None else str(self.out)),
            ("page", "" if self.page is None else str(self.page)),
            ("classifier", str(self.classifier)),
            ("labelled", f"{self.labelled:,}"),
            ("far from every labelled image", f"{self.far:,}"),
            *((WARNING, text) for text in self.warnings),
        ]

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        paths = {k: v and str(v) for k in ("out", "classifier", "page") for v in [getattr(self, k)]}
        lists = {k: list(getattr(self, k)) for k in ("warnings", "announcement")}
        return {"conclusion": self.conclusion, **vars(self), **paths, **lists}


@takes_options(Classify, data="source")
def classify(
    source: Any,
    *,
    out: str | Path,
    encoder: str | Encoder | None = None,
    labels: str | Path | None = None,
    classifier: str | Path | None = None,
    max_error: float | None = None,
    single_label: bool = False,
    multi_label: bool = False,
    regression: bool = False,
    allow_missing: bool = False,
    page: bool = True,
    map: str = "pca",
    cache: str | Path | None = None,
    size: int | None = None,
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
    batch_size: int = 256,
    workers: int | None = None,
    seed: int = 0,
    device: str = "auto",
    log: Log = log,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
) -> Classification:
    """Predict the labels of the images that have none, by a probe of those that have one.

    Where all have one, a classifier for other images is fitted, and nothing is predicted.
    The accuracy to expect is announced before anything is predicted. Embeddings are kept in the
    cache, so that the same call continues after a kill and other labels need no new ones.

    Example:
        result = jessl.classify("photos", encoder="timm:resnet50", labels="few.csv", out="p.csv")
        print(result.expected["expected_accuracy"])

    Args:
        source: a Source or anything `open_source` accepts.
        encoder: as below, or an `Encoder`.
        log: gets the announcement, notes and warnings.
        progress: called with (images embedded, images in all).
        stop: called after every batch; True ends the work with Stopped.

    Returns:
        Classification.

    Raises:
        Stopped: when `stop` returned True; finished embeddings are kept.
        ValueError: in one line, before anything is written: for labels that are missing, ambiguous
            or of one class, files that exist, a classifier of another encoder, and whatever
            `open_source` and the encoder refuse.
    """
    out = Path(out)
    task = _task(single_label, multi_label, regression)
    if max_error is not None:
        check_max_error(max_error)
    _check_arguments(encoder, labels, classifier, max_error, task)
    _check_outputs(out, classifier is None, page)
    check_map(map)
    images = check_source(open_source(source, bits=bits, value_range=value_range))
    stored: FittedTask | None = None
    about: Mapping[str, Any] = {}
    labelled: Labelled | None = None
    if classifier is not None:
        stored, about = load_task(Path(classifier), max_error)
        encoder = encoder or _encoder_of(about, classifier)
    else:
        labelled, task = read_labels(images, labels, task, allow_missing=allow_missing)
        for warning in labelled.warnings:
            log.warning(warning)
    assert encoder is not None
    opened = open_identified(
        encoder,
        size=size,
        seed=seed,
        device=pick_device(device),
        normalisation=_normalisation(images, about),
    )
    check_input(opened.encoder, images)
    if stored is not None:
        _check_same_encoder(opened, about, classifier)
        for warning in reading_warnings(about, images):
            log.warning(warning)
    folder = Path(cache) if cache is not None else out.parent / CACHE
    z = EmbeddingCache(
        opened,
        folder / opened.sha256[:16],
        batch_size=batch_size,
        workers=workers,
        log=log,
        stop=stop or (lambda: False),
        mmap=True,
    ).embeddings(images.fingerprint(), images, progress=progress or (lambda _done, _all: None))
    rest = np.arange(len(z))
    warnings = reading_warnings(about, images) if labelled is None else labelled.warnings
    if labelled is not None and task is not None:
        rows, kept = _rows_of(z, images, labelled.index)
        if len(kept) < len(labelled.index):
            lost = next(i for i in labelled.index.tolist() if i not in set(kept.tolist()))
            count = len(labelled.index) - len(kept)
            warnings += (
                f"{count} labelled images cannot be read and are left out, the first is "
                f"{images.key(lost)!r}",
            )
            log.warning(warnings[-1])
        chosen = np.isin(labelled.index, kept)
        texts = [text for text, on in zip(labelled.texts, chosen.tolist(), strict=True) if on]
        stored = fit_task(task, z.subset(rows), texts, max_error=max_error, seed=seed)
        rest = np.setdiff1d(rest, rows)
        about = about_classifier(opened, images, len(kept), task)
    assert stored is not None
    for line in stored.announcement():
        log.info(line)
    outcome = stored.outcome(z)
    far = _count(outcome.columns.get("far"), rest)
    if unlike := unlike_the_labelled(far, len(rest), int(about["data"]["labelled"])):
        log.warning(unlike)
        warnings += (unlike,)
    names = images.names() if z.names is None else z.names
    where = classifier_folder(out) if classifier is None else Path(classifier)
    page = page and bool(len(rest))
    result = Classification(
        out=out if len(rest) else None,
        classifier=where,
        page=out.with_suffix(".html") if page else None,
        images=len(z),
        labelled=len(z) - len(rest),
        predicted=len(rest),
        unreadable=z.meta["unreadable"],
        task=task or str(about.get("task")),
        predicted_as=_counts(outcome.group, rest),
        far=far,
        abstained=_count(outcome.columns.get("abstain"), rest),
        expected=stored.as_json(),
        warnings=warnings,
        announcement=tuple(stored.announcement()),
    )
    if classifier is None:
        save_task(stored, where, about)
    if page:
        drawn = prediction_map(z, images, labelled, outcome, map, seed)
        _write_page(result, stored, outcome, rest, images.index_of(z.ids), images, about, drawn)
    if len(rest):
        write_predictions(out, names, outcome.columns, rest)
    return result


def _write_page(
    result: Classification,
    fitted: FittedTask,
    outcome: Outcome,
    rest: NDArray[np.int64],
    index: NDArray[np.int64],
    images: Source,
    about: Mapping[str, Any],
    drawn: EmbeddingMap | None,
) -> None:
    counts = {"Labelled": result.labelled, "Predicted": result.predicted}
    counts["Far from all labelled"] = result.far
    if result.expected.get("abstention") is not None:
        counts["Abstentions"] = result.abstained
    encoder = about.get("encoder", {})
    facts = {
        "data": images.name,
        "encoder": f"{encoder.get('spec')}, weights {str(encoder.get('weights_sha256'))[:12]}",
        "classifier": str(result.classifier),
        "task": result.task,
    }
    assert result.page is not None
    write_page(
        result.page,
        f"Predictions for {Path(images.name).name}",
        [
            f"{capitalized(text.rstrip('.'))}."
            for text in (*fitted.announcement(), *result.warnings)
        ],
        result.expected,
        facts,
        counts,
        outcome,
        rest,
        index,
        images,
        drawn,
    )


def _task(single_label: bool, multi_label: bool, regression: bool) -> str | None:
    given = {"single-label": single_label, "multi-label": multi_label, "regression": regression}
    chosen = [name for name, on in given.items() if on]
    if len(chosen) > 1:
        raise ValueError(f"{', '.join(chosen)}: expected one of them, got {len(chosen)}")
    return chosen[0] if chosen else None


def _check_arguments(
    encoder: str | Encoder | None,
    labels: str | Path | None,
    classifier: str | Path | None,
    max_error: float | None,
    task: str | None,
) -> None:
    if classifier is None:
        if encoder is None:
            raise ValueError("encoder: expected an encoder, or a classifier that has one, got none")
        if max_error is not None and task in ("multi-label", "regression"):
            raise ValueError(f"max_error is for single labels; leave it out with {task}")
        return
    fixed = {"labels": labels, task or "": task}
    for name, value in fixed.items():
        if value is not None:
            raise ValueError(
                f"{name}: expected nothing beside a classifier, which was fitted with its own, "
                f"got {value}"
            )


def _check_outputs(out: Path, fits: bool, page: bool) -> None:
    """Refuse to replace anything."""
    if out.suffix.lower() != ".csv":
        raise ValueError(f"out: expected a file that ends in .csv, got {out}")
    files = [out, *([out.with_suffix(".html")] if page else [])]
    files += [classifier_folder(out)] if fits else []
    for file in files:
        if file.exists() or file.is_symlink():
            raise ValueError(f"out: {file} exists; remove it, or give --out another name")


def _normalisation(images: Source, about: Mapping[str, Any]) -> Callable[[], Normalisation] | None:
    """Mean and standard deviation of bands: those of the classifier, else of the images.

    Raises:
        ValueError: for images of other channels than those of the classifier.
    """
    if not about:
        return band_normalisation(images)
    known = about["encoder"]["preprocess"]
    bands = 3 if images.bands is None else len(images.bands.names)
    if len(known["mean"]) != bands:
        raise ValueError(
            f"data: expected images of {len(known['mean'])} channels, as those of the classifier, "
            f"got {images.name} with {bands}"
        )
    if images.bands is None:
        return None
    return lambda: (tuple(known["mean"]), tuple(known["std"]))


def _encoder_of(about: Mapping[str, Any], classifier: object) -> str:
    try:
        return str(about["encoder"]["spec"])
    except (KeyError, TypeError):
        raise ValueError(
            f"classifier: {classifier} was not fitted by jessl classify and names no encoder"
        ) from None


def _check_same_encoder(
    opened: OpenedEncoder, about: Mapping[str, Any], classifier: object
) -> None:
    """Refuse an encoder whose weights or preprocessing are not those of the classifier."""
    known = about["encoder"]
    if known["weights_sha256"] != opened.sha256:
        raise ValueError(
            f"classifier: {classifier} was fitted on features of {known['spec']} with the weights "
            f"{known['weights_sha256'][:12]}, got {opened.spec} with {opened.sha256[:12]}"
        )
    mine = preprocess_values(opened)
    if known["preprocess"] != mine:
        name = next(k for k in mine if known["preprocess"].get(k) != mine[k])
        raise ValueError(
            f"classifier: {classifier} was fitted on images with {name} "
            f"{known['preprocess'].get(name)}, got {mine[name]}"
        )


def _rows_of(
    z: Embeddings, images: Source, index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the embeddings for some images, and those of the images that have one."""
    order = np.argsort(z.ids)
    wanted = images.ids[index]
    place = np.searchsorted(z.ids, wanted, sorter=order).clip(max=len(z) - 1)
    there = z.ids[order[place]] == wanted
    return order[place][there].astype(np.int64), index[there]


def _counts(group: Sequence[str], rows: NDArray[np.int64]) -> dict[str, int]:
    names, counts = np.unique(np.array(group, dtype=object)[rows], return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def _count(flags: Any, rows: NDArray[np.int64]) -> int:
    return 0 if flags is None else int(np.asarray(flags)[rows].sum())
