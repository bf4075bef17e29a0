"""Options of `jessl.embed`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Which encoder embeds which images, at which layers.

    Attributes:
        encoder: a run folder or RUN/checkpoints/step-N, a file of weights (ckpt:PATH,
            ckpt:PATH@ARCH, or the path), smallconv[:WIDTH], resnet_cifar:LAYERS, timm:NAME,
            torchvision:NAME, hf:NAME, package.module:Name (one of yours), or a baseline:
            pixels[:SIZE], random:ENCODER.
        data: SRC, the images.
        out: folder of embeddings to write; with several layers a folder for each inside it.
        layers: backbone [n, dim]; runs also have projector [n, out], where RankMe is defined, and
            its hidden layers projector.1, projector.2, ...
        init: weights of a named encoder: a file, "random" (drawn from `seed`), or the published
            ones where it is left out.
        stem: small or standard, for ResNets by name.
        size: side of the input in pixels, for encoders by name.
        arch: architecture of a file of weights, such as timm:resnet50; None: inferred from its
            tensors.
        key: prefix of the tensors to use from a file that holds several encoders.
        labels: CSV file with columns path,label.
        groups: another column of that file, such as patient or camera. Images with the same value
            form a group, which no split of the embeddings divides.
        class_names: names of the labels 0, 1, ... where the labels are numbers only: a,b,c or a
            text file with a name on each line.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: the stored values that become black and white, instead of `bits`; it also opens
            floating-point and signed images. On the command line: --range LOW HIGH.
        views: preset or file of random views to embed instead of the central one, a row for each
            view; scores of views (view_retrieval, lidar, ...) need them. Their size is the
            encoder's; a preset with local crops contributes its global crops only.
        n_views: views of each image, 2 to 256; None: 10. Unlike views of a preset take turns.
        batch_size: images at a time.
        workers: threads that decode; None: the cores that this process may use, at most 16.
        seed: random seed of weights and of random views.
        device: auto (an encoder that is already built stays where it is), cpu, cuda or cuda:N.
    """

    encoder: str
    data: str
    out: str | None = None
    layers: tuple[str, ...] = ("backbone",)
    init: str | None = None
    stem: str | None = None
    size: int | None = None
    arch: str | None = None
    key: str | None = None
    labels: str | None = None
    class_names: str | None = None
    groups: str | None = None
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    views: str | None = None
    n_views: int | None = None
    batch_size: int = 256
    workers: int | None = None
    seed: int = 0
    device: str = "auto"
