"""How a command is stopped from outside: a signal asks, the work saves its state and ends."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jessl.core.log import is_first_process


class Interrupted(Exception):
    """The work was stopped from outside; its state is saved."""


def end_if_stopped(stop: Callable[[], bool], result: Path) -> None:
    """End a command that was stopped while its last pages were written: they are complete by now.

    Raises:
        Interrupted: when `stop` returns True.
    """
    if stop():
        raise Interrupted(f"stopped at the end; {result} is complete")


@contextmanager
def stop_on_signals(how_to_continue: str) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True once SIGTERM, SIGHUP or Ctrl-C arrived.

    A second Ctrl-C ends the process at once.

    Args:
        how_to_continue: what the user can do to continue, for the message of `Interrupted`.

    Raises:
        Interrupted: where the work ends with `Stopped`.
    """
    from jessl.core.interruption import Stopped

    requested = threading.Event()
    previous = {}

    def request(number: int, _frame: object) -> None:
        if requested.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        requested.set()
        with suppress(OSError):  # the terminal may be gone
            if is_first_process():
                print("jessl: stopping; the state is being saved", file=sys.stderr)

    hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    for number in (signal.SIGTERM, signal.SIGINT, *hangup):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, background jobs
            previous[number] = signal.signal(number, request)
    try:
        yield requested.is_set
    except Stopped as stopped:
        raise Interrupted(f"{stopped}; {how_to_continue}") from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
