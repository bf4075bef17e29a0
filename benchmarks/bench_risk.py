"""The estimators of the risk decomposition in a world where every component is known.

    OMP_NUM_THREADS=1 python benchmarks/bench_risk.py --work risk --jobs 2 \\
        --record records/DATE-risk.md

Ten Gaussian classes in 64 dimensions with equal covariances, their means drawn once, so that the
best classifier of the probe's family is the linear discriminant. Three encoders: one that is
"untrained" (training and test features have one distribution: encoder generalization is 0), one
that "overfits" its training images (their features have .85 of the noise of new images), and a
"supervised" one that knows their labels (their class means lie 1.6 times as far apart).

Truths: usability, the risk of the linear discriminant on the training distribution; the held-out
risk R_AS and the risk R_US, means over the draws of the probe's risk on 20,000 new rows of the
training and of the test distribution; the components are their differences. Every draw is
decomposed by our estimator (`crossfit`) and by the published one (one stratified part of
a tenth or a fifth of train), with a logistic and with a ridge probe whose penalties are tuned.

Error is the root mean square over draws against the truth, in points. Coverage is how often the
95 % interval holds the mean of the estimator over the draws ("expected"), and the truth. The cost
is the time of `decompose` over the time of a tuned probe (`jessl.probe`), in the same process, one
after the other, median of the first 20 draws. Each draw is a line of WORK/draws.jsonl as it is
there; a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jessl
from harness import say, tell
from jessl.embeddings import Embeddings
from jessl.probes.base import FitRequest, evaluate
from jessl.probes.labelled import labelled_rows
from jessl.probes.registry import KINDS

D, CLASSES = 64, 10
MEANS = np.random.default_rng(7).standard_normal((CLASSES, D)) * 0.226
# encoder -> (factor of the noise, factor of the class means) of training features
WORLDS = {"untrained": (1.0, 1.0), "overfits": (0.85, 1.0), "supervised": (1.0, 1.6)}
PROBES = ("logistic", "ridge")
ESTIMATORS = ("crossfit", "published")
# training rows, test rows, rows of the published estimator's part
SIZES = (
    (500, 1000, 100),
    (2000, 2000, 200),
    (2000, 500, 500),
    (10_000, 10_000, 1000),
    (10_000, 1000, 1000),
    (20_000, 10_000, 2000),
)
N_SUB = {(n, m): part for n, m, part in SIZES}
FRESH = 20_000
# seeds below this also time a tuned probe alone
TIMED = 20
TERMS = ("held_out", "usability", "probe_generalization", "encoder_generalization", "midpoint")
Row = dict[str, Any]


@dataclass(frozen=True)
class Draw:
    """One sample of a world."""

    world: str
    n: int
    m: int
    seed: int

    @property
    def key(self) -> str:
        """Its name in the file."""
        return f"{self.world}:{self.n}:{self.m}:{self.seed}"


def sample(n: int, noise: float, apart: float, rng: np.random.Generator) -> Embeddings:
    """n rows of the world."""
    y = rng.integers(0, CLASSES, n)
    x = apart * MEANS[y] + noise * rng.standard_normal((n, D))
    return Embeddings(x.astype(np.float32), y)


def best_error(noise: float, apart: float) -> float:
    """The error of the linear discriminant, from two million rows."""
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(20):
        e = sample(100_000, noise, apart, rng)
        votes = e.features @ (apart * MEANS).T - (apart * MEANS**2 * apart).sum(axis=1) / 2
        wrong += int((votes.argmax(axis=1) != e.labels).sum())
    return wrong / 2_000_000


def measure(draw: Draw) -> list[Row]:
    """Both estimators with both probes on one sample."""
    noise, apart = WORLDS[draw.world]
    code = [list(WORLDS).index(draw.world), draw.n, draw.m, draw.seed]
    rng = np.random.default_rng(code)
    train, test = sample(draw.n, noise, apart, rng), sample(draw.m, 1.0, 1.0, rng)
    seen, unseen = sample(FRESH, noise, apart, rng), sample(FRESH, 1.0, 1.0, rng)
    rows = []
    for probe in PROBES:
        options: dict[str, Any] = {"seed": draw.seed, "duplicates": False}
        for estimator in ESTIMATORS:
            row: Row = {"key": draw.key, "probe": probe, "estimator": estimator}
            if draw.seed < TIMED:
                # one after the other: the machine's mood is in both
                since = time.perf_counter()
                jessl.probe(train, test, kind=probe, **options)
                row["probe_seconds"] = time.perf_counter() - since
            since = time.perf_counter()
            part = N_SUB[draw.n, draw.m] if estimator == "published" else None
            found = jessl.decompose(
                train, test, probe=probe, estimator=estimator, n_sub=part, **options
            )
            row["seconds"] = time.perf_counter() - since
            for name in TERMS[1:]:
                one = getattr(found, name)
                row[name] = [one.value, one.low, one.high]
            held = found.params["risks"]["part_rest"]
            row["held_out"] = [held, held, held]
            name = "C" if probe == "logistic" else "penalty"
            row["chosen"] = {name: found.params[name]}
            rows.append(row)
        # the same probe in both estimators: its choice does not depend on them
        truths = fresh_errors(train, seen, unseen, probe, rows[-1]["chosen"])
        for row in rows[-2:]:
            row["fresh"] = truths
    return rows


def fresh_errors(
    train: Embeddings, seen: Embeddings, unseen: Embeddings, probe: str, chosen: dict[str, float]
) -> list[float]:
    """Errors of the tuned probe on new rows of the training and of the test distribution."""
    rows = labelled_rows("train", train)
    every: list[NDArray[np.bool_]] = [np.ones(len(rows.y), bool)]
    [fitted] = next(KINDS[probe].fit_path(FitRequest(rows.x, rows.y, every, [chosen], 0, "cpu")))
    return [
        float(evaluate(fitted, new.features, _labels(new)).wrong.mean()) for new in (seen, unseen)
    ]


def _labels(e: Embeddings) -> NDArray[np.int64]:
    assert e.labels is not None
    return e.labels


def summary(rows: list[Row], best: float) -> dict[str, Any]:
    """Bias, error, coverage and cost of one estimator in one cell."""
    held, risk = (fmean(r["fresh"][k] for r in rows) for k in (0, 1))
    truth = {
        "held_out": held,
        "usability": best,
        "midpoint": best,
        "probe_generalization": held - best,
        "encoder_generalization": risk - held,
    }
    told: dict[str, Any] = {"n": len(rows), "truth": truth}
    for name in TERMS:
        values = np.array([r[name] for r in rows])
        off = values[:, 0] - truth[name]
        expected = values[:, 0].mean()
        told[name] = {
            "bias": float(off.mean()),
            "rmse": float(np.sqrt((off**2).mean())),
            "expected": float(((values[:, 1] <= expected) & (expected <= values[:, 2])).mean()),
            "covers": float(((values[:, 1] <= truth[name]) & (truth[name] <= values[:, 2])).mean()),
        }
    told["cost"] = median(r["seconds"] / r["probe_seconds"] for r in rows if "probe_seconds" in r)
    told["seconds"] = median(r["seconds"] for r in rows)
    return told


def table(rows: list[Row]) -> list[str]:
    """Markdown: one block a probe."""
    cells: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        world, n, m, _ = row["key"].split(":")
        cells[row["probe"], f"{world}:{n}:{m}"][row["estimator"]].append(row)
    best = {world: best_error(*WORLDS[world]) for world in WORLDS}
    body = [
        "Truths of usability, the error of the best linear classifier: "
        + ", ".join(f"{w} {100 * e:.2f} %" for w, e in best.items()),
    ]
    for probe in PROBES:
        body += ["", f"## {probe} probe", ""]
        body += [
            "Root mean square errors in points, crossfit / published (ratio); u midpoint: "
            "usability's truth estimated by the midpoint. Coverage of crossfit's intervals: of the "
            "expected estimate / of the truth.",
            "",
            "| encoder, n, test | draws | held-out | encoder gen. | probe gen. | usability "
            "| u midpoint | cov. enc. gen. | cov. probe gen. | cov. usability | cov. midpoint "
            "| cost: crossfit | published |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for told, ours, theirs in _summaries(cells, probe, best):
            errors = []
            for name in TERMS[:1] + TERMS[3:4] + TERMS[2:3] + TERMS[1:2]:
                a, b = (100 * one[name]["rmse"] for one in (ours, theirs))
                errors.append(f"{a:.2f} / {b:.2f} ({a / b:.2f})")
            covers = [
                f"{ours[name]['expected']:.2f} / {ours[name]['covers']:.2f}"
                for name in (*TERMS[3:4], *TERMS[2:3], *TERMS[1:2], "midpoint")
            ]
            cost = [f"{one['cost']:.2f} ({one['seconds']:.2g} s)" for one in (ours, theirs)]
            cells_text = [told, str(ours["n"]), *errors]
            cells_text += [f"{100 * ours['midpoint']['rmse']:.2f}", *covers, *cost]
            body.append("| " + " | ".join(cells_text) + " |")
        body += ["", *_truths(cells, probe, best)]
    return body


def _summaries(
    cells: Any, probe: str, best: dict[str, float]
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(the cell in words, crossfit, published) of a probe, in order."""
    for (kind, cell), both in sorted(cells.items(), key=_order):
        if kind == probe and len(both) == len(ESTIMATORS):
            world, n, m = cell.split(":")
            ours, theirs = (summary(both[name], best[world]) for name in ESTIMATORS)
            yield f"{world}, {int(n):,}, {int(m):,}", ours, theirs


