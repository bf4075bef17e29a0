"""What a classifier has to know about its encoder and its images."""

from __future__ import annotations

from dataclasses import asdict

from jessl.data import Source
from jessl.extraction.opened_encoder import OpenedEncoder


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
        "data": {"name": images.name, "fingerprint": images.fingerprint(), "labelled": labelled},
    }


def preprocess_values(opened: OpenedEncoder) -> dict[str, object]:
    """The preprocessing as JSON values."""
    values = asdict(opened.encoder.preprocess)
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
