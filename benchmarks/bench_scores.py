"""Speed and memory of RankMe and the other spectral scores beside full SVDs of the same features.

    python benchmarks/bench_scores.py --threads 2 --out records/DATE-scores.md

Every contender takes float32 features in memory and gives RankMe (or more). They take turns in
interleaved rounds, each round in another order; ratios are taken within a round. The peak memory
is that of a fresh process that imports the same libraries, reads the features and computes once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import say, tell

OURS = "jessl.rankme"
PLAIN = "jessl.score, spectral scores of the rows as they are"
ALL = "jessl.score, all spectral scores"
JACKKNIFE = "jessl.score, RankMe, jackknife of 20"
SVD_NUMPY = "float64 SVD, numpy"
SVD_TORCH = "float64 SVD, torch"
SVD_NARROW = "float32 SVD, torch"
GRAM = "float64 Gram and eigvalsh, numpy"
REDUCTION = "of it one reduction, both spectra"
EIGENVECTORS = "eigenvectors, which a perturbation jackknife needs"
HELD = "the features alone"
MAKE = "make the features"
CONTENDERS = (
    OURS,
    REDUCTION,
    EIGENVECTORS,
    PLAIN,
    ALL,
    JACKKNIFE,
    GRAM,
    SVD_NARROW,
    SVD_TORCH,
    SVD_NUMPY,
)
# (d, slower, faster, by how much)
AIMS = (
    (512, SVD_TORCH, OURS, 4.0),
    (512, SVD_NUMPY, OURS, 4.0),
    (512, SVD_NARROW, OURS, 2.0),
    (2048, SVD_TORCH, OURS, 2.5),
    (2048, SVD_NUMPY, OURS, 2.5),
    (2048, SVD_NARROW, OURS, 1.0),
)
MOST_FOR_ALL = 1.1
PAUSE_SECONDS = 0.5


def main() -> None:
    args = _arguments()
    # read when numpy, scipy and torch are loaded, here and in the children
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    if args.child:
        print(json.dumps(_once(args)))
        return
    # before this process loads anything: a child starts with its parent's peak
    memory = {d: _memory(args, d) for d in args.dims}
    body = []
    for d in args.dims:
        seconds, values = rounds(args, d)
        body += [*table(args, d, seconds, values, memory[d]), "", *aims(d, seconds), ""]
    tell(
        "Speed and memory of the spectral scores",
        ("jessl", "torch", "numpy", "scipy"),
        body,
        args.out,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=25_600)
    parser.add_argument("--dims", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--rounds", type=int, default=5, help="after one that warms up")
    parser.add_argument("--threads", type=int, default=_cores(), help="of the linear algebra")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="Markdown file with date, hardware, versions and tables")
    parser.add_argument("--child", choices=(*CONTENDERS, HELD, MAKE), help=argparse.SUPPRESS)
    parser.add_argument("--features", help=argparse.SUPPRESS)
    return parser.parse_args()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spectral_names(*, unit: bool = True) -> list[str]:
    """Every score that a spectrum determines, with or without those of unit rows."""
    from jessl.scores import SCORES
    from jessl.scores.base import SpectralScore

    return [
        name
        for name, one in SCORES.items()
        if isinstance(one, SpectralScore) and (unit or one.rows != "unit")
    ]


def contenders() -> dict[str, Callable[[Any], float]]:
    """RankMe by each contender, of float32 [n, d] numpy features."""
    import numpy as np
    import torch

    import jessl
    from jessl.scores.gram.gram import RowSums
    from jessl.scores.metrics.rankme import rankme_from_eigenvalues
    from spectra import rankme_of_singular

    names, plain = spectral_names(), spectral_names(unit=False)
    held: dict[int, RowSums] = {}

    def sums(z: Any) -> RowSums:
        """The Gram matrix of z, made once."""
        if id(z) not in held:
            held[id(z)] = RowSums.empty(z.shape[1])
            held[id(z)].add(z)
        return held[id(z)]

    def eigenvectors(z: Any) -> float:
        values, _ = np.linalg.eigh(sums(z).gram, UPLO="U")
        return rankme_from_eigenvalues(np.maximum(values, 0.0))

    def gram(z: Any) -> float:
        exact = z.astype(np.float64)
        eigenvalues = np.linalg.eigvalsh(exact.T @ exact)
        return rankme_of_singular(np.sqrt(np.maximum(eigenvalues, 0.0)))

    def svd_numpy(z: Any) -> float:
        return rankme_of_singular(np.linalg.svd(z.astype(np.float64), compute_uv=False))

    def svd_torch(z: Any) -> float:
        return rankme_of_singular(torch.linalg.svdvals(torch.from_numpy(z).double()).numpy())

    def svd_narrow(z: Any) -> float:
        return rankme_of_singular(torch.linalg.svdvals(torch.from_numpy(z)).numpy())

    return {
        OURS: jessl.rankme,
        REDUCTION: lambda z: rankme_from_eigenvalues(sums(z).spectra().raw),
        EIGENVECTORS: eigenvectors,
        PLAIN: lambda z: jessl.score(z, plain, jackknife=0)["rankme"].value,
        ALL: lambda z: jessl.score(z, names, jackknife=0)["rankme"].value,
        JACKKNIFE: lambda z: jessl.score(z, ("rankme",), jackknife=20)["rankme"].value,
        GRAM: gram,
        SVD_NARROW: svd_narrow,
        SVD_TORCH: svd_torch,
        SVD_NUMPY: svd_numpy,
    }


def rounds(args: argparse.Namespace, d: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Wall seconds of each round, and RankMe, by contender."""
    import torch

    from spectra import features, power_law

    torch.set_num_threads(args.threads)
    z = features(args.n, power_law(d, 1), args.seed)
    work = contenders()
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    values: dict[str, float] = {}
    draw = random.Random(args.seed)
    for k in range(args.rounds + 1):
        # another order each round, so that nobody always follows the same neighbour
        for name in draw.sample(CONTENDERS, len(CONTENDERS)):
            # threads of the one before spin for a while
            time.sleep(PAUSE_SECONDS)
            since = time.perf_counter()
            values[name] = work[name](z)
            if k:
                seconds[name].append(time.perf_counter() - since)
        say(f"d = {d}: round {k} of {args.rounds}")
    return seconds, values


