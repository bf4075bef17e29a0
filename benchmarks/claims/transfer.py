"""RankMe on the images of a training, and the accuracy elsewhere, on long tails, and later.

    python benchmarks/claims/transfer.py rankme-other-data --data DIR --work WORK

DIR has cifar10-train.npz, cifar10-test.npz, fashion-train.npz and fashion-test.npz, shuffled (a
long tail of 5,000 images needs more than 5,000), and may have solar-train.npz and solar-test.npz
(benchmarks/selection/images.py). 18 sweeps of one hyperparameter each on CIFAR-10, Fashion-MNIST
and a long-tailed CIFAR-10, one seed. Resumable: a training that is finished is a file of WORK; a
process a core.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selection"))

import numpy as np
from scipy import stats
from script import Options, Outcome, main
from sweeps import DECAYS, RATES

from jessl.claims.decision import MORE, ClaimPart
from jessl.claims.experiments import configuration
from jessl.claims.intervals import over_groups
from jessl.core.files import read_json, write_json
from jessl.core.resources import usable_cores

IMAGES, TEST_IMAGES, EPOCHS = 5_000, 5_000, 10
# of the largest to the smallest class
TAIL_RATIO = 100
TAILED = "long-tailed cifar10"
TARGETS = ("cifar10", "fashion", "solar")
# a sweep whose accuracies range over fewer points says nothing on the order: seeds differ by .5
LEAST_RANGE = 0.015
SMALLEST = 0.5
_BASE: dict[str, Any] = {
    "encoder": "smallconv:16",
    "views": "simclr",
    "size": 32,
    "batch_size": 128,
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "lr": 2e-3,
    "epochs": EPOCHS,
    "holdout": 0,
}
# method -> field -> values
_SWEEPS: dict[str, dict[str, tuple[float, ...]]] = {
    "simclr": {
        "lr": RATES,
        "objective_options.temperature": (0.05, 0.1, 0.2, 0.5, 2.0),
        "weight_decay": DECAYS,
    },
    "vicreg": {
        "lr": RATES,
        "objective_options.cov": (0.01, 0.1, 1.0, 10.0, 100.0),
        "objective_options.inv": (1.0, 5.0, 25.0, 50.0, 100.0),
    },
}


@dataclass(frozen=True)
class Training:
    """One training: its images and fields."""

    source: str
    fields: tuple[tuple[str, Any], ...]

    @property
    def key(self) -> str:
        """The name of its file."""
        words = json.dumps([self.source, self.fields])
        return hashlib.sha256(words.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Sweep:
    """The values of one hyperparameter, the rest as it is."""

    source: str
    method: str
    field: str

    @property
    def name(self) -> str:
        """Such as "cifar10/simclr/lr"."""
        return f"{self.source}/{self.method}/{self.field.rpartition('.')[2]}"

    def trainings(self) -> list[Training]:
        """One a value."""
        fixed = {**_BASE, "objective": self.method}
        if self.source == "fashion":
            # garments have a left and a right
            fixed["view_options.flip"] = 0
        return [
            Training(self.source, tuple(sorted({**fixed, self.field: value}.items())))
            for value in _SWEEPS[self.method][self.field]
        ]


SWEEPS = [
    Sweep(source, method, name)
    for source in ("cifar10", "fashion", TAILED)
    for method, fields in _SWEEPS.items()
    for name in fields
]


@functools.lru_cache(maxsize=8)
def _arrays(folder: Path, name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """At most so many images [n, 32, 32, 3] and labels; a long tail of the training images."""
    origin = "cifar10" if name == TAILED else name
    with np.load(folder / f"{origin}-{split}.npz") as held:
        x, y = held["x"], held["y"].astype(np.int64)
    if name == TAILED:
        keep = _tail(y)
    else:
        keep = np.arange(min(len(y), IMAGES if split == "train" else TEST_IMAGES))
    x, y = x[keep], y[keep]
    if x.ndim == 3:
        x = np.repeat(x[..., None], 3, axis=3)
    room = 32 - x.shape[1]
    if room:
        x = np.pad(
            x, [(0, 0), (room // 2, room - room // 2), (room // 2, room - room // 2), (0, 0)]
        )
    return np.ascontiguousarray(x), y


def _tail(labels: np.ndarray) -> np.ndarray:
    """Rows of a long tail: classes fall from the first to the last by `TAIL_RATIO`."""
    classes = np.unique(labels)
    share = TAIL_RATIO ** -(np.arange(len(classes)) / (len(classes) - 1))
    largest = min(IMAGES / share.sum(), np.bincount(labels)[classes[0]])
    rows = [
        np.flatnonzero(labels == c)[: max(1, int(largest * s))]
        for c, s in zip(classes, share, strict=True)
    ]
    return np.sort(np.concatenate(rows))


def train(one: Training, folder: Path, work: Path) -> None:
    """Train, and write RankMe of its own images, early and at the end, and all accuracies."""
    import torch

    import jessl
    from jessl.data import open_source, unlabelled
    from jessl.embeddings import Embeddings
    from jessl.extraction.embed import embed

    torch.set_num_threads(1)
    target = work / f"{one.key}.json"
    if target.is_file():
        return
    out = work / f"{one.key}-run"
    shutil.rmtree(out, ignore_errors=True)
    result: dict[str, Any] = {"source": one.source, "fields": dict(one.fields)}
    source = unlabelled(open_source(_arrays(folder, one.source, "train")))
    settings = configuration(one.fields, one.source, str(out), seed=0)
    settings = dataclasses.replace(settings, evaluate_epochs=1)
    try:
        run = jessl.pretrain(settings, source=source, quiet=True)
        z = embed(run, source, layers=("projector",), workers=1, device="cpu")
        assert isinstance(z, Embeddings)
        early = [r.value for r in run.records() if r.name == "rankme/projector" and r.epoch == 1.0]
        result |= {"rankme": jessl.rankme(z.features), "early": early[0]}
        result["accuracy"] = {}
        for name in TARGETS:
            if not (folder / f"{name}-train.npz").is_file():
                continue
            parts = [
                embed(run, open_source(_arrays(folder, name, split)), workers=1, device="cpu")
                for split in ("train", "test")
            ]
            found = jessl.probe(parts[0], parts[1], kind="logistic", duplicates=False)
            result["accuracy"][name] = found.accuracy
    except (ValueError, FloatingPointError) as error:
        # a setting that cannot be trained is a result of the sweep
        result["refused"] = str(error)
    write_json(target, result)
    shutil.rmtree(out, ignore_errors=True)


def _trained(options: Options) -> dict[str, list[dict[str, Any]]]:
    """Sweep -> what each of its trainings came to; trains those that are not there."""
    if options.data is None:
        raise ValueError("--data: expected a folder with cifar10-train.npz and the like, got none")
    work = options.work / "transfer"
    work.mkdir(parents=True, exist_ok=True)
    wanted = {t.key: t for s in SWEEPS for t in s.trainings()}
    context = get_context("spawn")
    with ProcessPoolExecutor(usable_cores(), mp_context=context) as pool:
        waiting = [pool.submit(train, one, options.data, work) for one in wanted.values()]
        for done, one in enumerate(waiting, 1):
            one.result()
            print(f"{done} of {len(waiting)} trainings", flush=True)
    return {s.name: [read_json(work / f"{t.key}.json") for t in s.trainings()] for s in SWEEPS}


def _spearman(rows: list[dict[str, Any]], score: str, target: str) -> float:
    """NaN where the accuracies do not range over enough."""
    known = [r for r in rows if target in r.get("accuracy", {})]
    accuracy = [r["accuracy"][target] for r in known]
    if len(known) < 3 or max(accuracy) - min(accuracy) < LEAST_RANGE:
        return float("nan")
    values = [r["accuracy"][score] if score in TARGETS else r[score] for r in known]
    return float(stats.spearmanr(values, accuracy).statistic)


def _part(name: str, pairs: list[tuple[str, float]], rule: str | None) -> ClaimPart:
    """The mean over pairs (sweep, Spearman) that are informative, whole sweeps drawn."""
    known = [(sweep, rho) for sweep, rho in pairs if np.isfinite(rho)]
    values = np.array([rho for _, rho in known])
    groups = [sweep for sweep, _ in known]
    estimate = over_groups(lambda rows: float(values[rows].mean()), groups)
    n = f"{len(known)} informative of {len(pairs)} pairs, {len(set(groups))} sweeps"
    return ClaimPart(name, *estimate, SMALLEST, rule, "Spearman", n)


def other_data(options: Options) -> Outcome:
    """RankMe on the source, the accuracy on other data sets."""
    trained = {s: rows for s, rows in _trained(options).items() if not s.startswith(TAILED)}
    away, home, best = [], [], []
    body = ["| sweep | images | Spearman of RankMe on the source | ... of the accuracy there |"]
    body.append("|---|---|---:|---:|")
    for sweep, rows in trained.items():
        source = sweep.partition("/")[0]
        for target in TARGETS:
            if not any(target in r.get("accuracy", {}) for r in rows):
                continue
            rho = _spearman(rows, "rankme", target)
            (home if target == source else away).append((sweep, rho))
            text = f"{rho:+.2f}" if np.isfinite(rho) else "not informative"
            if target != source:
                ceiling = _spearman(rows, source, target)
                best.append((sweep, ceiling))
                text += f" | {ceiling:+.2f}" if np.isfinite(ceiling) else " | not informative"
            else:
                text += " | -"
            body.append(f"| {sweep} | {target} | {text} |")
    parts = [
        _part("RankMe on the source and the accuracy on other data sets", away, MORE),
        _part("RankMe on the source and the accuracy there", home, None),
        _part("the accuracy on the source and on other data sets", best, None),
    ]
    return Outcome(parts, _refused(trained), body)


def imbalance(options: Options) -> Outcome:
    """RankMe on a long tail and after a tenth of the epochs, the accuracy on balanced images."""
    trained = _trained(options)
    tail, even, early, late = [], [], [], []
    body = ["| sweep | Spearman of RankMe at the end | ... after a tenth of the epochs |"]
    body.append("|---|---:|---:|")
    for sweep, rows in trained.items():
        source = sweep.partition("/")[0]
        target = "cifar10" if source == TAILED else source
        end, begin = _spearman(rows, "rankme", target), _spearman(rows, "early", target)
        if source == TAILED:
            tail.append((sweep, end))
        else:
            early.append((sweep, begin))
            late.append((sweep, end))
            if source == "cifar10":
                even.append((sweep, end))
        texts = [f"{v:+.2f}" if np.isfinite(v) else "not informative" for v in (end, begin)]
        body.append(f"| {sweep} | {' | '.join(texts)} |")
    parts = [
        _part("long tail, RankMe at the end and accuracy", tail, MORE),
        _part("the same sweeps on balanced images", even, None),
        _part("RankMe after a tenth of the epochs and accuracy at the end", early, MORE),
        _part("RankMe at the end and accuracy, the same trainings", late, None),
    ]
    return Outcome(parts, _refused(trained), body)


def _refused(trained: dict[str, list[dict[str, Any]]]) -> list[str]:
    reasons = [
        f"{s}: {r['refused']}" for s, rows in trained.items() for r in rows if "refused" in r
    ]
    return (
        [f"{len(reasons)} trainings could not be finished: {'; '.join(reasons)}"] if reasons else []
    )


TESTS = {"rankme-other-data": other_data, "rankme-imbalance": imbalance}

if __name__ == "__main__":
    main(TESTS, __doc__)
