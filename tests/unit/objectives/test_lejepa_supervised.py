"""SIGReg against integrals done elsewhere, LeJEPA's loss, and the supervised twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from jessl.objectives import TrainingPosition, build_objective, sigreg, supervised
from jessl.objectives._directions import random_directions


def _rows(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=g, dtype=torch.float64)


def _one_direction(dim: int) -> torch.Tensor:
    return random_directions(dim, 1, seed=5)


def _integral(x: np.ndarray) -> float:
    """Epps and Pulley's statistic of one-dimensional data, by adaptive quadrature on [-3, 3]."""

    def integrand(t: float) -> float:
        apart = np.exp(1j * t * x).mean() - np.exp(-(t**2) / 2)
        return float(abs(apart) ** 2 * np.exp(-(t**2) / 2))

    value, _ = quad(integrand, -3, 3, epsabs=1e-12, epsrel=1e-12, limit=200)
    return len(x) * value


def _closed_form(x: np.ndarray) -> float:
    """The same integral over the whole line, from the integrals of Gaussians times cosines."""
    n = len(x)
    apart = x[:, None] - x[None, :]
    pairs = math.sqrt(2 * math.pi) * np.exp(-(apart**2) / 2).sum() / n**2
    cross = math.sqrt(math.pi) * np.exp(-(x**2) / 4).sum() / n
    return n * float(pairs - 2 * cross + math.sqrt(2 * math.pi / 3))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.3, 0.0), (2.0, 1.0)])
def test_sigreg_is_the_integral(scale: float, shift: float) -> None:
    z = scale * _rows(40, 6) + shift
    direction = _one_direction(6)
    x = (z @ direction)[:, 0].numpy()
    exact = _integral(x)
    fine = sigreg(z, directions=direction, knots=4001).item()
    assert fine == pytest.approx(exact, rel=1e-6)
    assert sigreg(z, directions=direction).item() == pytest.approx(exact, rel=0.02)
    # beyond |t| = 3 there is at most 4 times the window's tail
    beyond = _closed_form(x) - exact
    assert 0 <= beyond <= len(x) * 4 * math.sqrt(2 * math.pi) * math.erfc(3 / math.sqrt(2))


def test_a_normal_batch_has_the_expected_value_whatever_its_size() -> None:
    # E |e(t) - phi(t)|^2 = (1 - exp(-t^2)) / n
    expected, _ = quad(lambda t: math.exp(-(t**2) / 2) * (1 - math.exp(-(t**2))), -3, 3)
    assert expected == pytest.approx(1.05, abs=0.01)
    for n in (16, 128):
        result = [
            sigreg(_rows(n, 256, seed=seed), directions=random_directions(256, 256, seed=seed))
            for seed in range(20)
        ]
        mean, error = torch.stack(result).mean().item(), torch.stack(result).std().item() / 20**0.5
        assert error < 0.02
        assert mean == pytest.approx(expected, abs=max(4 * error, 0.02))


@pytest.mark.parametrize("constant", [0.0, 1.5])
def test_a_collapsed_batch_costs_n_times_its_integral(constant: float) -> None:
    z = torch.full((32, 1), constant, dtype=torch.float64)
    direction = torch.ones(1, 1, dtype=torch.float64)

    def integrand(t: float) -> float:
        phi = math.exp(-(t**2) / 2)
        return phi * (1 - 2 * phi * math.cos(t * constant) + phi**2)

    value, _ = quad(integrand, -3, 3)
    assert sigreg(z, directions=direction, knots=4001).item() == pytest.approx(32 * value, rel=1e-6)
    assert sigreg(z[:16], directions=direction, knots=4001).item() == pytest.approx(
        16 * value, rel=1e-6
    )


def test_views_are_judged_each_by_itself() -> None:
    views = torch.stack([_rows(20, 6), 3 * _rows(20, 6, seed=1)])
    directions = random_directions(6, 10)
    each = [sigreg(z, directions=directions).item() for z in views]
    assert sigreg(views, directions=directions).item() == pytest.approx(np.mean(each), rel=1e-12)


