"""The group of training processes: joining it, deciding in it and exchanging objects.

torchrun, or anything else that sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT,
starts the processes. gloo connects them on CPUs; on GPUs NCCL does, with gloo beside it for
decisions. With one process every function here is the identity. `heartbeats` says how long a
process waits for another.
"""

from __future__ import annotations

import datetime
import functools
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import torch
from torch import distributed

from jessl.core import collectives, heartbeats
from jessl.core.devices import pick_device

P = ParamSpec("P")
T = TypeVar("T")

_CPU = torch.device("cpu")
# what torch says of a peer that is gone; its errors have no class of their own
_LOST_PEER = ("connection closed", "connection reset", "timed out", "broken pipe", "store")
# of the group that `process_group` made; an existing group is watched by its owner
_watch: heartbeats.Heartbeats | None = None


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """The device of this process, in the group of all processes while the block lasts.

    Args:
        device: as for `pick_device`; with several GPUs "auto" and "cuda" are the one of
            LOCAL_RANK.

    Raises:
        ValueError: if the environment names several processes but not where they meet.
        ConnectionError: naming the rank of a process that does not come, has ended, or does not
            arrive for `heartbeats.ARRIVAL_SECONDS`. Where one is silent for
            `heartbeats.SILENT_SECONDS`, this process ends with one line.
    """
    global _watch
    world = os.environ.get("WORLD_SIZE") or "1"
    if not world.isdigit() or world == "0":
        raise ValueError(f"WORLD_SIZE: expected a whole number of at least 1, got {world!r}")
    if collectives.world() > 1 or world == "1":  # an existing group is left to its owner
        yield pick_device(device)
        return
    place = _device_of_rank(device, int(world))
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    try:
        patience = datetime.timedelta(seconds=heartbeats.SILENT_SECONDS)
        store, rank, count = next(distributed.rendezvous("env://", timeout=patience))
        store.set_timeout(patience)
        # before the group is made: a process that stops while the others connect is named as well
        _watch = heartbeats.Heartbeats(distributed.PrefixStore("jessl", store), rank, count)
        distributed.init_process_group(
            backend,
            store=distributed.PrefixStore("group", store),
            rank=rank,
            world_size=count,
            timeout=datetime.timedelta(seconds=heartbeats.ARRIVAL_SECONDS),
        )
        yield place
    except RuntimeError as error:
        if not _is_lost_peer(error):
            raise
        raise _lost_peer(error) from None
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
        if _watch is not None:
            _watch.stop()
            _watch = None


def _is_lost_peer(error: RuntimeError) -> bool:
    text = str(error).lower()
    is_theirs = isinstance(error, distributed.DistError) or "gloo" in text or "nccl" in text
    return is_theirs and any(words in text for words in _LOST_PEER)


def _lost_peer(error: RuntimeError) -> ConnectionError:
    """One line in place of torch's; the first process that is left reports it."""
    if _watch is None or not distributed.is_initialized():
        reason = str(error).strip().splitlines()[0]
        return ConnectionError(f"the processes did not meet: {reason}")
    ranks = _watch.lost()
    lost = ConnectionError(heartbeats.lost_line(ranks))
    left = set(range(int(os.environ["WORLD_SIZE"]))) - set(ranks)
    lost.reported = int(os.environ["RANK"]) != min(left)  # type: ignore[attr-defined]
    return lost


def _device_of_rank(device: str, world: int) -> torch.device:
    missing = [n for n in ("RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing:
        raise ValueError(
            f"WORLD_SIZE is {world} but {', '.join(missing)} is not set: start several processes "
            "with torchrun"
        )
    rank = os.environ["RANK"]
    if not rank.isdigit() or int(rank) >= world:
        raise ValueError(f"RANK: expected a whole number from 0 to {world - 1}, got {rank!r}")
    place = pick_device(device)
    if place.type != "cuda":
        return place
    if place.index is not None:
        raise ValueError(
            f"device {device} names one GPU for {world} processes; use cuda, and each process "
            "takes its own"
        )
    place = pick_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    torch.cuda.set_device(place)
    return place


def is_rank_zero() -> bool:
    """Whether this is the first process: the one that writes files and reports."""
    return collectives.rank() == 0


def on_rank_zero(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function on the first process; return its result, or raise its error, on all.

    All processes must call it. `rank_zero` does the same for every call of a function.

    Args:
        function: its result must be picklable where there are several processes.
        args, kwargs: its arguments.

    Example:
        >>> folder = on_rank_zero(create_folder, config)
    """
    if collectives.world() == 1:
        return function(*args, **kwargs)
    result: T | None = None
    failure: Exception | None = None
    if is_rank_zero():
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            failure = _picklable(error)
        if _watch is not None:
            _watch.end_alone()
    elif _watch is not None:  # a collective would give up before a long evaluation ends
        _watch.wait_for_first()
    shared = [failure, result]
    distributed.broadcast_object_list(shared, src=0, device=_CPU)
    failure = shared[0]  # type: ignore[assignment]
    if failure is not None:
        raise mark_reported(failure)
    # the first process keeps its own object, not a copy of it
    return result if is_rank_zero() else shared[1]  # type: ignore[return-value]


def on_all_ranks(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function on each process; an error of one of them is raised on all.

    All processes must call it. `all_ranks` does the same for every call of a function.

    Returns:
        The result of this process.
    """
    if collectives.world() == 1:
        return function(*args, **kwargs)
    result: T | None = None
    failure: Exception | None = None
    try:
        result = function(*args, **kwargs)
    except Exception as error:
        failure = _picklable(error)
    failures = [e for e in all_gather_object(failure) if e is not None]
    if failures:
        raise mark_reported(failure or failures[0])
    return result  # type: ignore[return-value]


def rank_zero(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: each call runs as `on_rank_zero` on the first process, for all of them.

    Example:
        >>> @rank_zero
        ... def create_folder(config): ...
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return on_rank_zero(function, *args, **kwargs)

    return call


def all_ranks(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: each call runs as `on_all_ranks`, so that all processes fail if one does.

    Example:
        >>> @all_ranks
        ... def load(path): ...
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return on_all_ranks(function, *args, **kwargs)

    return call


def mark_reported(error: Exception) -> Exception:
    """Mark an error that all processes raise, so that the first one alone reports it."""
    error.reported = not is_rank_zero()  # type: ignore[attr-defined]
    return error


def _picklable(error: Exception) -> Exception:
    """The error itself, or a simpler one that other processes can unpickle."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # classes whose arguments are not their message
        kind = next((k for k in (ValueError, OSError) if isinstance(error, k)), RuntimeError)
        return kind(str(error))
    return error


def store() -> distributed.Store:
    """Key-value store of the group, which all of its processes reach."""
    if _watch is not None:
        return _watch.store
    # of a group that its owner made; torch has no public name for it
    made: distributed.Store = distributed.distributed_c10d._get_default_store()
    return made


def any_rank(stop: bool, due: bool) -> tuple[bool, bool]:
    """Whether any process wants to stop, and whether work is due by the first one's clock."""
    if collectives.world() == 1:
        return stop, due
    flags = torch.tensor([int(stop), int(due and is_rank_zero())])
    distributed.all_reduce(flags, distributed.ReduceOp.MAX)
    return bool(flags[0]), bool(flags[1])


def all_gather_object(value: T) -> list[T]:
    """The values of all processes, in the order of their ranks, on all of them."""
    if collectives.world() == 1:
        return [value]
    values: list[T | None] = [None] * collectives.world()
    distributed.all_gather_object(values, value)
    return values  # type: ignore[return-value]
