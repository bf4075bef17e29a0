"""Blocks computed again: values, gradients and buffers to the bit, each copy its own blocks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from jessl.core.random import seeded
from jessl.encoders import Encoder, build_encoder
from jessl.training.activation_checkpointing import recompute_blocks
from jessl.training.syncbn import synchronise

# (encoder, size, blocks)
NETS = [
    ("timm:resnet18", 32, 8),
    ("torchvision:resnet18", 32, 8),
    ("timm:vit_tiny_patch16_224", 32, 12),
    ("torchvision:mobilenet_v3_small", 32, 13),
]


def _built(name: str, size: int) -> Encoder:
    with seeded(0):
        return build_encoder(name, size=size).train()


def _images(size: int, n: int = 4) -> torch.Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def _calls(module: nn.Module) -> list[int]:
    """A count, in a list of one, of the forward passes of a module that has no parts."""
    count = [0]
    part = next(m for m in module.modules() if not list(m.children()))

    def add(*_: object) -> None:
        count[0] += 1

    part.register_forward_hook(add)
    return count


def _step(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything that a training step sees and leaves, the random generator included."""
    torch.manual_seed(7)
    x = x.clone().requires_grad_()
    net.zero_grad()
    h = net(x)
    (h * torch.linspace(-1, 1, h.numel()).view_as(h)).sum().backward()
    assert x.grad is not None
    found = {"value": h.detach(), "images": x.grad, "generator": torch.get_rng_state()}
    found |= {f"gradient {k}": p.grad for k, p in net.named_parameters() if p.grad is not None}
    return found | {f"state {k}": v.clone() for k, v in net.state_dict().items()}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert list(a) == list(b)
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


@pytest.mark.parametrize(("name", "size", "blocks"), NETS)
def test_steps_are_the_plain_ones_to_the_bit(name: str, size: int, blocks: int) -> None:
    plain, again = _built(name, size), _built(name, size)
    assert recompute_blocks(again) == blocks
    assert list(plain.state_dict()) == list(again.state_dict())
    x = _images(size)
    for _ in range(2):
        _same(_step(plain, x), _step(again, x))
    _same({"": plain.eval()(x)}, {"": again.eval()(x)})


def test_blocks_run_twice_while_they_train_and_once_otherwise() -> None:
    net = _built("timm:resnet18", 32)
    assert recompute_blocks(net) == 8
    count = _calls(net.body.layer2[1])
    stem = _calls(net.body.conv1)
    x = _images(32)
    net(x).sum().backward()
    assert (count[0], stem[0]) == (2, 1)
    with torch.no_grad():
        net(x)
    assert count[0] == 3
    net.eval()(x).sum().backward()
    assert count[0] == 4


def test_a_second_call_changes_nothing() -> None:
    net = _built("timm:resnet18", 32)
    assert [recompute_blocks(net) for _ in range(2)] == [8, 8]
    count = _calls(net.body.layer1[0])
    net(_images(32)).sum().backward()
    assert count[0] == 2


class Block(nn.Module):
    """A residual block with dropout and batch norms of both kinds of running mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(width, width)
        self.first = nn.BatchNorm1d(width)
        self.drop = nn.Dropout(0.4)
        self.second = nn.BatchNorm1d(width, momentum=None)
        self.untracked = nn.BatchNorm1d(width, track_running_stats=False)

    def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
        inner = self.drop(torch.relu(self.first(self.mix(x))))
        return x + scale * self.untracked(self.second(inner))


def _stack() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Linear(6, 10), Block(10), Block(10)).train()


def test_dropout_drops_the_same_again() -> None:
    plain, again = _stack(), _stack()
    assert recompute_blocks(again) == 2
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        _same(_step(plain, x), _step(again, x))


def test_autocast_is_replayed() -> None:
    plain, again = _stack(), _stack()
    recompute_blocks(again)
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs, own = plain(x), again(x)
    theirs.float().sum().backward()
    own.float().sum().backward()
    for p, q in zip(plain.parameters(), again.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad)


def test_statistics_are_put_back_where_a_block_fails() -> None:
    class Fails(Block):
        fails = False

        def forward(self, x: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
            out = super().forward(x, scale=scale)
            if self.fails:
                raise RuntimeError("in the second pass")
            return out + 0 * self.mix(x)

    net = nn.Sequential(Fails(5))
    recompute_blocks(net)
    held = net[0].first.running_mean
    out = net(torch.randn(8, 5))
    Fails.fails = True
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(RuntimeError, match="in the second pass"):
        out.sum().backward()
    assert net[0].first.running_mean is held
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_named_arguments_reach_a_block() -> None:
    net = _stack()
    recompute_blocks(net)
    x = torch.randn(8, 10, requires_grad=True)
    assert torch.equal(net[1](x, scale=0.0), x)


def test_a_copy_recomputes_its_own_blocks() -> None:
    net = _stack()
    recompute_blocks(net)
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    twin = copy.deepcopy(net)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    counts = _calls(net[1]), _calls(twin[1])
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(0.5)
    after = _step(twin, x)
    assert (counts[0][0], counts[1][0]) == (0, 2)
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    plain = _stack()
    with torch.no_grad():
        for p in plain.parameters():
            p.mul_(0.5)
    _same(_step(plain, x), after)


def test_it_goes_with_synchronised_batch_norm_in_either_order() -> None:
    x = _images(32)
    plain = _step(_built("timm:resnet18", 32), x)
    for order in ((recompute_blocks, synchronise), (synchronise, recompute_blocks)):
        net = _built("timm:resnet18", 32)
        for change in order:
            change(net)
        kinds = {type(m).__name__ for m in net.modules() if isinstance(m, _BatchNorm)}
        assert all(kind.startswith("Synchronised") for kind in kinds)
        _same(plain, _step(net, x))


def test_compiled_blocks_follow_their_statistics_once() -> None:
    nets = [_stack(), _stack()]
    for net in nets:
        for part in net.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0  # compiled, dropout draws from another generator
            if isinstance(part, nn.BatchNorm1d):
                part.momentum = 0.1  # torch cannot compile the mean of all batches
    recompute_blocks(nets[1])
    compiled = torch.compile(nets[1], fullgraph=True, backend="aot_eager")
    x = torch.randn(16, 6, generator=torch.Generator().manual_seed(1))
    nets[0](x).square().sum().backward()
    compiled(x).square().sum().backward()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    for theirs, own in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        torch.testing.assert_close(theirs, own)
        assert own.ndim or own == 1


def test_stages_of_stages_are_looked_into() -> None:
    inner = nn.Sequential(Block(4), Block(4))
    tail = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    shared = Block(4)
    net = nn.Sequential(nn.Linear(4, 4), inner, nn.ModuleList([shared, shared, nn.ReLU()]), tail)
    # two blocks, one that is there twice, and the tail: a list of simple layers in a list
    assert recompute_blocks(net) == 4
    assert type(inner) is nn.Sequential
    assert type(shared).__name__ == "RecomputedBlock"


def test_an_encoder_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^encoder smallconv:4 has no blocks to recompute$"):
        recompute_blocks(build_encoder("smallconv:4"))
    with pytest.raises(ValueError, match=r"^encoder Linear has no blocks to recompute$"):
        recompute_blocks(nn.Linear(3, 3))
