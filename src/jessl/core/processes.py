"""Processes: names by which any machine can tell them apart, and scripts that may start some."""

from __future__ import annotations

import ast
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

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


def check_main_guard(call: str) -> None:
    """Refuse to start processes where each of them would run the caller's script again.

    A new process imports the script of its parent, and runs what does not stand under
    `if __name__ == "__main__":`. Only scripts are refused: a notebook, `python -c` and modules that
    end in `__main__` are not imported again.

    Args:
        call: what starts the processes, as the error names it.

    Raises:
        ValueError: naming the line of the script.
    """
    frame = _script_frame()
    if frame is None:
        return
    file, line = frame.f_code.co_filename, frame.f_lineno
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # typed in by hand, or no Python: it is not imported again
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and _names_main(n.test)]
    for guard in guards:
        encloses = guard.lineno <= line <= (guard.end_lineno or line)
        leaves = isinstance(guard.body[-1], ast.Raise | ast.Expr)  # if not main: sys.exit()
        if encloses or (leaves and (guard.end_lineno or line) < line):
            return
    raise ValueError(
        f'{call}: put the call in line {line} of {file} under if __name__ == "__main__": '
        "(each new process imports the script and would run the call again)"
    )


def _script_frame() -> FrameType | None:
    """Where the script that Python was started with is at the moment; None without one."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name.rpartition(".")[2] == "__main__":
        return None
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "__main__":
            return frame
        frame = frame.f_back
    return None


def _names_main(test: ast.expr) -> bool:
    return any(isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(test))
