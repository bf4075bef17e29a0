"""The child's side of `bench_peers.py`: trains when it is its turn, and answers on a pipe."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from harness import children, cpu_seconds, wait_for_quiet


@dataclass(frozen=True)
class Task:
    """What all contenders do alike.

    Attributes:
        folder: holds `images.npz` and `knn.npz`, and takes what a contender writes.
        encoder: the network, as `jessl.encoders.build_encoder` names it.
        hidden, out: widths of the projection head, which has two layers.
        workers: loader processes of a contender that has them; None: its own choice.
        steps: length of the training for which learning-rate schedules are set.
        optimizer: "own", that of the library's example, or "adamw", the same for all.
    """

    folder: str
    encoder: str
    batch_size: int
    size: int
    hidden: int
    out: int
    temperature: float
    threads: int
    workers: int | None
    steps: int
    optimizer: str
    device: str
    seed: int


class Finished(BaseException):
    """The parent wants no more steps; no library catches it as an error."""


class Turns:
    """Called after every step; between two turns it blocks until the parent's next command."""

    def __init__(self, task: Task, answers: TextIO, since: float) -> None:
        self._task = task
        self._answers = answers
        self._since = since
        self._first = True
        self._lead = self._measured = self._steps = 0
        self._wall = self._cpu = 0.0
        self._net: Any = None
        self._mean: Any = None
        self._std: Any = None

    def watch(self, net: Any, mean: Any, std: Any) -> None:
        """Name the network that a kNN probe evaluates, and the normalisation of its input."""
        self._net, self._mean, self._std = net, mean, std

    def after_step(self) -> None:
        """Count a step, and hand the cores back at the end of a turn."""
        if self._first:
            self._first = False
            self._synchronise()
            self._answer({"first_seconds": time.perf_counter() - self._since})
        elif self._lead:
            self._lead -= 1
            if self._lead == 0:
                self._start_clock()
            return
        elif self._measured > 1:
            self._measured -= 1
            return
        else:
            self._synchronise()
            wall = time.perf_counter() - self._wall
            cpu = cpu_seconds() - self._cpu
            images = self._steps * self._task.batch_size
            # loader processes fill their queues; they must not do it in another's turn
            wait_for_quiet()
            self._answer(
                {"images": images, "wall": wall, "cpu": cpu, "peak_mib": _peak_mib(self._task)}
            )
        self._obey()

    def _obey(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if command["do"] == "knn":
                self._answer({"accuracy": self._knn()})
            elif command["do"] == "steps":
                self._lead, self._measured = command["lead"], command["steps"]
                self._steps = command["steps"]
                return
            else:
                break
        raise Finished

    def _start_clock(self) -> None:
        self._synchronise()
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()

    def _synchronise(self) -> None:
        if self._task.device != "cpu":
            import torch

            torch.cuda.synchronize()

    def _answer(self, answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=self._answers, flush=True)

    def _knn(self) -> float:
        import jessl

        data = np.load(Path(self._task.folder) / "knn.npz")
        train, test = (
            jessl.Embeddings(self._embed(data[x]), data[y], ids=np.arange(len(data[y])) + first)
            for x, y, first in (("x", "y", 0), ("x_test", "y_test", 1 << 40))
        )
        return float(jessl.probe(train, test, kind="knn").accuracy)

    def _embed(self, images: np.ndarray) -> np.ndarray:
        import torch

        net, device = self._net, self._task.device
        training = net.training
        net.eval()
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self._mean, self._std))
        rows = []
        with torch.no_grad():
            for block in np.array_split(images, -(-len(images) // 500)):
                pixels = torch.from_numpy(block).permute(0, 3, 1, 2).float() / 255
                rows.append(net(((pixels - mean) / std).to(device)).flatten(1).float().cpu())
        net.train(training)
        return torch.cat(rows).numpy()


def _peak_mib(task: Task) -> float:
    """Peak memory: of the device, or resident, with what loader processes hold for themselves."""
    if task.device != "cpu":
        import torch

        return float(torch.cuda.max_memory_allocated()) / 2**20
    kib = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    if sys.platform == "darwin":
        return kib / 2**20
    for pid in children():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kib / 1024


def main() -> None:
    """Train the contender that the first argument names, as the second describes."""
    since = time.perf_counter()
    name, task = sys.argv[1], Task(**json.loads(sys.argv[2]))
    # libraries print; the pipe is for answers only
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: task.threads]))
    import torch

    from peers_contenders import CONTENDERS

    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    try:
        CONTENDERS[name].train(task, Turns(task, answers, since))
    except Finished:
        return
    raise SystemExit(f"{name}: the training ended before its last turn")


if __name__ == "__main__":
    main()
