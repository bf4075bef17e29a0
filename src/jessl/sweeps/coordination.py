"""Which run of a study belongs to which worker: all coordination that Optuna does not do itself.

Optuna stores the trials, decides every change of a state at once, draws settings and numbers the
trials. A unit is a setting with a seed; a trial is one attempt at it. Each part below is ours
because a fault test needs it (tests/unit/sweeps; Optuna's behaviour is that of 5.0):

- `Lease` and `Watch` instead of heartbeats and `fail_stale_trials`: a journal has no heartbeat
  (test_a_silent_worker_loses_its_unit...), a trial whose worker was killed before its first
  heartbeat stays RUNNING for ever (test_a_worker_killed_before_it_signed...), and a process of this
  machine that has exited is waited for (test_a_process_of_this_machine_that_is_gone...).
- `Ledger.enqueue` instead of the retry callback: the callback comes after the change of the state,
  so that a worker killed in between loses the unit for good, and it copies the attributes of the
  failed attempt, its "reason" among them (test_a_unit_that_loses_three_workers...).
- The owner of a unit, its first trial that is not FAIL: two workers can add one unit at the same
  moment (test_processes_that_claim_at_once...). The others are surplus and fail untrained.
- `Ledger.claim` instead of `study.ask`, which takes any waiting trial: one beyond the plan stays
  waiting (test_a_setting_drawn_beyond_the_last_one...).

An attempt whose worker is gone fails as "lost", a released one as "returned"; the unit then has no
owner and gets a new trial. A unit that lost MOST_LOST workers is given up: perhaps it kills them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from jessl.sweeps.leases import WORKER, Watch
from jessl.sweeps.space import Params, key
from jessl.sweeps.storage import Storage

UnitName = tuple[str, int]

# attributes of a trial, beside those of its lease
_SETTING, _SEED, _REASON = "setting", "seed", "reason"
_OUTCOME, _RESULT = "outcome", "result"
# reasons to fail
LOST, RETURNED, SURPLUS, DRAWN = "lost", "returned", "surplus", "drawn"
# outcomes of a unit beside LOST; a refused one is a setting that cannot be trained
FINISHED, PRUNED, DIVERGED, REFUSED = "finished", "pruned", "diverged", "refused"
STATES = {
    FINISHED: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    # FAIL is the state of failed attempts alone: it decides, all at once, whether the end of a
    # trial counts. TPE takes a pruned trial without values for the worst, and so stays away from it
    DIVERGED: TrialState.PRUNED,
    REFUSED: TrialState.PRUNED,
}
MOST_LOST = 3
# waiting trials at a time: a storage reads every trial that has not ended again and again, and
# thousands of waiting ones would cost more than the trainings
_MOST_WAITING = 64


@dataclass(frozen=True)
class Unit:
    """A setting with a seed, and the number of the trial that is this worker's attempt at it."""

    params: Params
    seed: int
    number: int = -1

    @property
    def name(self) -> UnitName:
        """What tells it from the other units."""
        return key(self.params), self.seed


@dataclass(frozen=True)
class Ended:
    """How a unit ended.

    Attributes:
        outcome: finished, pruned, diverged, refused, or lost (given up).
        result: what its worker measured, or the reason.
    """

    unit: Unit
    outcome: str
    result: dict[str, Any]


