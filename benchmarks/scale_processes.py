"""Embedding, scoring and probing on 1, 2 and 4 processes: equality and speed (of bench_scale.py).

Each number of processes is a call of torchrun in which this file is the program; a step is timed
between two barriers, so that the start of the processes is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness import say

# steps in the order in which they run, and what has to be equal
STEPS = ("embed", "sums", "score", "ridge", "knn")
WIDTH, DIM, CLASSES, TESTED = 64, 256, 10, 1_000


def processes(
    work: Path, images: int, rows: int, rounds: int, worlds: list[int], lines: list[str]
) -> dict[str, Any]:
    """Interleaved rounds of all numbers of processes; worlds[0] is 1."""
    data, z = _inputs(work, images, rows)
    found: dict[int, list[dict[str, Any]]] = {world: [] for world in worlds}
    for turn in range(rounds):
        for world in worlds if turn % 2 == 0 else worlds[::-1]:
            out = work / f"embedded-{world}-{turn}"
            result = _run(world, data, z, out, work / "result.json")
            result["load"] = os.getloadavg()[0]
            digest = hashlib.sha256((out / "features.npy").read_bytes())
            result["features"] = digest.hexdigest()
            found[world].append(result)
            say(f"round {turn}, {world} processes: {result['seconds']}")
    lines += _table(found, images, rows, rounds)
    return {str(world): results for world, results in found.items()}


def _inputs(work: Path, images: int, rows: int) -> tuple[Path, Path]:
    from jessl import Embeddings

    rng = np.random.default_rng(0)
    data, z = work / f"images-{images}.npz", work / f"rows-{rows}"
    if not data.exists():
        np.savez(data, x=rng.integers(0, 256, (images, 32, 32, 3), np.uint8))
    if not z.exists():
        y = rng.integers(0, CLASSES, rows)
        x = rng.standard_normal((rows, DIM), dtype=np.float32)
        x *= (1 / np.sqrt(np.arange(1, DIM + 1))).astype(np.float32)
        x[:, :CLASSES] += 0.5 * np.eye(CLASSES, dtype=np.float32)[y]
        Embeddings(x, y).save(z)
    return data, z


def _run(world: int, data: Path, z: Path, out: Path, into: Path) -> dict[str, Any]:
    program = [__file__, str(data), str(z), str(out), str(into)]
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}"]
    done = subprocess.run(
        [sys.executable, *start, *program], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{world} processes ended with {done.returncode}")
    result: dict[str, Any] = json.loads(into.read_text())
    return result


def _table(
    found: dict[int, list[dict[str, Any]]], images: int, rows: int, rounds: int
) -> list[str]:
    one = found[1]
    lines = [
        f"Steps on several processes of one thread, {rounds} interleaved rounds (median; lowest to "
        f"highest; the ratio is of one round): `embed` of {images:,} images of 32 x 32 by "
        f"smallconv:{WIDTH}; `sums` (RankMe alone), `score` (with its jackknife, whose spectra the "
        "first process computes), `ridge` (with leave-one-out) and "
        f"`knn` ({TESTED:,} queries) of {rows:,} x {DIM} rows in a memory map. The start of the "
        "processes and the reading of the images' file are left out. CPU seconds show how "
        "the work is divided where other work takes the cores. Load average of the machine "
        f"{_range([r['load'] for results in found.values() for r in results])}.",
        "",
        "| step | processes | seconds | one process / it | CPU seconds of the busiest process "
        "| one process / it | equal to one process |",
        "|---|---|---|---|---|---|---|",
    ]
    for step in STEPS:
        for world, results in found.items():
            cells = [step, str(world)]
            for clock in ("seconds", "cpu"):
                spent = [r[clock][step] for r in results]
                ratio = [a[clock][step] / b for a, b in zip(one, spent, strict=True)]
                cells += [_range(spent), _range(ratio)]
            cells.append("-" if world == 1 else _equal(step, one, results))
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _equal(step: str, one: list[dict[str, Any]], results: list[dict[str, Any]]) -> str:
    if step == "embed":
        same = {r["features"] for r in [*one, *results]}
        return "every byte of the features" if len(same) == 1 else f"NO: {len(same)} files"
    expected = np.array(one[0]["values"][step])
    values = np.array([r["values"][step] for r in results])
    apart = (np.abs(values - expected) / np.where(expected == 0, 1, np.abs(expected))).max()
    return f"{apart:.1e} relative"


def _range(values: list[float]) -> str:
    middle = f"{statistics.median(values):.2f}"
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):.2f} to {max(values):.2f})"


def _work(data: str, z: str, out: str, into: str) -> None:
    """The steps, in one of the processes."""
    import torch
    from torch import distributed

    import jessl
    from jessl.core.process_group import is_rank_zero, process_group
    from jessl.data import Subset, open_source
    from jessl.encoders import build_encoder
    from jessl.probes.knn_together import knn_together
    from jessl.probes.ridge_together import ridge_together
    from jessl.scores.score_together import score_together

    torch.set_num_threads(1)
    torch.manual_seed(0)
    encoder = build_encoder(f"smallconv:{WIDTH}", size=32)
    source = open_source(data)
    rows = jessl.Embeddings.load(z, mmap=True)
    test = jessl.Embeddings(rows.features[:TESTED], rows.labels[:TESTED], rows.ids[:TESTED])
    jessl.embed(encoder, Subset(source, np.arange(64)), workers=1, device="cpu")  # compiles once
    seconds: dict[str, float] = {}
    cpu: dict[str, float] = {}
    values: dict[str, list[float]] = {}

    def timed(step: str, call: Callable[[], Any]) -> Any:
        if distributed.is_initialized():
            distributed.barrier()
        since, spent = time.perf_counter(), time.process_time()
        result = call()
        busiest = torch.tensor(time.process_time() - spent, dtype=torch.float64)
        if distributed.is_initialized():
            distributed.all_reduce(busiest, distributed.ReduceOp.MAX)
        seconds[step], cpu[step] = time.perf_counter() - since, float(busiest)
        return result

    with process_group("cpu"):
        timed("embed", lambda: jessl.embed(encoder, source, out=out, workers=1, device="cpu"))
        [sums] = timed("sums", lambda: score_together(rows, ("rankme",), jackknife=0)).values()
        values["sums"] = [sums.value]
        [score] = timed("score", lambda: score_together(rows, ("rankme",))).values()
        values["score"] = [score.value, score.sd, score.debiased]
        ridge = timed("ridge", lambda: ridge_together(rows, test))
        values["ridge"] = [ridge.error, ridge.penalty, *ridge.left_out.values()]
        values["knn"] = [timed("knn", lambda: knn_together(rows, test)).error]
        if is_rank_zero():
            Path(into).write_text(json.dumps({"seconds": seconds, "cpu": cpu, "values": values}))


if __name__ == "__main__":
    _work(*sys.argv[1:])
