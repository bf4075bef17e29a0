"""NNCLR's neighbours and queue, VISReg's three terms: known answers and derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from jessl.objectives import TrainingPosition, build_objective, nnclr, visreg
from jessl.objectives._directions import random_directions
from jessl.objectives.nnclr import nearest_neighbours


def _rows(n: int, d: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=torch.float64)


def test_orthonormal_predictions_equal_to_their_neighbours() -> None:
    z = torch.eye(8, dtype=torch.float64)
    assert nnclr(z, z, 0.5).item() == pytest.approx(math.log1p(7 * math.exp(-2)), rel=1e-12)
    assert nnclr(z, 3 * z.roll(1, 0), 0.5).item() == pytest.approx(
        2 + math.log1p(7 * math.exp(-2)), rel=1e-12
    )


def test_equal_rows_cost_the_log_of_the_batch() -> None:
    assert nnclr(torch.ones(6, 3), torch.ones(6, 3), 0.1).item() == pytest.approx(math.log(6))


def test_gradient_of_nnclr_is_the_derivative_by_predictions_alone() -> None:
    near, p = _rows(5, 4).requires_grad_(), _rows(5, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: nnclr(near.detach(), p, 0.3), (p,))
    nnclr(near, p, 0.3).backward()
    assert near.grad is None


def test_neighbours_are_nearest_by_direction_not_by_length() -> None:
    queue = torch.tensor([[100.0, 0.0], [0.1, 0.1], [-1.0, 0.0]])
    near = nearest_neighbours(torch.tensor([[[2.0, 1.9], [5.0, 0.1]]]), queue)
    torch.testing.assert_close(near, torch.tensor([[[0.5**0.5] * 2, [1.0, 0.0]]]))


def test_the_queue_takes_the_first_view_of_each_training_step() -> None:
    torch.manual_seed(0)
    objective = build_objective("nnclr", 4, {"projector": "identity", "queue": 7}).double()
    first, views = objective.queue.clone(), torch.stack([_rows(5, 4, seed=s) for s in range(3)])
    objective.loss(views)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(objective.queue, torch.cat([unit(views[0], dim=1), first[:2]]))
    later = _rows(5, 4, seed=9).expand(2, -1, -1)
    near = nearest_neighbours(later, objective.queue)
    terms = objective.loss(later)
    expected = torch.nn.functional.cosine_similarity(later, near, dim=-1).mean()
    torch.testing.assert_close(terms.parts["neighbour_cosine"], expected)
    torch.testing.assert_close(objective.queue[5:], unit(views[0], dim=1)[:2])
    before = objective.queue.clone()
    objective.eval().loss(views)
    assert torch.equal(objective.queue, before)
    objective.train().loss(torch.stack([_rows(9, 4)] * 2))  # a batch longer than the queue
    torch.testing.assert_close(objective.queue, unit(_rows(9, 4)[:7], dim=1))


def test_targets_of_nnclr_are_neighbours_of_global_views() -> None:
    objective = build_objective(
        "nnclr", 4, {"projector": "identity", "predictor": "identity", "queue": 9}
    ).double()
    views = torch.stack([_rows(6, 4, seed=s) for s in range(3)])
    near = nearest_neighbours(views[:2], objective.queue)
    pairs = [(0, 1), (1, 0), (2, 0), (2, 1)]
    expected = torch.stack([nnclr(near[j], views[i], 0.1) for i, j in pairs]).mean()
    torch.testing.assert_close(objective.loss(views, n_global=2).total, expected)


def _terms_by_loops(z: np.ndarray, directions: np.ndarray) -> tuple[float, float, float]:
    """Scale, shape and center of one view [n, d], dimension by dimension."""
    n, d = z.shape
    standard = np.empty_like(z)
    scale, center, shape = [], [], []
    for j in range(d):
        mean = sum(z[:, j]) / n
        deviation = math.sqrt(sum((x - mean) ** 2 for x in z[:, j]) / n)
        standard[:, j] = (z[:, j] - mean) / deviation
        scale.append((1 - deviation) ** 2)
        center.append(mean**2)
    for w in directions.T:
        on_line = sorted(float(row @ w) for row in standard)
        wanted = [norm.ppf(i / (n + 1)) for i in range(1, n + 1)]
        shape += [(a - b) ** 2 for a, b in zip(on_line, wanted, strict=True)]
    return tuple(float(np.mean(t)) for t in (scale, shape, center))  # type: ignore[return-value]


def test_visreg_is_its_formula() -> None:
    z = torch.stack([2 * _rows(9, 5) + 1, _rows(9, 5, seed=1), _rows(9, 5, seed=2)])
    directions = random_directions(5, 7)
    each = [_terms_by_loops(view.numpy(), directions.numpy()) for view in z]
    scale, shape, center = np.mean(each, axis=0)
    invariance = ((z - (z[0] + z[1]) / 2) ** 2).mean().item()
    options = {"lambd": 0.3, "scale": 2.0, "shape": 0.5, "center": 4.0}
    value = visreg(z, n_global=2, directions=directions, **options).item()
    expected = 0.7 * invariance + 0.3 * (2 * scale + 0.5 * shape + 4 * center)
    assert value == pytest.approx(expected, rel=1e-10)
    objective = build_objective(
        "visreg", 5, {"projector": "identity", "directions": 7, **options}
    ).double()
    objective.directions.copy_(directions)
    terms = objective.loss(z, n_global=2)
    assert terms.total.item() == pytest.approx(expected, rel=1e-6)
    parts = {"invariance": invariance, "scale": scale, "shape": shape, "center": center}
    assert {k: v.item() for k, v in terms.parts.items()} == pytest.approx(parts, rel=1e-6)


def test_gradient_of_visreg_is_the_derivative_where_no_deviation_divides() -> None:
    z, directions = _rows(14, 3).reshape(2, 7, 3).requires_grad_(), random_directions(3, 6)
    assert torch.autograd.gradcheck(lambda z: visreg(z, shape=0.0, directions=directions), (z,))
    # the deviations that divide are constants: a shift of the scale leaves shape's gradient alone
    (one,) = torch.autograd.grad(visreg(z, lambd=1.0, scale=0.0, directions=directions), z)
    (two,) = torch.autograd.grad(visreg(2 * z, lambd=1.0, scale=0.0, directions=directions), z)
    centre = 2 * z.detach().mean(dim=1, keepdim=True) / z.numel() * 2 / 2
    torch.testing.assert_close(one - centre, two - 4 * centre)


def test_a_collapsing_batch_is_pushed_apart_and_a_collapsed_one_has_finite_gradients() -> None:
    spread = _rows(32, 4)
    pushes = []
    for size in (1e-1, 1e-3):
        z = (size * spread).expand(2, -1, -1).clone().requires_grad_()
        visreg(z, lambd=1.0, shape=0.0, center=0.0).backward()
        assert z.grad is not None
        pushes.append(z.grad.norm().item())
    assert pushes[1] == pytest.approx(pushes[0], rel=0.2)  # it does not vanish with the size
    z = torch.ones(2, 8, 4, dtype=torch.float64, requires_grad=True)
    visreg(z).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_descent_on_visreg_makes_a_normal_cloud() -> None:
    z = (0.1 * _rows(128, 4) ** 3 + 1).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    for step in range(70):
        loss = visreg(z[None], lambd=1.0, directions=random_directions(4, 16, step=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.02
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(4).double(), atol=0.05, rtol=0)
    torch.testing.assert_close(z.detach().T.cov(), torch.eye(4).double(), atol=0.15, rtol=0)


def test_each_step_of_visreg_draws_its_directions() -> None:
    objective = build_objective("visreg", 48, {"directions": 8})
    drawn = []
    for step in (3, 4, 3):
        objective.begin_step(TrainingPosition(step=step, total_steps=9, steps_per_epoch=3, seed=2))
        drawn.append(objective.directions.clone())
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    assert "directions" not in objective.state_dict()


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("nnclr", {"queue": 0}, "queue: expected at least 1, got 0"),
        ("nnclr", {"temperature": 0.0}, "temperature: expected a number above 0"),
        ("nnclr", {"predictor": "8-3"}, "predictor of nnclr: expected an output of width 64"),
        ("visreg", {"lambd": 1.5}, "lambd: expected a number from 0 to 1, got 1.5"),
        ("visreg", {"shape": -1.0}, "shape: expected at least 0, got -1"),
        ("visreg", {"directions": 0}, "directions: expected at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_named(method: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_objective(method, 12, options)


def test_shapes_that_fit_nothing_are_named() -> None:
    with pytest.raises(ValueError, match=r"z: expected \[views, batch, dim\], got \[4, 3\]"):
        visreg(torch.ones(4, 3))
    with pytest.raises(ValueError, match=r"directions: expected \[3, number\]"):
        visreg(torch.ones(2, 4, 3), directions=torch.ones(2, 5))
    with pytest.raises(ValueError, match="at least 2 rows to have a deviation, got 1"):
        visreg(torch.ones(2, 1, 3))
