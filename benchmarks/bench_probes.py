"""The probes: the path of penalties against independent scikit-learn fits, and ridge at size.

    python benchmarks/bench_probes.py --train EMB --test EMB --record records/DATE-probes.md
    python benchmarks/bench_probes.py --ridge 50000 100000 --features 2048 --classes 1000 \\
        --work FOLDER --record records/DATE-ridge.md

First form: embeddings with labels. Our logistic path (all penalties tried, five folds, all folds
together, each penalty starting from the one before) against scikit-learn's LogisticRegression for
the same penalties and folds, each fit from zero, on features that are standardised once; and one
fit of each at the chosen penalty, with their errors on the test rows. Rounds alternate; the median
of the ratios counts. Peak memory is that of a process of its own, above the features.

Second form: made-up features on disk, read as a memory map, with so many rows: the ridge path of
all penalties with leave-one-out, each size in a process of its own. Time is taken as a + b n, and
the line through the two largest sizes tells the time of a million rows (--extrapolate).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from harness import say, tell
from jessl.embeddings import Embeddings
from jessl.probes import split
from jessl.probes.base import FitRequest
from jessl.probes.kinds import ridge
from jessl.probes.labelled import LabelledRows, labelled_rows
from jessl.probes.registry import KINDS
from jessl.probes.standardize import mean_and_scale, standardise
from jessl.probes.tuning import FOLDS, tune

PACKAGES = ("jessl", "numpy", "scipy", "scikit-learn")
Row = dict[str, Any]


def peak_mib() -> float:
    """Most memory that this process has had, without pages of mapped files where that is told."""
    status = Path("/proc/self/status")
    if status.exists():
        told = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        return float(told["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(train: LabelledRows, seed: int, device: str) -> Row:
    """Our path: the penalties tried, their cross-validated errors, seconds."""
    since = time.perf_counter()
    kind = KINDS["logistic"]
    tuned = tune(kind, train.x, train.y, {}, folds=FOLDS, seed=seed, device=device)
    seconds = time.perf_counter() - since
    assert tuned.curve is not None
    return {"seconds": seconds, "curve": tuned.curve, "C": tuned.options["C"]}


def theirs(train: LabelledRows, penalties: list[float], seed: int) -> Row:
    """scikit-learn, a fit for each penalty and fold, each from zero."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    since = time.perf_counter()
    z = standardise(train.x, *mean_and_scale(train.x))
    fold = split.assign_folds(train.y, FOLDS, seed)
    errors, seconds, iterations = [], [], []
    for C in penalties:
        begun, wrong, steps = time.perf_counter(), 0, 0
        for k in range(FOLDS):
            model = LogisticRegression(C=C, max_iter=1000)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(z[fold != k], train.y[fold != k])
            wrong += int((model.predict(z[fold == k]) != train.y[fold == k]).sum())
            steps = max(steps, int(model.n_iter_[0]))
        errors.append(wrong / len(train.y))
        seconds.append(time.perf_counter() - begun)
        iterations.append(steps)
        say(f"scikit-learn: C {C:g}: {seconds[-1]:.0f} s, at most {steps} iterations")
    return {
        "seconds": time.perf_counter() - since,
        "curve": {"C": penalties, "error": errors},
        "each": seconds,
        "iterations": iterations,
    }


def one_fit(train: LabelledRows, test: LabelledRows, C: float) -> Row:
    """Both at one penalty on all rows: seconds, test errors, predictions that differ."""
    from sklearn.linear_model import LogisticRegression

    since = time.perf_counter()
    every = [np.ones(len(train.y), bool)]
    [fitted] = next(
        KINDS["logistic"].fit_path(FitRequest(train.x, train.y, every, [{"C": C}], 0, "cpu"))
    )
    mine = time.perf_counter() - since
    since = time.perf_counter()
    mean, scale = mean_and_scale(train.x)
    model = LogisticRegression(C=C, max_iter=1000).fit(standardise(train.x, mean, scale), train.y)
    other = time.perf_counter() - since
    said = fitted.classes[fitted.decision_function(test.x).argmax(axis=1)]
    their = model.predict(standardise(test.x, mean, scale))
    return {
        "ours_seconds": mine,
        "their_seconds": other,
        "ours_error": float((said != test.y).mean()),
        "their_error": float((their != test.y).mean()),
        "differ": float((said != their).mean()),
    }


