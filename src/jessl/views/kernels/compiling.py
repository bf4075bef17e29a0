"""How the two entry points are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def entry(signature: str) -> Callable[[Callable[..., None]], Any]:
    """Compile for a signature now, or take it from numba's cache on disk.

    Where nothing can be written, not even in the user's cache, it is compiled anew each time.
    """

    def compiled(function: Callable[..., None]) -> Any:
        try:
            return njit(signature, nogil=True, cache=True)(function)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            return njit(signature, nogil=True)(function)

    return compiled
