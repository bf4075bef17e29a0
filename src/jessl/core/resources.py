"""Memory and processor cores available to this process."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
# in the messages of torch's allocators, and of numbers that do not fit into 64 bits
_BEYOND = re.compile(r"memory|overflow", re.IGNORECASE)


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


@contextlib.contextmanager
def refuse_sizes_beyond_memory(what: str) -> Iterator[None]:
    """Turn what torch raises of sizes beyond the memory, or beyond whole numbers, into one line.

    Args:
        what: was built with these sizes, for the error message.

    Raises:
        ValueError: with the reason that torch gives; other errors stay as they are.
    """
    try:
        yield
    except (RuntimeError, TypeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        if not isinstance(error, MemoryError) and not _BEYOND.search(reason):
            raise
        raise ValueError(
            f"{what} cannot be built: {reason[:200] or type(error).__name__}"
        ) from None


def available_memory() -> int | None:
    """Bytes available without swapping; None where the system does not report them (not Linux).

    The least of what the machine has, what the control groups of this process grant (a container,
    a job of SLURM), and what `ulimit -v` leaves.
    """
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    limits = [
        int(line.split()[1]) * 1024
        for line in meminfo.read_text().splitlines()
        if line.startswith("MemAvailable:")
    ]
    limits += [left for group in _groups("memory") if (left := _memory_left(group)) is not None]
    if (left := _address_space_left()) is not None:
        limits.append(left)
    return min(limits, default=None)


def _memory_left(group: Path) -> int | None:
    """Bytes that a control group grants and has not used; None where it has no limit."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
    ):
        try:
            most = (group / limit).read_text().strip()
            taken = int((group / used).read_text())
            if most == "max":
                return None
            return max(0, int(most) - max(0, taken - _statistic(group / "memory.stat", cache)))
        except (OSError, ValueError):
            continue
    return None


def _statistic(file: Path, name: str) -> int:
    """A number of memory.stat, such as the bytes of files that the kernel may forget."""
    try:
        lines = (line.split() for line in file.read_text().splitlines())
        return next((int(words[1]) for words in lines if words[0] == name), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _address_space_left() -> int | None:
    """Bytes of address space that `ulimit -v` leaves; None where there is no limit."""
    try:
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(0, most - pages * os.sysconf("SC_PAGE_SIZE"))
    except (ImportError, OSError, ValueError):
        return None


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
    """Cores' worth of time that the control groups grant; None where there is no limit."""
    quotas = [quota for group in _groups("cpu") if (quota := _quota_of(group)) is not None]
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()
        else:  # version 1
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quota, period = ((group / name).read_text().strip() for name in names)
        cores = math.inf if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return cores if 0 < cores < math.inf else None


def _groups(controller: str) -> list[Path]:
    """The folders of the control groups whose limits hold for this process, the innermost first.

    A container sees its own group as the root, a job of SLURM or systemd lies deeper; version 1
    has a folder for each controller.
    """
    roots = {_CONTROL_GROUP: "/", _CONTROL_GROUP / controller: "/"}
    try:
        for line in _MEMBERSHIP.read_text().splitlines():
            _, names, path = line.split(":", 2)
            if names == "" or controller in names.split(","):
                roots[_CONTROL_GROUP / controller if names else _CONTROL_GROUP] = path
    except (OSError, ValueError):
        pass
    return [
        root.joinpath(*parts[:depth])
        for root, path in roots.items()
        for parts in [[part for part in path.split("/") if part not in ("", "..")]]
        for depth in range(len(parts), -1, -1)
    ]
