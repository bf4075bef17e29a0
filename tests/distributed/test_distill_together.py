"""Two processes distil as one: each embeds a share of the images, and has its rows' targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.groups import together
from helpers.run_samples import losses, small_config
from jessl import Embeddings, Run, embed, pretrain


def _run(data: Path, folder: Path, out: str, teacher: str) -> Run:
    config = small_config(
        data,
        folder / out,
        objective="distill",
        objective_options={"variant": "relational"},
        teacher=teacher,
        epochs=1,
        evaluate_epochs=0,
        online_probes=False,
        optimizer="sgd",
    )
    return pretrain(config, quiet=True)


def _both(rank: int) -> list[Any]:
    folder = Path(os.environ["DISTILL_FOLDER"])
    run = _run(Path(os.environ["DISTILL_DATA"]), folder, "two", str(folder / "teacher"))
    return losses(run) if rank == 0 else []


def test_a_distilled_run_of_two_processes_is_that_of_one(
    stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = small_config(
        stripes, tmp_path / "teacher", objective="simclr", epochs=1, evaluate_epochs=0
    )
    teacher = pretrain(start, quiet=True)
    monkeypatch.setenv("DISTILL_FOLDER", str(tmp_path))
    monkeypatch.setenv("DISTILL_DATA", str(stripes))
    shared, _ = together(_both, tmp_path)
    alone = losses(_run(stripes, tmp_path, "one", str(teacher.path)))
    assert [s for s, _ in shared] == [s for s, _ in alone]
    np.testing.assert_allclose([v for _, v in shared], [v for _, v in alone], rtol=2e-3)
    two = Embeddings.load(tmp_path / "two" / "teacher")
    np.testing.assert_allclose(two.features, embed(teacher, stripes).features, atol=1e-5)
