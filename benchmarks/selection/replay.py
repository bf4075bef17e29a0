"""Pruning replayed: what if each sweep had stopped the runs that fell behind?

The recorded curves of every training are read as `jessl sweep --prune` reads them: asynchronous
successive halving (jessl.sweeps.pruning), values in a shuffled order, one run at a time.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from measured import Measured
from sweeps import unit

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE
from jessl.sweeps.pruning import goes_on, rungs

CURVES = ("view_retrieval/backbone", "rankme/projector")
# orders of the runs
ORDERS = 20
KEEP = 0.5


def replay(measured: list[Measured], work: Path) -> list[str]:
    """A row for each score: epochs saved, and the regret of the final choice, with and without."""
    lines = [
        f"Successive halving, the better {KEEP:.0%} go on, after a quarter of the epochs; "
        f"{ORDERS} orders of the runs, seed 0.",
        "",
        "| curve | epochs saved | regret of all runs | with pruning | best run stopped |",
        "|---|---:|---:|---:|---:|",
    ]
    known = [m for m in measured if m.informative]
    for name in CURVES:
        saved, whole, pruned, stopped = [], [], [], []
        for m in known:
            curves = [_curve(m, k, name, work) for k in range(len(m.sweep.values))]
            accuracy = np.nan_to_num(100 * m.accuracy["logistic"][:, 0])
            epochs = max((max(c) for c in curves if c), default=0)
            if epochs < 4:
                continue
            final = [c.get(epochs, -math.inf) for c in curves]
            whole.append(accuracy.max() - accuracy[int(np.argmax(final))])
            for order in range(ORDERS):
                trained = _halve(curves, epochs, order)
                ends = [
                    f if t == epochs else -math.inf for f, t in zip(final, trained, strict=True)
                ]
                saved.append(1 - sum(trained) / (epochs * len(curves)))
                pruned.append(accuracy.max() - accuracy[int(np.argmax(ends))])
                stopped.append(trained[int(accuracy.argmax())] < epochs)
        if whole:
            lines.append(
                f"| {name} | {np.mean(saved):.0%} | {np.mean(whole):.2f} | {np.mean(pruned):.2f} "
                f"| {np.mean(stopped):.0%} |"
            )
    return lines


def _curve(m: Measured, place: int, name: str, work: Path) -> dict[int, float]:
    """Epoch -> value, of the online evaluations."""
    path = work / "units" / unit(m.sweep, m.sweep.values[place], 0).key / "records.jsonl"
    if not path.is_file():
        return {}
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        int(r["epoch"]): float(r["value"]) if r["value"] is not None else math.nan
        for r in records
        if r["name"] == name and r["split"] in (HELD_OUT, PRETRAIN_SAMPLE) and r["epoch"]
    }


def _halve(curves: list[dict[int, float]], epochs: int, order: int) -> list[int]:
    """Epochs that each run is trained, one run after the other."""
    at = rungs(epochs, max(1, epochs // 4), KEEP, 1)
    reached: dict[int, list[float]] = {rung: [] for rung in at}
    trained = [0] * len(curves)
    for k in np.random.default_rng(order).permutation(len(curves)):
        trained[k] = epochs
        for rung in at:
            merit = curves[k].get(rung, math.nan)
            going = goes_on(merit, reached[rung], KEEP)
            reached[rung].append(merit)
            if not going:
                trained[k] = rung
                break
    return trained
