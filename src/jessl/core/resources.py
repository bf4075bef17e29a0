"""Memory and cores that this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def check_memory(wanted: int, what: str) -> None:
    """Compare with what the system says is free; where it does not say (not Linux), go on.

    Args:
        wanted: bytes.
        what: who wants them and what would want less, for the error.

    Raises:
        ValueError: naming both sizes.
    """
    free = _available()
    if free is not None and wanted > free:
        raise ValueError(f"{what}: needs {_gib(wanted)} of memory, {_gib(free)} is available")


def _available() -> int | None:
    """Bytes that can be had without swapping, None where the system does not say."""
    told = Path("/proc/meminfo")
    if not told.exists():
        return None
    known = [
        int(line.split()[1]) * 1024
        for line in told.read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    # a container may have less than its machine
    most, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
    if most.exists() and used.exists() and most.read_text().strip() != "max":
        known.append(max(0, int(most.read_text()) - int(used.read_text())))
    return min(known, default=None)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


def usable_cores() -> int:
    """Cores that this process may run on; a container or taskset may allow fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