def test_rotating_embeddings_and_directions_together_changes_nothing() -> None:
    z, directions = 2 * _rows(20, 6), random_directions(6, 10)
    rotation = torch.linalg.qr(_rows(6, 6, seed=3)).Q
    turned = sigreg(z @ rotation, directions=rotation.T @ directions)
    torch.testing.assert_close(turned, sigreg(z, directions=directions))


def test_gradient_of_sigreg_is_the_derivative() -> None:
    z = _rows(7, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: sigreg(z, directions=5, knots=9), (z,))


def test_descent_on_sigreg_makes_a_normal_cloud() -> None:
    z = (0.1 * _rows(256, 4) + 1).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.05)
    for step in range(150):
        loss = sigreg(z, directions=random_directions(4, 32, step=step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1.05
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(4).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(z.detach().T.cov(), torch.eye(4).double(), atol=0.15, rtol=0)


def test_directions_are_unit_vectors_of_seed_and_step() -> None:
    drawn = random_directions(5, 2000, seed=-3, step=7)
    torch.testing.assert_close(drawn.norm(dim=0), torch.ones(2000, dtype=torch.float64))
    assert torch.equal(drawn, random_directions(5, 2000, seed=-3, step=7))
    assert not torch.equal(drawn, random_directions(5, 2000, seed=-3, step=8))
    assert not torch.equal(drawn, random_directions(5, 2000, seed=-2, step=7))
    # uniform on the sphere: the second moment is I / 5
    torch.testing.assert_close(drawn @ drawn.T / 2000, torch.eye(5).double() / 5, atol=0.03, rtol=0)


def test_each_step_draws_its_directions_and_leaves_the_global_generator() -> None:
    objective = build_objective("lejepa", 12, {"directions": 8})
    assert torch.isfinite(objective.loss(torch.randn(2, 16, 12)).total)  # before any step
    before = torch.random.get_rng_state()
    actual = []
    for step in (3, 4, 3):
        objective.begin_step(TrainingPosition(step=step, total_steps=9, steps_per_epoch=3, seed=2))
        actual.append(objective.directions.clone())
    assert torch.equal(actual[0], actual[2])
    assert not torch.equal(actual[0], actual[1])
    torch.testing.assert_close(actual[0], random_directions(16, 8, seed=2, step=3).float())
    assert torch.equal(before, torch.random.get_rng_state())
    assert "directions" not in objective.state_dict()


def test_lejepa_weighs_agreement_with_the_global_views_and_normality() -> None:
    objective = build_objective("lejepa", 6, {"projector": "identity", "lambd": 0.2}).double()
    z = torch.stack([_rows(9, 6, seed=seed) for seed in range(4)])
    terms = objective.loss(z, n_global=2)
    centre = (z[0] + z[1]) / 2
    invariance = np.mean([((view - centre) ** 2).mean().item() for view in z])
    normality = sigreg(z, directions=objective.directions).item()
    assert terms.parts["invariance"].item() == pytest.approx(invariance, rel=1e-12)
    assert terms.parts["sigreg"].item() == pytest.approx(normality, rel=1e-12)
    expected = 0.8 * invariance + 0.2 * normality
    assert terms.total.item() == pytest.approx(expected, rel=1e-12)


def test_lejepa_has_the_authors_projector_at_their_width() -> None:
    objective = build_objective("lejepa", 512)
    shapes = [list(p.shape) for p in objective.parameters() if p.ndim == 2]
    assert shapes == [[2048, 512], [2048, 2048], [64, 2048]]
    assert objective.directions.shape == (64, 256)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambd": 1.5}, "lambd: expected a number from 0 to 1, got 1.5"),
        ({"directions": 0}, "directions: expected at least 1, got 0"),
        ({"knots": 1}, "knots: expected at least 2, got 1"),
    ],
)
def test_wrong_options_of_lejepa_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_objective("lejepa", 8, options)


