"""The map of a classification: predictions, labels and how sure they are."""

from __future__ import annotations

import numpy as np

from jessl.classification.labels import Labelled
from jessl.classification.outcome import Outcome
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.extraction.image_map import image_map
from jessl.maps.colours import Colour, Values, classes_of
from jessl.maps.embedding_map import EmbeddingMap


def prediction_map(
    z: Embeddings,
    images: Source,
    labelled: Labelled | None,
    outcome: Outcome,
    kind: str,
    seed: int,
) -> EmbeddingMap | None:
    """The map of all images; those with a label come first where there are too many.

    Numbers are drawn as numbers; their predictions have no sureness but the distance.
    """
    prediction = _prediction(outcome)
    numbers = isinstance(prediction, Values)
    colours: list[Colour] = [prediction]
    first = None
    if labelled is not None:
        text = dict(zip(labelled.index.tolist(), labelled.texts, strict=True))
        of_row = [text.get(image) for image in images.index_of(z.ids).tolist()]
        colours.append(
            Values("label", np.array([float(name or "nan") for name in of_row]))
            if numbers
            else classes_of("label", of_row)
        )
        first = np.flatnonzero([name is not None for name in of_row])
    if not numbers:
        colours.append(Values("sureness", outcome.sureness))
    if (distance := outcome.columns.get("distance")) is not None:
        colours.append(Values("distance to labelled images", np.asarray(distance, np.float64)))
    return image_map(z, images, colours, kind=kind, seed=seed, first=first)


def _prediction(outcome: Outcome) -> Colour:
    numbers = outcome.columns.get("value")
    if numbers is None:
        return classes_of("prediction", outcome.group)
    return Values("prediction", np.asarray(numbers, np.float64))
