"""The compiled code of the search for neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.core.compiled import entry


@entry("void(float32[:,:], int64[:], int64[:], float32[:,:], int32[:,:])")
def keep_largest(
    cosine: NDArray[np.float32],
    own: NDArray[np.int64],
    others: NDArray[np.int64],
    best: NDArray[np.float32],
    index: NDArray[np.int32],
) -> None:
    """Merge a block of cosines into the largest of each row.

    Args:
        cosine: [rows, columns]; own: [rows] and others: [columns], which rows of the pool they are.
        best: [rows, k], sorted, the largest first; index: [rows, k]: both are changed.
    """
    last = best.shape[1] - 1
    for i in range(cosine.shape[0]):
        least = best[i, last]
        for j in range(cosine.shape[1]):
            value = cosine[i, j]
            if value > least and others[j] != own[i]:
                at = last
                while at > 0 and best[i, at - 1] < value:
                    best[i, at] = best[i, at - 1]
                    index[i, at] = index[i, at - 1]
                    at -= 1
                best[i, at] = value
                index[i, at] = others[j]
                least = best[i, last]
