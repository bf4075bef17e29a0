"""Compiled entry points: numba, kept in its cache on disk."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit


def entry(signature: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile for a signature at once, or load from numba's cache on disk.

    Where no cache can be written, not even in the user's folder, each process compiles anew.
    """

    def compiled(function: Callable[..., None]) -> Callable[..., None]:
        dispatcher: Callable[..., None]
        try:
            dispatcher = njit(signature, nogil=True, cache=True)(function)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            dispatcher = njit(signature, nogil=True)(function)
        return dispatcher

    return compiled
