"""On a real GPU: what tests/rehearsal plays through without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import jessl
from helpers.training_samples import batch, targets, trainer
from jessl.objectives import CONFIGS
from jessl.views import presets
from jessl.views.params import as_table

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


@pytest.mark.parametrize("objective", sorted(CONFIGS))
def test_steps_equal_those_of_the_cpu(objective):
    views, labels = batch()
    here, there = trainer(objective, "cpu"), trainer(objective, "cuda")
    totals = []
    for one in (here, there):
        one.set_training()
        moved = [v.to(one.device) for v in views]
        totals.append([one.take_step(moved, labels, targets()).total.item() for _ in range(2)])
    assert totals[1] == pytest.approx(totals[0], rel=1e-3)


@pytest.mark.parametrize("objective", sorted(CONFIGS))
def test_a_step_never_waits_for_the_device(objective):
    """torch refuses what would wait, in the first step of bfloat16 after one to warm up."""
    views, labels = batch()
    there = trainer(objective, "cuda", precision=torch.bfloat16)
    there.set_training()
    moved = [v.to("cuda") for v in views]
    there.take_step(moved, labels, targets())
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.take_step(moved, labels, targets())
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["simclr", "byol", "multicrop", "gaussian_noise", "coarse"])
def test_views_equal_those_of_the_cpu(name):
    views = presets.preset(name, 16)
    images = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    params = views.sample(np.arange(6), 0, 0, 24, 24)
    table = np.stack([as_table([p])[0] for p in params])
    made = views.apply_on_device(torch.from_numpy(images).to("cuda"), table)
    for a, b in zip(made, views.apply(images, params), strict=True):
        assert (a.cpu() - b).abs().max() < 0.05


@pytest.mark.parametrize("augment", ["cpu", "device"])
def test_batches_equal_those_of_the_cpu(tmp_path, augment, monkeypatch):
    monkeypatch.setattr("jessl.data.loading.loader._RESIDENT_SHARE", 0.0)
    images = np.random.default_rng(0).integers(0, 256, (512, 24, 24, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=images)
    loaders = [
        jessl.Loader(str(tmp_path / "x.npz"), presets.simclr(16), 16, device=device, augment=how)
        for device, how in (("cpu", "cpu"), ("cuda", augment))
    ]
    for a, b in zip(*loaders, strict=True):
        for one, other in zip(a.views, b.views, strict=True):
            assert (one - other.cpu()).abs().max() < 0.05


def test_scores_and_probes_equal_those_of_the_host():
    rng = np.random.default_rng(0)
    y = np.arange(600) % 3
    x = (rng.standard_normal((600, 16)) + 2 * np.eye(16)[y]).astype(np.float32)
    moved = torch.from_numpy(x).to("cuda")
    assert jessl.rankme(moved) == pytest.approx(jessl.rankme(x), rel=1e-6)
    train, test = jessl.Embeddings(x[:400], y[:400]), jessl.Embeddings(x[400:], y[400:])
    for kind in ("logistic", "knn"):
        expected = jessl.probe(train, test, kind=kind).accuracy
        assert jessl.probe(train, test, kind=kind, device="cuda").accuracy == pytest.approx(
            expected, abs=0.02
        )