class Ledger:
    """The trials of a study, read and written by one worker.

    Args:
        study: Optuna's; storage: which holds it.
        worker: name of the one who writes; watch: its view of the leases of others.
        distributions: the space as Optuna has it.
    """

    def __init__(
        self,
        study: Study,
        storage: Storage,
        worker: str,
        watch: Watch,
        distributions: Mapping[str, BaseDistribution],
    ) -> None:
        self.study, self._storage, self._worker, self._watch = study, storage, worker, watch
        self._backend, self._distributions = storage.backend, dict(distributions)
        self._study_id = self._backend.get_study_id_from_name(study.study_name)
        self._latest: list[FrozenTrial] | None = None

    def refresh(self) -> None:
        """Read the trials; `release_lost`, `enqueue` and `ended` use them until the next call."""
        self._latest = self._trials()

    def enqueue(self, units: Sequence[Unit]) -> None:
        """Add waiting trials, a few at a time, of units without an owner that are not given up."""
        waiting = sum(t.state == TrialState.WAITING for t in self._known())
        by_unit = _by_unit(self._known())
        lacking = (u for u in units if _is_open(by_unit.get(u.name, [])))
        with self._storage.guard():
            for unit in itertools.islice(lacking, max(0, _MOST_WAITING - waiting)):
                self._add(unit)

    def release_lost(self) -> list[Unit]:
        """Fail the attempts whose workers are gone, and return their units."""
        running = [t for t in self._known() if t.state == TrialState.RUNNING]
        return [
            _unit(trial)
            for trial in self._watch.abandoned(running)
            if self._fail(trial.number, LOST) and _SETTING in trial.user_attrs
        ]

    def claim(self, units: Iterable[Unit] | None = None) -> Unit | None:
        """Take a waiting one of the units (None: any) for this worker alone; None without one."""
        wanted = None if units is None else {unit.name for unit in units}
        for trial in self._trials():
            name = _name(trial)
            known = name is not None if wanted is None else name in wanted
            if trial.state != TrialState.WAITING or not known:
                continue
            if self._take(trial.number) and not self._is_surplus(trial):
                return _unit(trial)
        return None

    def draw(self, seed: int) -> bool:
        """Add a waiting trial of a new setting by the study's sampler, with its first seed.

        Returns:
            False where the setting was tried before.
        """
        with self._storage.guard():  # a waiting trial can come: it is taken as by _take
            number = self.study.ask(self._distributions).number
        trial_id = self.trial_id(number)
        self._backend.set_trial_user_attr(trial_id, WORKER, self._worker)
        draft = self._backend.get_trial(trial_id)
        if _SETTING in draft.user_attrs:  # a waiting trial came, added by another meanwhile
            self._fail(number, RETURNED)
            return False
        # the unit's trial has its name from the first moment: else a later one that draws the same
        # could pass for the owner before
        unit = Unit(dict(draft.params), seed)
        new = unit.name not in _by_unit(self._trials())
        if new:
            self._add(unit)
        self._fail(number, DRAWN)
        return new

    def report(self, unit: Unit, epoch: int, merit: float) -> bool:
        """Store how a run stands after an epoch; False where another worker has taken it over."""
        try:
            self._backend.set_trial_intermediate_value(self.trial_id(unit.number), epoch, merit)
        except UpdateFinishedTrialError:
            return False
        return True

    def merits(self) -> dict[UnitName, dict[int, float]]:
        """Merits of every unit by epoch; an attempt continues the one before it."""
        merits: dict[UnitName, dict[int, float]] = {}
        for trial in self._trials():
            if (name := _name(trial)) is not None:
                merits.setdefault(name, {}).update(trial.intermediate_values)
        return merits

    def end(
        self, unit: Unit, outcome: str, merit: float | None, result: Mapping[str, object]
    ) -> bool:
        """End a unit; False where another worker has taken it over, whose result counts."""
        trial_id = self.trial_id(unit.number)
        try:
            self._backend.set_trial_user_attr(trial_id, _RESULT, result)
            self._backend.set_trial_user_attr(trial_id, _OUTCOME, outcome)
            with self._storage.guard():
                values = [merit] if outcome == FINISHED and merit is not None else None
                return bool(self._backend.set_trial_state_values(trial_id, STATES[outcome], values))
        except UpdateFinishedTrialError:
            # taken over, or written twice as the answer to the first time was lost on its way
            return bool(self._backend.get_trial(trial_id).state == STATES[outcome])

    def release(self, unit: Unit) -> None:
        """Leave a unit to others: this worker was asked to stop."""
        self._fail(unit.number, RETURNED)

    def mark_lost(self, unit: Unit) -> None:
        """Leave a unit to others after a failure that may not be its own; three are its end."""
        self._fail(unit.number, LOST)

    def settings(self, most: int) -> list[Params]:
        """The first so many settings that were tried, in the order of their first trials."""
        settings: dict[str, Params] = {}
        for trial in self._trials():
            if _SETTING in trial.user_attrs:
                settings.setdefault(trial.user_attrs[_SETTING], dict(trial.params))
        return list(settings.values())[:most]

    def ended(self, units: Iterable[Unit]) -> list[Ended]:
        """The units that ended, in the order given."""
        by_unit = _by_unit(self._known())
        ended = []
        for unit in units:
            attempts = by_unit.get(unit.name, [])
            owner = _owner(attempts)
            if owner is not None and _OUTCOME in owner.user_attrs and owner.state.is_finished():
                attrs = owner.user_attrs
                ended.append(Ended(_unit(owner), attrs[_OUTCOME], attrs[_RESULT]))
            elif owner is None and _is_given_up(attempts):
                ended.append(Ended(_unit(attempts[-1]), LOST, {"attempts": len(attempts)}))
        return ended

    def count_running(self) -> int:
        """How many units are being worked on."""
        return sum(t.state == TrialState.RUNNING for t in self._trials())

    def trial_id(self, number: int) -> int:
        """The storage's id of the trial with this number."""
        return int(self._backend.get_trial_id_from_study_id_trial_number(self._study_id, number))

    def _known(self) -> list[FrozenTrial]:
        """The trials as of the last refresh."""
        return self._trials() if self._latest is None else self._latest

    def _trials(self) -> list[FrozenTrial]:
        return sorted(self.study.get_trials(deepcopy=False), key=lambda t: t.number)

    def _add(self, unit: Unit) -> None:
        """Add a waiting trial of a unit."""
        self.study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=dict(unit.params),
                distributions=self._distributions,
                user_attrs={_SETTING: unit.name[0], _SEED: unit.seed},
            )
        )

    def _take(self, number: int) -> bool:
        trial_id = self.trial_id(number)
        with self._storage.guard():
            try:
                taken = self._backend.set_trial_state_values(trial_id, TrialState.RUNNING)
            except UpdateFinishedTrialError:
                return False
            if taken:
                self._backend.set_trial_user_attr(trial_id, WORKER, self._worker)
        return bool(taken)

    def _is_surplus(self, trial: FrozenTrial) -> bool:
        """Whether another trial owns the unit; this one fails then."""
        owner = _owner(_by_unit(self._trials())[_unit(trial).name])
        if owner is not None and owner.number == trial.number:
            return False
        self._fail(trial.number, SURPLUS)
        return True

    def _fail(self, number: int, reason: str) -> bool:
        """Fail a trial; False where it had ended."""
        trial_id = self.trial_id(number)
        with self._storage.guard():
            try:
                self._backend.set_trial_user_attr(trial_id, _REASON, reason)
                self._backend.set_trial_state_values(trial_id, TrialState.FAIL)
            except UpdateFinishedTrialError:
                return False
        return True


