"""How the stored values of images become channels, and a warning where it differs."""

from __future__ import annotations

from collections.abc import Mapping

from jessl.core.log import Log
from jessl.data import Source
from jessl.data.decode.value_range import ValueRange
from jessl.runs import Run

# of a run's facts, of the source of an export, and of provenance: what an encoder was trained on
TRAINED_ON = "trained_on"
Reading = dict[str, object]


def reading_of(images: Source) -> Reading:
    """The names of the bands (None: grey or RGB of 8 bits), and the values of black and white.

    Example:
        >>> reading_of(open_source("bands:tiles@4,3", value_range=(0, 10000)))
        {'bands': ['4', '3'], 'value_range': [0.0, 10000.0]}
    """
    bands, value_range = images.bands, images.value_range
    return {
        "bands": None if bands is None else list(bands.names),
        "value_range": None if value_range is None else [value_range.low, value_range.high],
    }


def trained_on(run: Run) -> Reading | None:
    """How a run read its images; of an earlier release the range alone, where it had bands."""
    known = run.facts().get(TRAINED_ON)
    if isinstance(known, dict):
        return known
    config = run.resolved_config()
    if config.mean is None:
        return None
    chosen = ValueRange.of(config.bits, config.value_range)
    return {"value_range": None if chosen is None else [chosen.low, chosen.high]}


def differences(known: Mapping[str, object], images: Source) -> list[tuple[str, str, str]]:
    """What is read otherwise than `known`: (bands or value range, as known, as read).

    Names of bands are no proof: a file of several bands numbers them. So nothing is refused. Band
    04 of a pattern is band 4 of a file.
    """
    return [
        (name.replace("_", " "), _text(name, known[name]), _text(name, value))
        for name, value in reading_of(images).items()
        if name in known and _without_zeros(known[name]) != _without_zeros(value)
    ]


def _without_zeros(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [v.lstrip("0") or v if isinstance(v, str) else v for v in value]


def warn_unlike_training(
    provenance: Mapping[str, object],
    images: Source,
    log: Log,
    *,
    what: str = "encoder",
    consequence: str = "the features are wrong",
) -> None:
    """One warning where an encoder was trained on other bands, another order or range of them.

    Args:
        provenance: of the encoder, by `open_encoder`.
        images: that it is applied to.
        log: gets the warning.
        what: the argument that names the encoder.
        consequence: of values that mean something else.
    """
    known = provenance.get(TRAINED_ON)
    # without bands the range is that of 8 bits, on which the images are read anyway
    if not isinstance(known, dict) or (images.bands is None and known.get("bands") is None):
        return
    other = differences(known, images)
    if other:
        texts = [f"{name} {was}, and {images.name} has {now}" for name, was, now in other]
        log.warning(
            f"{what}: trained on images with {'; '.join(texts)}: {consequence} unless the values "
            "mean the same"
        )


def _text(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "RGB" if name == "bands" else "not stated"
