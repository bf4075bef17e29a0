"""Machines without a network: the hubs fail in seconds, and what is in their caches still works."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.error import HTTPError
from urllib.request import Request, urlopen

# a connection that takes longer, or a download that stalls for so long, counts as none
_CONNECT_SECONDS, _STALLED_SECONDS = 5.0, 30.0


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Have the Hugging Face Hub's client use its cache alone where the hub cannot be reached.

    The client would retry each of its requests for minutes. One connection, of at most five
    seconds, decides for this process; HF_HUB_OFFLINE=1 leaves it out.
    """
    from huggingface_hub import constants

    # the client logs each of its retries
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def hub_remedy() -> str:
    """What to do where the hub cannot be reached: the cache that is looked in, and its setting."""
    from huggingface_hub import constants

    return (
        f"without network copy the cache of a machine that has it to {constants.HF_HUB_CACHE} "
        "(HF_HUB_CACHE sets the folder, HF_HUB_OFFLINE=1 asks no network)"
    )


@contextmanager
def no_stalled_downloads() -> Iterator[None]:
    """Downloads by urllib, as of torchvision, end where nothing arrives for half a minute."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALLED_SECONDS if before is None else before)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def is_network_error(error: BaseException) -> bool:
    """Whether an error is of the network: also those of the hub's client, which are no OSError."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in (
        "httpx",
        "httpx2",
    )


@cache
def _answers(endpoint: str) -> bool:
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=_CONNECT_SECONDS):
            return True
    except HTTPError:
        return True  # it refuses this request, but it is there
    except (OSError, ValueError):
        return False
