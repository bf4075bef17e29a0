"""The parent's side of `bench_peers.py`: the process of a contender, and what it answered."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import Missing, Row
from peers_rounds import Task

_HERE = Path(__file__).parent
# uncounted at the start of a turn: those whose batches loaders prepared while others trained
_LEAD_BESIDE_QUEUE = 2


@dataclass
class Running:
    """A contender's process, and what it answered so far.

    Attributes:
        knn: (steps taken, kNN accuracy) at the end of each round.
    """

    name: str
    python: str
    workers: int | None
    process: subprocess.Popen[str]
    log: Path
    row: Row = field(default_factory=Row)
    steps: int = 1
    peak_mib: float = 0.0
    knn: list[tuple[int, float]] = field(default_factory=list)

    @property
    def lead(self) -> int:
        """Uncounted steps of a turn: torch's loaders prepare two batches a process."""
        return _LEAD_BESIDE_QUEUE + 2 * (self.workers or 0)

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # read_answer says what happened
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        return self.read_answer()

    def read_answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        lines = [text for text in self.log.read_text().splitlines() if text.strip()]
        raise Missing(f"its process ended: {lines[-1].strip()[:200] if lines else 'no message'}")

    def take_steps(self, steps: int) -> tuple[int, float, float]:
        """A turn: (images, wall seconds, CPU seconds) of the steps that count."""
        answer = self.ask(do="steps", lead=self.lead, steps=steps)
        self.steps += self.lead + steps
        self.peak_mib = max(self.peak_mib, answer["peak_mib"])
        return answer["images"], answer["wall"], answer["cpu"]

    def end(self) -> None:
        """End the process and its loaders."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def start(name: str, python: str, task: Task) -> Running:
    """Start a contender in the folder of its task."""
    log = Path(task.folder) / "log.txt"
    environment = {**os.environ, "OMP_NUM_THREADS": str(task.threads), "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(_HERE.parent / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    with log.open("w") as errors:
        process = subprocess.Popen(
            [python, str(_HERE / "peers_rounds.py"), name, json.dumps(dataclasses.asdict(task))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            env=environment, cwd=task.folder,
        )  # fmt: skip
    return Running(name, python, task.workers, process, log)
