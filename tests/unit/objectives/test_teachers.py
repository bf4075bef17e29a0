"""SimSiam, MoCo, DINO and SwAV: known answers, state, and trainings that must not collapse."""

from __future__ import annotations

import copy
import importlib
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from jessl import objectives
from jessl.objectives import Objective, TrainingPosition, build_objective
from jessl.objectives._heads import Prototypes
from jessl.objectives.swav import sinkhorn


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def _built(method: str, dim: int = 12, **options: Any) -> Objective:
    torch.manual_seed(0)
    return build_objective(method, dim, options).double()


def _at(objective: Objective, epoch: int) -> None:
    objective.begin_step(TrainingPosition(step=10 * epoch, total_steps=1000, steps_per_epoch=10))


def _loss(objective: Objective, h: torch.Tensor, n_global: int | None = None) -> torch.Tensor:
    slow = h[:n_global].detach() if objective.uses_teacher else None
    return objective.loss(h, slow, n_global=n_global).total


# known answers


def test_negative_cosine_of_a_right_half_and_a_straight_angle() -> None:
    p = torch.tensor([[2.0, 0.0], [1.0, 0.0]])
    z = torch.tensor([[3.0, 3.0], [-5.0, 0.0]])
    assert objectives.negative_cosine(p, z).item() == pytest.approx((1 - math.sqrt(0.5)) / 2)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_moco_of_orthogonal_keys_is_known(temperature: float) -> None:
    k = 3.0 * torch.eye(5, dtype=torch.float64)
    known = 2 * temperature * math.log(1 + 4 * math.exp(-1 / temperature))
    assert objectives.moco(2 * k, k, temperature).item() == pytest.approx(known, rel=1e-12)


def test_moco_sends_no_gradient_to_keys() -> None:
    q, k = _normal(6, 4).requires_grad_(), _normal(6, 4, seed=1).requires_grad_()
    objectives.moco(q, k, 0.2).backward()
    assert k.grad is None
    assert q.grad is not None
    assert q.grad.norm() > 0


def test_dino_takes_the_mean_over_unlike_views() -> None:
    student, teacher, center = _normal(4, 6, 5), _normal(2, 6, 5, seed=1), _normal(5, seed=2)
    result = []
    for j in range(2):
        target = torch.softmax((teacher[j] - center) / 0.05, dim=1)
        for i in range(4):
            if i != j:
                result.append(F.cross_entropy(student[i] / 0.2, target))
    known = torch.stack(result).mean()
    torch.testing.assert_close(objectives.dino(student, teacher, center, 0.2, 0.05), known)


def test_codes_share_the_batch_out() -> None:
    scores = F.normalize(_normal(2, 40, 16), dim=2) @ F.normalize(_normal(8, 16, seed=1), dim=1).T
    few, many = sinkhorn(scores, 3, 0.05), sinkhorn(scores, 3000, 0.05)
    for codes in (few, many):
        torch.testing.assert_close(codes.sum(dim=2), torch.ones_like(codes[..., 0]))
    even = torch.full((2, 8), 5.0, dtype=torch.float64)
    torch.testing.assert_close(many.sum(dim=1), even, rtol=1e-6, atol=1e-6)
    # plain scaling of exp(scores / epsilon), as the paper has it
    q = (scores[0] / 0.05).exp()
    for _ in range(3):
        q = q / q.sum(dim=0)
        q = q / q.sum(dim=1, keepdim=True)
    torch.testing.assert_close(few[0], q)


def test_codes_without_the_rows_that_do_not_count() -> None:
    scores = _normal(10, 4)
    counted = torch.arange(10) < 6
    codes = sinkhorn(scores, 3, 0.5, counted)
    torch.testing.assert_close(codes[:6], sinkhorn(scores[:6], 3, 0.5))
    assert not torch.allclose(sinkhorn(scores, 3, 0.5)[:6], codes[:6])


def test_swav_of_two_views_is_the_function() -> None:
    objective, h = _built("swav", prototypes=9), _normal(2, 20, 12)
    z = objective.projector(h.reshape(40, 12)).reshape(2, 20, -1)
    scores = objective.prototypes(z)
    torch.testing.assert_close(_loss(objective, h), objectives.swav(*scores))


def test_prototypes_are_cosines_whatever_their_length() -> None:
    torch.manual_seed(0)
    prototypes = Prototypes(5, 7).double()
    z = _normal(3, 5)
    before = prototypes(z)
    with torch.no_grad():
        prototypes.weight.mul_(3)
    torch.testing.assert_close(prototypes(2 * z), before)
    assert before.abs().max() <= 1


