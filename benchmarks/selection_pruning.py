"""What successive halving would have saved and lost: recorded curves of a study, replayed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jessl.core.files import read_json
from jessl.runs import Run
from jessl.sweeps.pruning import goes_on, rungs

SCORE, ACCURACY = "rankme/projector", "accuracy/logistic"
ORDERS = 200
# (epochs of grace over all epochs, share that goes on); the first is what `jessl sweep` does
HALVINGS = ((0.25, 0.5), (0.25, 1 / 3), (0.1, 0.5), (0.5, 0.5))
HEADS = ("data", "method", "grace, epochs", "share", "saved, %", "points lost", "at most .5")


def replayed(folder: Path, rng: np.random.Generator) -> list[str]:
    """What pruning would have saved in a study, and lost."""
    told = read_json(folder / "study.json")["runs"]
    names = [name for name, entry in told.items() if entry["outcome"] == "finished"]
    curves, final, accuracy = {}, {}, {}
    for name in names:
        records = Run.open(folder / "runs" / name).records()
        curves[name] = {
            round(r.epoch or 0): float(r.value)
            for r in records
            if r.split == "heldout" and r.name == SCORE and isinstance(r.value, float)
        }
        final[name] = told[name]["scores"][SCORE]["value"]
        accuracy[name] = 100 * told[name]["test"][ACCURACY]
    epochs = max(max(curve) for curve in curves.values())
    setting = {name: name.rpartition("-s")[0] for name in names}
    whole = _taken(names, final, setting, accuracy)
    lines = []
    for grace, share in HALVINGS:
        stops = rungs(epochs, max(1, round(grace * epochs)), share, 1)
        saved, lost = [], []
        for _ in range(ORDERS):
            spent, left = _halved(list(rng.permutation(names)), curves, stops, share, epochs)
            saved.append(100 * (1 - spent / (epochs * len(names))))
            lost.append(whole - _taken(left, final, setting, accuracy))
        low, high = np.quantile(lost, [0.025, 0.975])
        cells = [folder.parent.name, folder.name, f"{stops[0] if stops else epochs} of {epochs}"]
        cells += [f"{share:.2f}", f"{np.mean(saved):.0f} ({min(saved):.0f} to {max(saved):.0f})"]
        cells += [f"{np.mean(lost):+.2f} ({low:+.2f} to {high:+.2f})"]
        cells += [f"{100 * np.mean(np.array(lost) <= 0.5):.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _taken(
    names: Sequence[str],
    final: dict[str, float],
    setting: dict[str, str],
    accuracy: dict[str, float],
) -> float:
    """Accuracy of the setting with the highest mean RankMe of its runs, over all its seeds."""
    held: dict[str, list[float]] = {}
    for name in names:
        held.setdefault(setting[name], []).append(final[name])
    best = max(held, key=lambda s: np.mean(held[s]))
    return float(np.mean([a for name, a in accuracy.items() if setting[name] == best]))


def _halved(
    order: list[str],
    curves: dict[str, dict[int, float]],
    stops: Sequence[int],
    share: float,
    epochs: int,
) -> tuple[int, list[str]]:
    """(epochs spent, runs that got to the end) of two workers that take runs in an order."""
    reached: dict[int, list[float]] = {stop: [] for stop in stops}
    spent, left = 0, []
    waiting = order[::-1]
    hands: list[tuple[str, int] | None] = [None, None]
    while waiting or any(hands):
        for k, hand in enumerate(hands):
            if hand is None:
                hands[k] = (waiting.pop(), 0) if waiting else None
                continue
            name, done = hand
            spent, done = spent + 1, done + 1
            goes = True
            if done in reached:
                goes = goes_on(curves[name][done], reached[done], share)
                reached[done].append(curves[name][done])
            if done == epochs:
                left.append(name)
            hands[k] = (name, done) if goes and done < epochs else None
    return spent, left
