"""DISSL: known answers, its bound, its identity, and its heads."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from jessl.objectives import Terms, build_objective, dissl
from jessl.objectives.dissl import dissl_terms, lower_bound

LAMBD, BETA = 2.3, 0.8
SURE = 1e4  # a logit that leaves every other class without probability


def _logits(views: int, n: int, classes: int, *, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(views, n, classes, generator=g, dtype=torch.float64)


def _both(one_view: torch.Tensor, views: int = 2) -> torch.Tensor:
    return one_view.expand(views, -1, -1)


def _by_hand(s: torch.Tensor, t: torch.Tensor) -> dict[str, float]:
    """The parts by sums over pairs, in numpy."""
    log_p, log_q = log_softmax(t.numpy() / 0.5, axis=-1), log_softmax(s.numpy(), axis=-1)
    p = np.exp(log_p)
    globals_, views = range(len(p)), range(len(log_q))

    def kl(to: np.ndarray, v: int, w: int) -> float:
        return float((p[v] * (log_p[v] - to[w])).sum(axis=1).mean())

    marginal = p.mean(axis=1)
    return {
        "entropy": float(-(marginal * np.log(marginal)).sum(axis=1).mean()),
        "conditional_entropy": float(-(p * log_p).sum(axis=2).mean()),
        "kl_invariance": float(np.mean([kl(log_p, v, w) for v in globals_ for w in globals_
                                        if v != w])),
        "kl_distillation": float(np.mean([kl(log_q, v, w) for v in globals_ for w in views
                                          if v != w])),
    }  # fmt: skip


def _rebuilt(parts: dict[str, float]) -> float:
    information = parts["entropy"] - parts["conditional_entropy"]
    return (
        -(1 + BETA) * information
        - (LAMBD - 1 - BETA) * parts["entropy"]
        + BETA * parts["kl_invariance"]
        + parts["kl_distillation"]
    )


def test_uniform_classes() -> None:
    z = torch.zeros(2, 8, 32, dtype=torch.float64)
    assert dissl(z, z).item() == pytest.approx(-1.7328679513998626, abs=1e-12)
    assert dissl(z, z).item() == pytest.approx((1 + BETA - LAMBD) * math.log(32), abs=1e-12)


def test_collapse_to_one_class_is_zero() -> None:
    z = torch.zeros(2, 8, 32, dtype=torch.float64)
    z[..., 5] = SURE
    assert dissl(z, z).item() == pytest.approx(0, abs=1e-12)


def test_a_class_for_each_image() -> None:
    z = _both(SURE * torch.eye(8, 32, dtype=torch.float64))
    assert dissl(z, z).item() == pytest.approx(-LAMBD * math.log(8), abs=1e-12)


def test_equal_blocks_of_classes_reach_the_bound() -> None:
    blocks = torch.eye(8, dtype=torch.float64).repeat_interleave(4, dim=1)
    z = _both(SURE * blocks)
    terms = dissl_terms(z, z)
    assert terms.total.item() == pytest.approx(-5.475862726423567, abs=1e-12)
    assert lower_bound(8, 32, LAMBD, BETA) == pytest.approx(-5.475862726423567, abs=1e-12)
    assert terms.parts["gap"].item() == pytest.approx(0, abs=1e-12)


def test_fewer_classes_than_images_reach_their_bound() -> None:
    z = _both(SURE * torch.eye(4, dtype=torch.float64).repeat(3, 1))  # 12 images, 4 classes
    assert dissl(z, z).item() == pytest.approx(lower_bound(12, 4, LAMBD, BETA), abs=1e-12)
    assert lower_bound(12, 4, LAMBD, BETA) == pytest.approx(-LAMBD * math.log(4), abs=1e-12)


def test_below_one_plus_beta_a_class_for_each_image_reaches_the_bound() -> None:
    z = _both(SURE * torch.eye(8, 32, dtype=torch.float64))
    loss = dissl(z, z, lambd=1.2, beta=0.5).item()
    assert loss == pytest.approx(lower_bound(8, 32, 1.2, 0.5), abs=1e-12)


@given(
    n=st.integers(1, 9),
    classes=st.integers(2, 12),
    lambd=st.floats(0, 4),
    beta=st.floats(0, 2),
    scale=st.floats(1e-2, 1e2),
    shared=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_nothing_is_below_the_bound(
    n: int, classes: int, lambd: float, beta: float, scale: float, shared: bool, seed: int
) -> None:
    t = _logits(2, n, classes, scale=scale, seed=seed)
    t = t[:1].expand(2, -1, -1) if shared else t
    s = 2 * t if shared else _logits(3, n, classes, scale=scale, seed=seed + 1)
    terms = dissl_terms(s, t, lambd=lambd, beta=beta)
    assert terms.total.item() >= lower_bound(n, classes, lambd, beta) - 1e-9
    assert terms.parts["gap"].item() >= -1e-9


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize(("views", "n_global"), [(2, 2), (3, 3), (5, 2)])
def test_parts_rebuild_the_loss(scale: float, views: int, n_global: int) -> None:
    s = _logits(views, 6, 11, scale=scale)
    t = _logits(n_global, 6, 11, scale=scale, seed=1)
    terms = dissl_terms(s, t)
    expected = _by_hand(s, t)
    for name, value in expected.items():
        assert terms.parts[name].item() == pytest.approx(value, rel=1e-12, abs=1e-12), name
    assert terms.total.item() == pytest.approx(_rebuilt(expected), rel=1e-12, abs=1e-12)
    information = expected["entropy"] - expected["conditional_entropy"]
    assert terms.parts["information"].item() == pytest.approx(information, rel=1e-12, abs=1e-12)
    assert not any(part.requires_grad for part in terms.parts.values())
    assert dissl(s, t).item() == terms.total.item()


def test_local_views_are_distilled_into_only() -> None:
    s, t = _logits(4, 6, 11), _logits(2, 6, 11, seed=1)
    s.requires_grad_()
    more, fewer = dissl_terms(s, t).parts, dissl_terms(s[:2], t).parts
    for name in ("entropy", "conditional_entropy", "kl_invariance"):
        assert more[name] == fewer[name]
    assert more["kl_distillation"] != fewer["kl_distillation"]
    (slope,) = torch.autograd.grad(dissl(s, t), s)
    assert (slope.flatten(1).norm(dim=1) > 0).all()


@pytest.mark.parametrize(("lambd", "beta"), [(2.3, 0.8), (0.0, 0.0)])
def test_the_teacher_learns_also_from_distillation_alone(lambd: float, beta: float) -> None:
    s, t = _logits(2, 6, 11), _logits(2, 6, 11, seed=1).requires_grad_()
    dissl(s, t, lambd=lambd, beta=beta).backward()
    assert t.grad is not None
    assert t.grad.norm() > 1e-2


def test_gradient_is_the_derivative() -> None:
    s, t = _logits(3, 4, 5).requires_grad_(), _logits(2, 4, 5, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(dissl, (s, t))


def test_shift_of_logits_and_order_of_classes_change_nothing() -> None:
    s, t = _logits(2, 6, 11), _logits(2, 6, 11, seed=1)
    turned = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    expected = dissl(s, t).item()
    shift = torch.arange(6, dtype=torch.float64)[:, None]
    assert dissl(s + shift, t - 3 * shift).item() == pytest.approx(expected, abs=1e-12)
    assert dissl(s[..., turned], t[..., turned]).item() == pytest.approx(expected, abs=1e-12)


def test_temperatures_divide_the_logits() -> None:
    s, t = _logits(2, 6, 11), _logits(2, 6, 11, seed=1)
    once = dissl(s, t, student_temperature=0.7, teacher_temperature=0.2)
    assert dissl(s / 0.7, t / 0.4).item() == pytest.approx(once.item(), abs=1e-12)


def test_half_precision_logits_are_computed_in_float32() -> None:
    s, t = _logits(2, 16, 16384, scale=3.0), _logits(2, 16, 16384, scale=3.0, seed=1)
    s, t = s.half(), t.half()
    loss = dissl(s, t)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(dissl(s.double(), t.double()).item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_classes_without_probability_have_finite_gradients(dtype: torch.dtype) -> None:
    t = torch.zeros(2, 4, 8, dtype=dtype)
    t[..., 2] = 6e4  # near float16's largest
    t.requires_grad_()
    s = _logits(2, 4, 8).to(dtype).requires_grad_()
    dissl(s, t).backward()
    for z in (s, t):
        assert z.grad is not None
        assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize(
    ("lambd", "order"), [(1.0, 1), (1.8, 0), (2.3, -1)], ids=["worse", "tie", "better"]
)
def test_uniform_against_collapse_turns_at_one_plus_beta(lambd: float, order: int) -> None:
    uniform = torch.zeros(2, 8, 32, dtype=torch.float64)
    loss = dissl(uniform, uniform, lambd=lambd).item()  # collapse is 0
    assert loss == pytest.approx((1.8 - lambd) * math.log(32), abs=1e-12)
    assert (loss > 1e-9) - (loss < -1e-9) == order


def test_too_small_a_lambd_is_told() -> None:
    with pytest.warns(UserWarning, match=r"lambd 1.5 is less than 1 \+ beta = 1.8") as told:
        build_objective("dissl", 8, {"lambd": 1.5, "classes": 16})
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_objective("dissl", 8, {"lambd": 1.8, "classes": 16})


def _start(**options: object) -> Terms:
    torch.manual_seed(0)
    objective = build_objective("dissl", 512, options)
    h = torch.randn(1, 256, 512) + 0.5 * torch.randn(2, 256, 512)
    return objective.loss(h)


def test_the_first_loss_is_near_the_uniform_one() -> None:
    uniform = (1 + BETA - LAMBD) * math.log(16384)
    assert _start().total.item() == pytest.approx(uniform, abs=0.5)
    assert _start(student_head="identity").total.item() == pytest.approx(uniform, abs=0.5)


@pytest.mark.parametrize("student_head", ["linear", "identity", "64"])
def test_a_linear_student_is_affine_and_the_teacher_is_not(student_head: str) -> None:
    torch.manual_seed(0)
    options = {"student_head": student_head, "classes": 40}
    objective = build_objective("dissl", 24, options).double()
    h = torch.randn(2, 64, 24, dtype=torch.float64)
    objective.loss(3 * h + 1)  # statistics of its own for batch norm
    objective.eval()
    a, b = h
    mixed = torch.stack([a, b, 0.3 * a + 0.7 * b])
    student, teacher = objective.logits(mixed)
    torch.testing.assert_close(student[2], 0.3 * student[0] + 0.7 * student[1])
    apart = teacher[2] - 0.3 * teacher[0] - 0.7 * teacher[1]
    assert apart.abs().max() > 1e-3
    assert torch.linalg.matrix_rank(student[0] - student[0].mean(dim=0)) <= 24


def test_heads_are_the_published_ones() -> None:
    objective = build_objective("dissl", 96)
    shapes = {name: list(p.shape) for name, p in objective.named_parameters() if p.ndim == 2}
    assert shapes == {
        "projector.0.weight": [1024, 96],
        "projector.3.weight": [512, 1024],
        "student.0.weight": [512, 96],
        "teacher_classes.weight": [16384, 512],
        "student_classes.weight": [16384, 512],
    }
    for name, p in objective.named_parameters():
        if p.ndim == 2:
            assert p.std().item() == pytest.approx(0.02, rel=0.05), name
            assert p.abs().max() <= 2, name
    assert not objective.teacher_classes.bias.any()
    assert list(objective.layers()) == ["projector.1", "projector"]


def test_an_expressive_student_is_one_word() -> None:
    objective = build_objective("dissl", 12, {"student_head": "mlp", "classes": 16})
    kinds = [type(m).__name__ for m in objective.student]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]


def test_the_projection_is_normed_and_comes_before_the_classes() -> None:
    objective = build_objective("dissl", 12, {"projector": "20-6", "classes": 16})
    z = objective.project(7 * torch.randn(64, 12) + 3)
    assert z.shape == (64, 6)
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(dim=0, correction=0), torch.ones(6), atol=1e-2, rtol=0)


def test_collapse_is_worse_than_spread_once_batch_norm_knows_its_statistics() -> None:
    torch.manual_seed(0)
    objective = build_objective("dissl", 12).double()
    h = torch.randn(1, 32, 12, dtype=torch.float64).expand(2, -1, -1)
    for module in objective.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = None  # the statistics are those of one pass
    objective.loss(h)
    objective.eval()
    collapsed = h.mean(dim=1, keepdim=True).expand(-1, 32, -1)
    assert objective.loss(h).total < objective.loss(collapsed).total - 0.1


def test_training_finds_classes_and_does_not_collapse() -> None:
    torch.manual_seed(0)
    options = {"projector": "64-16", "student_head": "16", "classes": 32}
    objective = build_objective("dissl", 8, options)
    encoder = torch.nn.Linear(8, 8)
    optimizer = torch.optim.Adam([*objective.parameters(), *encoder.parameters()], lr=5e-3)
    images = torch.randn(1, 64, 8)
    gaps, result = [], []
    for _ in range(60):
        terms = objective.loss(encoder(images + 0.1 * torch.randn(2, 64, 8)))
        optimizer.zero_grad()
        terms.total.backward()
        optimizer.step()
        gaps.append(terms.parts["gap"].item())
        result.append(terms.parts["information"].item())
    assert 0 <= gaps[-1] < gaps[0] - 1
    assert result[-1] > result[0] + 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lambd": -1}, "lambd: expected at least 0, got -1"),
        ({"beta": -0.1}, "beta: expected at least 0, got -0.1"),
        ({"classes": 1}, "classes: expected at least 2, got 1"),
        ({"student_temperature": 0}, "student_temperature: expected a number above 0, got 0"),
        ({"teacher_temperature": -1}, "teacher_temperature: expected a number above 0, got -1"),
        ({"student_head": "a-b"}, "head: expected 8192"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_objective("dissl", 8, options)


def test_wrong_views_are_named() -> None:
    z = torch.zeros(3, 4, 5)
    with pytest.raises(ValueError, match="teacher: expected at least 2 global views, got 1"):
        dissl(z, z[:1])
    with pytest.raises(ValueError, match="student and teacher: exp"):
        dissl(z[:2], z)
    with pytest.raises(ValueError, match="temperature: expected a number above 0"):
        dissl(z, z, teacher_temperature=0)
    objective = build_objective("dissl", 5, {"classes": 16})
    with pytest.raises(ValueError, match="at least 2 global views, got 1"):
        objective.loss(torch.randn(3, 4, 5), n_global=1)
