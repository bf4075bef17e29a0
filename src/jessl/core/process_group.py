"""Several processes: how they meet, decide and exchange objects; the identity for one.

torchrun (or anything that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT) starts
the processes: gloo joins them on CPUs, NCCL on GPUs with gloo beside it for decisions.
"""

from __future__ import annotations

import datetime
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed

from jessl.core import collectives
from jessl.core.devices import pick_device

T = TypeVar("T")


# the first process judges alone while the others wait for it
_PATIENCE = datetime.timedelta(hours=2)


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """The device of this process, in the group of all processes while the block lasts.

    Args:
        device: as `pick_device` takes it; on several GPUs "auto" and "cuda" are the one of
            LOCAL_RANK.

    Raises:
        ValueError: when the environment names several processes but not where they meet.
    """
    world = os.environ.get("WORLD_SIZE") or "1"
    if not world.isdigit() or world == "0":
        raise ValueError(f"WORLD_SIZE must be a whole number of at least 1, got {world!r}")
    if collectives.world() > 1 or world == "1":  # whoever started a group ends it
        yield pick_device(device)
        return
    missing = [n for n in ("RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {world} but {', '.join(missing)} is not set: start several processes "
            "with torchrun"
        )
    rank = os.environ["RANK"]
    if not rank.isdigit() or int(rank) >= int(world):
        raise ValueError(f"RANK must be in 0..{int(world) - 1}, got {rank!r}")
    place = pick_device(device)
    if place.type == "cuda":
        if place.index is not None:
            raise ValueError(
                f"device {device} names one GPU for {world} processes; take cuda, and each has "
                "its own"
            )
        place = pick_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(place)
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield place
    finally:
        distributed.destroy_process_group()


def is_rank_zero() -> bool:
    """Whether this process is the first: the one that writes and tells."""
    return collectives.rank() == 0


def on_rank_zero(decide: Callable[[], T]) -> T:
    """What the first process decides, on all of them; what it raises is raised on all.

    The others' errors have the attribute `told`: the first one tells.
    """
    if collectives.world() == 1:
        return decide()
    said: list[Any] = [None, None]
    if is_rank_zero():
        try:
            said[1] = decide()
        except Exception as error:
            said[0] = _picklable(error)
    kept = said[1]
    distributed.broadcast_object_list(said, src=0, device=_CPU)
    if said[0] is not None:
        raise mark_reported(said[0])
    return kept if is_rank_zero() else said[1]


def on_all_ranks(make: Callable[[], T]) -> T:
    """What each process makes; an error of one of them is raised on all, and told by the first."""
    if collectives.world() == 1:
        return make()
    made, wrong = None, None
    try:
        made = make()
    except Exception as error:
        wrong = _picklable(error)
    errors = [found for found in all_gather_object(wrong) if found is not None]
    if errors:
        raise mark_reported(wrong or errors[0])
    return made  # type: ignore[return-value]


def mark_reported(error: Exception) -> Exception:
    """An error that all processes raise, marked so that the first one alone tells it."""
    error.reported = not is_rank_zero()  # type: ignore[attr-defined]
    return error


def _picklable(error: Exception) -> Exception:
    """The error itself, or one that other processes can read."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # classes whose arguments are not their message
        kind = next((k for k in (ValueError, OSError) if isinstance(error, k)), RuntimeError)
        return kind(str(error))
    return error


_CPU = torch.device("cpu")


def any_rank(stop: bool, due: bool) -> tuple[bool, bool]:
    """Whether any process wants to stop, and whether something is due by the first one's clock."""
    if collectives.world() == 1:
        return stop, due
    asked = torch.tensor([int(stop), int(due and is_rank_zero())])
    distributed.all_reduce(asked, distributed.ReduceOp.MAX)
    return bool(asked[0]), bool(asked[1])


def all_gather_object(value: T) -> list[T]:
    """The values of all processes, in their order, on all of them."""
    if collectives.world() == 1:
        return [value]
    found: list[Any] = [None] * collectives.world()
    distributed.all_gather_object(found, value)
    return found
