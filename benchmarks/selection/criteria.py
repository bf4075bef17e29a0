"""Every candidate criterion, from the kept features of a training; larger is better.

The signs are fixed here, before the confirmation sweeps: a criterion that is better when lower is
negated. A name ends with the layer; "-init" is the value minus that of the untrained net.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import jessl
from jessl.core.files import atomic_write

VERSION = 2
# ends the names of error bars, over images
DEVIATION = " sd"
_OF_VIEWS = ("view_retrieval", "cross_view_reliability", "canonical_sum", "plda_information")
# criteria of the panel of jessl.selection, whose ties need error bars
_OF_PANEL = ("view_retrieval", "cross_view_reliability")
_RECIPES = ("coarse", "disjoint", "grayscale")
_PLAIN = {
    "rankme": "rankme",
    "effective_rank": "effective_rank",
    "stable_rank": "stable_rank",
    "participation_ratio": "participation_ratio",
    "alpha_req larger": "alpha_req",
    "uniformity": "uniformity",
    "self_cluster": "self_cluster",
    "idest": "idest",
    "twonn": "twonn",
}
# better when lower
_NEGATED = frozenset({"uniformity", "self_cluster", "idest", "twonn"})


def values_of(folder: Path) -> dict[str, float]:
    """All criteria of one training; kept in values.json."""
    kept = folder / "values.json"
    if kept.is_file():
        stored = json.loads(kept.read_text())
        if stored.pop("version", None) == VERSION:
            return {k: math.nan if v is None else v for k, v in stored.items()}
    values = dict(_compute(folder))
    finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
    kept.write_text(json.dumps({"version": VERSION, **finite}, indent=1))
    return values


def _compute(folder: Path) -> Iterator[tuple[str, float]]:
    for layer in ("backbone", "projector"):
        plain = _load(folder, f"{layer}-plain")
        for name, text in _PLAIN.items():
            number = _score(text, plain)
            yield f"{name}/{layer}", -number if name in _NEGATED else number
        yield f"alpha_req near 1/{layer}", -abs(_score("alpha_req", plain) - 1)
        views = _load(folder, f"{layer}-simclr")
        for name in _OF_VIEWS:
            if layer == "backbone" and name in _OF_PANEL:
                value, sd = _with_error(name, views)
                yield f"{name}/{layer}{DEVIATION}", sd
            else:
                value = _score(name, views=views)
            yield f"{name}/{layer}", value
            yield f"{name} untrained/{layer}", _untrained(folder, f"{layer}-simclr", name)
        yield f"lidar/{layer}", _score("lidar", views=views)
        yield f"alignment/{layer}", -_score("alignment", views=views)
    views = _load(folder, "backbone-simclr")
    for distractors in (50, 1_000):
        text = f"view_retrieval:distractors={distractors}"
        yield f"{text}/backbone", _score(text, views=views)
    by_recipe = [_score("view_retrieval", views=views)]
    for recipe in _RECIPES:
        value = _score("view_retrieval", views=_load(folder, f"backbone-{recipe}"))
        by_recipe.append(value)
        yield f"view_retrieval {recipe}/backbone", value
        start = _untrained(folder, f"backbone-{recipe}", "view_retrieval")
        yield f"view_retrieval {recipe} untrained/backbone", start
    yield "view_retrieval mean of recipes/backbone", float(np.mean(by_recipe))
    value, sd = _with_error("rotation", _load(folder, "backbone-rotations"))
    yield "rotation/backbone", value
    yield f"rotation/backbone{DEVIATION}", sd
    yield "rotation untrained/backbone", _untrained(folder, "backbone-rotations", "rotation")
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    losses = [r["value"] for r in records if r["name"] == "loss" and r["split"] == "train"]
    yield "loss", -float(losses[-1])


def _untrained(folder: Path, features: str, name: str) -> float:
    """A score of the untrained net; trainings of one seed share it, and it is computed once."""
    path = folder / f"untrained-{features}.npy"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:24]
    kept = folder.parents[1] / "untrained" / f"{digest}-{name}.json"
    if kept.is_file():
        number = json.loads(kept.read_text())
        return math.nan if number is None else float(number)
    value = _score(name, views=_load(folder, f"untrained-{features}"))
    kept.parent.mkdir(exist_ok=True)
    with atomic_write(kept) as part:
        part.write_text(json.dumps(value if math.isfinite(value) else None))
    return value


def _load(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy").astype(np.float32)


def _score(text: str, plain: np.ndarray | None = None, *, views: np.ndarray | None = None) -> float:
    array = plain if views is None else views
    if not np.isfinite(array).all():
        return math.nan
    return jessl.score(plain, text, views=views, jackknife=0)[text].value


def _with_error(name: str, views: np.ndarray) -> tuple[float, float]:
    """(value, standard deviation over images)."""
    if not np.isfinite(views).all():
        return math.nan, math.nan
    result = jessl.score(None, name, views=views)[name]
    return result.value, math.nan if result.sd is None else result.sd