# schedules and state


@pytest.mark.parametrize("method", ["dino", "swav"])
def test_prototypes_stand_still_in_the_first_epochs(method: str) -> None:
    objective = _built(method, freeze_epochs=2)
    for epoch, frozen in ((0, True), (1, True), (2, False)):
        objective.zero_grad()
        _at(objective, epoch)
        _loss(objective, _normal(2, 8, 12)).backward()
        objective.after_backward()
        assert (objective.prototypes.weight.grad is None) == frozen
        assert all(p.grad is not None for p in objective.projector.parameters())


@pytest.mark.parametrize(
    ("epoch", "temperature"), [(0, 0.04), (1, 0.055), (2, 0.07), (3, 0.07), (50, 0.07)]
)
def test_the_teacher_is_warmed_up(epoch: int, temperature: float) -> None:
    options = {"warmup_teacher_epochs": 3, "teacher_temperature": 0.07}
    objective = _built("dino", **options).eval()
    constant = _built("dino", teacher_temperature=temperature).eval()
    _at(objective, epoch)
    h = _normal(2, 8, 12)
    torch.testing.assert_close(_loss(objective, h), _loss(constant, h))


def test_the_centre_is_the_moving_average_of_the_teachers_logits() -> None:
    objective = _built("dino", prototypes=6, center_momentum=0.75)
    expected = torch.zeros(6, dtype=torch.float64)
    for step in range(3):
        h, slow = _normal(3, 8, 12, seed=step), _normal(2, 8, 12, seed=10 + step)
        features = objective.teacher_projector(slow.reshape(16, 12))
        logits = objective.teacher_prototypes(features)
        objective.loss(h, slow, n_global=2)
        expected = 0.75 * expected + 0.25 * logits.mean(dim=0)
        torch.testing.assert_close(objective.center, expected)
    objective.eval()
    objective.loss(h, slow, n_global=2)
    torch.testing.assert_close(objective.center, expected)


def test_the_centre_is_subtracted() -> None:
    objective, h = _built("dino", prototypes=6).eval(), _normal(2, 8, 12)
    before = _loss(objective, h)
    objective.center.copy_(_normal(6))
    assert (_loss(objective, h) - before).abs() > 0.1
    objective.center.fill_(5.0)  # the same for all prototypes: nothing
    torch.testing.assert_close(_loss(objective, h), before)


def test_dinos_parts_add_up() -> None:
    objective = _built("dino", prototypes=6).eval()
    terms = objective.loss(_normal(3, 8, 12), _normal(2, 8, 12), n_global=2)
    assert 0 < terms.parts["teacher_entropy"] < math.log(6)
    assert terms.parts["kl"] > 0
    torch.testing.assert_close(sum(terms.parts.values()), terms.total.detach())


def test_the_queue_holds_the_newest_features() -> None:
    objective = _built("swav", queue=10, projector="4", prototypes=5)
    fed = []
    for step, rows in enumerate((4, 8, 10)):
        h = _normal(3, 4, 12, seed=step)
        _loss(objective, h, n_global=2)
        with torch.no_grad():
            fed.insert(0, F.normalize(objective.projector(h[:2].reshape(8, 12)), dim=1))
        assert objective.queued == rows
        known = torch.cat([f.reshape(2, 4, -1) for f in fed], dim=1)[:, :10]
        torch.testing.assert_close(objective.queue[:, :rows], known)
        assert (objective.queue[:, rows:] == 0).all()
    held = objective.queue.clone()
    objective.eval()
    _loss(objective, _normal(2, 4, 12))
    assert torch.equal(objective.queue, held)


def test_codes_see_the_queue_once_it_is_full_and_its_epoch_has_come() -> None:
    options = {"projector": "4", "prototypes": 5}
    queued = _built("swav", queue=8, queue_from_epoch=3, **options)
    plain = _built("swav", **options)
    same = []
    # 5 rows a step: full after the second
    for step, epoch in enumerate((0, 1, 2, 3)):
        _at(queued, epoch)
        h = _normal(2, 5, 12, seed=step)
        same.append(torch.allclose(_loss(queued, h), _loss(plain, h), rtol=1e-9))
    assert same == [True, True, True, False]
    early = _built("swav", queue=8, queue_from_epoch=0, **options)
    same = []
    for step in range(3):
        _at(early, step)
        h = _normal(2, 5, 12, seed=step)
        same.append(torch.allclose(_loss(early, h), _loss(plain, h), rtol=1e-9))
    assert same == [True, True, False]


