"""Exchanging two paths in one step of the file system."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100  # of Linux: paths are relative to the working directory
_RENAME_EXCHANGE = 2  # renameat2(2)
_RENAME_SWAP = 2  # renamex_np(2) of macOS
# a system or a file system that has no such step
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def exchange(a: Path, b: Path) -> bool:
    """Let two existing paths change places at once; False where the file system cannot.

    Raises:
        OSError: for any other reason.
    """
    if sys.platform not in ("linux", "darwin"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(a), os.fsencode(b)
    try:
        if sys.platform == "linux":
            failed = libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, _RENAME_EXCHANGE)
        else:
            failed = libc.renamex_np(first, second, _RENAME_SWAP)
    except AttributeError:  # an old C library
        return False
    if not failed:
        return True
    code = ctypes.get_errno()
    if code in _NOT_SUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(b))
