"""Memory and processor cores available to this process."""

from __future__ import annotations

import os
from pathlib import Path


def check_memory(needed: int, what: str) -> None:
    """Refuse work that needs more memory than is available; no check where that is unknown.

    Args:
        needed: bytes.
        what: what needs them, and what would need less, for the error message.

    Raises:
        ValueError: with both sizes.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise ValueError(f"{what}: needs {_gib(needed)} of memory, {_gib(available)} is available")


def available_memory() -> int | None:
    """Bytes available without swapping; None where the system does not report them (not Linux)."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    limits = [
        int(line.split()[1]) * 1024
        for line in meminfo.read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    # a container may have less than the machine
    limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        limits.append(max(0, int(limit.read_text()) - int(used.read_text())))
    return min(limits, default=None)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


def usable_cores() -> int:
    """Cores that this process may run on: in a container or under taskset fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
