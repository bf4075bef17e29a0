"""A demo study for all tests of one: a command that SIGTERM ends, then a call that completes it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from helpers.commands import Started
from helpers.interpreters import fast_children, fast_python
from jessl.core.log import Log
from jessl.demo import demo

OPTIONS: dict[str, Any] = {"quick": True, "epochs": 1, "images": 400}
# seconds: the first training of a machine compiles kernels, and a busy one takes its time
BEGUN, ENDED = 240, 60
_COMMAND = (
    "import signal, sys\n"
    # a background job starts with Ctrl-C ignored, and jessl leaves that as it is
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from jessl.cli.main import main\n"
    "sys.exit(main(sys.argv[1:]))"
)


def build_demo_study(folder: Path) -> None:
    """Fill `folder` with a study, and facts.json: what the command left, what the call returned.

    The command is stopped when its first run has ended.
    """
    out = folder / "study"
    arguments = ["--quick", "--images", "400", "--epochs", "1", "--workers", "2"]
    stopped = interrupt_demo(
        [*arguments, "--out", str(out)],
        lambda: list(out.glob("runs/*/embeddings/test")),
        signal.SIGTERM,
    )
    ended = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/embeddings/test/*")}
    lines: list[str] = []
    with fast_children():
        study = demo("digits", out=out, workers=2, log=Log(lines.append), **OPTIONS)
    kept = bool(ended) and ended == {p: p.stat().st_mtime_ns for p in ended}
    facts = {"stopped": stopped, "study": study, "lines": lines, "ended runs stay": kept}
    (folder / "facts.json").write_text(json.dumps(facts))


def interrupt_demo(
    arguments: Sequence[str], happened: Callable[[], object], number: int
) -> dict[str, Any]:
    """Send a signal to `jessl demo ARGUMENTS...` once something happened: how all of it ended."""
    with fast_python() as python:
        process = Started(_COMMAND, ["demo", *arguments], python=python)
        return _interrupt(process, happened, number)


def _interrupt(process: Started, happened: Callable[[], object], number: int) -> dict[str, Any]:
    process.wait_until(happened, BEGUN)
    workers = _children(process.pid)
    with contextlib.suppress(ProcessLookupError):  # it has failed: its code and its errors tell
        process.send_signal(number)
    left = process.wait(BEGUN)
    deadline = time.monotonic() + ENDED
    while any(_alive(w) for w in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {
        "code": left.returncode,
        "errors": left.stderr,
        "workers": len(workers),
        "alive": [w for w in workers if _alive(w)],
    }


def _children(pid: int) -> list[int]:
    """Processes started by a process, read from /proc; none where there is no /proc."""
    others = [int(place.name) for place in Path("/proc").glob("[0-9]*")]
    return [other for other in others if _state(other)[1:2] == [str(pid)]]


def _alive(pid: int) -> bool:
    return _state(pid)[:1] not in ([], ["Z"])


def _state(pid: int) -> list[str]:
    """State, parent and what else /proc knows of a process; empty where it is gone."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return []
    try:
        # not by `open`, which warns of a file left open where a process ends in that moment
        return os.read(file, 4096).decode(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
    finally:
        os.close(file)
