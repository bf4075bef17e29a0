"""What a worker of a study does with its units, whatever their trainings come to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError

from helpers.run_samples import small_config
from jessl.config import Sweep
from jessl.core.files import Busy
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.sweeps import study_state, worker
from jessl.sweeps.coordination import DIVERGED, FINISHED, PRUNED, REFUSED
from jessl.sweeps.study_state import Study, begin
from jessl.sweeps.worker import Worker
from jessl.training.loop import Diverged

LRS = [0.1, 0.2, 0.3]


@pytest.fixture
def asked(stripes: Path) -> Sweep:
    base = small_config(stripes, Path("unused"), epochs=8, evaluate_epochs=1)
    return Sweep(
        base=dataclasses.replace(base, out=None), space={"lr": LRS}, seeds=(0, 1), by="rankme"
    )


class Faked:
    """Trainings that take no time: what each of them does is set by the test.

    Attributes:
        begun: folders of the trainings, in order.
        does: lr -> what a training of it does, called with (stop, on_judged).
        scores: lr -> the score of its run.
        tracker: of the last training.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.tracker: Any = None
        self.does: dict[float, Callable[..., None]] = {}
        self.scores: dict[float, float | None] = {}
        self._lr: dict[str, float] = {}

    def pretrain(
        self, config: Any, *, stop: Any, on_evaluation: Any, tracker: Any = None, **_: Any
    ) -> None:
        self.tracker = tracker
        self.begun.append(Path(config.out).name)
        self._lr[str(config.out)] = config.lr
        self.does.get(config.lr, lambda *_: None)(stop, on_evaluation)

    def summary(self, run: Path, found: Any) -> dict[str, Any]:
        value = self.scores.get(self._lr[str(run)], 1.0)
        score = {"value": value, "sd": None, "n": 1, "d": 1}
        return {"scores": {"rankme/projector": score}, "folder": str(run)}


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Faked:
    found = Faked()
    monkeypatch.setattr(worker, "pretrain", found.pretrain)
    monkeypatch.setattr(worker, "Run", SimpleNamespace(open=lambda path: path))
    monkeypatch.setattr(worker, "score_run", lambda *_, **__: {})
    monkeypatch.setattr(worker, "summarize_run", found.summary)
    monkeypatch.setattr(worker, "mark_diverged", lambda *_: None)
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.02)
    return found


@pytest.fixture
def study(tmp_path: Path, asked: Sweep) -> Study:
    return begin(tmp_path / "s", asked, storage=f"journal:{tmp_path}/study.log")


def _worker(study: Study, stop: Callable[[], bool] = lambda: False) -> Worker:
    return Worker(study, SILENT, stop)


def _outcomes(study: Study) -> dict[tuple[Any, int], str]:
    return {(e.unit.params["lr"], e.unit.seed): e.outcome for e in study.ended()}


def _raising(error: BaseException) -> Callable[..., None]:
    def does(*_: Any) -> None:
        raise error

    return does


def test_a_worker_ends_every_unit_in_its_own_way(study: Study, faked: Faked) -> None:
    faked.does = {0.1: _raising(ValueError("batch\nof 99")), 0.2: _raising(Diverged("NaN at 3"))}
    faked.scores = {0.3: 7.0}
    told: list[str] = []
    assert Worker(study, Log(told.append), lambda: False).work() == 6
    assert _outcomes(study) == {
        (lr, seed): outcome
        for lr, outcome in zip(LRS, (REFUSED, DIVERGED, FINISHED), strict=True)
        for seed in (0, 1)
    }
    reasons = {e.unit.params["lr"]: e.result.get("reason") for e in study.ended()}
    assert reasons == {0.1: "batch of 99", 0.2: "NaN at 3", 0.3: None}
    assert len(told) == 6
    assert "6/6" in told[-1]
    assert _worker(study).work() == 0
    assert len(faked.begun) == len(set(faked.begun)) == 6


def test_a_score_that_is_no_number_is_a_run_that_diverged(study: Study, faked: Faked) -> None:
    faked.scores = {0.1: None}
    _worker(study).work()
    assert _outcomes(study)[0.1, 0] == DIVERGED
    assert _outcomes(study)[0.2, 0] == FINISHED


