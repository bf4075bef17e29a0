"""Four worker processes on one study, some of which are killed: every unit ends exactly once."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.run_samples import small_config
from helpers.sweep_samples import address, closed, owners, trials_of
from helpers.sweep_worker import ENDED, TRAINING, WRITING, started
from jessl.config import Sweep
from jessl.sweeps.coordination import FINISHED
from jessl.sweeps.study_state import Study, begin


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Four settings with two seeds of the smallest trainings there are."""
    data = tmp_path_factory.mktemp("data") / "images.npz"
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(data, x=x)
    base = small_config(
        data, Path("unused"), epochs=1, batch_size=10, evaluate_epochs=0, online_probes=False
    )
    space = {"lr": [0.001, 0.003, 0.01, 0.03]}
    return Sweep(base=dataclasses.replace(base, out=None), space=space, scores=("loss",))


def _worked(folder: Path, storage: str | None, dies: list[str | None]) -> None:
    with started(folder, storage, dies) as processes:
        end = time.monotonic() + 400
        while any(p.is_alive() for p in processes):
            assert time.monotonic() < end, [p.exitcode for p in processes]
            time.sleep(0.1)
    killed = [-signal.SIGKILL if when else 0 for when in dies]
    assert [p.exitcode for p in processes] == killed


def _scores(study: Study) -> dict[tuple[Any, int], dict[str, Any]]:
    """(lr, seed) -> what its run was judged to be."""
    return {(e.unit.params["lr"], e.unit.seed): e.result["scores"] for e in study.ended()}


@pytest.fixture(scope="module")
def alone(asked: Sweep, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """The scores of the study as one worker has them, which nobody kills."""
    folder = tmp_path_factory.mktemp("alone") / "study"
    study = begin(folder, asked, storage=f"journal:{folder}.log")
    _worked(folder, f"journal:{folder}.log", [None])
    assert Counter(e.outcome for e in study.ended()) == {FINISHED: 8}
    return _scores(study)


@pytest.mark.parametrize("kind", ["postgresql", "journal"])
def test_every_unit_ends_exactly_once_whoever_is_killed(
    kind: str, asked: Sweep, alone: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    storage = address(kind, tmp_path, request)
    folder = tmp_path / "study"
    study = begin(folder, asked, storage=storage)
    _worked(folder, storage, [None, TRAINING, WRITING, ENDED])
    units = study.units()
    assert study.all_ended()
    assert Counter(e.outcome for e in study.ended()) == {FINISHED: 8}
    assert owners(study.ledger, units) == {unit.name: 1 for unit in units}
    assert study.ledger.count_running() == 0
    # as from one worker, also where a run was begun by one and ended by another
    assert _scores(study) == alone
    reasons = Counter(
        t.user_attrs["reason"]
        for unit in units
        for t in trials_of(study.ledger, unit)
        if t.state.name == "FAIL"
    )
    assert reasons["lost"] == 3
    assert sorted(p.name for p in (folder / "runs").iterdir()) == sorted(
        study.name(unit) for unit in units
    )
    closed(study.storage)
