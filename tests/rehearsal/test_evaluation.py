"""Scores, probes and extraction on a rehearsed GPU, and a whole run from images to accuracy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import jessl
from helpers.rehearsed_cuda import rehearsal
from jessl.core.interruption import Stopped
from jessl.scores import SCORES
from jessl.scores.registry import OF_VIEWS


def rows(n: int = 120, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return (rng.standard_normal((n, d)) + 2 * np.eye(d)[y]).astype(np.float32), y


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_equal_those_of_the_host(dtype):
    x = torch.from_numpy(rows()[0]).to(dtype)
    names = [name for name in SCORES if name not in OF_VIEWS]
    expected = jessl.score(x, names)
    with rehearsal():
        result = jessl.score(x.to("cuda"), names)
    for name in names:
        assert result[name].value == pytest.approx(expected[name].value, rel=1e-5, nan_ok=True)


def test_a_spectrum_is_summed_on_the_device():
    x = torch.from_numpy(rows()[0])
    for blocks in (0, 4):
        expected = jessl.Spectrum(6, blocks=blocks).update(x).rankme()
        with rehearsal():
            spectrum = jessl.Spectrum(6, blocks=blocks)
            for part in x.to("cuda").split(50):
                spectrum.update(part)
            assert spectrum.rankme() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("logistic", {}), ("ridge", {}), ("knn", {"k": 5}), ("mlp", {"hidden": 8, "epochs": 2})],
)
def test_probes_equal_those_of_the_host(kind, options):
    x, y = rows()
    train, test = jessl.Embeddings(x[:80], y[:80]), jessl.Embeddings(x[80:], y[80:])
    expected = jessl.probe(train, test, kind=kind, **options).accuracy
    with rehearsal():
        result = jessl.probe(train, test, kind=kind, device="cuda", **options)
    assert result.accuracy == pytest.approx(expected, abs=0.03)


def test_embeddings_of_device_tensors():
    x, y = rows()
    with rehearsal():
        z = jessl.Embeddings(torch.from_numpy(x).to("cuda"), torch.from_numpy(y).to("cuda"))
    assert np.array_equal(z.features, x)


def test_a_run_from_images_to_accuracy(stripes, tmp_path):
    """Pretraining, its evaluations and checkpoints, resuming, embedding; all on the device."""
    config = jessl.Pretrain(
        data=str(stripes), out=str(tmp_path / "run"), device="cuda", encoder="smallconv:4", size=16,
        epochs=2, batch_size=24, holdout=24, log_steps=1, objective="byol", workers=1,
        precision="bfloat16", checkpoint_epochs=1, micro_batch_size=12,
    )  # fmt: skip
    steps = []
    with rehearsal() as cuda:
        with pytest.raises(Stopped):
            jessl.pretrain(config, quiet=True, stop=lambda: steps.append(0) or len(steps) > 1)
        assert steps
        run = jessl.pretrain(dataclasses.replace(config, resume=True), quiet=True)
        assert cuda.convolutions == {torch.float32, torch.bfloat16}
        z = jessl.embed(run, str(stripes), device="cuda", layers=("backbone", "projector"))
    assert np.isfinite(z["projector"].features).all()
    assert run.finished