def _order(item: tuple[tuple[str, str], Any]) -> tuple[Any, ...]:
    world, n, m = item[0][1].split(":")
    return item[0][0], list(WORLDS).index(world), int(n), -int(m)


def _truths(cells: Any, probe: str, best: dict[str, float]) -> list[str]:
    body = [
        "| encoder, n, test | true probe gen. | bias ours / published | true encoder gen. "
        "| bias ours / published | bias of usability | of the midpoint |",
        "|---|---|---|---|---|---|---|",
    ]
    for told, ours, theirs in _summaries(cells, probe, best):
        words = [told]
        for name in ("probe_generalization", "encoder_generalization"):
            words.append(f"{100 * ours['truth'][name]:.2f}")
            words.append(" / ".join(f"{100 * s[name]['bias']:+.2f}" for s in (ours, theirs)))
        words += [f"{100 * ours[name]['bias']:+.2f}" for name in ("usability", "midpoint")]
        body.append("| " + " | ".join(words) + " |")
    return body


def main() -> None:
    args = _arguments()
    work = Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    file = work / "draws.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {row["key"] for row in rows}
    wanted = [
        Draw(world, n, m, seed)
        for n, m in N_SUB
        if n <= args.largest
        for seed in range(args.draws if n < 10_000 else args.large_draws)
        for world in args.worlds
    ]
    left = [draw for draw in wanted if draw.key not in done]
    say(f"{len(left)} of {len(wanted)} draws to go")
    with (
        ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool,
        file.open("a") as out,
    ):
        asked = [pool.submit(measure, draw) for draw in left]
        for k, ended in enumerate(as_completed(asked), 1):
            if ended.exception() is not None:
                pool.shutdown(cancel_futures=True)
            for row in ended.result():
                out.write(json.dumps(row) + "\n")
                rows.append(row)
            out.flush()
            if k % 50 == 0:
                say(f"{k} of {len(left)}")
    tell("The risk decomposition in a known world", PACKAGES, table(rows), args.record)


PACKAGES = ("jessl", "numpy", "scipy", "scikit-learn")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", default="risk")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--large-draws", type=int, default=200, help="from 10,000 rows on")
    parser.add_argument("--largest", type=int, default=20_000, help="rows")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--record")
    return parser.parse_args()


if __name__ == "__main__":
    main()
