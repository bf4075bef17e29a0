"""Two routines of LAPACK, called without the GIL, which scipy's wrappers hold.

scipy publishes their addresses in `scipy.linalg.cython_lapack` for such callers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

_INT = ctypes.POINTER(ctypes.c_int)
_DOUBLE = ctypes.POINTER(ctypes.c_double)


def tridiagonalise(
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
    for query in (-1, None):  # the first call returns the size of the work array of the second
        size_of_work = ctypes.c_int(len(work) if query is None else query)
        info = ctypes.c_int()
        _lapack_routine("dsytrd")(
            ctypes.c_char_p(b"L"), size, _pointer(a), size, _pointer(diagonal), _pointer(off),
            _pointer(tau), _pointer(work), size_of_work, info,
        )  # fmt: skip
        assert info.value == 0
        work = np.empty(int(work[0])) if query else work
    return diagonal, off[: d - 1]


def tridiagonal_eigenvalues(
    diagonal: NDArray[np.float64], off: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Eigenvalues of a symmetric tridiagonal matrix, ascending, float64 [d] (dsterf).

    Raises:
        ValueError: when the iteration does not converge.
    """
    values, rest = diagonal.copy(), off.copy() if len(off) else np.zeros(1)
    info = ctypes.c_int()
    _lapack_routine("dsterf")(ctypes.c_int(len(values)), _pointer(values), _pointer(rest), info)
    if info.value:
        raise ValueError(f"z: {info.value} eigenvalues of its Gram matrix did not converge")
    return values


def _pointer(array: NDArray[np.float64]) -> ctypes._Pointer[ctypes.c_double]:
    return array.ctypes.data_as(_DOUBLE)


@cache
def _lapack_routine(name: str) -> Callable[..., None]:
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__[name]
    text, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    text.restype, text.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    kinds: dict[str, type[ctypes._CDataType]] = {"char": ctypes.c_char_p, "int": _INT}
    signature = text(capsule)
    # "void (char *, int *, ...)": a build with another integer type fails here instead of crashing
    words = signature.decode().partition("(")[2].rstrip(")").split(",")
    arguments = [kinds.get(word.replace("*", "").strip(), _DOUBLE) for word in words]
    assert words[-1].strip() == "int *", signature
    return ctypes.CFUNCTYPE(None, *arguments)(pointer(capsule, signature))