def _unit(trial: FrozenTrial) -> Unit:
    return Unit(dict(trial.params), trial.user_attrs[_SEED], trial.number)


def _name(trial: FrozenTrial) -> UnitName | None:
    """`Unit.name` of a trial; None of a draft, which is no attempt at anything."""
    attrs = trial.user_attrs
    return (attrs[_SETTING], attrs[_SEED]) if _SETTING in attrs else None


def check_trial(trial: FrozenTrial) -> None:
    """Refuse attributes of other types than `Ledger` writes.

    Raises:
        TypeError: naming the trial and the attribute.
    """
    types = {_SETTING: str, _SEED: int, _OUTCOME: str, _RESULT: dict, _REASON: str, WORKER: str}
    attrs = trial.user_attrs
    wrong = [n for n, kind in types.items() if n in attrs and not isinstance(attrs[n], kind)]
    wrong += [_SEED] if _SETTING in attrs and _SEED not in attrs else []
    wrong += [_RESULT] if _OUTCOME in attrs and _RESULT not in attrs else []
    if wrong:
        got = attrs.get(wrong[0])
        raise TypeError(f"trial {trial.number}: {wrong[0]}: expected another value, got {got!r}")


def _by_unit(trials: Iterable[FrozenTrial]) -> dict[UnitName, list[FrozenTrial]]:
    by_unit: dict[UnitName, list[FrozenTrial]] = {}
    for trial in trials:
        if (name := _name(trial)) is not None:
            by_unit.setdefault(name, []).append(trial)
    return by_unit


def _owner(attempts: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The first attempt that did not fail. The reason to fail is written before the state and
    decides nothing: the attempt can end in between."""
    return next((t for t in attempts if t.state != TrialState.FAIL), None)


def _is_given_up(attempts: Sequence[FrozenTrial]) -> bool:
    failed = [t for t in attempts if t.state == TrialState.FAIL]
    return sum(t.user_attrs.get(_REASON) == LOST for t in failed) >= MOST_LOST


def _is_open(attempts: Sequence[FrozenTrial]) -> bool:
    return _owner(attempts) is None and not _is_given_up(attempts)