def test_loggers_learn_how_each_run_ended(
    study: Study, faked: Faked, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    tracker = SimpleNamespace(close=closed.append)
    trackings: list[Any] = []

    def tracking(*args: Any, **options: Any) -> Any:
        trackings.append((args, options["group"]))
        return SimpleNamespace(tracker=lambda: tracker, report_incomplete=lambda: None)

    monkeypatch.setattr(worker, "Tracking", tracking)
    faked.does = {0.1: _raising(ValueError("batch")), 0.2: _raising(Diverged("NaN at 3"))}
    _worker(study).work()
    assert faked.tracker is tracker
    assert closed == ["failed"] * 4 + ["finished"] * 2
    assert trackings == [((None,), "s")]


def test_a_worker_that_is_stopped_gives_its_unit_back(study: Study, faked: Faked) -> None:
    stopped: list[bool] = []

    def stop(*_: Any) -> None:
        stopped.append(True)
        raise Stopped("stopped")

    faked.does = {0.2: stop}
    assert _worker(study, lambda: bool(stopped)).work() == 2
    assert study.ledger.count_running() == 0
    assert len(study.ended()) == 2
    faked.does = {}
    assert _worker(study).work() == 4
    assert set(_outcomes(study).values()) == {FINISHED}


def test_a_worker_that_is_interrupted_gives_its_unit_back(study: Study, faked: Faked) -> None:
    faked.does = {0.1: _raising(KeyboardInterrupt())}
    with pytest.raises(KeyboardInterrupt):
        _worker(study).work()
    assert study.ledger.count_running() == 0
    assert study.ended() == []


def test_a_worker_whose_unit_was_taken_over_leaves_it_and_goes_on(
    study: Study, faked: Faked, tmp_path: Path, asked: Sweep
) -> None:
    study.lease_seconds = 0.2
    other = begin(tmp_path / "s", storage=f"journal:{tmp_path}/study.log")

    def slept(stop: Callable[[], bool], on_judged: Any) -> None:
        mine = next(t for t in other.ledger.study.get_trials() if t.state.name == "RUNNING")
        assert other.ledger._fail(mine.number, "lost")
        faked.does = {}
        on_judged(1, {"rankme/projector": 5.0})  # tells of a run that is not its own any more
        while not stop():
            pass
        raise Stopped("lost")

    faked.does = {0.1: slept}
    assert _worker(study).work() == 6
    assert set(_outcomes(study).values()) == {FINISHED}
    assert len(faked.begun) == 7


def test_a_worker_that_judges_while_its_unit_is_taken_over_does_not_count(
    study: Study, faked: Faked, tmp_path: Path
) -> None:
    other = begin(tmp_path / "s", storage=f"journal:{tmp_path}/study.log")

    def overtaken(*_: Any) -> None:
        mine = next(t for t in other.ledger.study.get_trials() if t.state.name == "RUNNING")
        assert other.ledger._fail(mine.number, "lost")
        other.ledger.enqueue(other.units())
        while (unit := other.ledger.claim()) is not None:
            assert other.ledger.end(unit, REFUSED, None, {"reason": "by the other"})
        faked.scores = {0.1: 100.0}

    faked.does = {0.1: overtaken}
    assert _worker(study).work() == 0
    assert len(faked.begun) == 1
    assert set(_outcomes(study).values()) == {REFUSED}
    assert all(e.result == {"reason": "by the other"} for e in study.ended())


def test_a_run_that_another_process_holds_is_no_fault_of_its_setting(
    study: Study, faked: Faked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_BUSY_SECONDS", 0.05)
    busy = iter([Busy("held")] * 8)

    def held(*_: Any) -> None:
        if (error := next(busy, None)) is not None:
            raise error

    faked.does = {0.1: held}
    _worker(study).work()
    assert set(_outcomes(study).values()) == {FINISHED}


def test_a_unit_whose_training_fails_each_time_ends_at_last(study: Study, faked: Faked) -> None:
    faked.does = {0.1: _raising(RuntimeError("CUDA out of memory"))}
    for _ in range(8):
        try:
            _worker(study).work()
        except RuntimeError:
            continue
    assert study.all_ended()


def test_a_setting_drawn_beyond_the_last_one_does_not_kill_its_worker(
    tmp_path: Path, asked: Sweep, faked: Faked, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"lr": {"low": 0.1, "high": 1.0}}
    asked = dataclasses.replace(asked, space=space, sampler="tpe", trials=2, seeds=(0,))
    study = begin(tmp_path / "t", asked, storage=f"journal:{tmp_path}/t.log")
    other = begin(tmp_path / "t", storage=f"journal:{tmp_path}/t.log")
    other.ledger.study.sampler.reseed_rng()
    ask = study.ledger.draw

    def meanwhile(seed: int) -> Any:  # the others ask between this one's look and its asking
        for _ in range(2):
            assert other.ledger.draw(0)
            unit = other.ledger.claim(other.units())
            assert unit is not None
            faked.pretrain(other.config(unit), stop=None, on_evaluation=None)
            result = faked.summary(Path(str(other.config(unit).out)), {})
            assert other.ledger.end(unit, FINISHED, 1.0, result)
        return ask(seed)

    monkeypatch.setattr(study.ledger, "draw", meanwhile)
    _worker(study).work()
    assert study.all_ended()


def test_runs_that_fall_behind_are_stopped_and_the_best_goes_on(
    tmp_path: Path, asked: Sweep, faked: Faked
) -> None:
    lrs = [round(0.1 * k, 1) for k in range(1, 9)]
    asked = dataclasses.replace(asked, space={"lr": lrs}, prune=True, grace_epochs=2, seeds=(0,))
    study = begin(tmp_path / "p", asked, storage=f"journal:{tmp_path}/p.log")
    trained: dict[float, int] = {}

    def training(lr: float) -> Callable[..., None]:
        def does(stop: Callable[[], bool], on_judged: Callable[..., None]) -> None:
            for epoch in range(1, 9):
                trained[lr] = epoch
                on_judged(epoch, {"rankme/projector": lr * epoch, "loss": 1.0})
                if stop():
                    raise Stopped("behind")

        return does

    faked.does = {lr: training(lr) for lr in lrs}
    assert study.rungs(study.units()[0]) == [2, 4]
    _worker(study).work()
    outcomes = {lr: outcome for (lr, _), outcome in _outcomes(study).items()}
    assert outcomes[0.8] == FINISHED
    assert set(outcomes.values()) == {FINISHED, PRUNED}
    assert all(trained[lr] == (8 if outcomes[lr] == FINISHED else trained[lr]) for lr in lrs)
    assert {trained[lr] for lr in lrs} <= {2, 4, 8}
    assert sum(trained.values()) < 8 * 8
    told = {e.unit.params["lr"]: e.result["epochs"] for e in study.ended() if e.outcome == PRUNED}
    assert told == {lr: trained[lr] for lr in lrs if outcomes[lr] == PRUNED}


def test_methods_are_halved_among_themselves(tmp_path: Path, asked: Sweep, faked: Faked) -> None:
    space = {"objective": ["vicreg", "simclr"], "lr": [0.1, 0.2]}
    asked = dataclasses.replace(asked, space=space, prune=True, seeds=(0,))
    study = begin(tmp_path / "m", asked, storage=f"journal:{tmp_path}/m.log")
    study.ledger.enqueue(study.units())
    merits = {("vicreg", 0.1): 1.0, ("vicreg", 0.2): 2.0, ("simclr", 0.1): 9.0}
    units = {(u.params["objective"], u.params["lr"]): u for u in study.units()}
    while (unit := study.ledger.claim()) is not None:
        mine = (unit.params["objective"], unit.params["lr"])
        if mine in merits:
            study.ledger.report(unit, 2, merits[mine])  # type: ignore[index]
    assert study.others_at(2, units["vicreg", 0.1]) == [2.0]
    assert study.others_at(2, units["simclr", 0.1]) == []
    assert sorted(study.others_at(2, units["simclr", 0.2])) == [9.0]
    assert study.others_at(3, units["vicreg", 0.1]) == []


def test_tpe_draws_as_many_settings_as_asked_for_and_every_seed_of_them(
    tmp_path: Path, asked: Sweep, faked: Faked
) -> None:
    space = {"lr": {"low": 0.1, "high": 1.0}, "epochs": [1, 2]}
    asked = dataclasses.replace(asked, space=space, sampler="tpe", trials=12)
    study = begin(tmp_path / "t", asked)  # SQLite: drawing holds the guard
    assert _worker(study).work() == 24
    assert len(study.ledger.settings(100)) == 12
    by_setting: dict[Any, set[int]] = {}
    for e in study.ended():
        by_setting.setdefault(e.unit.name[0], set()).add(e.unit.seed)
    assert list(by_setting.values()) == [{0, 1}] * 12
    assert not math.isnan(study.ledger.study.best_value)
    assert study_state.begin(tmp_path / "t").all_ended()


def test_a_damaged_run_is_set_aside_and_trained_again(study: Study, faked: Faked) -> None:
    path = study.folder / "runs" / study.name(study.units()[0])
    path.mkdir(parents=True)
    (path / "config.json").write_text("{")
    _worker(study).work()
    assert [e.outcome for e in study.ended()] == [FINISHED] * study.count()
    (aside,) = (study.folder / "damaged").iterdir()
    assert (aside / "config.json").read_text() == "{"


def test_an_outage_of_the_storage_refuses_no_setting(
    study: Study, faked: Faked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "_OUTAGE_SECONDS", 0.2)
    monkeypatch.setattr(worker, "_OUTAGE_LOOK_SECONDS", 0.05)
    end, calls = study.ledger.end, iter(range(100))

    def away(*args: Any) -> bool:
        if next(calls) < 2:
            raise StorageInternalError("server closed the connection")
        return end(*args)

    monkeypatch.setattr(study.ledger, "end", away)
    told: list[str] = []
    Worker(study, Log(told.append), lambda: False).work()
    assert [e.outcome for e in study.ended()] == [FINISHED] * study.count()
    assert any("does not answer (server closed the connection)" in line for line in told)
    calls = iter([0] * 10_000)
    grown = study_state.begin(
        study.folder,
        dataclasses.replace(study.plan.config, seeds=(0, 1, 2, 3)),
        storage=f"journal:{tmp_path}/study.log",
    )
    monkeypatch.setattr(grown.ledger, "end", away)
    with pytest.raises(ValueError, match="is out of reach: server closed the connection"):
        Worker(grown, Log(told.append), lambda: False).work()
    assert not any(e.outcome == REFUSED for e in grown.ended())
