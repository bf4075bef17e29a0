"""From risks to the components, their intervals and their differences."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from jessl.probes.bootstrap import Estimate, percentile_interval
from jessl.schema import COMPONENT_NAMES

ORDERS = ("published", "union")
# errors below 4 and losses below 64 (nats) add up without rounding on these grids
_GRID = {"error": 2.0**51, "log_loss": 2.0**47}
Samples = dict[str, NDArray[np.float64]]


def components(
    risks: dict[str, float], samples: Samples, order: str, twin: bool, by: str
) -> tuple[dict[str, Estimate], Samples]:
    """The four components and the risk with their intervals, and the resamples of each.

    Args:
        risks: train_train, part_rest, train_test, union_test; with `twin` also
            supervised_train_train.
        samples: their resamples.
        order: of the path, "published" or "union".
        by: "error" or "log_loss".

    Intervals contain the value, and those of errors stay in the range of errors.
    """
    start = "supervised_train_train" if twin else None
    # each component is the difference of two risks: (from, to)
    corner = "part_rest" if order == "published" else "union_test"
    steps: dict[str, tuple[str | None, str | None]] = {
        "approximation": (None, start),
        "usability": (start, "train_train"),
        "probe_generalization": ("train_train", corner),
        "encoder_generalization": (corner, "train_test"),
        "risk": (None, "train_test"),
    }
    if order == "union":
        steps["encoder_generalization"] = ("train_train", corner)
        steps["probe_generalization"] = (corner, "train_test")
    grid = _GRID[by]

    def rounded(risk: str | None) -> float:
        return round(risks[risk] * grid) / grid if risk else 0.0

    estimates, spread = {}, {}
    for name, (a, b) in steps.items():
        spread[name] = (samples[b] if b else np.zeros(1)) - (samples[a] if a else 0.0)
        least = 0.0 if a is None else -1.0
        estimates[name] = bounded(
            rounded(b) - rounded(a), spread[name], least if by == "error" else None
        )
    return estimates, spread


def bounded(value: float, samples: NDArray[np.float64], least: float | None) -> Estimate:
    """The interval of the samples, extended to the value; for errors cut at `least` and 1."""
    low, high = percentile_interval(samples)
    if least is not None:
        low, high = max(low, least), min(high, 1.0)
    return Estimate(value, min(low, value), max(high, value))


def differences(
    estimates: dict[str, Estimate], samples: Samples, twin: bool
) -> dict[str, Estimate]:
    """The paired difference of each component from each other.

    Args:
        estimates, samples: from `components`.
        twin: whether approximation was measured.

    Returns:
        {"probe_generalization - usability": Estimate, ...}, in both directions.
    """
    names = COMPONENT_NAMES if twin else COMPONENT_NAMES[1:]
    pairs = {}
    for a, b in permutations(names, 2):
        spread = samples[a] - samples[b]
        pairs[f"{a} - {b}"] = bounded(estimates[a].value - estimates[b].value, spread, None)
    return pairs


def dominant(pairs: dict[str, Estimate]) -> str | None:
    """The component whose differences from all others have intervals above 0, or None."""
    names = dict.fromkeys(key.partition(" - ")[0] for key in pairs)
    for name in names:
        if all(one.low > 0 for key, one in pairs.items() if key.startswith(f"{name} - ")):
            return name
    return None
