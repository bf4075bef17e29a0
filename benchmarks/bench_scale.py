"""What grows with the number of images, shards and processes, and how fast.

    OMP_NUM_THREADS=1 python benchmarks/bench_scale.py --work WORK --record records/DATE-scale.md

Parts: `pieces`, the cost of each piece (order of an epoch, index of shards, parts of an embedding,
sums over rows, the store of the processes, a trial of a study) per unit, from which docs/scale.md
computes its models; `commands`, CPU seconds and peak memory of whole commands at 1, 4 and 16 times
the images; `processes`, embedding, scores and probes on 1, 2 and 4 processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness import hardware, installed, say, write_record
from scale_processes import processes

FACTORS = (1, 4, 16)


def main() -> None:
    args = _arguments()
    work = Path(args.work or tempfile.mkdtemp(prefix="bench-scale-"))
    work.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    numbers: dict[str, object] = {"hardware": hardware()}
    if "pieces" in args.parts:
        numbers["pieces"] = pieces(work, args.rounds, lines)
    if "commands" in args.parts:
        numbers["commands"] = commands(work, args.images, args.rounds, lines)
    if "processes" in args.parts:
        numbers["processes"] = processes(
            work, args.images, args.rows, args.rounds, args.processes, lines
        )
    print("\n".join(lines))
    versions = installed(("jessl", "torch", "numpy", "scipy"))
    if args.record:
        write_record(args.record, "Cost by the number of images", versions, lines)
    if args.json:
        Path(args.json).write_text(json.dumps(numbers, indent=2))


def commands(work: Path, images: int, rounds: int, lines: list[str]) -> dict[str, object]:
    """CPU seconds and peak memory of whole commands, each in a process of its own."""
    measured: dict[str, dict[int, list[tuple[float, float]]]] = {}
    for factor in FACTORS:
        n = factor * images
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n) % 10
        x[np.arange(n), 0, :3] = y[:, None, None] * 25  # so that labels can be learned a little
        np.savez(work / f"{n}.npz", x=x, y=y)
    for turn in range(rounds):
        for factor in FACTORS:
            n, data = factor * images, str(work / f"{factor * images}.npz")
            run, z, choice = (str(work / f"{k}-{n}-{turn}") for k in ("run", "z", "choice"))
            small = ("--device", "cpu", "--workers", "1")
            jobs = {
                "pretrain": (
                    *("pretrain", "--data", data, "--out", run, "--encoder", "smallconv:16"),
                    *("--epochs", "1", "--batch-size", "100", *small),
                ),
                "embed": ("embed", run, "--data", data, "--out", z, *small),
                "select": (
                    *("select", "--encoders", run, "--data", data, "--out", choice, *small),
                    *("--most-images", str(n)),
                ),
                "decompose": ("decompose", "--train", z, "--test", z, "--probe", "ridge"),
            }
            for name, words in jobs.items():
                cost = _cost([sys.executable, "-m", "jessl.cli", *words])
                measured.setdefault(name, {}).setdefault(n, []).append(cost)
                say(f"{name} {n}: {cost[0]:.1f} s, {cost[1]:.0f} MB")
    lines += [
        f"Whole commands on random 32 x 32 images, one process, one thread, {rounds} rounds "
        "(median; lowest to highest). `pretrain` is one epoch of smallconv:16; `select` compares "
        "one encoder; `decompose` uses ridge. `growth` is the time of 16x less that of 4x over the "
        "time of 4x less that of 1x: 4 is linear, the start of a process left out.",
        "",
        "| command | images | CPU seconds | peak memory MB |",
        "|---|---|---|---|",
    ]
    growths = []
    for name, by_n in measured.items():
        middle = []
        for n, costs in by_n.items():
            seconds, memory = zip(*costs, strict=True)
            middle.append((statistics.median(seconds), statistics.median(memory)))
            lines.append(f"| {name} | {n:,} | {_spread(seconds)} | {_spread(memory, 0)} |")
        (t1, _), (t4, m4), (t16, m16) = middle
        rate = (16 - 4) * images
        growths.append(
            f"| {name} | {(t16 - t4) / max(1e-9, t4 - t1):.1f} | {1e3 * (t16 - t4) / rate:.3g} "
            f"| {(m16 - m4) * 1e3 / rate:.3g} |"
        )
    lines += ["", "| command | growth | ms an image | kB an image |"]
    lines += ["|---|---|---|---|", *growths, ""]
    return {name: {str(n): v for n, v in by_n.items()} for name, by_n in measured.items()}


def _cost(words: list[str]) -> tuple[float, float]:
    """(CPU seconds, peak resident MB) of a process; other work on the machine changes neither."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def pieces(work: Path, rounds: int, lines: list[str]) -> dict[str, list[float]]:
    """Costs of single pieces: (name, unit) -> the rounds."""
    import torch

    from jessl.core.shared_work import pieces as divided
    from jessl.core.texts import Texts
    from jessl.data.loading.order import epoch_order
    from jessl.data.sources.shard_index import Index, beside, write_index
    from jessl.extraction.part_folder import PartFolder, PartRows
    from jessl.scores import Spectrum

    n = 2_000_000
    found: dict[str, list[float]] = {}

    def measure(name: str, work_of: Callable[[], float]) -> None:
        """`work_of` returns the number of units; the cost is microseconds a unit."""
        for _ in range(rounds):
            since = time.perf_counter()
            units = work_of()
            found.setdefault(name, []).append(1e6 * (time.perf_counter() - since) / units)
        say(f"{name}: {_spread(found[name], 3)} us")

    segments = np.repeat(np.arange(n // 10_000), 10_000)
    order = {"seed": 0, "epoch": 1, "shuffle": True}
    measure("order of an epoch, all images", lambda: len(epoch_order(n, **order)))
    windowed = {**order, "window": 100_000, "segments": segments}
    measure("order of an epoch, by windows", lambda: len(epoch_order(n, **windowed)))

    folder = work / "shards"
    folder.mkdir(exist_ok=True)
    shards = 1_000
    per = n // shards
    names = [f"shard-{i:06d}.tar" for i in range(shards)]
    for name in names:
        with (folder / name).open("wb") as file:
            file.truncate(per * 1024)
    keys = Texts.of(f"train/{i:09d}" for i in range(n))
    zeros = np.zeros(n, np.int32)
    shard = np.repeat(np.arange(shards), per)
    offset = np.tile(np.arange(per) * 1024 + 512, shards)
    index = Index(
        tuple(names), np.full(shards, per * 1024), shard, offset, np.full(n, 400),
        zeros.astype("u4"), zeros + 8, zeros + 8, shard % 10, np.arange(n) * 7919 + 1, keys,
        tuple("abcdefghij"),
    )  # fmt: skip
    write_index(folder / "index.npz", index)
    paths = [folder / name for name in names]

    def opened(chosen: list[Path]) -> int:
        got, notes = beside(chosen)
        assert got is not None, notes
        return len(got)

    measure("index of shards, opened", lambda: opened(paths))
    measure("index of shards, every second shard", lambda: opened(paths[::2]))
    size = (folder / "index.npz").stat().st_size / n
    found["index of shards, bytes on disk an image"] = [size]

    d = 1024
    z = np.random.default_rng(0).standard_normal((8192, d)).astype(np.float32)
    measure("Spectrum.update, d 1024, a row", lambda: len(z) + 0 * Spectrum(d).update(z).n)
    parts = PartFolder(work / "parts")
    (work / "parts").mkdir(exist_ok=True)
    parts.begin("key")
    part, at = z[:4096], np.arange(4096)
    numbers = iter(range(10**6))

    def write() -> int:
        parts.write(next(numbers), {"backbone": part}, PartRows(at, {}))
        return len(part)

    measure("part of an embedding, written (4,096 x 1,024), a row", write)
    measure(
        "part of an embedding, read and checked, a row", lambda: len(parts.features(0, "backbone"))
    )

    store = torch.distributed.TCPStore("127.0.0.1", 0, 1, True)

    def count() -> int:
        for _ in range(2000):
            store.add("x", 1)
        return 2000

    measure("store of the processes, one count", count)
    blocks = list(range(244_141))
    measure(
        "work of 512 processes divided, a part", lambda: len(blocks) + 0 * len(divided(blocks, 512))
    )
    found["pieces of 244,141 parts for 512 processes"] = [float(len(divided(blocks, 512)))]
    trials(work, rounds, found)
    sampled(found)
    lines += [
        f"Costs of pieces, one thread, {rounds} rounds (median; lowest to highest), in "
        "microseconds where nothing else is named; samples: 5 draws, the error of all rows "
        f"{found.pop('error of all rows')[0]:.1f} %:",
        "",
        "| piece | cost |",
        "|---|---|",
        *(f"| {name} | {_spread(values, 4)} |" for name, values in found.items()),
        "",
    ]
    return found


def trials(work: Path, rounds: int, found: dict[str, list[float]]) -> None:
    """A trial with four parameters in the two storages of optuna that need no server."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    count = 20
    for turn in range(rounds):
        file = work / f"study-{time.time_ns()}"
        storages = {
            "SQLite": f"sqlite:///{file}.db",
            "journal": JournalStorage(JournalFileBackend(f"{file}.log")),
        }
        for name, storage in storages.items():
            study = optuna.create_study(storage=storage, direction="maximize")
            place = Path(f"{file}.{'db' if name == 'SQLite' else 'log'}")
            size, since = place.stat().st_size, time.perf_counter()
            for k in range(count):
                trial = study.ask()
                for i in range(4):
                    trial.suggest_float(f"p{i}", 0, 1)
                study.tell(trial, k)
            cost = 1e6 * (time.perf_counter() - since) / count
            grown = (place.stat().st_size - size) / count
            found.setdefault(f"trial of a study, {name}", []).append(cost)
            found.setdefault(f"trial of a study, {name}, bytes", []).append(grown)
        say(f"trials, round {turn}")


def sampled(found: dict[str, list[float]]) -> None:
    """RankMe and ridge of a sample of rows, against all 400,000 rows of a known spectrum."""
    from jessl.scores import Spectrum

    d, n, classes = 128, 400_000, 10
    rng = np.random.default_rng(0)
    scale = (1 / np.sqrt(np.arange(1, d + 1))).astype(np.float32)
    centres = rng.standard_normal((classes, d)).astype(np.float32) * scale * 0.3
    y = rng.integers(0, classes, n)
    z = rng.standard_normal((n, d), dtype=np.float32) * scale + centres[y]
    whole = Spectrum(d).update(z).rankme()
    test, train = slice(0, 100_000), np.arange(100_000, n)
    targets = np.eye(classes, dtype=np.float32)[y]

    def error(rows: np.ndarray) -> float:
        x = z[rows]
        gram = x.T @ x + 1e-3 * len(rows) * np.eye(d, dtype=np.float32)
        w = np.linalg.solve(gram, x.T @ targets[rows])
        return float((np.argmax(z[test] @ w, axis=1) != y[test]).mean())

    best = error(train)
    found["error of all rows"] = [100 * best]
    for times in (4, 16, 64, 256):
        rank, excess = [], []
        for seed in range(5):
            rows = np.random.default_rng(seed).choice(train, times * d, replace=False)
            rank.append(100 * (Spectrum(d).update(z[rows]).rankme() / whole - 1))
            excess.append(100 * (error(rows) - best))
        found[f"RankMe of {times} d rows less that of 3,125 d, %"] = rank
        found[f"ridge error of {times} d rows less that of 2,344 d, points"] = excess


def _spread(values: tuple[float, ...] | list[float], digits: int = 1) -> str:
    def text(v: float) -> str:
        return f"{v:,.{digits}f}" if digits < 3 else f"{v:.{digits}g}"

    middle = text(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({text(min(values))} to {text(max(values))})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["pieces", "commands"])
    parser.add_argument("--images", type=int, default=1500, help="images at 1x")
    parser.add_argument("--rows", type=int, default=300_000, help="of the part processes")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help="folder for data and results (0.5 GB)")
    parser.add_argument("--record", help="write a dated record here")
    parser.add_argument("--json", help="write all numbers here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