def _memory(args: argparse.Namespace, d: int) -> dict[str, float]:
    """Peak resident MiB of a fresh process, by contender."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-scores-") as folder:
        options = {
            "n": args.n,
            "dims": d,
            "threads": args.threads,
            "seed": args.seed,
            "features": Path(folder) / "features.npy",
        }
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        for name in (MAKE, HELD, *CONTENDERS):
            command = [sys.executable, str(Path(__file__)), *words, "--child", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            found[name] = json.loads(done.stdout)
            say(f"d = {d}: {name}: peak {found[name]:,.0f} MiB")
    return found


def _once(args: argparse.Namespace) -> float:
    """Peak resident MiB of this process: it writes the features, or reads them and computes."""
    import numpy as np

    from spectra import features, power_law

    if args.child == MAKE:
        np.save(args.features, features(args.n, power_law(args.dims[0], 1), args.seed))
    else:
        work = contenders()
        z = np.load(args.features)
        if args.child != HELD:
            work[args.child](z)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # kilobytes on Linux, bytes on macOS
    return peak / (1 << 20 if sys.platform == "darwin" else 1024)


def table(
    args: argparse.Namespace,
    d: int,
    seconds: dict[str, list[float]],
    values: dict[str, float],
    memory: dict[str, float],
) -> list[str]:
    """Markdown: a row for each contender."""
    names = spectral_names()
    lines = [
        f"n = {args.n:,}, d = {d}, float32 features, covariance eigenvalues 1/k; {args.threads} "
        f"thread{'s' * (args.threads > 1)}, {args.rounds} rounds; all {len(names)} spectral "
        f"scores: {', '.join(names)}; matrix_entropy and self_cluster are of unit rows. Reduction "
        "and eigenvectors: of a Gram matrix that is there (its time is not in theirs).",
        "",
        f"| contender | seconds, median (range) | in those of {OURS}, median (range) "
        "| peak memory, MiB | above the features alone | RankMe |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in CONTENDERS:
        cells = [
            name,
            _spread(seconds[name], ".3f"),
            _spread(_ratios(seconds, name, OURS), ".2f"),
            f"{memory[name]:,.0f}",
            f"{memory[name] - memory[HELD]:+,.0f}",
            f"{values[name]:.6f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, f"| {HELD} | | | {memory[HELD]:,.0f} | | |"]


def aims(d: int, seconds: dict[str, list[float]]) -> list[str]:
    """Markdown: what was aimed at, and what was measured (median of the rounds' ratios)."""
    lines = []
    for at, slow, fast, aim in AIMS:
        if at == d:
            ratio = statistics.median(_ratios(seconds, slow, fast))
            said = "met" if ratio >= aim else "missed"
            lines.append(f"- {fast}, {ratio:.2f}x as fast as {slow}; aim {aim:g}x: {said}")
    for name in (PLAIN, ALL):
        ratio = statistics.median(_ratios(seconds, name, OURS))
        said = "met" if ratio <= MOST_FOR_ALL else "missed"
        aim = f"aim at most {MOST_FOR_ALL}x: {said}"
        lines.append(f"- {name}, {ratio:.3f}x the time of {OURS}; {aim}")
    return lines


def _ratios(seconds: dict[str, list[float]], slow: str, fast: str) -> list[float]:
    return [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]


def _spread(found: list[float], form: str) -> str:
    return f"{statistics.median(found):{form}} ({min(found):{form}}-{max(found):{form}})"


if __name__ == "__main__":
    main()
