"""Hashes: random numbers that do not depend on the order of calls, ids and checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from jessl.core.validation import escape_control

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix64(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64 (Steele, Lea, Flood 2014): uint64 [...] to uint64 [...].

    Its results must never change: views, hold-outs and jackknife blocks depend on them.
    """
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def splitmix64(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One step of SplitMix64 from the states x: uint64 [...] to uint64 [...]."""
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is intended
        return mix64(x + GOLDEN)


def hashed_ids(keys: Iterable[str], name: str) -> npt.NDArray[np.int64]:
    """A hash of each key that is the same on every machine: int64 [n], 0..2^63-1.

    Args:
        name: of what the keys belong to, for the error message.

    Raises:
        ValueError: when two keys are equal, or share a hash.
    """
    by_id: dict[int, str] = {}
    for key in keys:
        digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        number = int.from_bytes(digest, "little") >> 1
        if number in by_id:
            raise ValueError(
                f"{name}: {escape_control(key)!r} and {escape_control(by_id[number])!r} have the "
                "same id: every image needs a name of its own"
            )
        by_id[number] = key
    return np.fromiter(by_id, dtype=np.int64, count=len(by_id))


def checksum(*parts: str | npt.NDArray[np.generic] | None) -> str:
    """16 hexadecimal digits of texts and arrays (type, shape and bytes)."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()
