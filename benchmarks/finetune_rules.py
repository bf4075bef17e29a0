"""What each rule of keeping a fine-tuned network would keep, replayed on measured draws.

A draw has the accuracy of both on test images, probe and tuned; by fold, whether the network and
the probe predict each labelled image rightly, folds; and the announced accuracy with its interval.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jessl.classification.finetune import choose_kept
from jessl.classification.paired import PairedDifference, paired_difference

Draw = dict[str, Any]


def difference(draw: Draw, folds: int | None = None) -> PairedDifference:
    """The comparison on the first folds; None: on all."""
    used = draw["folds"][:folds]
    first, second = (np.concatenate([np.array(fold[k]) for fold in used]) for k in (0, 1))
    return paired_difference(first, second, folds=len(used))


def keeps_by_default(draw: Draw) -> bool:
    """Whether the default keeps the fine-tuned network."""
    return choose_kept("better", difference(draw))[0] == "finetuned"


def lost_by(draw: Draw, tuned: bool) -> float:
    """By how much what is kept is less accurate than the better of the two."""
    best: float = max(draw["tuned"], draw["probe"])
    return best - draw["tuned" if tuned else "probe"]


def standard_error(compared: PairedDifference) -> float:
    """Of the difference, from the lower half of its interval."""
    return (compared.value - compared.low) / 1.96


RULES: dict[str, Callable[[PairedDifference], bool]] = {
    "its interval lies above 0": lambda d: d.low > 0,
    "it is ahead by more than 1 standard error": lambda d: d.value > standard_error(d),
    "it is ahead": lambda d: d.value > 0,
    "it is not behind": lambda d: d.value >= 0,
    "it is not behind by more than 1 standard error": lambda d: d.value > -standard_error(d),
}


def summary(every: list[Draw]) -> list[str]:
    """What each rule would keep, over all draws that are compared."""
    compared = [d for d in every if "folds" in d]
    if not compared:
        return []
    gain = [d["tuned"] - d["probe"] for d in compared]
    error = np.std(gain, ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else np.nan
    lines = [
        f"Over all {len(gain)} compared draws fine-tuning is more accurate in "
        f"{sum(g > 0 for g in gain)}, by {100 * np.mean(gain):.2f} points on average "
        f"(standard error {100 * error:.2f}; {100 * min(gain):+.1f} to {100 * max(gain):+.1f}).",
        "",
        "| fine-tuned is kept where | compared on | keeps it | right | lost, points (worst) | "
        "below the probe (worst) |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for folds, where in ((None, "all folds"), (1, "the first fold alone")):
        for title, rule in RULES.items():
            lines.append(
                rule_row(title, where, compared, [rule(difference(d, folds)) for d in compared])
            )
    lines += [
        rule_row("always", "–", compared, [True] * len(compared)),
        rule_row("never", "–", compared, [False] * len(compared)),
        "",
        *interval_lines(compared),
    ]
    return lines


def rule_row(title: str, where: str, compared: list[Draw], keeps: list[bool]) -> str:
    """A line of the table of rules."""
    pairs = list(zip(compared, keeps, strict=True))
    losses = [lost_by(d, keep) for d, keep in pairs]
    below = [d["probe"] - d["tuned"] for d, keep in pairs if keep and d["tuned"] < d["probe"]]
    cells = [
        title,
        where,
        f"{sum(keeps)} of {len(keeps)}",
        f"{sum(loss == 0 for loss in losses)} of {len(losses)}",
        f"{100 * np.mean(losses):.2f} ({100 * max(losses):.1f})",
        f"{len(below)} ({100 * max(below, default=0):.1f})",
    ]
    return f"| {' | '.join(cells)} |"


def interval_lines(compared: list[Draw]) -> list[str]:
    """Whether the intervals hold: of the difference, and of the announced accuracy."""
    lines = []
    for folds, where in ((None, "all folds"), (1, "the first fold alone")):
        results = [difference(d, folds) for d in compared]
        true = [d["tuned"] - d["probe"] for d in compared]
        inside = sum(r.low <= t <= r.high for r, t in zip(results, true, strict=True))
        off = [r.value - t for r, t in zip(results, true, strict=True)]
        lines.append(
            f"- compared on {where}: the interval of the difference has that on the test images in "
            f"{inside} of {len(results)} draws; its estimate is {100 * np.mean(off):+.2f} points "
            f"off on average, with a standard deviation of {100 * np.std(off):.2f}"
        )
    keeps = [keeps_by_default(d) for d in compared]
    for title, which in (("fine-tuned network", True), ("probe", False)):
        own = ("tuned_announced", "tuned") if which else ("announced", "probe")
        for words, chosen in (
            ("", compared),
            (
                " where the default keeps it",
                [d for d, k in zip(compared, keeps, strict=True) if k is which],
            ),
        ):
            if not chosen:
                continue
            held = sum(d[own[0]][1] <= d[own[1]] <= d[own[0]][2] for d in chosen)
            off = [d[own[0]][0] - d[own[1]] for d in chosen]
            lines.append(
                f"- expected accuracy of the {title}{words}: the interval has the accuracy on the "
                f"test images in {held} of {len(chosen)} draws; the estimate is "
                f"{100 * np.mean(off):+.1f} points off on average"
            )
    return lines


def simulated(mean: float, sd: float, differ: float, noise: float, draws: int = 20_000) -> str:
    """The points that each rule loses on average, by the number of labelled images: a table.

    Args:
        mean, sd: of the true difference of the accuracies, normally distributed over label sets.
        differ: share of the images that one of the two alone predicts rightly, at least.
        noise: standard deviation of the difference over repeated trainings; the trials have their
            own, independent of that of the training on all images.
    """
    rng = np.random.default_rng(0)
    sizes = (20, 50, 100, 500)
    lines = [
        f"| fine-tuned is kept where | compared on | {' | '.join(map(str, sizes))} images |",
        f"|---|---|{'---:|' * len(sizes)}",
    ]
    truth = rng.normal(mean, sd, draws)
    final = truth + rng.normal(0, noise, draws)
    losses: dict[tuple[str, str], list[str]] = {}
    for n in sizes:
        for where, m, fits in (("all folds", n, 4), ("a quarter", n // 4, 1)):
            fold = truth + rng.normal(0, noise / fits**0.5, draws)
            discordant = np.maximum(differ, np.abs(fold))
            only_first, only_second = (
                np.clip((discordant + sign * fold) / 2, 0, 1) for sign in (1, -1)
            )
            b = rng.binomial(m, only_first)
            c = rng.binomial(m - b, np.clip(only_second / (1 - only_first + 1e-12), 0, 1))
            value = (b - c) / m
            # of the paired difference; with no discordant pair, as with one
            error = np.sqrt(np.maximum(b + c - (b - c) ** 2 / m, 1)) / m
            for title, keeps in (
                ("its interval lies above 0", value > 1.96 * error),
                ("it is ahead by more than 1 standard error", value > error),
                ("it is ahead", value > 0),
                ("it is not behind", value >= 0),
            ):
                lost = np.where(keeps, np.maximum(-final, 0), np.maximum(final, 0))
                losses.setdefault((title, where), []).append(f"{100 * lost.mean():.2f}")
    lines += [f"| {a} | {b} | {' | '.join(row)} |" for (a, b), row in losses.items()]
    for title, lost in (("always", np.maximum(-final, 0)), ("never", np.maximum(final, 0))):
        lines.append(f"| {title} | – | {' | '.join([f'{100 * lost.mean():.2f}'] * len(sizes))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    for mean in (0.018, 0.0):
        print(f"\ntrue differences of {100 * mean:+.1f} points on average:\n")
        print(simulated(mean, 0.05, 0.2, 0.02))
