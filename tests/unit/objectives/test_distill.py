"""Distillation's two losses: known answers and derivatives."""

from __future__ import annotations

import math

import pytest
import torch

from jessl.objectives import build_objective, feature_cosine, relational_distance


def _rows(n: int, d: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=torch.float64)


def test_equal_features_cost_nothing_and_opposite_ones_two() -> None:
    z = _rows(6, 4)
    assert feature_cosine(3 * z, z).item() == pytest.approx(0, abs=1e-12)
    assert feature_cosine(-z, z).item() == pytest.approx(2)
    turned = torch.stack([-z[:, 1], z[:, 0]], dim=1)
    assert feature_cosine(turned, z[:, :2]).item() == pytest.approx(1)


def test_a_similar_figure_of_any_width_has_the_same_relations() -> None:
    z = _rows(8, 4)
    wide = torch.cat([5 * z + 2, torch.ones(8, 3)], dim=1) @ torch.linalg.qr(_rows(7, 7)).Q
    assert relational_distance(z, wide).item() == pytest.approx(0, abs=1e-12)


def test_relations_of_three_rows() -> None:
    z = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)  # distances 1 1 2, mean 4/3
    corners = torch.eye(3, dtype=torch.float64)  # all equal: 1 1 1 relative to their mean
    squares = [(3 / 4 - 1) ** 2 / 2, (3 / 4 - 1) ** 2 / 2, (3 / 2 - 1) ** 2 / 2]
    assert relational_distance(z, corners).item() == pytest.approx(2 * sum(squares) / 9, rel=1e-12)


def test_gradients_are_the_derivatives_by_the_student_alone() -> None:
    z, targets = _rows(6, 3).requires_grad_(), _rows(6, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: relational_distance(z, targets.detach()), (z,))
    assert torch.autograd.gradcheck(lambda z: feature_cosine(z, targets[:, :3].detach()), (z,))
    (relational_distance(z, targets) + feature_cosine(z, targets[:, :3])).backward()
    assert targets.grad is None


def test_a_collapsed_batch_has_finite_gradients() -> None:
    z = torch.ones(5, 3, requires_grad=True)
    loss = relational_distance(z, torch.randn(5, 4))
    loss.backward()
    assert math.isfinite(loss.item())
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("variant", ["cosine", "relational"])
def test_every_view_learns_the_features_of_its_image(variant: str) -> None:
    options = {"variant": variant, "teacher_dim": 5, "projector": "7"}
    objective = build_objective("distill", 4, options).double()
    views, targets = torch.stack([_rows(6, 4, seed=s) for s in range(3)]), _rows(6, 5, seed=9)
    terms = objective.loss(views, n_global=2, targets=targets)
    z = [objective.project(view) for view in views]
    if variant == "cosine":
        each = [feature_cosine(objective.predictor(v), targets) for v in z]
        assert terms.parts["target_cosine"].item() == pytest.approx(1 - terms.total.item())
    else:
        assert objective.predictor is None
        each = [relational_distance(v, targets) for v in z]
    torch.testing.assert_close(terms.total, torch.stack(each).mean())


def test_a_linear_student_learns_a_linear_teacher() -> None:
    images, torch_map = _rows(32, 6), _rows(6, 3, seed=1)
    for variant in ("cosine", "relational"):
        torch.manual_seed(0)
        student = torch.nn.Linear(6, 3, bias=False).double()
        objective = build_objective("distill", 3, {"variant": variant, "teacher_dim": 3}).double()
        optimizer = torch.optim.Adam([*student.parameters(), *objective.parameters()], lr=0.1)
        losses = []
        for _ in range(30):
            loss = objective.loss(student(images)[None], targets=images @ torch_map).total
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.1 * losses[0], variant


def test_shapes_that_fit_nothing_are_named() -> None:
    with pytest.raises(ValueError, match=r"targets: expected features \[batch, width\]"):
        feature_cosine(torch.ones(4, 3), torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"targets: expected features \[batch, any width\]"):
        relational_distance(torch.ones(4, 3), torch.ones(3, 2))
    with pytest.raises(ValueError, match="at least 2 rows to have distances, got 1"):
        relational_distance(torch.ones(1, 3), torch.ones(1, 2))
