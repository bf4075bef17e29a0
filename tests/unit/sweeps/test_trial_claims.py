"""The ledger of a study: every unit ends exactly once, whoever is killed at whatever moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from helpers.sweep_samples import (
    ELSEWHERE,
    UNITS,
    Clock,
    owners,
)
from helpers.sweep_samples import trials_of as attempts
from jessl.sweeps import leases
from jessl.sweeps.coordination import DIVERGED, FINISHED, LOST, PRUNED, REFUSED, Ledger, Unit
from jessl.sweeps.leases import Lease
from jessl.sweeps.storage import Storage

Books = Callable[..., tuple[Ledger, Storage]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monotonic clock of whoever watches leases."""
    found = Clock()
    monkeypatch.setattr(leases, "time", SimpleNamespace(monotonic=found))
    return found


def _only(one: Ledger, unit: Unit) -> Unit:
    """Claim the only waiting unit."""
    one.enqueue([unit])
    claimed = one.claim()
    assert claimed is not None
    assert claimed.name == unit.name
    return claimed


def _silent(one: Ledger, clock: Clock) -> list[Unit]:
    """What a watcher finds lost after the silence of a lease."""
    assert one.release_lost() == []
    clock.now += 61
    return one.release_lost()


def test_a_unit_is_made_claimed_and_ended_once(books: Books) -> None:
    one, _ = books()
    one.enqueue(UNITS[:3])
    one.enqueue(UNITS[:3])
    assert len(one.study.get_trials()) == 3
    for unit in UNITS[:3]:
        claimed = one.claim()
        assert claimed is not None
        assert (claimed.params, claimed.seed, claimed.name) == (unit.params, unit.seed, unit.name)
        assert one.end(claimed, FINISHED, 1.5, {"at": claimed.seed})
    assert one.claim() is None
    one.enqueue(UNITS[:3])
    assert one.claim() is None
    ended = one.ended(UNITS[:4])
    assert [e.unit.name for e in ended] == [u.name for u in UNITS[:3]]
    assert [(e.outcome, e.result) for e in ended] == [(FINISHED, {"at": k}) for k in (0, 1, 2)]


def test_settings_come_back_from_the_storage_to_the_last_bit(books: Books) -> None:
    one, _ = books()
    other, _ = books()
    some = UNITS[:20:2]
    one.enqueue(some)
    found = []
    while (unit := other.claim()) is not None:
        found.append(unit)
    assert {u.name for u in found} == {u.name for u in some}
    by_name = {u.name: u for u in UNITS}
    assert all(u.params == by_name[u.name].params for u in found)
    assert one.settings(100) == [u.params for u in some[::2]]
    assert one.settings(2) == [UNITS[0].params, UNITS[4].params]


@pytest.mark.parametrize("outcome", [PRUNED, DIVERGED, REFUSED])
def test_a_unit_ends_in_other_ways_too_and_is_not_tried_again(books: Books, outcome: str) -> None:
    one, _ = books()
    other, _ = books()
    unit = _only(one, UNITS[0])
    assert one.end(unit, outcome, None, {"reason": "x"})
    other.enqueue(UNITS[:1])
    assert other.claim() is None
    (ended,) = other.ended(UNITS[:1])
    assert (ended.outcome, ended.result) == (outcome, {"reason": "x"})


def test_a_unit_given_back_is_there_for_others(books: Books) -> None:
    one, _ = books()
    other, _ = books()
    for _ in range(5):  # any number of times
        one.release(_only(one, UNITS[0]))
    assert one.ended(UNITS[:1]) == []
    assert other.end(_only(other, UNITS[0]), FINISHED, 1.0, {})
    assert len(one.ended(UNITS[:1])) == 1


def test_a_unit_ended_twice_ends_once(books: Books) -> None:
    one, _ = books()
    unit = _only(one, UNITS[0])
    assert one.end(unit, FINISHED, 1.0, {"first": True})
    assert one.end(unit, FINISHED, 2.0, {"first": False})  # the answer was lost on its way
    assert not one.end(unit, DIVERGED, None, {"first": False})
    assert [(e.outcome, e.result) for e in one.ended(UNITS[:1])] == [(FINISHED, {"first": True})]
    (trial,) = one.study.get_trials()
    assert trial.value == 1.0
    one.release(unit)
    assert len(one.ended(UNITS[:1])) == 1


