"""NT-Xent, DCL and CISSL against known answers, and SimCLR's few negatives against loops.

Known answers: n images in two views give log(2 n - 1), log(2 n - 2) and log(2 n) where all rows
are alike; orthonormal images and a simplex (n unit vectors, cosine -1 / (n - 1)) are as easy.
"""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from jessl.objectives import TrainingPosition, build_objective, cissl, dcl, nt_xent
from jessl.objectives._contrastive import draw_negatives, drawn_logits

N = 8
ONES = torch.ones(N, 5, dtype=torch.float64)
BASIS = torch.eye(N, dtype=torch.float64)
SIMPLEX = BASIS - 1 / N


def _rows(*shape: int, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def _twice(x: torch.Tensor, views: int = 2) -> torch.Tensor:
    return x.expand(views, *x.shape)


def _cissl(x: torch.Tensor, temperature: float) -> float:
    return cissl(_twice(x), _twice(x), temperature).item()


def test_all_alike() -> None:
    assert nt_xent(ONES, ONES, 0.1).item() == pytest.approx(math.log(2 * N - 1), abs=1e-12)
    assert dcl(ONES, ONES, 0.1).item() == pytest.approx(math.log(2 * N - 2), abs=1e-12)
    assert _cissl(ONES, 0.07) == pytest.approx(2.772588722239781, abs=1e-12)  # log 16


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize(("images", "between"), [(BASIS, 0.0), (SIMPLEX, -1 / (N - 1))])
def test_orthonormal_images_and_a_simplex(
    images: torch.Tensor, between: float, temperature: float
) -> None:
    others = (2 * N - 2) * math.exp((between - 1) / temperature)
    expected = {
        nt_xent(images, images, temperature).item(): math.log1p(others),
        dcl(images, images, temperature).item(): math.log(others),
        _cissl(images, temperature): math.log(2 + others),
    }
    for result, known in expected.items():
        assert result == pytest.approx(known, abs=1e-12)


def test_cissls_known_values() -> None:
    assert _cissl(BASIS, 0.07) == pytest.approx(0.6931515546750, abs=1e-12)
    assert _cissl(BASIS, 0.5) == pytest.approx(1.359615, abs=1e-6)
    assert _cissl(SIMPLEX, 0.5) == pytest.approx(1.230757, abs=1e-6)  # below orthonormal
    assert _cissl(BASIS, 0.001) == pytest.approx(math.log(2), abs=1e-12)  # the floor


def test_the_floor_and_the_targets_with_more_views_and_local_ones() -> None:
    t, two = 0.3, BASIS[:2]
    assert cissl(_twice(two, 3), _twice(two, 3), t).item() == pytest.approx(
        math.log(3 + 3 * math.exp(-1 / t)), abs=1e-12
    )  # a third on each of the image's three views
    assert cissl(_twice(two, 2), _twice(two, 1), t).item() == pytest.approx(
        math.log(1 + math.exp(-1 / t)), abs=1e-12
    )  # one global view: the target of itself and of the local view


@pytest.mark.parametrize(("views", "global_views"), [(2, 2), (3, 3), (4, 2), (3, 1)])
def test_cissl_is_what_loops_give(views: int, global_views: int) -> None:
    s, t, temperature = _rows(views, 5, 4), _rows(global_views, 5, 4, seed=1), 0.3
    total = 0.0
    for v, i in itertools.product(range(views), range(5)):
        logits = {
            (w, j): (F.cosine_similarity(s[v, i], t[w, j], dim=0) / temperature).item()
            for w, j in itertools.product(range(global_views), range(5))
        }
        below = math.log(sum(math.exp(x) for x in logits.values()))
        own = [below - logits[w, i] for w in range(global_views)]
        total += sum(own) / len(own) / (views * 5)
    assert cissl(s, t, temperature).item() == pytest.approx(total, abs=1e-12)


def test_what_changes_cissl_and_what_does_not() -> None:
    s, t = _rows(2, N, 6), _rows(2, N, 6, seed=1)
    loss = cissl(s, t, 0.2)
    turned = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    for same in (
        cissl(s[:, turned], t[:, turned], 0.2),
        cissl(s.flip(0), t.flip(0), 0.2),
        cissl(3 * s, t, 0.2),
        cissl(s, t / 7, 0.2),
    ):
        torch.testing.assert_close(same, loss, rtol=1e-13, atol=0)
    # the softmax runs over the teacher's rows
    assert (cissl(t, s, 0.2) - loss).abs() > 0.01


def test_cissls_gradient_is_softmax_less_target() -> None:
    """Teacher rows are a basis, so that logits are the student's coordinates over temperature."""
    n, t = 3, 0.4
    s = F.normalize(_rows(2, n, 2 * n), dim=-1).requires_grad_()
    cissl(s, torch.eye(2 * n, dtype=torch.float64).view(2, n, 2 * n), t).backward()
    rows = s.detach().view(2 * n, 2 * n)
    target = (torch.eye(2 * n) + torch.eye(2 * n).roll(n, dims=1)).double() / 2
    by_logit = (torch.softmax(rows / t, dim=1) - target) / (2 * n)
    on_sphere = by_logit - rows * (by_logit * rows).sum(dim=1, keepdim=True)
    assert s.grad is not None
    torch.testing.assert_close(s.grad.view(2 * n, 2 * n), on_sphere / t, rtol=0, atol=1e-15)


def test_gradients_are_those_of_finite_differences() -> None:
    s, t = _rows(3, 4, 3).requires_grad_(), _rows(2, 4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s, t: cissl(s, t, 0.3), (s, t))
    z1, z2 = _rows(4, 3).requires_grad_(), _rows(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (z1, z2))
    assert torch.autograd.gradcheck(lambda a, b: dcl(a, b, 0.3), (z1, z2))
    for options in ({"negatives": 1}, {"negatives": 5}, {"pool": 1}, {"teacher_head": "linear"}):
        objective = build_objective("simclr", 3, {"projector": "linear", **options}).double().eval()
        assert torch.autograd.gradcheck(lambda h, o=objective: o.loss(h).total, (s,)), options


def test_cissl_learns_through_both_heads() -> None:
    torch.manual_seed(0)
    objective = build_objective("cissl", 6).double()
    h = _rows(2, N, 6).requires_grad_()
    (both,) = torch.autograd.grad(objective.loss(h).total, h)
    parts = []
    for one in ("student", "teacher"):
        actual = {k: h if k == one else h.detach() for k in ("student", "teacher")}
        s = objective.student_head(actual["student"].flatten(0, 1)).view(2, N, -1)
        t = objective.projector(actual["teacher"].flatten(0, 1)).view(2, N, -1)
        (part,) = torch.autograd.grad(cissl(s, t, 0.07), h)
        assert part.norm() > 0.01
        parts.append(part)
    torch.testing.assert_close(sum(parts), both)


def test_cissls_student_is_affine_and_its_teacher_is_not() -> None:
    torch.manual_seed(0)
    objective = build_objective("cissl", 12)
    for _ in range(5):  # batch norm's statistics are no longer those it began with
        objective.loss(2 + 3 * torch.randn(2, 32, 12))
    objective.eval()
    a, b = torch.randn(2, 16, 12)

    def bend(head: Callable[[torch.Tensor], torch.Tensor]) -> float:
        return (head(0.3 * a + 0.7 * b) - 0.3 * head(a) - 0.7 * head(b)).abs().max().item()

    assert objective.student_head(a).shape == objective.project(a).shape == (16, 128)
    assert bend(objective.student_head) < 1e-5
    assert bend(objective.project) > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_collapse_is_worse_for_heads_that_learnt(seed: int) -> None:
    """Unlike heads begin with chance targets; whatever the heads, collapse costs log(2 n)."""
    torch.manual_seed(seed)
    objective = build_objective("cissl", 6).double().eval()
    h = _twice(_rows(N, 6))
    collapsed = objective.loss(torch.zeros_like(h)).total
    assert collapsed.item() == pytest.approx(math.log(2 * N), abs=1e-9)
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        objective.loss(h).total.backward()
        optimizer.step()
    assert objective.loss(h).total < 1.0 < collapsed


@pytest.mark.parametrize(
    ("method", "options"),
    [("simclr", {}), ("simclr", {"negatives": 2}), ("simclr", {"pool": 2}), ("dcl", {})],
)
def test_a_second_head_like_the_first_changes_nothing(method: str, options: dict[str, int]) -> None:
    torch.manual_seed(0)
    one = build_objective(method, 6, options).double().eval()
    two = build_objective(method, 6, {**options, "teacher_head": "mlp"}).double().eval()
    two.projector = copy.deepcopy(one.projector)
    unlike = two.loss(_rows(3, N, 6)).total
    two.teacher_head = copy.deepcopy(one.projector)
    h = _rows(3, N, 6)
    assert (unlike - one.loss(h).total).abs() > 0.01
    torch.testing.assert_close(two.loss(h).total, one.loss(h).total, rtol=1e-13, atol=0)


@pytest.mark.parametrize("method", ["simclr", "dcl"])
def test_two_heads_compare_anchors_with_the_others_keys(method: str) -> None:
    torch.manual_seed(0)
    heads = {"projector": "linear", "teacher_head": "mlp"}
    objective = build_objective(method, 4, heads).double().eval()
    h, temperature = _rows(2, 3, 4), objective.config.temperature
    q = F.normalize(objective.projector(h.flatten(0, 1)), dim=1)
    k = F.normalize(objective.teacher_head(h.flatten(0, 1)), dim=1)
    total = 0.0
    for i in range(6):
        logits = [(q[i] @ k[j] / temperature).item() for j in range(6)]
        own = (i + 3) % 6
        actual = [j for j in range(6) if j != i and (method == "simclr" or j != own)]
        total += (math.log(sum(math.exp(logits[j]) for j in actual)) - logits[own]) / 6
    assert objective.loss(h).total.item() == pytest.approx(total, abs=1e-12)


def _simclr(dim: int, temperature: float = 0.2, **options: Any) -> Any:
    options = {"projector": "identity", "temperature": temperature, **options}
    return build_objective("simclr", dim, options)


def test_all_negatives_drawn_are_all() -> None:
    h = _rows(2, N, 5)
    drawn = _simclr(5, negatives=2 * N - 2).loss(h).total.item()
    assert drawn == pytest.approx(nt_xent(h[0], h[1], 0.2).item(), abs=1e-12)


def test_one_negative_by_hand() -> None:
    z = torch.tensor([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], dtype=torch.float64)
    result = drawn_logits(z, z, 0.5, torch.tensor([[1], [2], [3], [0]]))
    expected = [[1.2, 0], [0, 1.6], [1.2, -1.2], [0, -2]]
    torch.testing.assert_close(result, torch.tensor(expected, dtype=torch.float64))
    # two orthonormal images: any negative has cosine 0
    loss = _simclr(2, 0.5, negatives=1).loss(_twice(BASIS[:2, :2])).total
    assert loss.item() == pytest.approx(math.log1p(math.exp(-2)), abs=1e-12)


@pytest.mark.parametrize("m", [1, 4, 11])  # rows gathered, then from the whole matrix
def test_drawn_negatives_are_what_loops_give(m: int) -> None:
    h, temperature = _rows(3, 7, 2), 0.4
    objective = _simclr(2, temperature, negatives=m)
    objective.begin_step(TrainingPosition(step=3, total_steps=9, steps_per_epoch=3, seed=5))
    generator = torch.Generator().manual_seed(hash((5, 3)) % 2**63)
    losses = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        z = F.normalize(torch.cat([h[a], h[b]]), dim=1)
        for i, drawn in enumerate(draw_negatives(14, m, generator)):
            own = (z[i] @ z[(i + 7) % 14] / temperature).item()
            others = [(z[i] @ z[j] / temperature).item() for j in drawn]
            losses.append(math.log(sum(math.exp(x) for x in (own, *others))) - own)
    result = objective.loss(h).total.item()
    assert result == pytest.approx(sum(losses) / len(losses), abs=1e-12)


@given(n=st.integers(2, 30), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_negatives_are_others_and_unlike(n: int, share: float, seed: int) -> None:
    m = max(1, round(share * (2 * n - 2)))
    drawn = draw_negatives(2 * n, m, torch.Generator().manual_seed(seed))
    assert drawn.shape == (2 * n, m)
    for i, row in enumerate(drawn.tolist()):
        assert len(set(row)) == m
        assert set(row) <= set(range(2 * n)) - {i, (i + n) % (2 * n)}


@pytest.mark.parametrize("m", [1, 2, 3])  # by Floyd's algorithm, and by random keys
def test_all_sets_of_negatives_are_equally_likely(m: int) -> None:
    generator = torch.Generator().manual_seed(0)
    actual: list[Counter] = [Counter() for _ in range(6)]
    for _ in range(1500):
        for row, drawn in enumerate(draw_negatives(6, m, generator).tolist()):
            actual[row][frozenset(drawn)] += 1
    expected = 1500 / math.comb(4, m)
    for counts in actual:
        assert len(counts) == math.comb(4, m)
        assert all(abs(c - expected) < 4.5 * math.sqrt(expected) for c in counts.values())


def test_each_step_and_each_seed_draws_anew() -> None:
    h = _rows(2, N, 5)
    objective = _simclr(5, negatives=3)
    losses = {}
    for step, seed in itertools.product(range(3), (0, 7, -1)):
        objective.begin_step(TrainingPosition(step, 10, 5, seed))
        torch.manual_seed(step)  # the global generator has no part in it
        losses[step, seed] = objective.loss(h).total.item()
        assert objective.loss(h).total.item() == losses[step, seed]
    assert len(set(losses.values())) == 9
    again = _simclr(5, negatives=3)
    again.begin_step(TrainingPosition(1, 10, 5, 7))
    assert again.loss(h).total.item() == losses[1, 7]


class _Largest(TorchDispatchMode):
    """The most numbers in any tensor that an operation gives."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (list, tuple)) else [out]:
            if isinstance(x, torch.Tensor):
                self.numbers = max(self.numbers, x.numel())
        return out


@pytest.mark.parametrize(("m", "most"), [(1, 512 * 16), (3, 512 * 3 * 16), (400, 512 * 512)])
def test_few_negatives_take_little_memory(m: int, most: int) -> None:
    h = _rows(2, 256, 16).requires_grad_()
    with _Largest() as largest:
        _simclr(16, negatives=m).loss(h).total.backward()
    assert largest.numbers <= most


@pytest.mark.parametrize("pool", [1, 3])
def test_the_pool_is_the_only_negative_and_no_anchor(pool: int) -> None:
    h, t = _rows(3, N, 5), 0.4
    losses = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        x, y = F.normalize(h[a], dim=1), F.normalize(h[b], dim=1)
        negatives = [*x[N - pool :], *y[N - pool :]]
        for i in range(N - pool):
            for anchor, own in ((x[i], y[i]), (y[i], x[i])):
                logits = [(anchor @ k / t).item() for k in (own, *negatives)]
                losses.append(math.log(sum(math.exp(x) for x in logits)) - logits[0])
    result = _simclr(5, t, pool=pool).loss(h).total.item()
    assert result == pytest.approx(sum(losses) / len(losses), abs=1e-12)


def test_one_negative_is_enough_against_collapse() -> None:
    """Images learn their places on a sphere from one drawn negative, and from one of the pool."""
    for options, alike in (({"negatives": 1}, math.log(2)), ({"pool": 1}, math.log(3))):
        objective = _simclr(4, 0.5, **options)
        z = (torch.ones(N, 4) + 1e-2 * _rows(N, 4)).requires_grad_()
        assert objective.loss(_twice(z)).total.item() == pytest.approx(alike, abs=1e-3)
        optimizer = torch.optim.Adam([z], 0.05)
        for step in range(200):
            objective.begin_step(TrainingPosition(step, 200, 200))
            optimizer.zero_grad()
            loss = objective.loss(_twice(z)).total
            loss.backward()
            optimizer.step()
        assert loss.item() < alike - 0.4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _simclr(4, negatives=0), "negatives: expected at least 1, got 0"),
        (lambda: _simclr(4, pool=-1), "pool: expected at least 0, got -1"),
        (lambda: _simclr(4, negatives=2, pool=1), "expected only one, got 2 and 1"),
        (lambda: _simclr(4, negatives=15).loss(_rows(2, N, 4)), "at most 14 (2 * batch - 2"),
        (
            lambda: _simclr(4, pool=N).loss(_rows(2, N, 4)),
            "fewer than the 8 images of the batch, got 8",
        ),
        (
            lambda: _simclr(4, negatives=1).loss(_rows(1, N, 4)),
            "expected at least 2 of an image, got 1",
        ),
        (
            lambda: _simclr(4, teacher_head=6),
            "teacher_head of simclr: expected an output of width 4",
        ),
        (
            lambda: build_objective("dcl", 4, {"teacher_head": "9-6"}),
            "teacher_head of dcl: expected",
        ),
        (
            lambda: build_objective("dcl", 4, {"temperature": 0}),
            "temperature: expected a number above 0",
        ),
        (
            lambda: build_objective("cissl", 4, {"student_head": 6}),
            "width 128, as the projector's, got 6",
        ),
        (
            lambda: build_objective("cissl", 4, {"student_head": "a"}),
            "head: expected 8192-8192-2048",
        ),
        (
            lambda: build_objective("cissl", 4, {"temperature": -1}),
            "temperature: expected a number above 0, got -1",
        ),
        (lambda: dcl(ONES[:1], ONES[:1], 0.1), "at least 2 rows to compare, got 1"),
        (lambda: dcl(ONES, ONES[:1], 0.1), "one shape [batch, dim], got z1 [8, 5], z2 [1, 5]"),
        (lambda: cissl(_rows(2, 3, 4), _rows(3, 3, 4), 0.1), "got [2, 3, 4] and [3, 3, 4]"),
        (
            lambda: cissl(_rows(2, 3, 4), _rows(2, 3, 4), 0),
            "temperature: expected a number above 0, got 0",
        ),
    ],
)
def test_mistakes_are_named(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        call()
    assert "\n" not in str(error.value)


def test_cissls_heads_by_options() -> None:
    for options, width in (
        ({}, 128),
        ({"projector": "identity"}, 12),
        ({"projector": "identity", "student_head": "identity"}, 12),
        ({"projector": "64-9", "student_head": "mlp"}, 9),
        ({"projector": "40-40-10", "student_head": "40-40-10"}, 10),
    ):
        objective = build_objective("cissl", 12, options)
        assert objective.project(torch.randn(4, 12)).shape == (4, width)
        assert objective.student_head(torch.randn(4, 12)).shape == (4, width)
        assert torch.isfinite(objective.loss(torch.randn(2, 4, 12)).total)
