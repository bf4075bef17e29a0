"""Claims on idealized representations in a world where all classes and tasks are known.

    python benchmarks/claims/theory.py idealized-dimension

The world, encoders and probes are those of tests/unit/objectives/test_idealized_theory.py, here
over five seeds.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "unit" / "objectives"))

import numpy as np
import test_idealized_theory as theory
import torch
from script import Options, Outcome, main

from jessl.claims.decision import MORE, NOT_LESS, ClaimPart
from jessl.claims.intervals import over_repetitions
from jessl.objectives import build_objective

SEEDS = range(5)
# worlds in which remedies are tuned, without labels
TUNING_SEEDS = range(10, 13)
LONG = 1_600
# what the paper prescribes against classes that merge: temperatures that begin high or low, the
# weights in the ranges of its tuning, more steps
TEMPERATURES = [
    {"teacher_temperature": t, "student_temperature": s}
    for t, s in (
        (0.02, 1.0),
        (0.05, 1.0),
        (0.1, 1.0),
        (0.25, 1.0),
        (1.0, 1.0),
        (0.5, 0.5),
        (0.5, 2.0),
        (1.0, 2.0),
    )
]
WEIGHTS = [{"lambd": w, "beta": b} for w in (1.8, 2.3, 2.8) for b in (0.4, 0.6, 0.8, 1.0)]


def dimension(options: Options) -> Outcome:
    """The worst task under both probes, at 2 and at 7 dimensions."""
    del options
    worst: dict[tuple[str, int], list[float]] = {}
    for seed in SEEDS:
        for d in (2, theory.CLASSES - 1):
            world = theory._world(seed)
            encoder = theory._idealized(world, d)
            for name, fit in (("linear", theory._linear), ("perceptron", theory._perceptron)):
                worst.setdefault((name, d), []).append(theory._worst(world, encoder, fit))
    rows = {key: np.array(values) for key, values in worst.items()}
    parts = [
        _part(
            "linear probe, 7 minus 2 dimensions", rows["linear", 7] - rows["linear", 2], 0.3, MORE
        ),
        _part(
            "2 dimensions, perceptron minus linear probe",
            rows["perceptron", 2] - rows["linear", 2],
            0.3,
            MORE,
        ),
        _part("linear probe at 7 dimensions minus 1", rows["linear", 7] - 1, 0.05, NOT_LESS),
        _part("perceptron at 2 dimensions minus 1", rows["perceptron", 2] - 1, 0.05, NOT_LESS),
    ]
    notes = [
        f"worst task, {name}, d {d}: {' '.join(f'{v:.3f}' for v in values)}"
        for (name, d), values in rows.items()
    ]
    return Outcome(parts, notes)


def dissl(options: Options) -> Outcome:
    """What a DISSL encoder knows of the class."""
    del options
    trained = [_dissl(seed) for seed in SEEDS]
    notes = [
        f"seed {seed}: information {one.information:.2f} nats, entropy {one.entropy:.2f} of "
        f"{math.log(32):.2f}, worst task {one.worst:.2f}"
        for seed, one in zip(SEEDS, trained, strict=True)
    ]
    gap = np.array([one.information for one in trained]) - math.log(theory.CLASSES)
    return Outcome([_part("information minus ln 8", gap, 0.2, NOT_LESS, "nats")], notes)


@dataclass(frozen=True)
class _Dissl:
    """A DISSL encoder: information and entropy, nats, and accuracy in the worst task."""

    information: float
    entropy: float
    worst: float


def _dissl(seed: int, weights: dict[str, float] | None = None, steps: int = 400) -> _Dissl:
    """Train in a world and measure on new inputs."""
    d = theory.CLASSES - 1
    world = theory._world(seed)
    choices = {"classes": 32, "projector": "64-32", "student_head": 32, **(weights or {})}
    method = build_objective("dissl", d, choices)
    encoder = theory._train(
        world, theory._encoder(d), method, lambda z, _: method.loss(z).total, 3e-3, steps
    )
    classes = world.classes(4096)
    with torch.no_grad():
        views = torch.stack([encoder(world.view(classes)) for _ in range(2)])
        parts = {name: value.item() for name, value in method.loss(views).parts.items()}
    worst = theory._worst(world, encoder, theory._linear)
    return _Dissl(parts["information"], parts["entropy"], worst)


def remedies(options: Options) -> Outcome:
    """What each remedy brings, tuned by the worlds beside, and all of them together."""
    del options
    # the information is what the loss maximises: it needs no labels
    temperatures, weights = (_tuned(some) for some in (TEMPERATURES, WEIGHTS))
    both = {**temperatures, **weights}
    remedies: dict[str, tuple[dict[str, float], int]] = {
        "none": ({}, 400),
        "temperatures": (temperatures, 400),
        "weights": (weights, 400),
        "four times the steps": ({}, LONG),
        "all three": (both, LONG),
    }
    parts, body = [], ["| remedy | information, nats | worst task |", "|---|---|---|"]
    first: np.ndarray | None = None
    for name, (choices, steps) in remedies.items():
        trained = [_dissl(seed, choices, steps) for seed in SEEDS]
        knows = np.array([one.information for one in trained])
        first = knows if first is None else first
        numbers = [" ".join(f"{v:.2f}" for v in knows)]
        numbers.append(" ".join(f"{one.worst:.2f}" for one in trained))
        body.append(f"| {name} | {' | '.join(numbers)} |")
        if name != "none":
            parts.append(_part(f"{name} minus none", knows - first, 0.2, None, "nats"))
    missed = knows - math.log(theory.CLASSES)
    parts.append(_part("all three, information minus ln 8", missed, 0.2, NOT_LESS, "nats"))
    notes = [f"tuned: {_words(temperatures)}", f"tuned: {_words(weights)}"]
    return Outcome(parts, notes, body)


def _tuned(settings: list[dict[str, float]]) -> dict[str, float]:
    """The setting with the most information in the worlds for tuning."""
    mean = [np.mean([_dissl(seed, one).information for seed in TUNING_SEEDS]) for one in settings]
    return settings[int(np.argmax(mean))]


def _words(setting: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in setting.items())


def _part(
    name: str, values: np.ndarray, smallest: float, rule: str, unit: str = "share"
) -> ClaimPart:
    return ClaimPart(name, *over_repetitions(values), smallest, rule, unit, f"{len(values)} seeds")


TESTS = {
    "idealized-dimension": dimension,
    "idealized-dissl-theory": dissl,
    "idealized-dissl-remedies": remedies,
}

if __name__ == "__main__":
    main(TESTS, __doc__)
