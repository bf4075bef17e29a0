"""Whether mirrored images keep their label, measured on the labelled ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.classification.paired import PairedDifference, paired_difference
from jessl.core.log import Log
from jessl.data import Source, Subset
from jessl.encoders import build_encoder
from jessl.extraction.channels import band_normalisation
from jessl.extraction.extract import extract
from jessl.probes.base import FitRequest
from jessl.probes.kinds.logistic import KIND
from jessl.probes.split import assign_folds

_FLIP = 0.5
# side of the thumbnails, and the penalty of their probe
_SIDE, _C = 12, 0.03
_FOLDS, _MOST = 5, 2_000


def choose_flip(
    images: Source,
    index: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    seed: int,
    workers: int | None,
    log: Log,
) -> float:
    """0, where mirrored images are recognised less often than the others beyond chance; else .5.

    Digits and text change their meaning in a mirror, and shoes of a catalogue all point to one
    side: there a flip shows the network images that do not occur.

    Args:
        index: labelled images; labels: [n] their classes.
        seed: of the folds.
        log: gets a note where it is 0.
    """
    most = np.sort(np.random.default_rng([seed, 9]).permutation(len(index))[:_MOST])
    difference = mirror_difference(images, index[most], labels[most], seed=seed, workers=workers)
    if difference is None or not difference.better:
        return _FLIP
    log.note(
        f"flip 0: a probe of thumbnails recognises {100 * difference.first:.0f} % of the labelled "
        f"images and {100 * difference.second:.0f} % of their mirror images"
    )
    return 0.0


def mirror_difference(
    images: Source,
    index: NDArray[np.int64],
    labels: NDArray[np.int64],
    *,
    seed: int = 0,
    workers: int | None = None,
) -> PairedDifference | None:
    """Accuracy on held-out images minus that on their mirror images, of a probe of thumbnails.

    Thumbnails and not features of an encoder, which may have learnt to ignore the difference.

    Returns:
        The difference; None for fewer than two images of two classes.
    """
    rows = Subset(images, index)
    of_bands = band_normalisation(rows)
    net = build_encoder(f"pixels:{_SIDE}", normalisation=None if of_bands is None else of_bands())
    z = extract(net, None, rows, layers=("backbone",), workers=workers)["backbone"]
    # without images that cannot be read
    order = np.argsort(rows.ids)
    y = labels[order[np.searchsorted(rows.ids, z.ids, sorter=order)]]
    counts = np.bincount(y)
    if (counts > 1).sum() < 2:
        return None
    x = np.asarray(z.features)
    mirrored = x.reshape(-1, net.channels, _SIDE, _SIDE)[..., ::-1].reshape(x.shape)
    fold = assign_folds(y, min(_FOLDS, len(y)), seed)
    masks = [fold != k for k in range(fold.max() + 1)]
    right, right_mirrored = np.zeros(len(y), bool), np.zeros(len(y), bool)
    [fits] = KIND.fit_path(FitRequest(x, y, masks, [{"C": _C}], seed, "cpu"))
    for mask, fit in zip(masks, fits, strict=True):
        for rows_of, into in ((x, right), (mirrored, right_mirrored)):
            decision = fit.decision_function(rows_of[~mask])
            into[~mask] = fit.classes[decision.argmax(axis=1)] == y[~mask]
    return paired_difference(right, right_mirrored)
