"""Downloading a table from an http(s) address, completely or not at all, within limits."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request

from jessl.core.validation import escape_control

SECONDS = 60.0  # for everything: a server that sends a byte now and then ends too
MOST_BYTES = 200_000_000
_STEP_BYTES = 1 << 16


def is_address(path: str) -> bool:
    """Whether a path is an http(s) address."""
    return path.lower().startswith(("http://", "https://"))


def download(address: str) -> bytes:
    """The body of the response from an address.

    Raises:
        OSError: naming the address, where nothing, no HTTP, an error or part of a body comes, and
            for more than 60 seconds or 200 MB.
        ValueError: naming the address, where it is none.
    """
    bodies: list[bytes] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            bodies.append(_body(address, time.monotonic() + SECONDS))
        except Exception as error:  # raised below, in the calling thread
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds the connection
            errors.append(error)

    # headers that drip in are read inside the standard library, so the limit is set from outside
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    if bodies:
        return bodies[0]
    prefix = f"{escape_control(address)}: "
    if not errors:
        raise OSError(f"{prefix}the table did not come within {SECONDS:g} seconds")
    error = errors[0]
    if isinstance(error, http.client.IncompleteRead):
        raise OSError(f"{prefix}the answer was cut short; try again") from None
    if isinstance(error, OSError):  # of urllib and of sockets; a few of http.client, too
        raise OSError(f"{prefix}{_words(error)}") from None
    if isinstance(error, ValueError | http.client.InvalidURL):
        raise ValueError(f"{prefix}is no address: {_words(error)}") from None
    if isinstance(error, http.client.HTTPException):
        raise OSError(f"{prefix}what answers is no web server ({_words(error)})") from None
    raise error


def _body(address: str, end: float) -> bytes:
    parts, size = [], 0
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        while part := answer.read1(_STEP_BYTES):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES or (answer.length or 0) > MOST_BYTES:
                raise OSError(f"the table is larger than {MOST_BYTES / 1e6:g} MB")
            if time.monotonic() > end:
                raise OSError(f"the table did not come within {SECONDS:g} seconds")
        if answer.length:  # read1 does not report bytes that were announced and never arrived
            raise http.client.IncompleteRead(b"", answer.length)
    return b"".join(parts)


def _words(error: Exception) -> str:
    reason = None if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", None)
    return escape_control(str(reason or error) or type(error).__name__)
