"""The verb `curate`: what to label first, near-duplicates, outliers, label errors, image faults."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.config import Curate
from jessl.config.verb import takes_options
from jessl.core.files import atomic_directory
from jessl.core.log import Log, log
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice, check_int, escape_control
from jessl.curation.duplicates import Duplicates, near_duplicates
from jessl.curation.files import PAGE, write_files
from jessl.curation.given_labels import GivenLabels, PoolRows, given_labels
from jessl.curation.image_faults import find_image_faults
from jessl.curation.label_errors import LabelErrors, find_label_errors, nothing_checked
from jessl.curation.map import curation_map
from jessl.curation.nearest import NEIGHBOURS, nearest_rows
from jessl.curation.outliers import find_outliers, mean_distance
from jessl.curation.page import write_page
from jessl.curation.picking.base import Pool
from jessl.curation.picking.methods import METHODS, LabelFirst, label_first
from jessl.curation.result import Curation
from jessl.curation.space import space_of
from jessl.data import Source, UnreadableImage, open_source
from jessl.embeddings import Embeddings
from jessl.extraction.image_map import MOST_ROW_NUMBER
from jessl.maps.layouts import check_map
from jessl.runs import Run, is_run

# more than an image has pixels: of copies the one with a label is kept, then the largest
_LABELLED = 1e12


@takes_options(Curate)
def curate(
    embeddings: object,
    *,
    out: str | Path | None = None,
    budget: int | None = None,
    method: str | None = None,
    labels: str | Path | None = None,
    allow_missing: bool = False,
    data: Any = None,
    page: bool = True,
    map: str = "pca",
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
    workers: int | None = None,
    seed: int = 0,
    log: Log = log,
    progress: ProgressCallback | None = None,
) -> Curation:
    """Look through a pool of images by their embeddings.

    Example:
        result = jessl.curate("photos.emb", budget=100, data="photos", out="curated")
        print(result.sentence())

    Args:
        embeddings: `Embeddings`, a matrix [n, d] of features (array, tensor or list), or as below.
        data: a Source, or anything that `open_source` accepts.
        log: gets warnings.
        progress: called with (images done, images in all), counted once for neighbours, once for
            label errors and once for faults.

    Returns:
        Curation.

    Raises:
        ValueError: in one line, before anything is written: for a budget above the images without
            a label, fewer than two images, features that are not finite or all equal, labels of
            unknown images, a folder that exists, and whatever `open_source` refuses.
    """
    if out is not None and (Path(out).exists() or Path(out).is_symlink()):
        raise ValueError(f"out: {out} exists; remove it, or choose another folder")
    if method is not None:
        check_choice("method", method, METHODS)
        if budget is None:
            raise ValueError(f"method: expected a budget beside it, got {method} and no budget")
    if budget is not None:
        budget = check_int("budget", budget, 1)
    check_map(map)
    z, name = _open(embeddings)
    _check_one_row_an_image(z, name)
    images = None if data is None else open_source(data, bits=bits, value_range=value_range)
    index = None if images is None else _image_of_each_row(z, images)
    rows = PoolRows(z, name, images)
    known = given_labels(rows, z, labels, allow_missing=allow_missing)
    warnings: list[str] = []
    if images is not None and (other := _other_images(z, images)):
        warnings.append(other)
    n = len(z)
    _check_budget(budget, n, len(known.rows))
    space = space_of(z.features)
    has_faults = images is not None and images.bands is None
    stages = _Stages(progress, n, 2 + has_faults)
    neighbours = nearest_rows(space, NEIGHBOURS, seed=seed, progress=stages.within(0))
    preferred = np.zeros(n)
    preferred[known.rows] = _LABELLED
    copies = near_duplicates(neighbours, z.features, preferred)
    if images is not None and index is not None and copies.groups:
        rows_of_groups = np.concatenate(copies.groups)
        preferred[rows_of_groups] += _pixels(images, index[rows_of_groups])
        copies = near_duplicates(neighbours, z.features, preferred)
    counted = np.ones(n, bool)
    counted[copies.surplus] = False
    outliers = find_outliers(z.features, counted, seed=seed)
    first = None
    if budget is not None:
        density = mean_distance(neighbours, counted, NEIGHBOURS)
        first = _label_first(space.rows, density, known, copies, budget, method, seed, warnings)
    errors = _label_errors(z, known, copies, seed, stages.within(1))
    faults = None
    if images is not None and images.bands is not None:
        log.note("faults are not looked for in images of bands, whose black and white are unknown")
    elif images is not None and index is not None:
        faults = find_image_faults(images, index, progress=stages.within(2), workers=workers)
    for warning in warnings:
        log.warning(warning)
    names = rows.names()
    result = Curation(
        names, known, first, copies, outliers, errors, faults, warnings=tuple(warnings)
    )
    if out is None:
        return result
    result = replace(result, out=Path(out), page=Path(out) / PAGE if page else None)
    with atomic_directory(out) as part:
        write_files(part, result)
        if page:
            about = _about(result, name, images, z, neighbours.exact, seed)
            drawn = curation_map(result, z, images, map, seed)
            write_page(part / PAGE, result, images, index, about, drawn)
    return result


def _about(
    result: Curation, name: str, images: Source | None, z: Embeddings, exact: bool, seed: int
) -> list[tuple[str, str]]:
    """How it was done, for the page."""
    meta = z.meta
    encoder = " ".join(str(meta[key]) for key in ("encoder", "weights") if key in meta)
    first = result.label_first
    search = "all pairs" if exact else "the nearest 16 cells of k-means"
    return [
        ("embeddings", f"{name}, {z.n:,} x {z.d:,}"),
        ("encoder", encoder),
        ("images", "" if images is None else images.name),
        ("given labels", f"{len(result.labels.rows):,} of {len(result.labels.classes)} classes"),
        ("chosen by", "" if first is None else f"{first.method}, seed {seed}"),
        ("neighbours", f"20 by cosine, of {search}"),
        ("label errors", result.label_errors.skipped or "confident learning, logistic probe"),
    ]


def _pixels(images: Source, index: NDArray[np.int64]) -> NDArray[np.float64]:
    """The number of pixels of images, 0 where they cannot be read."""
    pixels = np.zeros(len(index))
    for k, image in enumerate(index.tolist()):
        with suppress(UnreadableImage):
            height, width = images.size(image)
            pixels[k] = height * width
    return pixels


def _other_images(z: Embeddings, images: Source) -> str | None:
    """A warning where rows are matched by number, and perhaps with the images of another array."""
    known, checksum = z.meta.get("data"), z.meta.get("data_checksum")
    is_same = known in (None, images.name) or checksum in (None, images.fingerprint())
    if is_same or int(z.ids.max()) >= MOST_ROW_NUMBER:
        return None
    return (
        f"data: the embeddings are of {escape_control(str(known))}, and rows are matched with "
        f"{images.name} by their number; pictures and faults are wrong unless both hold the same "
        "images"
    )


class _Stages:
    """Progress of several passes over the images as one."""

    def __init__(self, progress: ProgressCallback | None, images: int, passes: int) -> None:
        self._progress, self._images, self._passes = progress, images, passes

    def within(self, stage: int) -> ProgressCallback:
        """The callback of a pass."""

        def update(done: int, total: int) -> None:
            if self._progress is not None:
                share = done / max(1, total)
                place = round((stage + share) * self._images)
                self._progress(place, self._passes * self._images)

        return update


def pool_path(embeddings: str | Path) -> Path:
    """Where the embeddings are: the path, or those of a run at the backbone.

    Raises:
        ValueError: for a run without embeddings.
    """
    path = Path(embeddings)
    if not (path.is_dir() and is_run(path)):
        return path
    inside = Run(path).embeddings("backbone")
    if not inside.is_dir():
        raise ValueError(
            f"embeddings: the run {embeddings} has no embeddings yet; write them by jessl embed "
            f"{embeddings} SRC --out FOLDER"
        )
    return inside


def _open(embeddings: object) -> tuple[Embeddings, str]:
    """Embeddings, and what to call them."""
    if isinstance(embeddings, Embeddings):
        return embeddings, "the embeddings"
    if not isinstance(embeddings, str | Path):
        return Embeddings(embeddings), "the features"
    path = pool_path(embeddings)
    return Embeddings.load(path, mmap=_is_large(path)), str(path)


def _check_one_row_an_image(z: Embeddings, name: str) -> None:
    """Refuse several rows of an image: it would be chosen and counted several times."""
    images = len(np.unique(z.ids))
    if images < len(z):
        raise ValueError(
            f"embeddings: expected one row an image, got {len(z):,} rows of {images:,} images in "
            f"{name}; embed them without --views"
        )


def _is_large(path: Path) -> bool:
    file = path / "features.npy" if path.is_dir() else path
    return file.is_file() and file.stat().st_size > 2**31


def _check_budget(budget: int | None, n: int, labelled: int) -> None:
    if budget is not None and budget > n - labelled:
        left = f"{n:,} images" if not labelled else f"{n - labelled:,} of {n:,} without a label"
        raise ValueError(f"budget: expected at most {n - labelled} ({left}), got {budget}")


def _label_first(
    rows: NDArray[np.float32],
    density: NDArray[np.float64],
    known: GivenLabels,
    copies: Duplicates,
    budget: int,
    method: str | None,
    seed: int,
    warnings: list[str],
) -> LabelFirst:
    allowed = np.ones(len(rows), bool)
    allowed[copies.surplus] = False
    labelled = np.zeros(len(rows), bool)
    labelled[known.rows] = True
    for group in copies.groups:
        if labelled[group].any():
            allowed[group] = False
    allowed &= ~labelled
    if (most := int(allowed.sum())) < budget:
        warnings.append(
            f"{most:,} of {budget:,} images are chosen: the others without a label are copies"
        )
    pool = Pool(rows, density, known.rows, allowed, len(known.classes))
    return label_first(pool, min(budget, most), method, seed)


def _label_errors(
    z: Embeddings,
    known: GivenLabels,
    copies: Duplicates,
    seed: int,
    progress: ProgressCallback,
) -> LabelErrors:
    if not len(known.rows):
        return nothing_checked("there are no labels")
    unit = np.arange(len(z))
    for group in copies.groups:
        unit[group] = group[0]
    return find_label_errors(z.features, known.labels, copies=unit, seed=seed, progress=progress)


def _image_of_each_row(z: Embeddings, images: Source) -> NDArray[np.int64]:
    """The image of each row, by its id.

    Raises:
        ValueError: for rows of other images.
    """
    index = images.index_of(z.ids)
    other = np.flatnonzero(index < 0)
    if len(other):
        example = z.names[int(other[0])] if z.names is not None else f"id {z.ids[other[0]]}"
        raise ValueError(
            f"data: {len(other)} of {len(z)} rows of the embeddings are of no image of "
            f"{images.name}, the first is {escape_control(str(example))!r}"
        )
    return index
