"""Training on a rehearsed GPU: every objective, in both precisions, step by step."""

from __future__ import annotations

import pytest
import torch

from helpers.rehearsed_cuda import rehearsal
from helpers.training_samples import batch, targets, trainer
from jessl.encoders import build_encoder
from jessl.objectives import CONFIGS, build_objective
from jessl.training.activation_checkpointing import recompute_blocks
from jessl.training.throughput import measure_training


@pytest.mark.parametrize("objective", sorted(CONFIGS))
def test_steps_equal_those_of_the_cpu(objective):
    """The first in float32 to the rounding, the second under autocast to that of bfloat16."""
    views, labels = batch()
    here = trainer(objective, "cpu")
    here.set_training()
    expected = [here.take_step(views, labels, targets()).total.item() for _ in range(2)]
    with rehearsal() as cuda:
        there = trainer(objective, "cuda")
        there.set_training()
        moved = [v.to("cuda") for v in views]
        first = there.take_step(moved, labels, targets())
        assert first.total.item() == pytest.approx(expected[0], rel=1e-5)
        there.precision = torch.bfloat16
        cuda.convolutions.clear()
        second = there.take_step(moved, labels, targets())
        assert cuda.convolutions == {torch.bfloat16}
        assert there.features["backbone"].dtype == torch.bfloat16
        for terms in (first, second):
            assert all(
                t.is_cuda and t.dtype == torch.float32 for t in (terms.total, *terms.parts.values())
            )
        assert second.total.item() == pytest.approx(expected[1], rel=0.05, abs=0.05)
        # parameters, their gradients and the optimizer's moments: in float32, on the device
        for p in [*there.encoder.parameters(), *there.objective.parameters()]:
            assert p.is_cuda
            assert p.dtype == torch.float32
            assert p.grad is None or (p.grad.is_cuda and p.grad.dtype == torch.float32)


@pytest.mark.parametrize(
    ("objective", "more"),
    [
        ("simclr", {"options": {"negatives": 2}, "optimizer": "lars"}),
        ("byol", {"optimizer": "sgd", "clip_norm": 1.0, "precision": torch.bfloat16}),
        ("vicreg", {"micro_batch": 4}),
        ("dino", {"n_global": 2}),
    ],
)
def test_steps_with_their_options(objective, more):
    with rehearsal():
        there = trainer(objective, "cuda", **more)
        there.set_training()
        views, labels = batch()
        if there.n_global:
            views += [torch.randn(8, 3, 8, 8) for _ in range(2)]
        moved = [v.to("cuda") for v in views]
        for _ in range(2):
            assert there.take_step(moved, labels, targets()).total.isfinite().item()


def test_a_pool_of_negatives():
    with rehearsal():
        there = trainer(
            "simclr", "cuda", options={"pool": 1}, pool=torch.zeros(1, 3, 16, 16).cuda()
        )
        there.set_training()
        views, labels = batch()
        there.take_step([v.to("cuda") for v in views], labels, targets())


def test_dropout_is_replayed_over_micro_batches():
    """The two passes draw alike: gradients equal those of the CPU's generator being restored."""
    with rehearsal() as cuda:
        there = trainer("vicreg", "cuda", micro_batch=4)
        there.encoder.body = torch.nn.Sequential(there.encoder.body, dropout := torch.nn.Dropout())
        there.set_training()
        drawn = []
        dropout.register_forward_hook(lambda _m, _i, out: drawn.append(out == 0))
        views, labels = batch()
        before = cuda.rng
        there.take_step([v.to("cuda") for v in views], labels, targets())
        assert not torch.equal(before, cuda.rng)
        first, second = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
        assert all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(first, second, strict=True))


def test_activation_checkpointing():
    with rehearsal():
        encoder = build_encoder("resnet_cifar:20", size=16, pretrained=False).to("cuda")
        recompute_blocks(encoder)
        loss = build_objective("vicreg", encoder.dim, {"projector": 8}).to("cuda")
        tuning = measure_training(
            encoder, loss, sizes=[16, 16], batch_size=2, device=torch.device("cuda"), tune=False
        )
        assert tuning.images_per_second > 0


@pytest.mark.parametrize("name", ["resnet_cifar:20", "timm:vit_tiny_patch16_224"])
def test_encoders_under_autocast(name):
    with rehearsal() as cuda:
        encoder = build_encoder(name, size=32, pretrained=False).to("cuda")
        encoder.to(memory_format=torch.channels_last)
        x = torch.randn(2, 3, 32, 32, device="cuda").to(memory_format=torch.channels_last)
        assert encoder(x).dtype == torch.float32
        with torch.autocast("cuda", dtype=torch.bfloat16):
            assert encoder(x).is_cuda
        assert torch.bfloat16 in cuda.convolutions
