"""Two processes train as one: batch norm, the whole step, and a run by torchrun."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.commands import COMMAND, Finished, Started, run_code
from helpers.groups import WORLD, together
from helpers.interpreters import fast_python
from helpers.run_samples import losses, weights
from helpers.training_samples import trainer_of
from jessl import Run
from jessl.core import process_group
from jessl.objectives import build_objective
from jessl.training.syncbn import synchronise

BATCH = 12


class _Net(nn.Module):
    """[n, 3, 6, 6] to [n, 8], with batch norm of planes and of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.plane = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())
        self.row = nn.Sequential(nn.Linear(96, 8), nn.BatchNorm1d(8, affine=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.row(self.plane(x).flatten(1))


def _normed(rank: int, world: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = _Net().double()
    if world > 1:
        net = synchronise(net)
    x = torch.randn(BATCH, 3, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    weight = torch.randn(BATCH, 8, generator=torch.Generator().manual_seed(2)).double()
    mine = x[rank::world].clone().requires_grad_()
    out = net(mine)
    # a loss that is a sum over rows: the gradients of the processes add up to the whole's
    (out.pow(3) * weight[rank::world]).sum().backward()
    assert mine.grad is not None
    found = {"out": out.detach(), "grad": mine.grad}
    found |= {f"d {k}": p.grad for k, p in net.named_parameters() if p.grad is not None}
    return found | {f"buffer {k}": b.clone() for k, b in net.named_buffers()}


def _steps(rank: int, world: int, micro: int | None, method: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    encoder, objective = _Net().double(), build_objective(method, 8).double()
    if world > 1:
        encoder, objective = synchronise(encoder), synchronise(objective)
    trainer = trainer_of(
        encoder,
        objective,
        optimizer="lars",
        lr=0.5,
        weight_decay=1e-4,
        total_steps=6,
        warmup_steps=1,
        clip_norm=1.0,
        micro_batch=micro,
        average_momentum=0.9 if method == "byol" else None,
    )
    trainer.set_training()
    totals = []
    for step in range(3):
        g = torch.Generator().manual_seed(step)
        x = torch.randn(BATCH, 3, 6, 6, generator=g).double()
        views = [x + 0.3 * torch.randn(x.shape, generator=g).double() for _ in range(2)]
        totals.append(trainer.take_step([v[rank::world] for v in views]).total)
    found = {"totals": torch.stack(totals)}
    # of byol the averages, and what is trained
    for name, module in {**trainer.modules(), "trained": trainer.encoder}.items():
        found |= {f"{name}.{k}": v.clone() for k, v in module.state_dict().items()}
    return found


METHODS = ("vicreg", "byol")


def _all(rank: int) -> dict[str, Any]:
    found: dict[str, Any] = {"normed": _normed(rank, WORLD)}
    for method in METHODS:
        found[method] = _steps(rank, WORLD, None, method)
        found[f"{method} in parts"] = _steps(rank, WORLD, 3, method)
    found["stop"] = process_group.any_rank(rank == 1, rank == 1)
    found["due"] = process_group.any_rank(False, rank == 0)
    found["led"] = process_group.on_rank_zero(lambda: rank)
    found["decorated"] = process_group.rank_zero(lambda offset: rank + offset)(offset=7)
    found["each"] = process_group.all_ranks(lambda offset: rank + offset)(7)
    try:
        process_group.on_rank_zero(_mistaken)
    except ValueError as error:
        found["error"] = [str(error), getattr(error, "reported", None)]
    try:
        process_group.on_all_ranks(_mistaken if rank == 1 else lambda: 1)
    except ValueError as error:
        found["alike"] = [str(error), getattr(error, "reported", None)]
    return found


def _mistaken() -> int:
    raise ValueError("a mistake")


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    return together(_all, tmp_path_factory.mktemp("together"))


def test_batch_norm_is_that_of_the_whole_batch(shares: list[Any]) -> None:
    whole = _normed(0, 1)
    parts = [share["normed"] for share in shares]
    for name, expected in whole.items():
        if name in ("out", "grad"):
            got = torch.stack([p[name] for p in parts], dim=1).flatten(0, 1)
        elif name.startswith("d "):
            got = torch.stack([p[name] for p in parts]).sum(dim=0)
        else:
            got = parts[0][name]
            assert torch.equal(got, parts[1][name])
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_three_steps_leave_the_weights_of_one_process(shares: list[Any], method: str) -> None:
    whole = _steps(0, 1, None, method)
    for share in shares:
        for name, expected in whole.items():
            got = share[method][name]
            if name == "totals":
                got = torch.stack([s[method][name] for s in shares]).mean(dim=0)
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_processes_in_parts_stay_alike(shares: list[Any], method: str) -> None:
    one, two = (share[f"{method} in parts"] for share in shares)
    for name in one:
        if name != "totals":
            torch.testing.assert_close(one[name], two[name], rtol=1e-12, atol=1e-12, msg=name)


def test_decisions_are_shared(shares: list[Any]) -> None:
    for rank, share in enumerate(shares):
        assert share["stop"] == (True, False)  # the clock of the first one counts
        assert share["due"] == (False, True)
        assert share["led"] == 0
        assert (share["decorated"], share["each"]) == (7, rank + 7)
        assert share["error"] == ["a mistake", rank > 0]
        assert share["alike"] == ["a mistake", rank > 0]


_RUN = """
import sys
from jessl import Pretrain, pretrain
from jessl.training.step import Trainer
data, out, resume, dies = sys.argv[1:]
step = Trainer.take_step
def dying(self, *batch):
    if self.step == int(dies):
        raise SystemExit(9)
    return step(self, *batch)
Trainer.take_step = dying
pretrain(Pretrain(data=data, out=out, resume=bool(int(resume)), encoder="smallconv:4", size=8,
                  epochs=3, batch_size=16, log_steps=1, view_options={"flip": 0.0}, workers=1,
                  checkpoint_seconds=0.0, optimizer="sgd"), quiet=True)
"""


def _launched(data: Path, out: Path, *, world: int, resume: bool, dies: int = -1) -> int:
    arguments = [str(data), str(out), str(int(resume)), str(dies)]
    if world == 1:
        return run_code(_RUN, *arguments).returncode
    script = out.parent / "run.py"
    script.write_text(_RUN)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    command = [sys.executable, *launcher, str(script), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with fast_python() as python:
        env["PYTHON_EXEC"] = python  # by which torchrun starts its processes
        return subprocess.run(command, capture_output=True, env=env, timeout=300).returncode


def test_a_run_of_two_processes_is_resumed_by_one(stripes: Path, tmp_path: Path) -> None:
    """The same batches, equal up to the order of sums; killed in the second epoch of six steps."""
    assert _launched(stripes, tmp_path / "one", world=1, resume=False) == 0
    assert _launched(stripes, tmp_path / "two", world=2, resume=False, dies=9) != 0
    assert not Run.open(tmp_path / "two").finished()
    assert _launched(stripes, tmp_path / "two", world=1, resume=True) == 0
    one, two = Run.open(tmp_path / "one"), Run.open(tmp_path / "two")
    assert two.finished()
    assert two.facts()["processes"] == 2
    assert [s for s, _ in losses(one)] == [s for s, _ in losses(two)]
    np.testing.assert_allclose([v for _, v in losses(two)], [v for _, v in losses(one)], rtol=2e-3)
    expected = weights(one)
    for name, tensor in weights(two).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0.02, atol=2e-3, msg=name)


def _both(code: str, *arguments: str) -> list[Finished]:
    """`python -c CODE ARGUMENTS...` in two processes with the environment that torchrun gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    ranks = [{"RANK": k, "LOCAL_RANK": k} for k in map(str, range(WORLD))]
    fixed = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(WORLD), **meet}
    started = [Started(code, arguments, {**fixed, **rank}) for rank in ranks]
    return [process.wait() for process in started]


def test_unlike_data_are_refused_by_all(stripes: Path, tmp_path: Path) -> None:
    """A half-finished copy on one machine would otherwise hang at the end of the epoch."""
    x, y = (np.load(stripes)[k] for k in "xy")
    for rank, n in ((0, 96), (1, 80)):
        np.savez(tmp_path / f"{rank}.npz", x=x[:n], y=y[:n])
    code = (
        "import os, sys\nfrom jessl import Pretrain, open_source, pretrain\n"
        "rank = os.environ['RANK']\n"
        "source = open_source(f'{sys.argv[1]}/{rank}.npz')\n"
        "config = Pretrain(data='x', out=sys.argv[1] + '/run', epochs=1)\n"
        "try:\n    pretrain(config, source=source, quiet=rank == '0')\n"
        # one write a line: pieces of two processes' lines could mix
        "except ValueError as error:\n"
        "    sys.stdout.write(f'{rank} {error.reported} {error}\\n')\n    sys.stdout.flush()\n"
    )
    said = sorted(line for one in _both(code, str(tmp_path)) for line in one.stdout.splitlines())
    assert [line.split()[:2] for line in said] == [["0", "False"], ["1", "True"]]
    assert all("do not see the same images or labels" in line for line in said)
    assert all("they count 96, 80" in line for line in said)


def test_processes_must_share_the_batch_evenly(stripes: Path, tmp_path: Path) -> None:
    words = ["pretrain", "--data", str(stripes), "--out", str(tmp_path / "run")]
    words += ["--batch-size", "15", "--encoder", "smallconv:4"]
    lines = [line for one in _both(COMMAND, *words) for line in one.stderr.splitlines()]
    said = [line for line in lines if line.startswith("jessl pretrain: error")]
    assert said == [
        "jessl pretrain: error: batch_size 15 cannot be shared out evenly among 2 processes; take "
        "a multiple of 2"
    ]