def path(args: argparse.Namespace) -> list[str]:
    """The first form, as Markdown."""
    train = labelled_rows("train", Embeddings.load(args.train))
    test = labelled_rows("test", Embeddings.load(args.test))
    before = peak_mib()
    rounds = []
    for k in range(args.rounds):
        mine = ours(train, k, args.device)
        after = peak_mib()
        rounds.append((mine, theirs(train, mine["curve"]["C"], k)))
        say(f"round {k + 1}: {mine['seconds']:.1f} s against {rounds[-1][1]['seconds']:.1f} s")
    mine, other = rounds[0]
    ratios = [b["seconds"] / a["seconds"] for a, b in rounds]
    fit = one_fit(train, test, mine["C"])
    n, d = train.x.shape
    body = [
        f"{n:,} x {d} features, {len(np.unique(train.y))} classes, {FOLDS} folds, "
        f"{args.threads} threads, ours on {args.device}, rounds: {args.rounds}.",
        "",
        f"- the path: ours {median(a['seconds'] for a, _ in rounds):.1f} s, independent "
        f"scikit-learn fits {median(b['seconds'] for _, b in rounds):.1f} s: "
        f"**{median(ratios):.1f} times** as fast ({min(ratios):.1f} to {max(ratios):.1f})",
        f"- memory of our path above the features: {after - before:,.0f} MiB",
        f"- one fit at the chosen C {mine['C']:g}: ours {fit['ours_seconds']:.1f} s, scikit-learn "
        f"{fit['their_seconds']:.1f} s; test error {fit['ours_error']:.4f} and "
        f"{fit['their_error']:.4f}, {100 * fit['differ']:.2f} % of the predictions differ",
        "",
        "| C | cross-validated error, ours | scikit-learn | its iterations | its seconds |",
        "|---|---|---|---|---|",
    ]
    for k, C in enumerate(mine["curve"]["C"]):
        body.append(
            f"| {C:g} | {mine['curve']['error'][k]:.4f} | {other['curve']['error'][k]:.4f} "
            f"| {other['iterations'][k]} | {other['each'][k]:.1f} |"
        )
    return body


def made_up(work: Path, rows: int, features: int, classes: int) -> Path:
    """Features float32 [rows, features] on disk, with labels; written in parts, once."""
    folder = work / f"{rows}x{features}x{classes}"
    if not (folder / "labels.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((classes, features), np.float32) * np.float32(0.12)
        labels = rng.integers(0, classes, rows)
        x = np.lib.format.open_memmap(
            folder / "features.npy", mode="w+", dtype=np.float32, shape=(rows, features)
        )
        for start in range(0, rows, 10_000):
            part = slice(start, min(start + 10_000, rows))
            noise = rng.standard_normal((part.stop - start, features), np.float32)
            x[part] = centres[labels[part]] + noise
        x.flush()
        np.save(folder / "labels.npy", labels)
    return folder


def one_ridge(folder: Path) -> Row:
    """The whole path with leave-one-out from the disk."""
    x = np.load(folder / "features.npy", mmap_mode="r")
    y = np.load(folder / "labels.npy")
    before = peak_mib()
    since, cpu = time.perf_counter(), time.process_time()
    found = ridge.leave_one_out(x, y, ridge.candidates({}))
    errors = [float(unseen.mean()) for _, unseen in found]
    return {
        "n": len(y),
        "seconds": time.perf_counter() - since,
        "cpu": time.process_time() - cpu,
        "before_mib": before,
        "peak_mib": peak_mib(),
        "best": min(errors),
    }


def at_size(args: argparse.Namespace) -> list[str]:
    """The second form, as Markdown."""
    rows = []
    for n in sorted(args.ridge):
        folder = made_up(Path(args.work), n, args.features, args.classes)
        asked = [sys.executable, __file__, "--one-ridge", str(folder)]
        rows.append(json.loads(subprocess.run(asked, check=True, capture_output=True).stdout))
        say(str(rows[-1]))
    body = [
        f"{args.features} features from a memory map, {args.classes} classes, "
        f"{len(ridge.PATH)} penalties with leave-one-out, {args.threads} threads.",
        "",
        "| rows | seconds | CPU seconds | peak memory, MiB (before) | least leave-one-out error |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        body.append(
            f"| {r['n']:,} | {r['seconds']:.0f} | {r['cpu']:.0f} "
            f"| {r['peak_mib']:,.0f} ({r['before_mib']:,.0f}) | {r['best']:.4f} |"
        )
    if len(rows) > 1:
        a, b = rows[-2:]
        told = {}
        for clock in ("seconds", "cpu"):
            slope = (b[clock] - a[clock]) / (b["n"] - a["n"])
            told[clock] = (b[clock] + slope * (args.extrapolate - b["n"])) / 60
        body += [
            "",
            f"Extrapolated to {args.extrapolate:,} rows by a + b n through the two largest: "
            f"{told['seconds']:.0f} min, {told['cpu']:.0f} CPU minutes.",
        ]
    return body


def main() -> None:
    args = _arguments()
    if args.one_ridge:
        print(json.dumps(one_ridge(Path(args.one_ridge))))
    elif args.ridge:
        tell("The ridge probe at size", PACKAGES, at_size(args), args.record)
    elif args.train and args.test:
        tell("The path of the logistic probe", PACKAGES, path(args), args.record)
    else:
        raise SystemExit("give --train and --test, or --ridge")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", help="embeddings with labels")
    parser.add_argument("--test", help="embeddings with labels")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="of our path")
    parser.add_argument("--ridge", type=int, nargs="+", help="rows of made-up features")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--extrapolate", type=int, default=1_000_000)
    parser.add_argument("--work", default="probes")
    parser.add_argument("--threads", default=os.environ.get("OMP_NUM_THREADS", "all"),
                        help="for the record; OMP_NUM_THREADS sets them")  # fmt: skip
    parser.add_argument("--one-ridge", help=argparse.SUPPRESS)
    parser.add_argument("--record")
    return parser.parse_args()


if __name__ == "__main__":
    main()
