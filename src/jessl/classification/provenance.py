"""What a classifier has to know about its encoder and its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from jessl.data import Source
from jessl.extraction.opened_encoder import OpenedEncoder
from jessl.extraction.reading import differences, reading_of


def about_classifier(
    opened: OpenedEncoder, images: Source, labelled: int, task: str
) -> dict[str, object]:
    """The encoder by the checksum of its weights, its preprocessing, and the data.

    Args:
        opened: the encoder of the features.
        images: all images; labelled: how many the classifier was fitted on.
        task: one of `labels.TASKS`.
    """
    return {
        "task": task,
        "encoder": {
            "spec": opened.spec,
            "weights_sha256": opened.sha256,
            "preprocess": preprocess_values(opened),
            "layer": "backbone",
        },
        "data": {
            "name": images.name,
            "fingerprint": images.fingerprint(),
            "labelled": labelled,
            **reading_of(images),
        },
    }


def reading_warnings(about: Mapping[str, Any], images: Source) -> tuple[str, ...]:
    """Warnings where other bands, or another range of values, are read than the classifier had."""
    return tuple(
        f"classifier: fitted on images with {name} {was}; {images.name} has {now}: predictions are "
        "wrong unless the values mean the same"
        for name, was, now in differences(about["data"], images)
    )


def preprocess_values(opened: OpenedEncoder) -> dict[str, object]:
    """The preprocessing as JSON values."""
    values = asdict(opened.encoder.preprocess)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
