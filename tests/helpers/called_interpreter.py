"""What stands in for a Python interpreter, see helpers.interpreters; the standard library alone.

Called as `called_interpreter.py SOCKET PYTHON ARGUMENTS...`, the arguments those of a `python`.
"""

import contextlib
import json
import os
import signal
import socket
import sys

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def parse(arguments):
    """kind, what and rest of a call that can be forked; None of any other."""
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        if rest.pop(0) in ("-X", "-W"):
            rest.pop(0)
    if rest[:1] == ["-m"] and len(rest) > 1:
        return "module", rest[1], rest[2:]
    if rest[:1] == ["-c"] and rest[2:3] == ["--multiprocessing-fork"]:
        told = rest[1].rpartition("spawn_main(")[2].rstrip(")").split(", ")
        return "spawn", {k: int(v) for k, v in (pair.split("=") for pair in told)}, []
    if rest and rest[0].endswith(".py"):
        return "script", rest[0], rest[1:]
    return None


def open_files():
    """Number and flags of every open file."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            with open(f"/proc/self/fdinfo/{number}") as lines:
                flags = next(int(line.split()[1], 8) for line in lines if line[:5] == "flags")
            # files are written at their end: two that share one have no common place in it
            access = flags & os.O_ACCMODE
            found[number] = access | (os.O_APPEND if access != os.O_RDONLY else 0)
        except OSError:  # that of the listing
            continue
    return found


def main():
    place, python, *arguments = sys.argv[1:]
    call = parse(arguments)
    if call is None or not os.path.isdir("/proc/self/fd"):
        os.execv(python, [python, *arguments])
    files = open_files()
    kind, what, rest = call
    child, waiting = None, []

    def forward(number, _frame):
        if child is None:
            waiting.append(number)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    server = socket.socket(socket.AF_UNIX)
    server.connect(place)
    told = {"pid": os.getpid(), "kind": kind, "what": what, "rest": rest, "files": files}
    told.update(environment=dict(os.environ), folder=os.getcwd())
    server.sendall(json.dumps(told).encode() + b"\n")
    lines = server.makefile("r")
    child = int(lines.readline())
    for number in waiting:
        forward(number, None)
    code = int(lines.readline() or 1)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