def test_a_second_trial_of_a_unit_is_surplus_before_any_work(books: Books) -> None:
    one, _ = books()
    other, _ = books()
    one.enqueue(UNITS[:1])
    one._add(UNITS[0])  # as two workers make one at the same moment
    one._add(UNITS[0])
    unit = one.claim()
    assert unit is not None
    assert unit.number == 0
    assert other.claim() is None
    assert [t.state for t in attempts(one, UNITS[0])] == [
        TrialState.RUNNING,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert one.end(unit, FINISHED, 1.0, {})
    assert len(other.ended(UNITS[:1])) == 1


def test_of_two_trials_the_first_owns_even_if_the_second_is_claimed_first(books: Books) -> None:
    one, _ = books()
    one.enqueue(UNITS[:1])
    one._add(UNITS[0])
    second = attempts(one, UNITS[0])[1]
    assert one._take(second.number)
    assert one._is_surplus(second)  # the first one waits for somebody
    claimed = one.claim()
    assert claimed is not None
    assert claimed.number == 0
    assert attempts(one, UNITS[0])[1].state == TrialState.FAIL


def test_a_second_trial_owns_where_the_first_was_lost(books: Books, clock: Clock) -> None:
    one, _ = books()
    other, _ = books()
    unit = _only(one, UNITS[0])
    one._add(UNITS[0])
    assert [u.name for u in _silent(other, clock)] == [unit.name]
    other.enqueue(UNITS[:1])
    again = other.claim()
    assert again is not None
    assert again.number == 1
    assert other.claim() is None
    assert len(attempts(other, UNITS[0])) == 2


def test_a_silent_worker_loses_its_unit_and_its_late_result_does_not_count(
    books: Books, clock: Clock
) -> None:
    zombie, _ = books()
    other, _ = books()
    unit = _only(zombie, UNITS[0])
    assert [u.name for u in _silent(other, clock)] == [unit.name]
    assert other.release_lost() == []
    assert not zombie.end(unit, FINISHED, 9.0, {"by": "zombie"})  # nobody has it yet
    again = _only(other, UNITS[0])
    assert not zombie.end(unit, FINISHED, 9.0, {"by": "zombie"})
    assert not zombie.end(unit, REFUSED, None, {"by": "zombie"})
    assert not zombie.report(unit, 3, 1.0)
    zombie.release(unit)
    assert other.report(again, 3, 2.0)
    assert other.end(again, FINISHED, 1.0, {"by": "other"})
    assert not zombie.end(unit, FINISHED, 9.0, {"by": "zombie"})
    (ended,) = zombie.ended(UNITS[:1])
    assert ended.result == {"by": "other"}
    assert owners(zombie, UNITS[:1]) == {UNITS[0].name: 1}
    assert zombie.merits() == {UNITS[0].name: {3: 2.0}}


@pytest.mark.parametrize("outcome", [FINISHED, PRUNED, DIVERGED, REFUSED])
def test_a_worker_that_ends_while_another_declares_it_lost_ends_once(
    books: Books, outcome: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    # the other has told its reason, but not yet the state: the unit ends in between
    one, storage = books()
    other, seen = books()
    unit = _only(one, UNITS[0])
    told: list[bool] = []
    mine = one.trial_id(unit.number)
    state = seen.backend.set_trial_state_values

    def late(trial_id: int, *rest: Any) -> bool:
        monkeypatch.setattr(seen.backend, "set_trial_state_values", state)
        storage.backend.set_trial_user_attr(mine, "result", {"by": "one"})
        storage.backend.set_trial_user_attr(mine, "outcome", outcome)
        merit = [1.0] if outcome == FINISHED else None
        from jessl.sweeps.coordination import STATES

        told.append(storage.backend.set_trial_state_values(mine, STATES[outcome], merit))
        return bool(state(trial_id, *rest))

    monkeypatch.setattr(seen.backend, "set_trial_state_values", late)
    assert _silent(other, clock) == []
    assert told == [True]
    other.enqueue(UNITS[:1])
    assert other.claim() is None
    (ended,) = other.ended(UNITS[:1])
    assert (ended.outcome, ended.result) == (outcome, {"by": "one"})
    assert one.end(unit, outcome, 1.0, {})


def test_a_unit_half_declared_lost_is_still_its_workers(books: Books) -> None:
    # who declared it was killed between the reason and the state
    one, storage = books()
    other, _ = books()
    unit = _only(one, UNITS[0])
    storage.backend.set_trial_user_attr(one.trial_id(unit.number), "reason", LOST)
    other.enqueue(UNITS[:1])
    assert other.claim() is None
    assert one.end(unit, FINISHED, 1.0, {"a": 1})
    assert [e.result for e in other.ended(UNITS[:1])] == [{"a": 1}]


def test_a_worker_killed_before_it_signed_is_lost_after_the_silence(
    books: Books, clock: Clock
) -> None:
    one, storage = books()
    other, _ = books()
    one.enqueue(UNITS[:1])
    (trial,) = attempts(one, UNITS[0])
    assert storage.backend.set_trial_state_values(one.trial_id(trial.number), TrialState.RUNNING)
    assert [u.name for u in _silent(other, clock)] == [UNITS[0].name]
    assert other.end(_only(other, UNITS[0]), FINISHED, 1.0, {})


def test_a_worker_killed_before_it_named_what_it_drew_leaves_nothing(
    books: Books, clock: Clock
) -> None:
    one, _ = books()
    other, _ = books()
    one.study.ask(one._distributions)
    assert _silent(other, clock) == []  # a trial of no unit
    assert other.count_running() == 0
    assert other.settings(9) == []
    assert other.merits() == {}


def test_a_unit_that_loses_three_workers_is_given_up(books: Books, clock: Clock) -> None:
    one, _ = books()
    other, _ = books()
    for _ in range(3):
        assert other.ended(UNITS[:1]) == []
        _only(one, UNITS[0])
        assert len(_silent(other, clock)) == 1
    other.enqueue(UNITS[:1])
    assert other.claim() is None
    (ended,) = other.ended(UNITS[:1])
    assert (ended.outcome, ended.result) == (LOST, {"attempts": 3})
    assert len(attempts(other, UNITS[0])) == 3


def test_units_given_back_and_surplus_ones_are_not_counted_as_lost(
    books: Books, clock: Clock
) -> None:
    one, _ = books()
    other, _ = books()
    for _ in range(2):
        _only(one, UNITS[0])
        assert len(_silent(other, clock)) == 1
    one.enqueue(UNITS[:1])
    one._add(UNITS[0])
    unit = one.claim()
    assert unit is not None
    assert one.claim() is None  # the other was surplus
    one.release(unit)
    assert other.ended(UNITS[:1]) == []
    assert other.end(_only(other, UNITS[0]), FINISHED, 1.0, {})


def test_a_living_worker_keeps_its_lease_for_as_long_as_it_works(books: Books) -> None:
    one, storage = books(lease_seconds=2.0)
    other, _ = books(lease_seconds=2.0)
    unit = _only(one, UNITS[0])
    with Lease(storage.backend, one.trial_id(unit.number), 2.0) as lease:
        end = time.monotonic() + 4.5
        beats = set()
        while time.monotonic() < end:
            assert other.release_lost() == []
            beats.add(attempts(other, UNITS[0])[0].user_attrs.get("beat"))
            time.sleep(0.1)
        assert len(beats) > 3
        assert not lease.lost
    assert one.end(unit, FINISHED, 1.0, {})


def test_a_lease_notices_that_it_was_lost(books: Books, clock: Clock) -> None:
    one, storage = books()
    other, _ = books()
    unit = _only(one, UNITS[0])
    assert len(_silent(other, clock)) == 1
    with Lease(storage.backend, one.trial_id(unit.number), 0.2) as lease:
        end = time.monotonic() + 60
        while not lease.lost:
            assert time.monotonic() < end
            time.sleep(0.02)
    assert not one.end(unit, FINISHED, 1.0, {})


def test_a_setting_that_is_drawn_has_its_unit_from_the_first_moment(books: Books) -> None:
    one, _ = books()
    other, _ = books()
    assert one.draw(7)
    unit = one.claim()
    assert unit is not None
    assert unit.seed == 7
    trials = attempts(other, unit)
    assert [t.state for t in trials] == [TrialState.RUNNING]
    assert trials[0].user_attrs["worker"] == ELSEWHERE
    assert other.settings(10) == [unit.params]
    one.enqueue([Unit(unit.params, 7), Unit(unit.params, 8)])
    second = other.claim()
    assert second is not None
    assert (second.params, second.seed) == (unit.params, 8)
    assert other.claim() is None
    assert one.end(unit, FINISHED, 1.0, {})
    assert len(other.ended([unit, second])) == 1


def test_a_setting_drawn_again_is_no_new_unit(books: Books) -> None:
    one, _ = books()
    found = [one.claim() if one.draw(0) else None for _ in range(25)]
    units = [u for u in found if u is not None]
    assert len({u.name for u in units}) == len(units) <= 15
    assert None in found
    assert one.settings(100) == [u.params for u in units]
    assert one.count_running() == len(units)


def test_asking_within_the_guard_does_not_wait_for_itself(books: Books) -> None:
    one, storage = books()
    with storage.guard(), storage.guard():
        found = [one.draw(0) for _ in range(5)]
    assert any(found)