def test_codes_with_a_full_queue_are_those_of_all_rows() -> None:
    objective = _built("swav", queue=6, projector="4", prototypes=5)
    _loss(objective, _normal(2, 6, 12))
    z = _normal(2, 4, 4, seed=1)
    rows = torch.cat([F.normalize(z, dim=2), objective.queue], dim=1)
    known = sinkhorn(objective.prototypes(rows), 3, 0.05)[:, :4]
    objective.eval()
    torch.testing.assert_close(objective._codes(z), known)


@pytest.mark.parametrize(("method", "options"), [("swav", {"queue": 7}), ("dino", {})])
def test_what_is_remembered_goes_round(method: str, options: dict[str, Any]) -> None:
    first, second = _built(method, **options), _built(method, **options)
    for step in range(2):
        _loss(first, _normal(2, 5, 12, seed=step))
    second.load_state_dict(first.state_dict())
    h = _normal(2, 5, 12, seed=9)
    assert _loss(first, h) == _loss(second, h)
    for (name, a), b in zip(first.named_buffers(), second.buffers(), strict=True):
        assert torch.equal(a, b), name


# who sees what


@pytest.mark.parametrize("method", ["moco", "dino"])
def test_the_teacher_takes_no_gradient(method: str) -> None:
    objective = _built(method)
    slow = _normal(2, 8, 12).requires_grad_()
    objective.loss(_normal(2, 8, 12), slow).total.backward()
    assert slow.grad is None
    for _, copied in objective.momentum_pairs():
        assert all(p.grad is None for p in copied.parameters())


def test_every_head_of_the_teacher_follows_one_of_the_student() -> None:
    objective = _built("dino")
    fast = [student for student, _ in objective.momentum_pairs()]
    assert fast == [objective.projector, objective.prototypes]


