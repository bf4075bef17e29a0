"""Two routines of LAPACK, called so that other threads go on: scipy's wrappers hold the GIL.

scipy offers the addresses in `scipy.linalg.cython_lapack` for callers like this one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INT = ctypes.POINTER(ctypes.c_int)
_DOUBLE = ctypes.POINTER(ctypes.c_double)


def tridiagonal(
    a: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reduce a symmetric matrix to a tridiagonal one by Q with Q e1 = e1 (dsytrd, lower).

    Args:
        a: float64 [d, d] in Fortran order; its lower triangle is read and overwritten.

    Returns:
        diagonal [d] and off-diagonal [d - 1].
    """
    assert a.flags.f_contiguous
    d = len(a)
    diagonal, off, tau = np.empty(d), np.empty(max(d - 1, 1)), np.empty(max(d - 1, 1))
    size = ctypes.c_int(d)
    work = np.empty(1)
    for asked in (-1, None):  # the first call tells how much room the second needs
        room = ctypes.c_int(len(work) if asked is None else asked)
        info = ctypes.c_int()
        _routine("dsytrd")(
            ctypes.c_char_p(b"L"), size, _at(a), size, _at(diagonal), _at(off), _at(tau), _at(work),
            room, info,
        )  # fmt: skip
        assert info.value == 0
        work = np.empty(int(work[0])) if asked else work
    return diagonal, off[: d - 1]


def of_tridiagonal(diagonal: NDArray[np.float64], off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of a symmetric tridiagonal matrix, ascending, float64 [d] (dsterf).

    Raises:
        ValueError: when the iteration does not converge.
    """
    values, rest = diagonal.copy(), off.copy() if len(off) else np.zeros(1)
    info = ctypes.c_int()
    _routine("dsterf")(ctypes.c_int(len(values)), _at(values), _at(rest), info)
    if info.value:
        raise ValueError(f"z: {info.value} eigenvalues of its Gram matrix did not converge")
    return values


def _at(array: NDArray[np.float64]) -> Any:
    return array.ctypes.data_as(_DOUBLE)


@cache
def _routine(name: str) -> Callable[..., None]:
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__[name]
    text, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    text.restype, text.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    kinds = {"char": ctypes.c_char_p, "int": _INT}
    signature = text(capsule)
    # "void (char *, int *, ...)": a build with other integers would be refused here, not crash
    words = signature.decode().partition("(")[2].rstrip(")").split(",")
    arguments: list[Any] = [kinds.get(word.replace("*", "").strip(), _DOUBLE) for word in words]
    assert words[-1].strip() == "int *", signature
    return ctypes.CFUNCTYPE(None, *arguments)(pointer(capsule, signature))
