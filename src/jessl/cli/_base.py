"""What commands share: how they print, and how a training is stopped from outside."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessl.core.log import is_first_process

if TYPE_CHECKING:
    from jessl.embeddings import Embeddings

# features above this stay on disk
_LARGE_BYTES = 2**31


class Interrupted(Exception):
    """A training was stopped from outside; its state is saved."""


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGTERM or Ctrl-C came; a second Ctrl-C ends at once."""
    asked = threading.Event()
    before = {}

    def ask(number: int, _frame: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()
        with suppress(OSError):  # the terminal may be gone
            if is_first_process():
                print("jessl: stopping; the state is being saved", file=sys.stderr)

    hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    for number in (signal.SIGTERM, signal.SIGINT, *hangup):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, background jobs
            before[number] = signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def table(headers: list[str], rows: list[list[Any]]) -> None:
    """Aligned columns on standard output; numbers to four significant places, None as a dash."""
    text = [headers, *[[_cell(v) for v in row] for row in rows]]
    widths = [max(len(row[k]) for row in text) for k in range(len(headers))]
    for i, row in enumerate(text):
        cells = []
        for k, cell in enumerate(row):
            number = i > 0 and isinstance(rows[i - 1][k], (int, float))
            cells.append(cell.rjust(widths[k]) if number else cell.ljust(widths[k]))
        print("  ".join(cells).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
    return str(value)


def loaded(path: str) -> Embeddings:
    """Embeddings, from a memory map where their features are large."""
    from jessl.embeddings import Embeddings

    file = Path(path)
    features = file / "features.npy" if file.is_dir() else file
    large = features.is_file() and features.stat().st_size > _LARGE_BYTES
    return Embeddings.load(file, mmap=large)


def show_doubts(params: dict[str, Any]) -> None:
    """What makes the numbers doubtful, on standard error."""
    said = []
    if unseen := params.get("unseen_test_rows"):
        said.append(
            f"{unseen} test images are of classes that train does not have; they count as errors"
        )
    twins = params.get("near_duplicates")
    if twins and twins["identical"] + (twins["near"] or 0):
        least = "" if twins["complete"] else "at least "
        kinds = [("identical to", twins["identical"]), ("very near to", twins["near"] or 0)]
        told = " and ".join(f"{n} {what} a training row" for what, n in kinds if n)
        said.append(f"of the test rows {least}{told}: they are no fair test")
    said += params.get("warnings", [])
    if shared := params.get("test_rows_of_train_groups"):
        said.append(f"{shared} test images are of groups that train has, too")
    if not params["converged"]:
        said.append("a fit stopped before it converged")
    for line in said:
        print(f"warning: {line}", file=sys.stderr)
