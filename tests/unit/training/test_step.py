"""One step: parts of a batch, precision of what is remembered, growth, signs of collapse."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from helpers.run_samples import losses, same_weights, small_config
from helpers.training_samples import TARGET_DIM, targets, trainer_of
from jessl import pretrain
from jessl.core.devices import deterministic
from jessl.objectives import CONFIGS, build_objective
from jessl.training import collapse
from jessl.training.compiling import compiled
from jessl.training.progressive_resize import mean_cost, side
from jessl.training.step import Trainer, with_pool

BATCH = 12


class _Net(nn.Module):
    """[n, 3, 6, 6] to [n, 8]; on request with dropout or batch norm."""

    def __init__(self, *extra: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(108, 16), nn.Tanh(), *extra)
        self.last = nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.body(x))


def _trainer(method: str, *extra: nn.Module, micro: int | None = None, **changes: Any) -> Trainer:
    torch.manual_seed(0)
    options = {"teacher_dim": TARGET_DIM} if method == "distill" else {}
    encoder, objective = _Net(*extra).double(), build_objective(method, 8, options).double()
    return trainer_of(encoder, objective, optimizer="sgd", micro_batch=micro, **changes)


def _views(step: int = 0, count: int = 2) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(step)
    x = torch.randn(BATCH, 3, 6, 6, generator=g).double()
    return [x + 0.3 * torch.randn(x.shape, generator=g).double() for _ in range(count)]


def _trained(trainer: Trainer, steps: int = 2) -> dict[str, torch.Tensor]:
    trainer.set_training()
    torch.manual_seed(1)
    labels = torch.arange(BATCH) % 3
    learned = targets(BATCH).double()
    totals = [trainer.take_step(_views(k), labels, learned).total for k in range(steps)]
    found = {"totals": torch.stack(totals)}
    for name, module in trainer.modules().items():
        found |= {f"{name}.{k}": v.clone() for k, v in module.state_dict().items()}
    return found


@pytest.mark.parametrize("micro", [4, 5])
@pytest.mark.parametrize("method", sorted(CONFIGS))
def test_a_batch_in_parts_is_the_whole_batch(method: str, micro: int) -> None:
    """Value and, through the weights of two steps, gradient; 5 leaves a part of 2."""
    whole, parts = _trained(_trainer(method)), _trained(_trainer(method, micro=micro))
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=1e-8, atol=1e-10, msg=name)


def test_dropout_is_replayed_in_the_second_pass() -> None:
    """With one part both ways draw the same; a mask drawn anew would change the gradient."""
    one, two = (_trainer("vicreg", nn.Dropout(0.5), micro=BATCH) for _ in range(2))
    terms = []
    in_parts = functools.partial(two._in_micro_batches, micro_batch=BATCH)
    for trainer, way in ((one, one._at_once), (two, in_parts)):
        torch.manual_seed(1)
        trainer.set_training()
        trainer._prepare()
        terms.append(way(_views(), None).total)
    assert torch.equal(*terms)
    for a, b in zip(one._parameters, two._parameters, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


def test_batch_norm_moves_once_per_part() -> None:
    trainer = _trainer("vicreg", nn.BatchNorm1d(16), micro=4)
    trainer.set_training()
    expected = nn.BatchNorm1d(16).double()
    body = copy.deepcopy(trainer.encoder.body)
    for part in range(3):
        x = torch.cat([v[4 * part : 4 * part + 4] for v in _views()])
        expected(body[:3](x))
    trainer.take_step(_views())
    norm = trainer.encoder.body[3]
    assert norm.num_batches_tracked == 3
    torch.testing.assert_close(norm.running_mean, expected.running_mean)
    torch.testing.assert_close(norm.running_var, expected.running_var)


def test_gradients_are_clipped_to_the_norm() -> None:
    trainer = _trainer("vicreg", clip_norm=1e-3)
    before = [p.clone() for p in trainer._parameters]
    trainer.set_training()
    trainer.take_step(_views())
    moved = torch.cat([(p - q).flatten() for p, q in zip(trainer._parameters, before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.01 * 1e-3, rel=1e-4)


def test_what_is_seen_is_of_the_first_view_and_detached() -> None:
    seen: list[dict[str, torch.Tensor]] = []

    class Observer(nn.Module):
        def observe(self, features: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
            seen.append(features)

    trainer = _trainer("simsiam", observer=Observer(), n_global=2)
    trainer.set_training()
    views = _views(count=3)
    trainer.take_step(views, torch.arange(BATCH) % 3)
    assert list(seen[0]) == ["projector.1", "projector.2", "projector", "backbone"]
    assert all(len(z) == BATCH and not z.requires_grad for z in seen[0].values())
    fresh = _trainer("simsiam").encoder(views[0])
    torch.testing.assert_close(seen[0]["backbone"], fresh)
    trainer.take_step(_views(1, count=3), torch.arange(BATCH) % 3)
    assert all(not torch.equal(seen[0][k], seen[1][k]) for k in seen[0])  # no step keeps another's


def test_the_pool_takes_the_last_places_of_every_view() -> None:
    pool = torch.full((2, 3, 6, 6), 7.0)
    small = [v[..., :4, :4] for v in _views()]
    views, labels = with_pool([*_views(), *small], torch.arange(BATCH), pool)
    assert labels is not None
    assert labels.tolist() == [*range(BATCH - 2), -1, -1]
    for view, before in zip(views, [*_views(), *small], strict=True):
        torch.testing.assert_close(view[-2:], torch.full_like(view[-2:], 7), rtol=1e-5, atol=0)
        torch.testing.assert_close(view[:-2], before[:-2])
    with pytest.raises(ValueError, match="leaves no two beside a pool of 11"):
        with_pool(_views(), None, torch.zeros(11, 3, 6, 6))


def test_sides_grow_as_in_the_published_recipe() -> None:
    sides = [side(k, epochs=100, first=160, last=192) for k in range(100)]
    assert sides[:71] == [160] * 71
    assert sides[85:] == [192] * 15
    assert sorted(sides) == sides
    assert {s % 32 for s in sides} == {0}
    small = {side(k, epochs=40, first=16, last=32) for k in range(40)}
    assert small > {16, 32}
    assert all(s % 2 == 0 for s in small)
    assert mean_cost(0, epochs=10, first=32, last=32) == 1.0
    assert mean_cost(0, epochs=1000, first=10, last=20) == pytest.approx(
        1 + 0.15 * 3 + 0.2, rel=0.1
    )


def test_a_training_that_grows_is_resumable(stripes: Path, tmp_path: Path) -> None:
    changes = {"size": 16, "start_size": 8, "epochs": 4, "deterministic": True}
    run = pretrain(small_config(stripes, tmp_path / "a", **changes), quiet=True)
    again = pretrain(small_config(stripes, tmp_path / "b", **changes), quiet=True)
    same_weights(run, again)
    steady = pretrain(small_config(stripes, tmp_path / "c", size=16, epochs=4), quiet=True)
    assert losses(run) != losses(steady)
    assert run.resolved_config().start_size == 8


def test_spread_is_one_of_isotropic_and_none_of_collapsed_rows() -> None:
    g = torch.Generator().manual_seed(0)
    assert collapse.spread(torch.randn(4096, 64, generator=g)) == pytest.approx(1.0, abs=0.01)
    assert collapse.spread(torch.ones(64, 8) * torch.rand(64, 1, generator=g)) < 1e-5
    assert collapse.detect_collapse({"backbone": 0.5}, {"backbone": 20.0}) is None
    told = collapse.detect_collapse({"backbone": 0.5, "projector": 0.001}, {})
    assert told is not None
    assert "one direction at the projector" in told
    told = collapse.detect_collapse({}, {"backbone": 1.02})
    assert told is not None
    assert "RankMe is 1.02 at the backbone" in told


def test_a_collapse_is_told_once(
    stripes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collapse, "LEAST_SPREAD", 10.0)
    run = pretrain(small_config(stripes, tmp_path / "run"))
    said = [line for line in capsys.readouterr().err.splitlines() if "collapse:" in line]
    assert len(said) == 1
    assert "try a lower --lr" in said[0]
    spreads = [r.value for r in run.records() if r.name == "spread/backbone"]
    assert len(spreads) == 18
    assert all(isinstance(v, float) and 0 < v < 2 for v in spreads)


def test_what_cannot_be_compiled_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(108), nn.Dropout()).double()
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()

    def broken(module: nn.Module) -> Any:
        def run(x: torch.Tensor) -> torch.Tensor:
            module(x)
            raise RuntimeError("no compiler here\nand more")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    run, note = compiled(net, _views(), torch.no_grad)
    assert run is net
    assert note == "compile: no compiler here; the training goes on without"
    monkeypatch.setattr(torch, "compile", lambda module: module)
    assert compiled(net, _views(), torch.enable_grad) == (net, None)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_deterministic_mode_ends_with_its_block() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
