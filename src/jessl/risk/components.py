"""From the risks on the path to the components, their intervals and what is larger than what."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from jessl.probes.bootstrap import Estimate, interval
from jessl.schema import COMPONENT_NAMES

ORDERS = ("published", "union")
# errors below 4 and losses below 64 (nats) add up without rounding on these grids
_GRID = {"error": 2.0**51, "log_loss": 2.0**47}
Samples = dict[str, NDArray[np.float64]]


def components(
    risks: dict[str, float], samples: Samples, order: str, twin: bool, by: str
) -> tuple[dict[str, Estimate], Samples]:
    """The four components and the risk, each with its interval, and their resamples.

    Args:
        risks: train_train, part_rest, train_test, union_test, with `twin` also
            supervised_train_train.
        samples: the same under resampling.
        order: of the path, "published" or "union".
        by: "error" or "log_loss".

    Intervals hold the value, and errors stay in their range.
    """
    start = "supervised_train_train" if twin else None
    # the corners of the path; each component is the step from one to the next
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

    found, spread = {}, {}
    for name, (a, b) in steps.items():
        spread[name] = (samples[b] if b else np.zeros(1)) - (samples[a] if a else 0.0)
        least = 0.0 if a is None else -1.0
        found[name] = bounded(
            rounded(b) - rounded(a), spread[name], least if by == "error" else None
        )
    return found, spread


def bounded(value: float, samples: NDArray[np.float64], least: float | None) -> Estimate:
    """The interval of the samples, stretched to the value; of errors cut at `least` and at 1."""
    low, high = interval(samples)
    if least is not None:
        low, high = max(low, least), min(high, 1.0)
    return Estimate(value, min(low, value), max(high, value))


def differences(found: dict[str, Estimate], samples: Samples, twin: bool) -> dict[str, Estimate]:
    """How much larger each component is than each other one, paired.

    Args:
        found, samples: of `components`.
        twin: whether approximation was measured.

    Returns:
        {"probe_generalization - usability": Estimate, ...}, both ways round.
    """
    names = COMPONENT_NAMES if twin else COMPONENT_NAMES[1:]
    apart = {}
    for a, b in permutations(names, 2):
        spread = samples[a] - samples[b]
        apart[f"{a} - {b}"] = bounded(found[a].value - found[b].value, spread, None)
    return apart


def dominant(apart: dict[str, Estimate]) -> str | None:
    """The component whose differences from all others have intervals above 0; None without."""
    names = dict.fromkeys(key.partition(" - ")[0] for key in apart)
    for name in names:
        if all(one.low > 0 for key, one in apart.items() if key.startswith(f"{name} - ")):
            return name
    return None
