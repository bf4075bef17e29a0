"""A command that is called as a Python interpreter and forks one that has imported torch.

Jobs, launchers and workers that jessl and other libraries start as `sys.executable ...` import
torch anew, which takes each of them many seconds. The command of `fast_python` asks a thread of
the test's process for a fork of the fork server (helpers.processes), gives it its own arguments,
environment, folder and open files, passes signals on, and ends as it ends. Calls that it does not
know go to the real interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shlex
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing import connection, resource_tracker, spawn
from pathlib import Path
from typing import Any

from helpers.processes import CONTEXT, preload

# a file of its own, so that it begins without importing anything else
_CALLED = Path(__file__).with_name("called_interpreter.py")


@contextlib.contextmanager
def fast_python() -> Iterator[str]:
    """The path of the command; it works while the context lasts."""
    preload()
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        place, command = Path(folder, "socket"), Path(folder, "python")
        listener.bind(str(place))
        listener.listen(16)
        words = [sys.executable, "-IS", str(_CALLED), str(place), sys.executable]
        command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        command.chmod(0o700)
        thread = threading.Thread(target=_serve, args=(listener, str(command)), daemon=True)
        thread.start()
        try:
            yield str(command)
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # ends the thread's accept
            thread.join()


@contextlib.contextmanager
def fast_children() -> Iterator[str]:
    """What this process starts as `sys.executable` is forked while the context lasts."""
    before = sys.executable, spawn.get_executable()
    with fast_python() as python:
        use(python)
        try:
            yield python
        finally:
            sys.executable = before[0]
            spawn.set_executable(before[1])


def use(python: str) -> None:
    """Let this process start its children with the command, by whatever library."""
    sys.executable = python
    spawn.set_executable(python)


def _serve(listener: socket.socket, python: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(client, python), daemon=True).start()


def _answer(client: socket.socket, python: str) -> None:
    """One call: start its process, tell its number, wait for its end, tell its exit code."""
    with client, client.makefile("r", encoding="utf-8") as lines:
        call = json.loads(lines.readline())
        process = CONTEXT.Process(target=_run, args=(call, python))
        process.start()
        client.sendall(f"{process.pid}\n".encode())
        if client in connection.wait([client, process.sentinel]):
            process.kill()  # who called was killed
        process.join()
        with contextlib.suppress(OSError):
            client.sendall(f"{process.exitcode}\n".encode())


def _run(call: dict[str, Any], python: str) -> None:
    """Become the process that was called for, and do its work."""
    _take_files(call["pid"], call["files"])
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["folder"])
    use(python)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for number, name in ((1, "stdout"), (2, "stderr")):
        setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    kind, what, rest = call["kind"], call["what"], call["rest"]
    sys.argv = [what, *rest]
    if kind == "spawn":
        resource_tracker._resource_tracker._fd = what["tracker_fd"]  # type: ignore[attr-defined]
        sys.exit(spawn._main(what["pipe_handle"], os.dup(what["pipe_handle"])))  # type: ignore[attr-defined]
    if kind == "module":
        sys.path.insert(0, os.getcwd())
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(os.path.abspath(what)))
        runpy.run_path(what, run_name="__main__")


def _take_files(pid: int, files: dict[str, int]) -> None:
    """Open the pipes and files of the process that was called, under their numbers."""
    opened = []
    for number, flags in files.items():
        # above all numbers that are to be taken
        try:
            held = os.open(f"/proc/{pid}/fd/{number}", flags)
        except OSError:
            assert int(number) > 2  # a socket or the like, of which no test makes use
            continue
        opened.append((os.dup2(held, 500 + int(number)), int(number)))
        os.close(held)
    for held, number in opened:
        os.dup2(held, number)
        os.close(held)
