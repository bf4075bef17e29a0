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
    cost, room = np.zeros(affine.shape[1]), -np.ones(CLASSES)
    # some (w, b) with sign * (w x + b) >= 1 on all points
    solved = [
        linprog(cost, A_ub=-sign[:, None] * affine, b_ub=room, bounds=(None, None))
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


class _Unit(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(x, dim=-1)


def _encoder(d: int) -> nn.Module:
    """A perceptron to points [n, d] on the unit sphere: the theory's simplex is best there."""
    hidden = [nn.Linear(World.width, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(128, d), _Unit())


def _train(
    world: World, encoder: nn.Module, heads: nn.Module, loss: Callable, rate: float,
    steps: int = 400,
) -> nn.Module:  # fmt: skip
    """Steps of Adam on `loss(z, classes)`, z [2, 256, d] of two views, in evaluation then."""
    optimizer = torch.optim.Adam([*encoder.parameters(), *heads.parameters()], rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        classes = world.classes(256)
        z = torch.stack([encoder(world.view(classes)) for _ in range(2)])
        optimizer.zero_grad()
        loss(z, classes).backward()
        optimizer.step()
        schedule.step()
    heads.eval()
    return encoder.eval()


def _idealized(world: World, d: int) -> nn.Module:
    """An encoder trained by the exact loss: tell the class by a linear probe of bounded norm.

    Unbounded, the loss is near 0 and its gradient gone long before the classes form a simplex.
    """
    probe = nn.Linear(d, CLASSES, bias=False)

    def loss(z: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        logits = 2 * z @ F.normalize(probe.weight, dim=1).T
        return F.cross_entropy(logits.flatten(0, 1), classes.repeat(2))

    return _train(world, _encoder(d), probe, loss, 1e-2)


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
    """127 perceptrons of 32 hidden units, one a task, which share no parameter either."""
    torch.manual_seed(0)
    tasks, hidden = labels.shape[1], 32
    first = torch.randn(tasks, z.shape[1] + 1, hidden).requires_grad_()
    second = (torch.randn(tasks, hidden, 1) / hidden**0.5).requires_grad_()
    optimizer = torch.optim.Adam([first, second], 0.1)

    def logits(z: torch.Tensor) -> torch.Tensor:
        x = F.pad(z, (0, 1), value=1.0).expand(tasks, -1, -1)
        return (torch.relu(x @ first) @ second).squeeze(-1).T

    for _ in range(250):
        optimizer.zero_grad()
        (F.binary_cross_entropy_with_logits(logits(z), labels) * tasks).backward()
        optimizer.step()
    return logits


def _world(seed: int) -> World:
    torch.manual_seed(seed)
    return World(seed)


SEED = 0


def test_the_input_shows_no_probe_the_class() -> None:
    world = _world(SEED)
    assert _worst(world, nn.Identity(), _linear) <= 0.6


def test_a_linear_probe_solves_all_tasks_from_classes_less_one_dimensions() -> None:
    world = _world(SEED)
    assert _worst(world, _idealized(world, CLASSES - 1), _linear) >= 0.98


def test_two_dimensions_are_enough_for_a_perceptron_and_too_few_for_a_linear_probe() -> None:
    world = _world(SEED)
    encoder = _idealized(world, 2)
    assert _worst(world, encoder, _linear) <= 0.6
    assert _worst(world, encoder, _perceptron) >= 0.98


def test_dissl_merges_few_classes_and_says_so() -> None:
    """With 8 classes DISSL ends in a poor optimum, where its diagnostics show that classes merge.

    Entropy is at its largest and the views agree, so that nothing is left to learn from, but
    little is known of the class: this is how the method is, not how it should be.
    """
    world = _world(SEED)
    options = {"classes": 32, "projector": "64-32", "student_head": 32}
    dissl = build_objective("dissl", CLASSES - 1, options)
    encoder = _train(world, _encoder(CLASSES - 1), dissl, lambda z, _: dissl.loss(z).total, 3e-3)
    classes = world.classes(4096)
    with torch.no_grad():
        terms = dissl.loss(torch.stack([encoder(world.view(classes)) for _ in range(2)]))
    parts = {name: value.item() for name, value in terms.parts.items()}
    assert parts["entropy"] > 0.97 * math.log(32)
    assert max(parts["kl_invariance"], parts["kl_distillation"]) < 0.01
    assert 0.1 < parts["information"] < math.log(CLASSES) - 0.5
    # better than collapse (0) and than knowing nothing, far from what 8 classes allow
    assert terms.total < (1 + 0.8 - 2.3) * math.log(32)
    assert terms.total > lower_bound(CLASSES, 32, lambd=2.3, beta=0.8) + 1
    assert parts["gap"] > 1
