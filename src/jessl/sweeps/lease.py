"""Who is at work on what: a lease that a living worker renews and a killed one does not.

A lease is a counter in the storage. Who waits for another's work watches the counter by a clock of
its own: clocks of two machines are never compared. It works in every storage; Optuna's heartbeat
exists in databases only.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError

WORKER, BEAT = "worker", "beat"
# renewals in the time after which a lease counts as left: one that is late does not lose it
_RENEWALS = 4
_UNKNOWN = "?"


class Lease:
    """Keeps a trial for this worker while the block lasts.

    Attributes:
        lost: whether another worker has taken the trial over, as this one seemed dead (a machine
            that slept): what it is doing does not count any more.
    """

    def __init__(self, held: Any, trial_id: int, seconds: float) -> None:
        self._held, self._trial_id, self._seconds = held, trial_id, seconds
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
                self._held.set_trial_user_attr(self._trial_id, BEAT, beat)
            except UpdateFinishedTrialError:
                self.lost = True
                break
            except (StorageInternalError, OSError):
                # out of reach for now: the next renewal tells whether the lease was lost meanwhile
                continue
        self._held.remove_session()


class Watch:
    """Watches the leases of others; a worker has one for its life.

    Args:
        seconds: without a renewal after which a lease counts as left.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen: dict[int, tuple[Any, float]] = {}

    def left(self, trials: Iterable[Any]) -> list[Any]:
        """Running trials whose worker is dead: gone from this machine, or silent for too long."""
        now = time.monotonic()
        found = []
        for trial in trials:
            mark = (trial.user_attrs.get(WORKER), trial.user_attrs.get(BEAT))
            before = self._seen.get(trial.number)
            if before is None or before[0] != mark:
                self._seen[trial.number] = before = (mark, now)
            if now - before[1] > self._seconds or _gone(str(mark[0] or "")):
                found.append(trial)
        return found


def this_worker() -> str:
    """A name for this process that no other bears, on whatever machine."""
    pid = os.getpid()
    return f"{_here()}/{pid}/{_started(pid)}"


def _here() -> str:
    """This machine since its start, as far as processes see each other (containers do not)."""
    told = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        try:
            told.append(read())
        except OSError:
            told.append("-")  # not Linux
    return "/".join(told)


def _started(pid: int) -> str:
    """When a process began, in ticks since the start of the machine; "" where it is no more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:  # another user's process: it is there
        return _UNKNOWN
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _gone(worker: str) -> bool:
    """Whether a worker was a process of this machine and is none any more."""
    place, _, rest = worker.rpartition("/")
    place, _, pid = place.rpartition("/")
    if place != _here() or not rest:
        return False  # another machine's, or a system that does not tell
    return _started(int(pid)) not in (rest, _UNKNOWN)
