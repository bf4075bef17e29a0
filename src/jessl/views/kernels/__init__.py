"""The compiled code of views: numba, without a C compiler, compiled once on each machine.

`draw` samples parameters and `render` makes pixels from them; both release the GIL.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import Timeout
from numba.core import event

from jessl.core.files import file_lock
from jessl.core.log import log

# of a process that compiles, until another one compiles as well: a compilation takes a quarter of a
# minute, on an overloaded machine up to three and a half minutes
_LOCK_SECONDS = 600.0
_COMPILES = "numba:compile"
_lock = threading.Lock()
_ready: list[Kernels] = []
_ready_16: list[Callable[..., None]] = []

T = TypeVar("T")


@dataclass(frozen=True)
class Kernels:
    """The two entry points, see `jessl.views.kernels.draw` and `.render`; for images of 8 bits."""

    draw: Callable[..., None]
    render: Callable[..., None]


def compiled() -> Kernels:
    """The kernels, compiled on first use and kept on disk by numba's cache.

    A compilation is announced on standard error; of several processes one compiles.
    """
    if not _ready:
        with _lock:
            if not _ready:
                _ready.append(_load_or_compile(_build))
    return _ready[0]


def compiled_render_16() -> Callable[..., None]:
    """The renderer of images of 16 bits, compiled on first use."""
    if not _ready_16:
        with _lock:
            if not _ready_16:
                _ready_16.append(_load_or_compile(_build_16))
    return _ready_16[0]


def _build() -> Kernels:
    from jessl.views.kernels import draw, render

    key = _fingerprint()
    return Kernels(draw=draw.build(key), render=render.build(key))


def _build_16() -> Callable[..., None]:
    from jessl.views.kernels import render

    return render.build(_fingerprint(), "u2")


class _NotCached(Exception):
    """Something has to be compiled."""


class _CacheOnly(event.Listener):
    """Ends the building of what numba's cache lacks."""

    def on_start(self, started: object) -> None:
        raise _NotCached

    def on_end(self, ended: object) -> None:
        """Nothing to do."""


class _Announcement(event.Listener):
    """Announces the first compilation of this process."""

    done = False

    def on_start(self, started: object) -> None:
        if not self.done:
            log.info(
                "jessl: compiling the image kernels for this machine; this happens once and takes "
                "about a quarter of a minute, longer on a busy machine"
            )
        self.done = True

    def on_end(self, ended: object) -> None:
        """Nothing to do."""


_announcement = _Announcement()


def _load_or_compile(build: Callable[[], T]) -> T:
    """What `build` gives: from the cache, else compiled by one process while the others wait."""
    try:
        with event.install_listener(_COMPILES, _CacheOnly()):
            return build()
    except _NotCached:
        with _other_processes_wait(), event.install_listener(_COMPILES, _announcement):
            return build()


@contextmanager
def _other_processes_wait() -> Iterator[None]:
    """Hold a lock beside the cache; without one where the folder cannot be written or is slow."""
    lock = file_lock(Path(__file__).parent / "__pycache__" / "jessl-kernels.lock")
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except (OSError, Timeout, NotImplementedError):
        yield  # as good, only slower: each process compiles
    else:
        try:
            yield
        finally:
            lock.release()


def _fingerprint() -> int:
    """A hash of the kernels' sources and of the columns that they read."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=7)
    for path in (*sorted(here.glob("*.py")), here.parent / "params.py"):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest(), "little") | 1
