"""Names of processes, by which any machine can tell them apart and this one sees their end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

_UNKNOWN = "?"


def process_name() -> str:
    """A name for this process that no other has, on any machine."""
    pid = os.getpid()
    return f"{_this_machine()}/{pid}/{_start_ticks(pid)}"


def has_exited(name: str) -> bool:
    """Whether `name` is of a process of this machine that has exited."""
    place, _, rest = name.rpartition("/")
    place, _, pid = place.rpartition("/")
    if place != _this_machine() or not rest:
        return False  # on another machine, or a system that does not show its processes
    return _start_ticks(int(pid)) not in (rest, _UNKNOWN)


def _this_machine() -> str:
    """This machine since its start, as far as processes see each other (containers do not)."""
    parts = [socket.gethostname()]
    readers: tuple[Callable[[], str], ...] = (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        lambda: os.readlink("/proc/self/ns/pid"),
    )
    for read in readers:
        try:
            parts.append(read())
        except OSError:
            parts.append("-")  # not Linux
    return "/".join(parts)


def _start_ticks(pid: int) -> str:
    """When a process began, in ticks since the start of the machine; "" where it has exited."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:  # another user's process: it is there
        return _UNKNOWN
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
