"""Claims on idealized representations in a world where all classes and tasks are known.

    python benchmarks/claims/theory.py idealized-dimension

The world, encoders and probes are those of tests/unit/objectives/test_idealized_theory.py, here
over five seeds.
"""

from __future__ import annotations

import math
import sys
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
    knows, notes = [], []
    d = theory.CLASSES - 1
    for seed in SEEDS:
        world = theory._world(seed)
        choices = {"classes": 32, "projector": "64-32", "student_head": 32}
        method = build_objective("dissl", d, choices)
        encoder = theory._train(
            world, theory._encoder(d), method, lambda z, _, m=method: m.loss(z).total, 3e-3
        )
        classes = world.classes(4096)
        with torch.no_grad():
            views = torch.stack([encoder(world.view(classes)) for _ in range(2)])
            parts = {name: value.item() for name, value in method.loss(views).parts.items()}
        knows.append(parts["information"])
        linear = theory._worst(world, encoder, theory._linear)
        notes.append(
            f"seed {seed}: information {parts['information']:.2f} nats, entropy "
            f"{parts['entropy']:.2f} of {math.log(32):.2f}, worst task {linear:.2f}"
        )
    gap = np.array(knows) - math.log(theory.CLASSES)
    return Outcome([_part("information minus ln 8", gap, 0.2, NOT_LESS, "nats")], notes)


def _part(
    name: str, values: np.ndarray, smallest: float, rule: str, unit: str = "share"
) -> ClaimPart:
    return ClaimPart(name, *over_repetitions(values), smallest, rule, unit, f"{len(values)} seeds")


TESTS = {"idealized-dimension": dimension, "idealized-dissl-theory": dissl}

if __name__ == "__main__":
    main(TESTS, __doc__)
