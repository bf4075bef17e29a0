"""Commands and scripts in processes of their own, forked from one that has imported torch.

A new interpreter takes seconds to import torch. The fork server (helpers.processes) has imported it
and has computed nothing, so that what it forks is as good as new; signals, limits, exit codes and
the two streams are those of a real process. Tests of the import itself need `subprocess`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from helpers.interpreters import use
from helpers.processes import CONTEXT, preload

COMMAND = "import sys; from jessl.cli.main import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Finished:
    """What a process left: its exit code (-n: ended by signal n), and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class Started:
    """A process that runs `code`; `wait` gives what it left.

    Its own children are started by `python`, see helpers.interpreters, where that is given.
    """

    def __init__(
        self,
        code: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        python: str | None = None,
    ) -> None:
        preload()
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        wanted = dict(os.environ if environment is None else environment)
        self._process: ForkServerProcess = CONTEXT.Process(
            target=_execute,
            args=(code, list(arguments), *map(str, self._streams), wanted, os.getcwd(), python),
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait_until(self, happened: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something happened, or the process ended, or the time is over."""
        deadline = time.monotonic() + seconds
        while not happened() and self._process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)

    def wait(self, seconds: float = 300) -> Finished:
        """What the process left; one that does not end in time is killed, and the test fails."""
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            raise AssertionError(f"did not end within {seconds:g} s: {self._read()}")
        code = self._process.exitcode
        assert code is not None
        finished = Finished(code, *self._read())
        self._folder.cleanup()
        return finished

    def _read(self) -> list[str]:
        return [s.read_text(encoding="utf-8", errors="replace") for s in self._streams]


def run_command(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Finished:
    """`jessl ARGUMENTS...`, to its end."""
    return Started(COMMAND, arguments, environment).wait()


def start_command(arguments: Sequence[str]) -> Started:
    """`jessl ARGUMENTS...`, running."""
    return Started(COMMAND, arguments)


def run_code(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Finished:
    """`python -c CODE ARGUMENTS...`, to its end."""
    return Started(code, arguments, environment).wait()


def _execute(
    code: str,
    arguments: list[str],
    stdout: str,
    stderr: str,
    environment: dict[str, str],
    folder: str,
    python: str | None,
) -> None:
    if python is not None:
        use(python)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, place in ((1, stdout), (2, stderr)):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = ["-c", *arguments]
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            raise
        print(stop.code, file=sys.stderr)
        sys.exit(1)
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
