"""Views on a rehearsed GPU, and the batch on its way there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from helpers.rehearsed_cuda import rehearsal
from jessl import Loader
from jessl.data import open_source
from jessl.views import Views, presets
from jessl.views.params import as_table

PRESETS = ("simclr", "byol", "multicrop", "gaussian_noise", "coarse")


def photos(side: int, n: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", PRESETS)
def test_views_on_the_device_equal_those_of_the_cpu(name):
    views: Views = presets.preset(name, 16)
    images = photos(24)
    params = views.sample(np.arange(6), 0, 0, 24, 24)
    table = np.stack([as_table([p])[0] for p in params])
    expected = views.apply(images, params)
    with rehearsal():
        moved = torch.from_numpy(images).to("cuda")
        # under the autocast of a training, which must change nothing
        with torch.autocast("cuda", dtype=torch.bfloat16):
            made = views.apply_on_device(moved, table)
        for a, b in zip(made, expected, strict=True):
            assert a.is_cuda
            assert a.dtype == torch.float32
            assert (a.cpu() - b).abs().max() < 0.05


def test_views_of_no_images_are_on_the_device_as_well():
    view = presets.simclr(16)
    with rehearsal():
        none = torch.zeros((0, 24, 24, 3), dtype=torch.uint8, device="cuda")
        [a, b] = view.apply_on_device(none, view.neutral_table(0))
        assert a.is_cuda
        assert b.is_cuda


@pytest.mark.parametrize("augment", ["cpu", "device"])
def test_batches_of_images_that_do_not_fit(tmp_path, augment, monkeypatch):
    """Page-locked buffers are filled again only after their copies; the batches are the CPU's."""
    monkeypatch.setattr("jessl.data.loading.loader._RESIDENT_SHARE", 0.0)
    np.savez(tmp_path / "x.npz", x=photos(24, 40), y=np.arange(40) % 4)
    source, recipe = open_source(str(tmp_path / "x.npz")), presets.simclr(16)
    options = {"seed": 3, "workers": 2, "prefetch": 1}
    expected = [[v.clone() for v in b.views] for b in Loader(source, recipe, 4, **options)]
    with rehearsal() as cuda:
        loader = Loader(source, recipe, 4, device="cuda", augment=augment, **options)
        for batch, views in zip(loader, expected, strict=True):
            assert batch.labels is not None
            assert batch.labels.device.type == "cpu"
            for a, b in zip(batch.views, views, strict=True):
                assert a.is_cuda
                assert (a.cpu() - b).abs().max() < 0.05
        assert cuda.operations > 20


def test_batches_of_images_that_lie_on_the_device(tmp_path):
    np.savez(tmp_path / "x.npz", x=photos(24, 12), y=np.arange(12) % 4)
    with rehearsal():
        loader = Loader(str(tmp_path / "x.npz"), presets.simclr(16), 4, device="cuda", workers=1)
        assert [b.views[1].is_cuda for b in loader] == [True] * 3
