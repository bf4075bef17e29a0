"""Pillow's warnings and log lines about odd files go nowhere, in any thread."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from typing import Any

_PILLOW = r"PIL\."
_lock = threading.Lock()
_log = logging.getLogger("PIL")


def ignore_pillow_warnings() -> None:
    """Ignore Pillow's own warnings and log lines in this process from now on.

    A log line is printed on standard error only where no logger has a handler; a handler of the
    program still gets it. What is wrong with a file is in jessl's own error.

    warnings.catch_warnings is not safe in threads (two that overlap may leave the filters of the
    first in place for ever), so one filter, of Pillow's modules only, is put in front and stays.
    """
    if _first_filter_is_ours():
        return
    with _lock:
        if not _first_filter_is_ours():
            warnings.filterwarnings("ignore", module=_PILLOW)
            if not _log.handlers:
                _log.addHandler(logging.NullHandler())


def _first_filter_is_ours() -> bool:
    first: Any = warnings.filters[0] if warnings.filters else None
    return first is not None and first[0] == "ignore" and first[3] == re.compile(_PILLOW)
