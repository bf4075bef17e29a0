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

from jessl.core.log import log

# loading from the cache takes a fifth of this, a compilation about a quarter of a minute
_PATIENCE_SECONDS = 2.0
_lock = threading.Lock()
_ready: list[Kernels] = []
_ready_16: list[Callable[..., None]] = []


@dataclass(frozen=True)
class Kernels:
    """The two entry points, see `jessl.views.kernels.draw` and `.render`; for images of 8 bits."""

    draw: Callable[..., None]
    render: Callable[..., None]


def compiled() -> Kernels:
    """The kernels, compiled on first use and kept on disk by numba's cache.

    A compilation that takes longer than two seconds is announced on standard error.
    """
    if not _ready:
        with _lock:
            if not _ready:
                _ready.append(_compile())
    return _ready[0]


def compiled_render_16() -> Callable[..., None]:
    """The renderer of images of 16 bits, compiled on first use."""
    if not _ready_16:
        with _lock:
            if not _ready_16:
                with _announced():
                    from jessl.views.kernels import render

                    _ready_16.append(render.build(_fingerprint(), "u2"))
    return _ready_16[0]


def _compile() -> Kernels:
    with _announced():
        from jessl.views.kernels import draw, render

        key = _fingerprint()
        return Kernels(draw=draw.build(key), render=render.build(key))


@contextmanager
def _announced() -> Iterator[None]:
    """Announce what takes longer than two seconds."""
    timer = threading.Timer(_PATIENCE_SECONDS, _announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _announce() -> None:
    log.info(
        "jessl: compiling the image kernels for this machine; this happens once and takes about "
        "a quarter of a minute"
    )


def _fingerprint() -> int:
    """A hash of the kernels' sources and of the columns that they read."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=7)
    for path in (*sorted(here.glob("*.py")), here.parent / "params.py"):
        digest.update(path.read_bytes())
    return int.from_bytes(digest.digest(), "little") | 1
