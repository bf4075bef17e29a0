"""Criteria that need the other settings of a sweep: peer prediction and random invariant tasks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from features import VIEW_IMAGES
from sweeps import Sweep, unit

from jessl.selection.invariant_tasks import invariant_tasks
from jessl.selection.peer_prediction import FEWEST_SETTINGS, PeerRun, peer_prediction

NAMES = ("peer prediction/backbone", "invariant tasks/backbone")
_PIXELS = 8
_VERSION = 1


def peer_values(sweep: Sweep, work: Path, seeds: int) -> dict[str, np.ndarray]:
    """[values, seeds] of both; NaN where a training diverged. Kept in WORK/sweeps."""
    shape = (len(sweep.values), seeds)
    kept = work / "sweeps" / f"{sweep.name.replace('/', '-')}-{seeds}.json"
    if kept.is_file():
        stored = json.loads(kept.read_text())
        if stored.pop("version") == _VERSION:
            return {k: np.array(v, float).reshape(shape) for k, v in stored.items()}
    places, runs, start = [], [], None
    for i, value in enumerate(sweep.values):
        for k in range(seeds):
            folder = work / "units" / unit(sweep, value, k).key
            path = folder / "backbone-simclr.npy"
            if not path.is_file():
                continue
            views = np.load(path).astype(np.float32)
            if np.isfinite(views).all():
                places.append((i, k))
                runs.append(PeerRun(i, views))
                start = np.load(folder / "untrained-backbone-simclr.npy") if k == 0 else start
    result = {name: np.full(shape, np.nan) for name in NAMES}
    if len({run.setting for run in runs}) >= FEWEST_SETTINGS and start is not None:
        untrained = start.astype(np.float32).mean(axis=0)
        controls = np.hstack([untrained, _small_pixels(sweep, work)[: len(untrained)]])
        both = (
            peer_prediction(runs, controls),
            [task.value for task in invariant_tasks(runs, untrained)],
        )
        for name, values in zip(NAMES, both, strict=True):
            for place, number in zip(places, values, strict=True):
                result[name][place] = number
    kept.parent.mkdir(parents=True, exist_ok=True)
    plain = {k: [None if math.isnan(x) else float(x) for x in v.ravel()] for k, v in result.items()}
    kept.write_text(json.dumps({"version": _VERSION, **plain}))
    return result


def _small_pixels(sweep: Sweep, work: Path) -> np.ndarray:
    """The images of the views as 8 x 8 grey values."""
    with np.load(work / "data" / f"{sweep.data}-train.npz") as held:
        x = held["x"][:VIEW_IMAGES].astype(np.float32)
    grey = x.mean(axis=3) if x.ndim == 4 else x
    side = grey.shape[1] // _PIXELS * _PIXELS
    step = side // _PIXELS
    small = grey[:, :side, :side].reshape(len(x), _PIXELS, step, _PIXELS, step).mean(axis=(2, 4))
    return small.reshape(len(x), -1)
