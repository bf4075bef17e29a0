"""The theory of idealized representations, where all classes and all tasks are known.

Dubois, Hashimoto, Ermon, Liang, Improving Self-Supervised Learning by Characterizing Idealized
Representations, NeurIPS 2022: when labels of interest are constant on C classes of inputs, a
linear probe can learn every such labelling only from C - 1 dimensions on, a perceptron from few.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linprog
from torch import nn

from jessl.objectives import build_objective
from jessl.objectives.dissl import lower_bound

CLASSES = 8
# labellings of the classes by 0 and 1, each once up to exchanging the two: class 0 has label 0
TASKS = np.array([(0, *rest) for rest in itertools.product((0, 1), repeat=CLASSES - 1)])


def _separable(points: np.ndarray) -> int:
    """How many of the 128 labellings of points [8, d] an affine function separates."""
    affine = np.column_stack([points, np.ones(CLASSES)])
    bounds = [(None, None)] * affine.shape[1]
    solved = [
        # some (w, b) with sign * (w x + b) >= 1 on all points
        linprog(np.zeros(affine.shape[1]), -sign[:, None] * affine, -np.ones(CLASSES), None, None,
                bounds)  # fmt: skip
        for sign in 2 * TASKS - 1
    ]
    assert {s.status for s in solved} <= {0, 2}  # solved, or shown to be infeasible
    return sum(s.status == 0 for s in solved)


@pytest.mark.parametrize(
    ("d", "count"), [(1, 8), (2, 29), (3, 64), (5, 120), (6, 127), (7, 128), (8, 128)]
)
def test_linear_probes_solve_as_many_tasks_as_cover_counted(d: int, count: int) -> None:
    """Cover, 1965: half of 2 * sum over i <= d of (C - 1 choose i), in general position."""
    assert count == sum(math.comb(CLASSES - 1, i) for i in range(d + 1))
    points = np.random.default_rng(d).standard_normal((CLASSES, d))
    assert _separable(points) == count


def test_a_simplex_solves_all_tasks_in_one_dimension_less_than_classes() -> None:
    simplex = np.eye(CLASSES) - 1 / CLASSES
    unit = simplex / np.linalg.norm(simplex, axis=1, keepdims=True)
    assert np.linalg.matrix_rank(unit) == CLASSES - 1
    cosines = (unit @ unit.T)[~np.eye(CLASSES, dtype=bool)]
    np.testing.assert_allclose(cosines, -1 / (CLASSES - 1), rtol=1e-12)
    assert _separable(unit) == 128


class World:
    """Inputs of 8 known classes: a class direction with a random sign, and noise, both turned.

    The class is no linear function of the input; all but the class is drawn anew for each view.
    """

    width = 32

    def __init__(self, seed: int) -> None:
        self._draw = torch.Generator().manual_seed(seed)
        square = torch.randn(self.width, self.width, generator=self._draw)
        self._turn = torch.linalg.qr(square).Q
        self._directions = 3 * torch.eye(CLASSES)

    def classes(self, n: int) -> torch.Tensor:
        return torch.randint(CLASSES, (n,), generator=self._draw)

    def view(self, classes: torch.Tensor) -> torch.Tensor:
        """Inputs [n, 32] of classes [n]."""
        n = len(classes)
        sign = 2 * torch.randint(2, (n, 1), generator=self._draw) - 1
        noise = torch.randn(n, self.width - CLASSES, generator=self._draw)
        return torch.cat([sign * self._directions[classes], noise], dim=1) @ self._turn


def _train(
    world: World, encoder: nn.Module, heads: nn.Module, loss: Callable, steps: int = 400
) -> None:
    """Adam on `loss(z, classes)`, z [2, 256, d] of two views; then evaluation mode."""
    optimizer = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], 3e-3)
    for _ in range(steps):
        classes = world.classes(256)
        z = torch.stack([encoder(world.view(classes)) for _ in range(2)])
        optimizer.zero_grad()
        loss(z, classes).backward()
        optimizer.step()
    encoder.eval()
    heads.eval()


def _encoder(d: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(World.width, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, d)
    )


def _idealized(world: World, d: int) -> nn.Module:
    """An encoder trained by the exact loss: predict the class by a linear probe."""
    encoder, probe = _encoder(d), nn.Linear(d, CLASSES)
    _train(world, encoder, probe, lambda z, m: F.cross_entropy(probe(z).flatten(0, 1), m.repeat(2)))
    return encoder


@torch.no_grad()
def _drawn(world: World, encoder: nn.Module, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Representations [n, d] and the labels of all tasks but the constant one [n, 127]."""
    classes = world.classes(n)
    return encoder(world.view(classes)), torch.tensor(TASKS[1:].T)[classes].float()


def _worst(world: World, encoder: nn.Module, fit: Callable) -> float:
    """The least test accuracy over the 127 tasks of a probe `fit(z, labels)`."""
    z, labels = _drawn(world, encoder, 512)
    mean, sd = z.mean(dim=0), z.std(dim=0) + 1e-6
    probe = fit((z - mean) / sd, labels)
    z, labels = _drawn(world, encoder, 2048)
    right = (probe((z - mean) / sd) > 0) == labels.bool()
    return right.float().mean(dim=0).min().item()


def _linear(z: torch.Tensor, labels: torch.Tensor) -> Callable:
    """127 logistic regressions; one problem, as their losses share no parameter."""
    w = torch.zeros(z.shape[1] + 1, labels.shape[1], requires_grad=True)
    lbfgs = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")

    def logits(z: torch.Tensor) -> torch.Tensor:
        return z @ w[:-1] + w[-1]

    def closure() -> torch.Tensor:
        lbfgs.zero_grad()
        fit = F.binary_cross_entropy_with_logits(logits(z), labels, reduction="sum") / len(z)
        loss = fit + 1e-4 * w.square().sum()
        loss.backward()
        return loss

    lbfgs.step(closure)
    return logits


def _perceptron(z: torch.Tensor, labels: torch.Tensor) -> Callable:
    """127 perceptrons of 32 hidden units, one a task, trained side by side."""
    torch.manual_seed(0)
    tasks, hidden = labels.shape[1], 32
    first = torch.randn(tasks, z.shape[1] + 1, hidden).requires_grad_()
    second = (torch.randn(tasks, hidden, 1) / hidden**0.5).requires_grad_()
    optimizer = torch.optim.Adam([first, second], 3e-2)

    def logits(z: torch.Tensor) -> torch.Tensor:
        x = F.pad(z, (0, 1), value=1.0).expand(tasks, -1, -1)
        return (torch.relu(x @ first) @ second).squeeze(-1).T

    for _ in range(150):
        optimizer.zero_grad()
        (F.binary_cross_entropy_with_logits(logits(z), labels) * tasks).backward()
        optimizer.step()
    return logits
