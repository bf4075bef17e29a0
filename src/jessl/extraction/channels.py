"""Channels and bands of a source against those that encoders take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jessl.core.sampling import linspace_indices
from jessl.data import Source, UnreadableImage
from jessl.data.statistics import band_statistics
from jessl.encoders import Encoder
from jessl.encoders.build import Normalisation

# images of which one must be readable for the number of channels to be known beforehand
_SAMPLE = 4


def check_channels(source: Source) -> Source:
    """The source itself, where its images have the 1 or 3 channels that all encoders take.

    Files always do, unless they keep their bands; of a data set a readable image is looked at.

    Raises:
        ValueError: for images of bands, or of 2 or 4 channels.
    """
    if source.bands is not None:
        raise ValueError(
            f"data: {source.name} is read with its {len(source.bands.names)} bands; expected grey "
            "or RGB of 8 bits"
        )
    for index in linspace_indices(len(source), _SAMPLE).tolist():
        try:
            channels = source.read(index).shape[2]
        except UnreadableImage:
            continue  # reported when all images are read
        if channels not in (1, 3):
            raise ValueError(
                f"data: the images of {source.name} have {channels} channels; encoders take 1 "
                "(grey) or 3 (RGB)"
            )
        break
    return source


def check_source(source: Source) -> Source:
    """The source itself, where encoders take its images: of bands, grey or RGB.

    Raises:
        ValueError: for images of 2 or 4 channels without bands.
    """
    return source if source.bands is not None else check_channels(source)


def check_same_bands(source: Source, other: Source) -> None:
    """Refuse another source whose images have other bands.

    Raises:
        ValueError: with the bands of both.
    """
    first, second = (
        "RGB" if s.bands is None else ", ".join(s.bands.names) for s in (source, other)
    )
    if first != second:
        raise ValueError(
            f"{other.name}: expected the bands of {source.name} ({first}), got {second}"
        )


def band_normalisation(source: Source) -> Callable[[], Normalisation] | None:
    """What computes mean and standard deviation of the bands of a source; None without bands."""
    return None if source.bands is None else partial(band_statistics, source)


def check_input(encoder: Encoder, source: Source) -> None:
    """Refuse images of other channels than the encoder takes.

    Raises:
        ValueError: with both numbers.
    """
    check_source(source)
    bands = 3 if source.bands is None else len(source.bands.names)
    if bands != encoder.channels:
        images = "grey or RGB (3 channels)" if source.bands is None else f"{bands} bands"
        raise ValueError(
            f"data: {source.name} has images of {images}; encoder {encoder.name} takes "
            f"{encoder.channels} channels"
        )
