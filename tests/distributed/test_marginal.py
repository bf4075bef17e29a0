"""What must be averaged over processes before a step that is not linear, or by a common count."""

from __future__ import annotations

import pytest
import torch

from helpers.groups import WORLD, together
from jessl.objectives import supervised
from jessl.objectives.dissl import dissl_terms, lower_bound

VIEWS, BATCH, CLASSES = 2, 8, 16
# images with labels: three on the second process, and one or none on the first
UNEVEN = torch.tensor([5, 3, -1, 0, -1, 2, -1, -1])
ONE_SIDED = torch.tensor([-1, 3, -1, 0, -1, 2, -1, -1])


def _logits() -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return 4 * torch.randn(2 * VIEWS, BATCH, CLASSES, generator=g, dtype=torch.float64)


def _share(rank: int, world: int) -> dict[str, torch.Tensor]:
    z = _logits()[:, rank::world].clone().requires_grad_()
    terms = dissl_terms(z[:VIEWS], z[VIEWS:])
    uneven = supervised(z, UNEVEN[rank::world])
    one_sided = supervised(z, ONE_SIDED[rank::world])
    (terms.total + uneven + one_sided).backward()
    assert z.grad is not None
    losses = {"total": terms.total, "uneven": uneven, "one_sided": one_sided}
    return {**terms.parts, **{k: v.detach() for k, v in losses.items()}, "slope": z.grad}


def _two(rank: int) -> dict[str, torch.Tensor]:
    return _share(rank, WORLD)


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    return together(_two, tmp_path_factory.mktemp("marginal"))


def test_the_marginal_is_averaged_before_its_entropy(
    shares: list[dict[str, torch.Tensor]],
) -> None:
    teacher = _logits()[VIEWS:]
    p = torch.softmax(teacher / 0.5, dim=-1)
    whole = torch.special.entr(p.mean(dim=1)).sum(dim=-1).mean()
    halves = [torch.special.entr(p[:, r::WORLD].mean(dim=1)).sum(dim=-1).mean() for r in (0, 1)]
    for share in shares:
        torch.testing.assert_close(share["entropy"], whole)
    assert whole - torch.stack(halves).mean() > 0.2


def test_two_shares_are_the_whole_batch(shares: list[dict[str, torch.Tensor]]) -> None:
    whole = _share(0, 1)
    slope = torch.stack([s["slope"] for s in shares], dim=2).flatten(1, 2) / WORLD
    torch.testing.assert_close(slope, whole.pop("slope"))
    for name, expected in whole.items():
        got = torch.stack([share[name] for share in shares]).mean()
        torch.testing.assert_close(got, expected, msg=f"{name} differs")
    assert whole["gap"] == whole["total"] - lower_bound(BATCH, CLASSES, 2.3, 0.8)


def test_a_process_without_labels_has_a_finite_loss(
    shares: list[dict[str, torch.Tensor]],
) -> None:
    assert shares[0]["one_sided"] == 0
    assert torch.isfinite(shares[1]["one_sided"])
    assert shares[1]["one_sided"] > 0
