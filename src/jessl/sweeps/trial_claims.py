"""Which run of a study is whose, and that every one ends exactly once.

A unit is a setting with a seed; a trial of the storage is one attempt at it. Workers join and
leave as they like: what must hold is decided by the trials alone, in the order of their numbers.

- The owner of a unit is its first trial whose state is not FAIL. Others of the same unit, which two
  workers can make at the same moment, are surplus: they fail before anything is trained.
- An attempt whose worker is gone fails as "lost", one that a worker gave back as "returned"; the
  unit then has no owner, and whoever looks next makes it a new trial.
- A unit that lost MOST_LOST workers is given up: it is perhaps what kills them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from jessl.sweeps.lease import WORKER, Watch
from jessl.sweeps.space import Params, key
from jessl.sweeps.storage import Storage

_SETTING, _SEED, _REASON = "setting", "seed", "reason"
_OUTCOME, _RESULT = "outcome", "result"
LOST, RETURNED, SURPLUS, DRAWN = "lost", "returned", "surplus", "drawn"
# how a unit ends; a refused one is a setting that cannot be trained
FINISHED, PRUNED, DIVERGED, REFUSED = "finished", "pruned", "diverged", "refused"
_STATES = {
    FINISHED: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    # of failed attempts alone the state is FAIL: it decides, all at once, whether a trial's end
    # counts. TPE takes a pruned trial without values for the worst, and so stays away from it
    DIVERGED: TrialState.PRUNED,
    REFUSED: TrialState.PRUNED,
}
MOST_LOST = 3
# waiting trials that there are at a time
_AHEAD = 64


@dataclass(frozen=True)
class Unit:
    """A setting with a seed, and the trial that is this worker's attempt at it."""

    params: Params
    seed: int
    trial_id: int = -1
    number: int = -1

    @property
    def name(self) -> tuple[str, int]:
        """What tells it from the other units."""
        return key(self.params), self.seed


@dataclass(frozen=True)
class Ended:
    """How a unit ended.

    Attributes:
        outcome: finished, pruned, diverged, refused, or lost (given up).
        result: what its worker told of it.
    """

    unit: Unit
    outcome: str
    result: dict[str, Any]


