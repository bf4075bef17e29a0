"""What is judged while training is the same with several processes as with one."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.groups import together
from jessl.data import Source, Subset, UnreadableImage, open_source
from jessl.encoders import build_encoder
from jessl.objectives import build_objective
from jessl.pretraining import evaluate
from jessl.pretraining.evaluate_views import evaluate_views

PLACE = "JESSL_TEST_STRIPES"


def _judged(
    images: int, source: Source | None = None, weights: float | None = None
) -> dict[str, float]:
    torch.manual_seed(0)
    encoder = build_encoder("smallconv:4", size=8)
    objective = build_objective("vicreg", encoder.dim, {"projector": "12-10"})
    if weights is not None:
        torch.nn.init.constant_(next(encoder.parameters()), weights)
    if source is None:
        source = open_source(os.environ[PLACE])
    sample = Subset(source, np.arange(images))
    scores = evaluate.evaluate_online(encoder, objective, sample, workers=1)
    return scores | evaluate_views(encoder, sample, workers=1)


def _many(rank: int) -> dict[str, float]:
    return _judged(61)


def _diverged(rank: int) -> dict[str, float]:
    """Told, not stopped: labels or not."""
    return _judged(40, weights=math.nan)


def _one_image(rank: int) -> dict[str, float]:
    return _judged(1)


class _Sparse(Source):
    """Labels at the even places only: the second of two processes has none."""

    def __init__(self, source: Source) -> None:
        assert source.labels is not None
        self.name, self.ids, self._inner = source.name, source.ids, source
        kind = np.arange(len(source)) // 2 % 2
        self.labels = np.where(np.arange(len(source)) % 2 == 0, kind, -1)

    def read(self, index: int) -> np.ndarray:
        return self._inner.read(index)

    def key(self, index: int) -> str:
        return self._inner.key(index)

    def where(self, index: int) -> str:
        return self._inner.where(index)

    def fingerprint(self) -> str:
        return "sparse"


class _Torn(_Sparse):
    """Every image of the second process cannot be read."""

    def read(self, index: int) -> np.ndarray:
        if index % 2:
            raise UnreadableImage(f"{index}", "torn")
        return super().read(index)


def _sparse(rank: int) -> dict[str, float]:
    return _judged(40, _Sparse(open_source(os.environ[PLACE])))


def _torn(rank: int) -> dict[str, float]:
    return _judged(40, _Torn(open_source(os.environ[PLACE])))


@pytest.mark.parametrize(
    ("work", "images"), [(_many, 61), (_one_image, 1), (_sparse, 40), (_torn, 40), (_diverged, 40)]
)
def test_shares_add_up(
    work, images, stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACE, str(stripes))
    one = _judged(images) if work in (_many, _one_image) else work(0)
    assert {k.partition("/")[0] for k in one} >= set(evaluate.SCORES)
    if work is _diverged:
        assert all(math.isnan(value) for value in one.values())
    if images > 1:
        assert {"accuracy/linear", "accuracy/knn"} <= one.keys()
    for found in together(work, tmp_path):
        assert found.keys() == one.keys()
        for name, value in one.items():
            assert found[name] == pytest.approx(value, rel=1e-5, nan_ok=True), name
