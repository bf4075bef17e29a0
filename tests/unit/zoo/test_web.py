"""Addresses that answer wrongly, slowly or too much: one line that names them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from jessl.zoo import web
from jessl.zoo.table import read_table

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
TABLE = b"model,train_test\na,20\nb,30\n"


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that reads one request and answers as it likes."""
    listening = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            try:
                answer(connection)
            except OSError:  # the other side has given up, as it should
                return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/t.csv"
    finally:
        thread.join()
        listening.close()


def sent(content: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(content)


def told(address: str, words: str, kind: type[Exception] = OSError) -> None:
    with pytest.raises(kind, match=words) as error:
        read_table(address)
    assert type(error.value) is kind
    assert str(error.value).startswith(f"{address}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HEAD + b"Content-Length: 999\r\n\r\n" + TABLE, "cut short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nmo", "cut short"),
        (b"SSH-2.0-OpenSSH_9\r\n\x1b[2J\r\n", "no web server"),
        (b"HTTP/1.1 404 \x1b[2JNone\r\nContent-Length: 0\r\n\r\n", "HTTP Error 404"),
        (b"", "closed connection"),
    ],
)
def test_answers_that_are_no_table(answer, words):
    with server(sent(answer)) as address:
        told(address, words)


@pytest.mark.parametrize("length", [b"", b"Content-Length: %d\r\n" % len(TABLE)])
def test_a_whole_answer_is_read(length):
    with server(sent(HEAD + length + b"\r\n" + TABLE)) as address:
        assert read_table(address).frame["train_test"].tolist() == [20, 30]


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:abc/x", "https://exa mple.com/x", "http://[::1/x", "HTTP:///x"],
)
def test_addresses_that_are_none(address):
    with pytest.raises((ValueError, OSError)) as error:
        read_table(address)
    assert type(error.value) in (ValueError, OSError)
    assert str(error.value).startswith(f"{address}: ")


def test_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    told(f"http://127.0.0.1:{port}/x", "refused")


@pytest.mark.parametrize("start", [HEAD + b"\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_what_drips_ends(monkeypatch, start):
    monkeypatch.setattr(web, "SECONDS", 0.5)

    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(20):
            connection.sendall(b"x")
            time.sleep(0.1)

    began = time.monotonic()
    with server(drip) as address:
        told(address, "did not come within 0.5 seconds")
        assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("length", [b"", b"Content-Length: 1000000\r\n"])
def test_what_is_too_large_ends(monkeypatch, length):
    monkeypatch.setattr(web, "MOST_BYTES", 100_000)
    with server(sent(HEAD + length + b"\r\n" + b"x" * 1_000_000)) as address:
        told(address, r"larger than 0\.1 MB")
