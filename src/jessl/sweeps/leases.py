"""Leases: a worker renews a counter of its trial; others see by it whether the worker is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from jessl.core.processes import has_exited

# attributes of a trial
WORKER, BEAT = "worker", "beat"
# renewals in the time after which a lease counts as abandoned: one that is late does not lose it
_RENEWALS = 4


class Lease:
    """Keeps a trial for this worker while the block lasts: a counter that it renews.

    Attributes:
        lost: whether another worker has taken the trial over, as this one seemed dead (a machine
            that slept): its work does not count any more.
    """

    def __init__(self, backend: BaseStorage, trial_id: int, seconds: float) -> None:
        self._backend, self._trial_id, self._seconds = backend, trial_id, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self.lost = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _renew(self) -> None:
        beat = 0
        while not self._over.wait(self._seconds / _RENEWALS):
            beat += 1
            try:
                self._backend.set_trial_user_attr(self._trial_id, BEAT, beat)
            except UpdateFinishedTrialError:
                self.lost = True
                break
            except (StorageInternalError, OSError):
                # out of reach: the next renewal shows whether the lease was lost meanwhile
                continue
        self._backend.remove_session()


class Watch:
    """Watches the leases of others by a clock of its own: clocks of machines are never compared.

    Args:
        seconds: without a renewal after which a lease counts as abandoned.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._marks: dict[int, tuple[tuple[object, object], float]] = {}

    def abandoned(self, trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Running trials whose worker has exited on this machine, or is silent for too long."""
        now = time.monotonic()
        abandoned = []
        for trial in trials:
            mark = (trial.user_attrs.get(WORKER), trial.user_attrs.get(BEAT))
            before = self._marks.get(trial.number)
            if before is None or before[0] != mark:
                self._marks[trial.number] = before = (mark, now)
            if now - before[1] > self._seconds or has_exited(str(mark[0] or "")):
                abandoned.append(trial)
        return abandoned
