"""Early stopping: training ends when view retrieval no longer rises, also across a resumption."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from helpers.run_samples import small_config
from jessl import Run, pretrain
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT
from jessl.pretraining import monitor
from jessl.pretraining.early_stopping import EarlyStopping
from jessl.records import HELD_OUT, Record
from jessl.schema import VIEW_RETRIEVAL
from jessl.training import checkpoint

# view retrieval at epochs 0, 1, 2, ...: highest at epoch 2
CURVE = (0.1, 0.2, 0.3, 0.25, 0.3, 0.28, 0.9, 0.95)


@pytest.mark.parametrize(("patience", "last"), [(1, 3), (2, 4), (3, 5), (4, None), (None, None)])
def test_it_counts_evaluations_since_the_highest(patience: int | None, last: int | None) -> None:
    early = EarlyStopping(patience, [], SILENT)
    reached = None
    for epoch, value in enumerate(CURVE[:6]):
        early.update(epoch, {VIEW_RETRIEVAL: value})
        if reached is None and early.enough():
            reached = epoch
    assert reached == last


def test_past_records_count(tmp_path: Path) -> None:
    past = [
        Record(
            run="r", step=epoch, epoch=epoch, split=HELD_OUT, seconds=0.0,
            name=VIEW_RETRIEVAL, value=value,
        )
        for epoch, value in enumerate(CURVE[:4])
    ]  # fmt: skip
    early = EarlyStopping(2, past, SILENT)
    assert not early.enough()
    early.update(4, {VIEW_RETRIEVAL: 0.3})
    assert early.enough()


def test_what_is_not_finite_is_not_higher() -> None:
    early = EarlyStopping(2, [], SILENT)
    for epoch in range(2):
        early.update(epoch, {VIEW_RETRIEVAL: math.nan})
    assert early.enough()


def _scripted(monkeypatch: pytest.MonkeyPatch, curve: tuple[float, ...] = CURVE) -> None:
    values = iter(curve)
    monkeypatch.setattr(monitor, "evaluate_views", lambda *_a, **_k: {VIEW_RETRIEVAL: next(values)})


def _epochs(run: Run) -> set[float | None]:
    return {r.epoch for r in run.records() if r.split == "pretrain"}


def test_a_run_ends_early_and_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _scripted(monkeypatch)
    config = small_config(
        "digits", tmp_path / "run", epochs=7, evaluate_epochs=1, patience=2, batch_size=256
    )
    run = pretrain(config)
    assert run.finished()
    # the evaluation at the end belongs to the epoch that was reached
    assert _epochs(run) == {4}
    steps = int(run.facts()["steps_per_epoch"])
    assert checkpoint.steps(run.checkpoints)[-1][0] == 4 * steps
    printed = "".join(capsys.readouterr())
    assert "stopped early after epoch 4" in printed
    assert "0.300 after epoch 2" in printed


def test_a_killed_run_stops_where_a_whole_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _scripted(monkeypatch)
    fields = {"epochs": 7, "evaluate_epochs": 1, "patience": 2, "batch_size": 256}
    reached = 0

    def on_evaluation(epoch: int, _scores: dict[str, float]) -> None:
        nonlocal reached
        reached = epoch

    with pytest.raises(Stopped):
        pretrain(
            small_config("digits", tmp_path / "run", **fields),
            quiet=True, on_evaluation=on_evaluation, stop=lambda: reached == 3,
        )  # fmt: skip
    _scripted(monkeypatch, CURVE[4:])
    run = pretrain(small_config("digits", tmp_path / "run", resume=True, **fields), quiet=True)
    assert run.finished()
    assert _epochs(run) == {4}


def test_a_run_killed_during_its_last_evaluation_trains_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the package has the function under the name of the module
    verb = sys.modules["jessl.pretraining.pretrain"]
    _scripted(monkeypatch)
    fields = {"epochs": 7, "evaluate_epochs": 1, "patience": 2, "batch_size": 256}

    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(verb, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(small_config("digits", tmp_path / "run", **fields), quiet=True)
    # no value is left: another evaluation during training would fail
    _scripted(monkeypatch, ())
    run = pretrain(small_config("digits", tmp_path / "run", resume=True, **fields), quiet=True)
    assert run.finished()
    assert _epochs(run) == {4}


def test_patience_needs_evaluations(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="patience: expected evaluate_epochs above 0"):
        pretrain(small_config("digits", tmp_path / "run", patience=2, evaluate_epochs=0))
    with pytest.raises(ValueError, match="patience: expected at least 1, got 0"):
        pretrain(small_config("digits", tmp_path / "run", patience=0))
