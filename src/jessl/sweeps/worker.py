"""A worker of a study: claims units, trains and scores them, and stores how they ended.

Workers do not know each other: they share the storage, and the study's folder where they see the
same disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError

from jessl.config import Pretrain
from jessl.core.files import Busy, locked
from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.core.progress import duration
from jessl.pretraining import pretrain
from jessl.runs import Run
from jessl.selection.criteria import parse_criterion
from jessl.selection.run_evaluation import (
    decompose_run,
    mark_diverged,
    probe_run,
    score_run,
    summarize_run,
)
from jessl.sweeps import coordination
from jessl.sweeps import pruning as halving
from jessl.sweeps.coordination import Ended, Unit
from jessl.sweeps.leases import Lease
from jessl.sweeps.manifest import set_aside
from jessl.sweeps.study_state import Study
from jessl.tracking import RunTracker, Status, Tracking
from jessl.training.loop import Diverged
from jessl.views.presets import COMPARISON

T = TypeVar("T")

# between two looks at a study in which others work on all that is left
_LOOK_SECONDS = 2.0
# of a database that restarts
_OUTAGE_SECONDS, _OUTAGE_LOOK_SECONDS = 300.0, 5.0
# a worker that lost its lease still holds its run until it notices: the next one waits for it
_BUSY_SECONDS = 120.0


class _Away(Exception):
    """The storage stays out of reach."""


@dataclass
class Worker:
    """Works on a study.

    Args:
        study: open.
        log: lines on the progress.
        stop: called between two steps; True saves the run under way and leaves it to others.
    """

    study: Study
    log: Log
    stop: Callable[[], bool]

    def __post_init__(self) -> None:
        base, group = self.study.plan.config.base, self.study.folder.resolve().name
        self._tracking = Tracking(base.log, project=base.log_project, group=group, log=self.log)

    def work(self) -> int:
        """Work until every unit has ended or `stop` returns True; how many runs this worker ended.

        Raises:
            OSError: for a disk that is full or gone; the run under way is left to others.
            ValueError: when the storage stays out of reach.
        """
        try:
            return self._work()
        except _Away as away:
            raise ValueError(str(away)) from None
        finally:
            self._tracking.report_incomplete()

    def _work(self) -> int:
        done = 0
        began = time.monotonic()
        while not self.stop():
            unit = self._patiently(self._next)
            if unit is None:
                if self._patiently(self.study.all_ended):
                    break
                time.sleep(_LOOK_SECONDS)
            elif self._one(unit):
                done += 1
                self._patiently(partial(self._report_unit, unit, done, time.monotonic() - began))
        return done

    def _next(self) -> Unit | None:
        """A unit to work on; None where others work on all that is left."""
        unit, lost = self.study.next_unit()
        for one in lost:
            self.log.info(
                f"  lost      {self.study.name(one)}: its worker is gone; it is tried again"
            )
        return unit

    def _one(self, unit: Unit) -> bool:
        """Train and score a unit; False where it was left to others."""
        ledger = self.study.ledger
        trial_id = self._patiently(lambda: ledger.trial_id(unit.number))
        with Lease(self.study.storage.backend, trial_id, self.study.lease_seconds) as lease:
            pruning = _Pruning(self.study, unit, self._patiently)
            config = self.study.config(unit)
            path = Path(str(config.out))
            outcome, merit = coordination.FINISHED, None
            result: dict[str, Any] = {}
            tracker = self._tracking.tracker()
            status: Status = "interrupted"
            try:
                self._train(config, lease, pruning, tracker)
                if lease.lost:
                    return False
                with locked(path, check=partial(Run.open, path)):
                    result |= self._evaluate(Run.open(path))
                merit = self._merit(result)
                status = "finished" if merit is not None else "failed"
                if merit is None:
                    outcome = coordination.DIVERGED
            except Stopped:
                if lease.lost:
                    return False
                if not pruning.behind:
                    self._leave(unit)
                    return False
                outcome, status = coordination.PRUNED, "pruned"
                result |= {"epochs": pruning.epoch}
            except Busy:
                # a suspended worker holds the run: it continues it, or ends and another does
                self._leave(unit)
                return False
            except _Away:
                raise  # the lease runs out
            except Diverged as error:
                outcome, status = coordination.DIVERGED, "failed"
                result |= {"reason": str(error)}
                mark_diverged(Run.open(path), str(error))
            except ValueError as error:
                # of this setting alone: a batch larger than the images, a view that is too small
                outcome, result = coordination.REFUSED, {**result, "reason": _one_line(error)}
                status = "failed"
            except (MemoryError, RuntimeError) as error:
                # perhaps for what else runs here: tried again, and given up in the end
                self.log.info(f"  lost      {self.study.name(unit)}: {_one_line(error)}")
                self._patiently(lambda: ledger.mark_lost(unit))
                return False
            except BaseException:
                self._leave(unit)
                raise
            finally:
                tracker.close(status)
            return self._patiently(lambda: ledger.end(unit, outcome, merit, result))

    def _leave(self, unit: Unit) -> None:
        """Leave a unit to others; where the storage is out of reach, the lease runs out."""
        try:
            self.study.ledger.release(unit)
        except StorageInternalError as error:
            self.log.note(f"{self.study.name(unit)} is left to others ({_one_line(error)})")

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call what needs the storage; one that is out of reach for a while is waited for."""
        began = time.monotonic()
        while True:
            try:
                return call()
            except StorageInternalError as error:
                reason = _one_line(error.__cause__ or error)
                shown = self.study.storage.shown
                if self.stop():
                    raise Stopped(f"stopped while storage {shown} is out of reach") from None
                if time.monotonic() - began > _OUTAGE_SECONDS:
                    raise _Away(f"storage {shown} is out of reach: {reason}") from None
                self.log.note(f"the storage does not answer ({reason}); it is tried again")
                time.sleep(_OUTAGE_LOOK_SECONDS)

    def _train(
        self, config: Pretrain, lease: Lease, pruning: _Pruning, tracker: RunTracker
    ) -> None:
        """Train; a run that another worker still holds is waited for."""
        if (moved := set_aside(self.study.folder, Path(str(config.out)))) is not None:
            self.log.note(f"{moved}; trained again")
        waited = time.monotonic()
        while True:
            try:
                pretrain(
                    config,
                    source=self.study.images,
                    quiet=True,
                    stop=lambda: self.stop() or lease.lost or pruning.behind,
                    on_evaluation=pruning.evaluated,
                    tracker=tracker,
                )
                return
            except Busy:
                if time.monotonic() - waited > _BUSY_SECONDS or self.stop():
                    raise
                time.sleep(_LOOK_SECONDS)

    def _evaluate(self, run: Run) -> dict[str, Any]:
        """Scores and, with a closing check, accuracies; as values that JSON holds."""
        plan, study = self.study.plan, self.study
        criteria = (*plan.criteria, *map(parse_criterion, plan.config.scores))
        scores = score_run(
            run,
            list({c.text: c for c in criteria}.values()),
            study.images,
            recipe=plan.config.score_views or COMPARISON,
        )
        result = summarize_run(run, scores)
        if study.test is not None:
            test = probe_run(run, study.source, study.test)
            result["test"] = test | (decompose_run(run) if plan.config.decompose else {})
        return result

    def _merit(self, result: dict[str, Any]) -> float | None:
        value = result["scores"][self.study.plan.criterion.text]["value"]
        return None if value is None else self.study.plan.criterion.utility(value)

    def _report_unit(self, unit: Unit, done: int, seconds: float) -> None:
        self.study.ledger.refresh()
        ended, total = self.study.ended(), self.study.count()
        mine = next((e for e in ended if e.unit.name == unit.name), None)
        if mine is None:  # the study was made smaller meanwhile
            return
        running = 1 + self.study.ledger.count_running()  # this one is about to take another
        left = duration(seconds / done * (total - len(ended)) / running)
        place = f"{len(ended):3d}/{total}  {self.study.name(unit):<34}"
        self.log.info(f"  {place} {self._outcome(mine)}   about {left} left")

    def _outcome(self, ended: Ended) -> str:
        if ended.outcome == coordination.PRUNED:
            return f"stopped after {ended.result['epochs']} epochs, behind the others"
        if ended.outcome != coordination.FINISHED:
            return f"{ended.outcome}: {ended.result.get('reason', 'a score is not a number')}"
        text = self.study.plan.criterion.text
        score = ended.result["scores"][text]
        sd = "" if score["sd"] is None else f" ± {score['sd']:.2g}"
        return f"{text} {score['value']:.4g}{sd}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Pruning:
    """Whether a run falls behind those that reached its rung before.

    Attributes:
        behind: whether it is to be stopped.
        epoch: the last one with scores.
    """

    def __init__(
        self, study: Study, unit: Unit, patiently: Callable[[Callable[[], bool]], bool]
    ) -> None:
        self._study, self._unit, self._patiently = study, unit, patiently
        self.behind = False
        self.epoch = 0

    def evaluated(self, epoch: int, numbers: dict[str, float]) -> None:
        """Take the scores after an epoch, and compare the run where it has reached a rung."""
        value = numbers.get(self._study.plan.criterion.text)
        self.epoch = epoch
        if value is None or value != value:
            return
        merit = self._study.plan.criterion.utility(value)
        if epoch in self._study.rungs(self._unit):
            self.behind = not self._patiently(lambda: self._goes_on(epoch, merit))

    def _goes_on(self, epoch: int, merit: float) -> bool:
        study = self._study
        if not study.ledger.report(self._unit, epoch, merit):
            return False  # another worker has taken the run over
        others = study.others_at(epoch, self._unit)
        return halving.goes_on(merit, others, study.plan.config.keep_share)
