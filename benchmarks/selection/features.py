"""What is kept of a training: features of plain images, views and rotations, and its accuracies.

    UNIT/
      unit.json                the configuration, seconds, outcome
      accuracy.json            logistic, knn and 5-shot accuracy of the backbone on test images
      records.jsonl            of the run: curves of the online scores, losses
      LAYER-plain.npy          float16 [n, d]: training images, a central view
      LAYER-RECIPE.npy         float16 [q, n, d]: views by a fixed recipe
      backbone-rotations.npy   float16 [4, n, d]: the images turned by 0, 90, 180, 270 degrees
      untrained-...            the same of the net before its first step

Criteria are computed from these afterwards, in minutes for all trainings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import jessl
from jessl.data import Source, Subset
from jessl.data.sources.arrays import ArraySource
from jessl.extraction.embed import repeat_views
from jessl.extraction.extract import extract
from jessl.probes import few_shot
from jessl.views.views import Views

# fixed recipes of views -> views of an image; "simclr" is the one of the online score
RECIPES = {"simclr": 4, "coarse": 2, "disjoint": 2, "grayscale": 2}
# images of which views are taken
VIEW_IMAGES = 1_200
PLAIN_IMAGES = 2_000
SHOTS = 5
LAYERS = ("backbone", "projector")


def keep_features(encoder, objective, train: Source, into: Path, prefix: str = "") -> None:
    """Write the features of an encoder and its projector, float16, under names with a prefix."""
    views = first_images(train, VIEW_IMAGES)
    for name, rows in _features(encoder, objective, train, views):
        np.save(into / f"{prefix}{name}.npy", rows.astype(np.float16))


def _features(encoder, objective, train: Source, few: Source) -> Iterator[tuple[str, np.ndarray]]:
    plain = extract(encoder, objective, first_images(train, PLAIN_IMAGES), layers=LAYERS, workers=1)
    for layer, z in plain.items():
        yield f"{layer}-plain", z.features
    for recipe, count in RECIPES.items():
        views = repeat_views(recipe, count, encoder.preprocess)
        layers = LAYERS if recipe == "simclr" else LAYERS[:1]
        for layer, z in _of_views(encoder, objective, few, views, layers).items():
            yield f"{layer}-{recipe}", z
    turned = [
        extract(encoder, None, _turned(few, k), layers=LAYERS[:1], workers=1)["backbone"].features
        for k in range(4)
    ]
    yield "backbone-rotations", np.stack(turned)


def _of_views(encoder, objective, few: Source, views: Views, layers) -> dict[str, np.ndarray]:
    """[q, n, d] of each layer, images in the order of the source."""
    by_layer = extract(encoder, objective, few, layers=layers, workers=1, views=views)
    result = {}
    for layer, z in by_layer.items():
        order = np.argsort(z.ids, kind="stable")
        result[layer] = z.features[order].reshape(len(few), len(views), -1).swapaxes(0, 1)
    return result


def first_images(source: Source, count: int) -> Source:
    """The first images of a source; files are shuffled once."""
    return Subset(source, np.arange(min(count, len(source))))


def _turned(source: Source, quarters: int) -> Source:
    images = np.stack([source.read(k) for k in range(len(source))])
    return ArraySource(np.ascontiguousarray(np.rot90(images, quarters, axes=(1, 2))))


def accuracies(encoder, train: Source, test: Source) -> dict[str, float]:
    """Of three probes of the backbone, fitted on all training images, on test images."""
    z, t = (
        extract(encoder, None, source, layers=LAYERS[:1], workers=1)["backbone"]
        for source in (train, test)
    )
    return {
        "logistic": jessl.probe(z, t, kind="logistic").accuracy,
        "knn": jessl.probe(z, t, kind="knn").accuracy,
        f"{SHOTS}-shot": few_shot(z, t, shots=[SHOTS])[0].accuracy.value,
    }
