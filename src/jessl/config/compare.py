"""Options of `jessl.compare_encoders`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Which pretrained encoders are compared on which images.

    Attributes:
        encoders: specifications as `Embed` takes them: timm:NAME, torchvision:NAME, hf:NAME, files
            of weights, run folders.
        data: SRC, the images that the encoders should suit.
        out: folder of the comparison; the same call continues there.
        labels: CSV file with columns path,label; labels affect the errors only.
        groups: a column of that file: images with the same value are never divided by a split.
        class_names: names of the labels 0, 1, ... of `data` or `test`, whichever has numbers only:
            a,b,c or a text file with a name on each line.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: the stored values that become black and white, instead of `bits`; it also opens
            floating-point and signed images. On the command line: --range LOW HIGH.
        shots: images per class of few-shot probes; none: 3, 5 and 30. Numbers larger than a class
            are left out.
        test: SRC of labelled images to test on; None: the labelled images of `data` are
            cross-validated, with the same folds for every encoder.
        size: side of the encoders' input in pixels; None: the size of each. Runs keep theirs.
        views: preset or file of the random views that the scores lidar and alignment need.
        n_views: views of each image, 2 to 256.
        view_images: number of images that get random views; 0: without those scores.
        map: a map of up to 2,000 images on the page, for every encoder: pca; pacmap, which is
            drawn beside PCA (needs jessl[maps]); or none.
        most_images: largest number of images of `data` and of `test`, drawn by their ids and
            `seed`.
        batch_size: images at a time.
        device: auto, cpu, cuda or cuda:N.
        workers: threads that decode; None: the cores that this process may use, at most 16.
        seed: random seed of the choice of images, views, jackknife blocks and splits.
    """

    encoders: tuple[str, ...]
    data: str
    out: str
    labels: str | None = None
    class_names: str | None = None
    groups: str | None = None
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    shots: tuple[int, ...] = ()
    test: str | None = None
    size: int | None = None
    views: str = "simclr"
    n_views: int = 10
    view_images: int = 1_000
    map: str = "pca"
    most_images: int = 25_600
    batch_size: int = 256
    device: str = "auto"
    workers: int | None = None
    seed: int = 0
