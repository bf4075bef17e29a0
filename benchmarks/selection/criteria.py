"""Every candidate criterion, from the kept features of a training; larger is better.

The signs are fixed here, before the confirmation sweeps: a criterion that is better when lower is
negated. A name ends with the layer; "-init" is the value minus that of the untrained net.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifier

import jessl

VERSION = 1
_OF_VIEWS = ("view_retrieval", "cross_view_reliability", "canonical_sum", "plda_information")
_PLAIN = {
    "rankme": "rankme",
    "effective_rank": "effective_rank",
    "stable_rank": "stable_rank",
    "participation_ratio": "participation_ratio",
    "alpha_req larger": "alpha_req",
    "tail decay": "alpha_req:first=11:last=100",
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


def _compute(folder: Path):
    for layer in ("backbone", "projector"):
        plain = _load(folder, f"{layer}-plain")
        for name, text in _PLAIN.items():
            number = _score(plain, None, text)
            yield f"{name}/{layer}", -number if name in _NEGATED else number
        yield f"alpha_req near 1/{layer}", -abs(_score(plain, None, "alpha_req") - 1)
        views = _load(folder, f"{layer}-simclr")
        for name in (*_OF_VIEWS, "lidar"):
            yield f"{name}/{layer}", _score(None, views, name)
        yield f"alignment/{layer}", -_score(None, views, "alignment")
        for name in _OF_VIEWS:
            start = _score(None, _load(folder, f"untrained-{layer}-simclr"), name)
            yield f"{name} untrained/{layer}", start
    for recipe in ("coarse", "disjoint", "grayscale"):
        for prefix, note in (("", ""), ("untrained-", " untrained")):
            views = _load(folder, f"{prefix}backbone-{recipe}")
            value = _score(None, views, "view_retrieval")
            yield f"view_retrieval {recipe}{note}/backbone", value
    for prefix, note in (("", ""), ("untrained-", " untrained")):
        turned = _load(folder, f"{prefix}backbone-rotations")
        yield f"rotation{note}/backbone", rotation_accuracy(turned)
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    losses = [r["value"] for r in records if r["name"] == "loss" and r["split"] == "train"]
    yield "loss", -float(losses[-1])


def _load(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy").astype(np.float32)


def _score(plain, views, text: str) -> float:
    array = plain if views is None else views
    if not np.isfinite(array).all():
        return math.nan
    return jessl.score(plain, text, views=views, jackknife=0)[text].value


def rotation_accuracy(turned: np.ndarray) -> float:
    """Four-way accuracy of a linear probe of the rotation: fitted on half of the images."""
    if not np.isfinite(turned).all():
        return math.nan
    q, n, d = turned.shape
    half = n // 2
    fit, test = turned[:, :half].reshape(-1, d), turned[:, half:].reshape(-1, d)
    labels = np.repeat(np.arange(q), half), np.repeat(np.arange(q), n - half)
    mean, sd = fit.mean(axis=0), fit.std(axis=0) + 1e-6
    probe = RidgeClassifier(alpha=10.0).fit((fit - mean) / sd, labels[0])
    return float(probe.score((test - mean) / sd, labels[1]))