def test_wrong_arguments_of_sigreg_are_named() -> None:
    z = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"z: expected \[batch, dim\]"):
        sigreg(z[0])
    with pytest.raises(ValueError, match="knots: expected at least 2, got 1"):
        sigreg(z, knots=1)
    with pytest.raises(ValueError, match="directions: expected at least 1, got 0"):
        sigreg(z, directions=0)
    with pytest.raises(ValueError, match=r"directions: expected \[3, number\]"):
        sigreg(z, directions=torch.ones(4, 2))
    with pytest.raises(ValueError, match="expected at least 2 of an image"):
        build_objective("lejepa", 3).loss(torch.zeros(1, 4, 3))


def _logits(views: int = 3, n: int = 6, classes: int = 5) -> torch.Tensor:
    return 2 * torch.stack([_rows(n, classes, seed=view) for view in range(views)])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_views_of_labelled_images(smoothing: float) -> None:
    logits, labels = _logits(), torch.tensor([0, -1, 4, 2, -1, 0])
    values = []
    for view in logits:
        for row, label in zip(view.numpy(), labels.tolist(), strict=True):
            if label >= 0:
                log_p = row - np.log(np.exp(row).sum())
                values.append(-(1 - smoothing) * log_p[label] - smoothing * log_p.mean())
    loss = supervised(logits, labels, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(np.mean(values), rel=1e-12)


def test_images_without_a_label_have_no_gradient() -> None:
    logits = _logits().requires_grad_()
    supervised(logits, torch.tensor([0, -1, 4, 2, -1, 0])).backward()
    assert logits.grad is not None
    sizes = logits.grad.norm(dim=2)
    assert (sizes[:, [1, 4]] == 0).all()
    assert (sizes[:, [0, 2, 3, 5]] > 0).all()


def test_a_batch_without_labels_costs_nothing() -> None:
    logits = _logits().requires_grad_()
    loss = supervised(logits, torch.full((6,), -1))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_order_of_images_with_their_labels_changes_nothing() -> None:
    torch.manual_seed(0)
    objective = build_objective("supervised", 8, {"classes": 3}).double()
    h, labels = _logits(2, 30, 8), torch.arange(30) % 3
    turned = torch.randperm(30)
    given = objective.loss(h, labels=labels).total
    torch.testing.assert_close(objective.loss(h[:, turned], labels=labels[turned]).total, given)


def test_one_view_is_enough_and_accuracy_is_of_labelled_images() -> None:
    objective = build_objective("supervised", 5, {"classes": 5}).double()
    objective.classifier.load_state_dict({"weight": torch.eye(5), "bias": torch.zeros(5)})
    h = torch.eye(5, dtype=torch.float64)[None]
    parts = objective.loss(h, labels=torch.tensor([0, 1, 3, 2, -1])).parts
    assert parts["accuracy"].item() == 0.5
    assert objective.project(h[0]) is not None
    assert torch.equal(objective.project(h[0]), h[0])


def test_training_separates_labels() -> None:
    torch.manual_seed(0)
    objective = build_objective("supervised", 8, {"classes": 4})
    centres, labels = 2 * torch.randn(4, 8), torch.arange(64) % 4
    optimizer = torch.optim.Adam(objective.parameters(), lr=0.05)
    for _ in range(60):
        terms = objective.loss(centres[labels] + 0.3 * torch.randn(2, 64, 8), labels=labels)
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
    assert terms.parts["accuracy"] > 0.95
    assert terms.total < 0.3


@pytest.mark.parametrize(("label", "message"), [(5, "got 5"), (-2, "got -2")])
def test_a_label_that_is_no_class_is_named(label: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"expected 0 to 4, or -1 where missing, {message}"):
        supervised(_logits(), torch.tensor([0, 1, 2, 3, -1, label]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes: expected at least 2, got 1"),
        ({"label_smoothing": 1.0}, "label_smoothing: expected a number in .0, 1., got 1"),
    ],
)
def test_wrong_options_of_supervised_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_objective("supervised", 8, options)


def test_wrong_shapes_and_no_labels_are_named() -> None:
    with pytest.raises(ValueError, match="logits and labels: expected"):
        supervised(_logits(), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="labels: expected the labels"):
        build_objective("supervised", 5).loss(_logits())
