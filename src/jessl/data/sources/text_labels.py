"""Labels that are texts: class names in sorted order, or captions, which are no labels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def numbered_texts(
    texts: Iterable[str | None],
) -> tuple[np.ndarray, tuple[str, ...] | None, list[str]]:
    """Labels int64 [n] (-1 where missing), the names of the labels 0, 1, ..., and notes.

    Texts of which more than half differ are captions: no labels, and a note.
    """
    every = list(texts)
    known = [text for text in every if text]
    names = sorted(set(known))
    if 2 * len(names) > len(known) > 2:
        note = f"{len(known)} texts, {len(names)} of them different, are captions and no labels"
        return np.full(len(every), -1, dtype=np.int64), None, [note]
    number = {name: label for label, name in enumerate(names)}
    labels = [number[text] if text else -1 for text in every]
    return np.array(labels, dtype=np.int64), tuple(names), []
