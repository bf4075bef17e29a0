"""Options of `jessl.pack`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Pack:
    """How images are resized, encoded and divided into tar shards.

    Attributes:
        data: SRC, the images.
        out: folder to write: a new one, or that of an interrupted packing of the same images.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16. None: images of 16 bits keep them, and 65535 is
            white when they are read.
        value_range: the stored values that become black and white, instead of `bits`; it also opens
            floating-point and signed images. On the command line: --range LOW HIGH.
        short_side: length in pixels to which the shorter side is reduced; smaller images are not
            enlarged.
        long_side: the same for the longer side; at most one of the two.
        quality: JPEG quality, 1 to 100, of all images. None: JPEG and PNG files that need no
            resizing keep their bytes, other JPEG files are encoded at quality 90, everything else
            becomes PNG.
        subsampling: chroma subsampling of JPEG files: 4:4:4, 4:2:2 or 4:2:0.
        shard_mb: size in megabytes (10^6 bytes) at which a shard is full.
        shuffle: seed that shuffles the images over the shards, for sources that are sorted by class
            and will be larger than memory; None: the order of the source.
        workers: threads; None: the cores that this process may use, at most 16.
    """

    data: str
    out: str
    bits: int | None = None
    value_range: tuple[float, float] | None = None
    short_side: int | None = None
    long_side: int | None = None
    quality: int | None = None
    subsampling: str = "4:2:0"
    shard_mb: float = 100
    shuffle: int | None = None
    workers: int | None = None
