"""What is judged while training is the same with several processes as with one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from groups import together

from jessl.data import Subset, open_source
from jessl.encoders import build_encoder
from jessl.objectives import build_objective
from jessl.pretraining import judge

PLACE = "JESSL_TEST_STRIPES"


def _judged(images: int) -> dict[str, float]:
    torch.manual_seed(0)
    encoder = build_encoder("smallconv:4", size=8)
    objective = build_objective("vicreg", encoder.dim, {"projector": "12-10"})
    source = Subset(open_source(os.environ[PLACE]), np.arange(images))
    return judge.online(encoder, objective, source, workers=1)


def _many(rank: int) -> dict[str, float]:
    return _judged(61)


def _one_image(rank: int) -> dict[str, float]:
    return _judged(1)


@pytest.mark.parametrize(("work", "images"), [(_many, 61), (_one_image, 1)])
def test_shares_add_up(
    work, images, stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACE, str(stripes))
    one = _judged(images)
    assert {k.partition("/")[0] for k in one} >= set(judge.SCORES)
    if images > 1:
        assert {"accuracy/linear", "accuracy/knn"} <= one.keys()
    for found in together(work, tmp_path):
        assert found.keys() == one.keys()
        for name, value in one.items():
            assert found[name] == pytest.approx(value, rel=1e-5, nan_ok=True), name