class Ledger:
    """The trials of a study, read and written by one worker.

    Args:
        study: Optuna's.
        storage: which holds it.
        worker: who writes.
        watch: of the leases of others.
        distributions: the space as Optuna has it.
    """

    def __init__(
        self,
        study: Any,
        storage: Storage,
        worker: str,
        watch: Watch,
        distributions: dict[str, Any],
    ) -> None:
        self.study, self._storage, self._worker, self._watch = study, storage, worker, watch
        self._held, self._distributions = storage.held, distributions
        self._seen: list[FrozenTrial] | None = None

    def look(self) -> None:
        """Read the trials anew; until the next look `release_lost`, `complete` and `ended` see
        them as they were."""
        self._seen = self._trials()

    def complete(self, units: Sequence[Unit]) -> None:
        """Have waiting trials, a few at a time, of units without an owner that were not given up.

        A storage reads every trial that has not ended again and again: thousands of waiting ones
        would cost more than the trainings.
        """
        waiting = sum(t.state == TrialState.WAITING for t in self._known())
        by_unit = _by_unit(self._known())
        lacking = (u for u in units if self._open(by_unit.get(u.name, [])))
        with self._storage.guard():
            for unit in itertools.islice(lacking, max(0, _AHEAD - waiting)):
                self._add(unit)

    def release_lost(self) -> list[Unit]:
        """Fail the attempts whose workers are gone; the units are there for others."""
        found = []
        running = [t for t in self._known() if t.state == TrialState.RUNNING]
        for trial in self._watch.left(running):
            if self._fail(trial._trial_id, LOST) and _SETTING in trial.user_attrs:
                found.append(_unit(trial))
        return found

    def claim(self, units: Iterable[Unit] | None = None) -> Unit | None:
        """A waiting one of the units for this worker alone; None where there is none.

        Waiting trials of other units (of a larger plan, or drawn beyond the last one) stay as they
        are.

        Args:
            units: None: any.
        """
        wanted = None if units is None else {unit.name for unit in units}
        for trial in self._trials():
            name = _name(trial)
            known = name is not None if wanted is None else name in wanted
            if trial.state != TrialState.WAITING or not known:
                continue
            if self._take(trial._trial_id) and not self._surplus(trial):
                return _unit(trial)
        return None

    def ask(self, seed: int) -> bool:
        """Have a waiting trial of a new setting by the study's sampler, with its first seed.

        Returns:
            False where the setting was tried.
        """
        with self._storage.guard():  # a waiting trial can come: it is taken as by _take
            trial = self.study.ask(self._distributions)
        self._held.set_trial_user_attr(trial._trial_id, WORKER, self._worker)
        made = self._held.get_trial(trial._trial_id)
        if _SETTING in made.user_attrs:  # a waiting trial came, made by another meanwhile
            self._fail(trial._trial_id, RETURNED)
            return False
        # the unit's trial has its name from the first moment: else a later one that draws the same
        # could pass for the owner before
        drawn = Unit(dict(made.params), seed)
        new = drawn.name not in _by_unit(self._trials())
        if new:
            self._add(drawn)
        self._fail(trial._trial_id, DRAWN)
        return new

    def report(self, unit: Unit, epoch: int, merit: float) -> bool:
        """Tell how a run stands after an epoch; False where another worker has taken it over."""
        try:
            self._held.set_trial_intermediate_value(unit.trial_id, epoch, merit)
        except UpdateFinishedTrialError:
            return False
        return True

    def standing(self) -> dict[tuple[str, int], dict[int, float]]:
        """What was told of every unit after which epochs; an attempt goes on with the one before
        it."""
        found: dict[tuple[str, int], dict[int, float]] = {}
        for trial in self._trials():
            if _SETTING in trial.user_attrs:
                found.setdefault(_unit(trial).name, {}).update(trial.intermediate_values)
        return found

    def end(self, unit: Unit, outcome: str, merit: float | None, result: dict[str, Any]) -> bool:
        """End a unit; False where another worker has taken it over, and its own result counts."""
        try:
            self._held.set_trial_user_attr(unit.trial_id, _RESULT, result)
            self._held.set_trial_user_attr(unit.trial_id, _OUTCOME, outcome)
            with self._storage.guard():
                values = [merit] if outcome == FINISHED else None
                told = self._held.set_trial_state_values(unit.trial_id, _STATES[outcome], values)
        except UpdateFinishedTrialError:
            # taken over, or told twice as the answer to the first time was lost on its way
            return bool(self._held.get_trial(unit.trial_id).state == _STATES[outcome])
        return bool(told)

    def give_back(self, unit: Unit) -> None:
        """Leave a unit to others: this worker was asked to stop."""
        self._fail(unit.trial_id, RETURNED)

    def lose(self, unit: Unit) -> None:
        """Leave a unit to others after a failure that may not be its own; three are its end."""
        self._fail(unit.trial_id, LOST)

    def settings(self, most: int) -> list[Params]:
        """The first so many settings that were tried, in the order of their first trials."""
        found: dict[str, Params] = {}
        for trial in self._trials():
            if _SETTING in trial.user_attrs:
                found.setdefault(trial.user_attrs[_SETTING], dict(trial.params))
        return list(found.values())[:most]

    def ended(self, units: Iterable[Unit]) -> list[Ended]:
        """The units that ended, in the order given."""
        by_unit = _by_unit(self._known())
        found = []
        for unit in units:
            attempts = by_unit.get(unit.name, [])
            owner = _owner(attempts)
            if owner is not None and _OUTCOME in owner.user_attrs and owner.state.is_finished():
                attrs = owner.user_attrs
                found.append(Ended(_unit(owner), attrs[_OUTCOME], attrs[_RESULT]))
            elif owner is None and _given_up(attempts):
                found.append(Ended(_unit(attempts[-1]), LOST, {"attempts": len(attempts)}))
        return found

    def hands(self) -> int:
        """How many units are being worked on."""
        return sum(t.state == TrialState.RUNNING for t in self._trials())

    def _known(self) -> list[FrozenTrial]:
        """The trials as of the last look."""
        return self._trials() if self._seen is None else self._seen

    def _trials(self) -> list[FrozenTrial]:
        found: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return sorted(found, key=lambda t: t.number)

    def _open(self, attempts: Sequence[FrozenTrial]) -> bool:
        return _owner(attempts) is None and not _given_up(attempts)

    def _add(self, unit: Unit) -> None:
        """A waiting trial of a unit."""
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=dict(unit.params),
                distributions=self._distributions,
                user_attrs={_SETTING: unit.name[0], _SEED: unit.seed},
            )
        )

    def _take(self, trial_id: int) -> bool:
        with self._storage.guard():
            try:
                taken = self._held.set_trial_state_values(trial_id, TrialState.RUNNING)
            except UpdateFinishedTrialError:
                return False
            if taken:
                self._held.set_trial_user_attr(trial_id, WORKER, self._worker)
        return bool(taken)

    def _surplus(self, trial: FrozenTrial) -> bool:
        """Whether another trial owns the unit; this one fails then."""
        attempts = _by_unit(self._trials())[_unit(trial).name]
        owner = _owner(attempts)
        if owner is not None and owner.number == trial.number:
            return False
        self._fail(trial._trial_id, SURPLUS)
        return True

    def _fail(self, trial_id: int, reason: str) -> bool:
        """Fail a trial; False where it had ended."""
        with self._storage.guard():
            try:
                self._held.set_trial_user_attr(trial_id, _REASON, reason)
                self._held.set_trial_state_values(trial_id, TrialState.FAIL)
            except UpdateFinishedTrialError:
                return False
        return True


def _unit(trial: FrozenTrial) -> Unit:
    return Unit(dict(trial.params), trial.user_attrs[_SEED], trial._trial_id, trial.number)


def _name(trial: FrozenTrial) -> tuple[str, int] | None:
    """What `Unit.name` is; None of a draft, which is no attempt at anything."""
    attrs = trial.user_attrs
    return (attrs[_SETTING], attrs[_SEED]) if _SETTING in attrs else None


def _by_unit(trials: Iterable[FrozenTrial]) -> dict[tuple[str, int], list[FrozenTrial]]:
    found: dict[tuple[str, int], list[FrozenTrial]] = {}
    for trial in trials:
        if (name := _name(trial)) is not None:
            found.setdefault(name, []).append(trial)
    return found


def _owner(attempts: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The first attempt that did not fail. A reason to fail is told before the state: it decides
    nothing, for the attempt can end in between."""
    return next((t for t in attempts if t.state != TrialState.FAIL), None)


def _given_up(attempts: Sequence[FrozenTrial]) -> bool:
    failed = [t for t in attempts if t.state == TrialState.FAIL]
    return sum(t.user_attrs.get(_REASON) == LOST for t in failed) >= MOST_LOST
