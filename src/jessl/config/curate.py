"""Options of `jessl.curate`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Curate:
    """Which images to label first, and what to look at in a pool of images.

    Attributes:
        embeddings: folder or file of embeddings [n, d], or a run folder, for the embeddings of its
            training images at the backbone.
        out: folder to write; None: nothing is written. It must not exist.
        budget: number of images to label; None: no choice.
        method: how they are chosen: typicality, coverage, k-centre, medoids or random; None:
            medoids.
        labels: CSV file with the columns path,label, for some of the images; None: the labels of
            the embeddings, if they have any. The choice completes them, and they are checked for
            errors.
        allow_missing: leave out labels of images that the embeddings lack, instead of refusing
            them.
        data: SRC, the images, for faults that show in pixels and for thumbnails; None: neither.
        page: write a page to scroll, tick and copy names from.
        map: the map of the images on the page: pca; pacmap, which is drawn beside PCA (needs
            jessl[maps]; a minute for 20,000 images); or none.
        bits: bits in use of images stored in more than 8 bits a channel, 9 to 16.
        value_range: the stored values that become black and white, instead of `bits`. On the
            command line: --range LOW HIGH.
        workers: threads that decode; None: the cores that this process may use.
        seed: random seed of clusters, samples, folds and of the choice at random.
    """

    embeddings: str
    out: str | None = None
    budget: int | None = None
    method: str | None = None
    labels: str | None = None
    allow_missing: bool = False
    data: str | None = None
    page: bool = True
    map: str = "pca"
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    workers: int | None = None
    seed: int = 0
