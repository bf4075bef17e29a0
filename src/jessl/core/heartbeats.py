"""Heartbeats of training processes: a process that stops is named after minutes, not after hours.

A collective of torch waits for its peers without a word. Here each process counts up a number in
the store through which the processes met, and watches the numbers of the others. One that does not
change for `SILENT_SECONDS` belongs to a process that is stopped, that has died, or whose machine is
gone; the others then end with one line that names its rank.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from jessl.core.log import log

if TYPE_CHECKING:
    from torch.distributed import Store

# between two beats
BEAT_SECONDS = 2.0
# the patience with a silent process; a network file system or a swapping machine pauses for less
SILENT_SECONDS = 300.0
# the patience with a process that beats but does not arrive at a collective
ARRIVAL_SECONDS = 1800.0
# the longest work that the first process does alone, such as an evaluation
ALONE_SECONDS = 7200.0
# processes that each one watches: the next ones, and the first; a store answers all of them
_MOST_WATCHED = 64
# beats that a process of a closed connection may miss before it counts as the lost one
_MISSED_BEATS = 3
# beats in which that must show; the threads of a busy machine are late
_AWAITED_BEATS = 15
EXIT_LOST = 2


class Heartbeats:
    """Beats for this process and watches the others until `stop`.

    Silence is counted in own beats: a process that was itself suspended blames no other.

    Args:
        store: the store of the group; a connection of its own is used where the store can clone.
        rank, world: of this process, and how many there are.
        on_silence: called once with the ranks that are silent, from a thread; None: print one line
            and end this process, whose main thread may hang in a collective.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        world: int,
        on_silence: Callable[[list[int]], None] | None = None,
    ) -> None:
        # a blocking call of the main thread must not stop the beats
        self._store = store.clone() if hasattr(store, "clone") else store
        self._calls = store
        self._rank = rank
        self._on_silence = on_silence or self._leave
        self._over = threading.Event()
        watched = {0, *((rank + k) % world for k in range(1, _MOST_WATCHED + 1))} - {rank}
        self._missed = dict.fromkeys(sorted(watched), 0)
        self._last = dict.fromkeys(self._missed, -1)
        self._counts: dict[int, int] = {}
        self._alone = 0
        self._rounds = 0  # of beats that the store has answered
        store.add(self._key(rank), 1)  # from here on, silence is that of a process that came
        self._beating = threading.Thread(target=self._beat, daemon=True)
        for thread in (self._beating, threading.Thread(target=self._watch, daemon=True)):
            thread.start()

    @property
    def store(self) -> Store:
        """The store of the group, for calls of the main thread."""
        return self._calls

    def stop(self) -> None:
        """End the beats: this process needs no other any more."""
        self._over.set()
        self._beating.join(timeout=2 * BEAT_SECONDS)

    def silent(self, seconds: float) -> list[int]:
        """The ranks that have not been heard of for so long."""
        return [r for r, missed in self._missed.items() if missed * BEAT_SECONDS >= seconds]

    def lost(self) -> list[int]:
        """After a broken connection: the ranks that stop beating within half a minute."""
        for _ in range(_AWAITED_BEATS):
            time.sleep(BEAT_SECONDS)
            if silent := self.silent(_MISSED_BEATS * BEAT_SECONDS):
                return silent
        return []

    def end_alone(self) -> None:
        """The first process has done its work; those in `wait_for_first` go on."""
        self._calls.add("alone", 1)

    def wait_for_first(self) -> None:
        """Wait until the first process has called `end_alone` as often as this one waited.

        Raises:
            ConnectionError: after `ALONE_SECONDS`.
        """
        self._alone += 1
        began, pause = time.monotonic(), 0.001
        while self._calls.add("alone", 0) < self._alone:
            if time.monotonic() - began > ALONE_SECONDS:
                raise ConnectionError(
                    f"rank 0 has worked alone for {ALONE_SECONDS / 60:.0f} minutes and does not "
                    "arrive: it may be stuck; start the command again, it resumes"
                )
            time.sleep(pause)
            pause = min(0.2, 1.5 * pause)

    def _beat(self) -> None:
        """Only this thread calls the store: it never answers where its process is stopped."""
        with suppress(RuntimeError):  # the process that holds the store has ended
            while not self._over.wait(BEAT_SECONDS):
                self._store.add(self._key(self._rank), 1)
                self._counts = {r: self._store.add(self._key(r), 0) for r in self._missed}
                self._rounds += 1

    def _watch(self) -> None:
        before = -1
        while not self._over.wait(BEAT_SECONDS):
            if self._rounds == before:
                counts = {}
                if 0 in self._missed and not _agent_holds_store():
                    self._missed[0] += 1
            else:
                before, counts = self._rounds, self._counts
            for r, count in counts.items():
                # one that never came is reported by the meeting itself
                same = count == self._last[r] and count > 0
                self._missed[r] = self._missed[r] + 1 if same else 0
                self._last[r] = count
            silent = self.silent(SILENT_SECONDS)
            if silent and not self._over.is_set():
                self._on_silence(silent)
                return

    def _leave(self, silent: list[int]) -> None:
        if self._rank == min({self._rank, *self._missed} - set(silent)):
            log.info(f"jessl: error: {silence_line(silent)}")
        os._exit(EXIT_LOST)  # the main thread may hang in a collective, which nothing interrupts

    @staticmethod
    def _key(rank: int) -> str:
        return f"beat/{rank}"


def _agent_holds_store() -> bool:
    """Whether torchrun holds the store; else the first process does."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def silence_line(ranks: list[int]) -> str:
    """The error about silent ranks."""
    who = _ranks(ranks)
    return (
        f"{who} has not been heard of for {SILENT_SECONDS / 60:g} minutes: the process is stopped "
        "or its machine is gone; start the command again, it resumes"
    )


def lost_line(ranks: list[int]) -> str:
    """The error about ranks whose connection closed."""
    who = _ranks(ranks) if ranks else "another process"
    return f"{who} has ended or does not answer; start the command again, it resumes"


def _ranks(ranks: list[int]) -> str:
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
