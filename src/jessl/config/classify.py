"""Options of `jessl.classify`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Classify:
    """Which images get labels, from which labelled ones, and by which encoder.

    Attributes:
        data: SRC, the images: those with labels and those without.
        out: CSV file of predictions to write; a page (NAME.html) and the folder of the classifier
            (NAME-classifier) go beside NAME.csv. Nothing that exists is replaced.
        encoder: a run folder, timm:NAME, or whatever else `jessl embed` takes, the baselines pixels
            and random:ENCODER included; not needed with `classifier`.
        labels: CSV file with the columns path,label, for some of the images; None: the labels that
            SRC has of its own.
        classifier: folder of an earlier classification; all images are predicted by it.
        max_error: error rate, 0 to 1, that predictions without abstention keep with 90 %
            confidence; None: no abstention, or that of `classifier`.
        single_label: labels are class names, also where they hold semicolons or are numbers.
        multi_label: labels are several class names apart by semicolons.
        regression: labels are numbers to predict.
        allow_missing: leave out labels of images that SRC lacks, instead of refusing them.
        page: write a page with thumbnails by predicted class.
        map: the map of the images on the page: pca; pacmap, which is drawn beside PCA (needs
            jessl[maps]; a minute for 20,000 images); or none.
        cache: folder of the embeddings, which later calls use again; None: classify-cache beside
            `out`.
        size: side of the input in pixels, for encoders by name.
        bits: bits in use of images stored in more than 8 bits a channel, 9 to 16.
        value_range: the stored values that become black and white, instead of `bits`. On the
            command line: --range LOW HIGH.
        batch_size: images at a time.
        workers: threads that decode; None: the cores that this process may use, at most 16.
        seed: random seed of folds, and of encoders without weights.
        device: auto, cpu, cuda or cuda:N.
    """

    data: str
    out: str
    encoder: str | None = None
    labels: str | None = None
    classifier: str | None = None
    max_error: float | None = None
    single_label: bool = False
    multi_label: bool = False
    regression: bool = False
    allow_missing: bool = False
    page: bool = True
    map: str = "pca"
    cache: str | None = None
    size: int | None = None
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    batch_size: int = 256
    workers: int | None = None
    seed: int = 0
    device: str = "auto"