@pytest.mark.parametrize(
    ("method", "function", "place"),
    [("dino", "dino", 1), ("swav", "mean_cross_entropy", 0), ("simsiam", "negative_cosine", 1)],
)
def test_local_views_have_no_part_in_targets(
    method: str, function: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in training mode, where batch norm mixes the rows it sees."""
    module = importlib.import_module(f"jessl.objectives.{method}")
    original = getattr(module, function)
    h = _normal(4, 8, 12)
    result = []
    for views in (h, torch.cat([h[:2], _normal(2, 8, 12, seed=1)])):
        actual: list[torch.Tensor] = []

        def record(*given: Any, actual: list[torch.Tensor] = actual) -> torch.Tensor:
            actual.append(given[place].detach().clone())
            return original(*given)

        monkeypatch.setattr(module, function, record)
        objective = _built(method)
        _loss(objective, views, n_global=2)
        result.append([*actual, *objective.state_dict().get("center", h.new_empty(0))])
    torch.testing.assert_close(*result)
    # one stack of targets, or one target for each of (4 - 1) views and two global ones
    assert len(actual) == (6 if method == "simsiam" else 1)


# short trainings


def _trained(
    method: str, options: dict[str, Any], lr: float, adam: bool = False
) -> tuple[float, dict[str, float]]:
    """Train on noisy copies of points in 8 of 32 dimensions.

    Returns:
        The deviation of L2-normalised projections times the root of their width (1 where they are
        spread evenly, 0 where they are all alike), and the last parts of the loss.
    """
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)
    data = torch.randn(256, 8, generator=g) @ torch.randn(8, 32, generator=g)
    encoder = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
    objective = build_objective(method, 32, options)
    teacher = copy.deepcopy(encoder).requires_grad_(False)
    learned = [*encoder.parameters(), *(p for p in objective.parameters() if p.requires_grad)]
    optimizer: torch.optim.Optimizer
    optimizer = torch.optim.AdamW(learned, lr) if adam else torch.optim.SGD(learned, lr, 0.9)
    for step in range(200):
        images = data[torch.randperm(256, generator=g)[:64]]
        views = [images + 1.5 * torch.randn(64, 32, generator=g) for _ in range(2)]
        objective.begin_step(TrainingPosition(step=step, total_steps=200, steps_per_epoch=4))
        with torch.no_grad():
            slow = torch.stack([teacher(v) for v in views]) if objective.uses_teacher else None
        terms = objective.loss(torch.stack([encoder(v) for v in views]), slow)
        optimizer.zero_grad()
        terms.total.backward()
        objective.after_backward()
        optimizer.step()
        with torch.no_grad():
            for fast, kept in [(encoder, teacher), *objective.momentum_pairs()]:
                for a, b in zip(fast.parameters(), kept.parameters(), strict=True):
                    b.lerp_(a, 0.01)
    encoder.eval()
    objective.eval()
    with torch.no_grad():
        z = F.normalize(objective.project(encoder(data)), dim=1)
    spread = z.std(dim=0).mean().item() * math.sqrt(z.shape[1])
    return spread, {name: value.item() for name, value in terms.parts.items()}


def test_simsiam_does_not_collapse() -> None:
    assert _trained("simsiam", {}, lr=0.5)[0] > 0.8


def test_simsiam_collapses_without_what_keeps_it_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above: the bound separates."""
    bare = {"projector": "identity", "predictor": "identity"}
    assert _trained("simsiam", bare, lr=0.5)[0] < 0.2
    module = importlib.import_module("jessl.objectives.simsiam")
    monkeypatch.setattr(
        module, "negative_cosine", lambda p, z: -F.cosine_similarity(p, z, dim=1).mean()
    )
    assert _trained("simsiam", {}, lr=0.5)[0] < 0.5  # the gradient not stopped


def test_dino_does_not_collapse() -> None:
    spread, parts = _trained("dino", {"prototypes": 64}, lr=1e-3, adam=True)
    assert spread > 0.8
    assert parts["kl"] > 0.3
    assert 0.3 < parts["teacher_entropy"] < 0.7 * math.log(64)


def test_dino_without_sharpening_collapses_and_its_parts_say_how() -> None:
    options = {"prototypes": 64, "teacher_temperature": 1.0}
    spread, parts = _trained("dino", options, lr=1e-3, adam=True)
    assert spread < 0.7
    assert parts["kl"] < 0.02
    assert parts["teacher_entropy"] == pytest.approx(math.log(64), abs=0.01)


@pytest.mark.parametrize("method", ["moco", "swav"])
def test_losses_that_prevent_collapse_do(method: str) -> None:
    assert _trained(method, {}, lr=0.05)[0] > 0.8


# mistakes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: build_objective("simsiam", 8, {"predictor": "4"}),
            "predictor of simsiam: expected an",
        ),
        (lambda: build_objective("moco", 8, {"predictor": "4"}), "expected an output of width 64"),
        (
            lambda: build_objective("moco", 8, {"temperature": 0}),
            "temperature: expected a number above 0",
        ),
        (lambda: build_objective("moco", 8).loss(_normal(2, 3, 8)), "teacher: expected"),
        (lambda: build_objective("dino", 8).loss(_normal(2, 3, 8)), "teacher: expected"),
        (lambda: build_objective("dino", 8, {"predictor": 5}), "expected an output of width 64"),
        (lambda: build_objective("dino", 8, {"prototypes": 1}), "prototypes: expected at least 2"),
        (
            lambda: build_objective("dino", 8, {"center_momentum": 1}),
            "center_momentum: expected a number in [0, 1), got 1",
        ),
        (
            lambda: build_objective("dino", 8, {"freeze_epochs": -1}),
            "freeze_epochs: expected at least 0, got -1",
        ),
        (
            lambda: build_objective("dino", 8, {"teacher_temperature": 0}),
            "teacher_temperature: expected a number above 0",
        ),
        (
            lambda: objectives.dino(_normal(1, 3, 8), _normal(1, 3, 8), 0),
            "expected at least 2 of an image",
        ),
        (lambda: objectives.dino(_normal(2, 3, 8), _normal(2, 4, 8), 0), "[2, 3, 8] and [2, 4, 8]"),
        (lambda: build_objective("swav", 8, {"predictor": 5}), "expected an output of width 64"),
        (lambda: build_objective("swav", 8, {"epsilon": 0}), "epsilon: expected a number above 0"),
        (lambda: build_objective("swav", 8, {"queue": -1}), "queue: expected at least 0"),
        (
            lambda: build_objective("swav", 8, {"sinkhorn_iterations": 0}),
            "sinkhorn_iterations: expected at least 1",
        ),
        (
            lambda: build_objective("swav", 8).loss(torch.ones(1, 3, 8)),
            "expected at least 2 of an image",
        ),
        (
            lambda: build_objective("swav", 8, {"queue": 9}).loss(torch.ones(3, 3, 8)),
            "queue of swav: expected 2 global views, got 3",
        ),
        (lambda: objectives.swav(_normal(3, 2), _normal(3, 4)), "scores1 [3, 2], scores2 [3, 4]"),
        (lambda: objectives.negative_cosine(_normal(3, 2), _normal(3, 4)), "p [3, 2], z [3, 4]"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
