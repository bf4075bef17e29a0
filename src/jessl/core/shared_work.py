"""Work that the processes of a group take in turns: who is ready takes the next piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from jessl.core import collectives, process_group

T = TypeVar("T")


def pieces(items: Sequence[T], world: int) -> list[list[T]]:
    """Divide items among processes: long runs of neighbours first, single items at the end.

    A process that takes the next piece whenever it is ready reads neighbours, and all of them end
    within the time of about one item (guided self-scheduling; Polychronopoulos and Kuck 1987).

    Example:
        >>> [len(piece) for piece in pieces(range(16), 2)]
        [4, 3, 3, 2, 1, 1, 1, 1]
    """
    if world == 1:
        return [list(items)] if items else []
    divided, at = [], 0
    while at < len(items):
        size = -(-(len(items) - at) // (2 * world))
        divided.append(list(items[at : at + size]))
        at += size
    return divided


class SharedNumber:
    """A whole number, 0 at first, that every process of the group can raise.

    Args:
        name: the same on all processes, and of no other number of the group.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._store = process_group.store() if collectives.world() > 1 else None
        self._value = 0

    def add(self, amount: int) -> int:
        """Raise the number; its new value, over all processes."""
        if self._store is None:
            self._value += amount
        else:
            self._value = int(self._store.add(self._name, amount))
        return self._value


def taken(items: Sequence[T], name: str) -> Iterator[list[T]]:
    """The pieces that this process takes; each piece is taken by one process.

    Args:
        items: the same on all processes.
        name: as of `SharedNumber`.
    """
    turn = SharedNumber(name)
    divided = pieces(items, collectives.world())
    while (k := turn.add(1) - 1) < len(divided):
        yield divided[k]
