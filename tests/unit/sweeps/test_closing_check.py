"""The closing check of a run: measured once on the same images, and anew on others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from jessl import Run, open_source
from jessl.data import Subset
from jessl.selection.run_evaluation import decompose_run, probe_run


def test_other_images_are_measured_anew_and_the_same_are_not(
    finished: Run, stripes: Path, tmp_path: Path
) -> None:
    run = Run(Path(shutil.copytree(finished.path, tmp_path / "run")))
    source = open_source(stripes)
    train, some, others = (Subset(source, np.arange(96)[k::3]) for k in range(3))
    for count, test in enumerate((some, some, others), 1):
        found = probe_run(run, train, test, kinds=("knn",)) | decompose_run(run)
        told = [r for r in run.records() if r.split == "test"]
        assert sum(r.name == "accuracy/knn" for r in told) == max(1, count - 1)
        assert sum(r.name == "risk/total" for r in told) == max(1, count - 1)
        assert {r.extra["test"] for r in told[-6:]} == {test.fingerprint()}
        assert found["risk/total"] == told[-1].value


def test_classes_that_were_not_learnt_are_refused(
    finished: Run, stripes: Path, tmp_path: Path
) -> None:
    with np.load(stripes) as held:
        x, y = held["x"], held["y"]
    np.savez(tmp_path / "others.npz", x=x, y=y + 7)
    before = len(finished.records())
    with pytest.raises(ValueError, match=r"test: none of its classes \(7, 8\)"):
        probe_run(finished, open_source(stripes), open_source(tmp_path / "others.npz"))
    with pytest.raises(ValueError, match=r"train: the images of .* have no labels"):
        probe_run(finished, open_source(x), open_source(stripes))
    assert len(finished.records()) == before
