"""Memory and processor cores available to this process."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")


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
    limit, used = (_CONTROL_GROUP / name for name in ("memory.max", "memory.current"))
    if limit.exists() and used.exists() and limit.read_text().strip() != "max":
        limits.append(max(0, int(limit.read_text()) - int(used.read_text())))
    return min(limits, default=None)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


def usable_cores() -> int:
    """Cores that this process may use: under taskset or in a container fewer than there are.

    A container that grants a share of a core (`docker run --cpus 0.5`) has one.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    quota = _core_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _core_quota() -> float | None:
    """Cores' worth of time that the control group grants; None where there is no limit."""
    try:
        if (_CONTROL_GROUP / "cpu.max").exists():
            quota, period = (_CONTROL_GROUP / "cpu.max").read_text().split()
        else:  # version 1
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((_CONTROL_GROUP / "cpu" / name).read_text().strip() for name in names)
        cores = math.inf if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if 0 < cores < math.inf else None
