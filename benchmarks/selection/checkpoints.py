"""When to stop: the checkpoints of long trainings, and what view retrieval and RankMe take.

    OMP_NUM_THREADS=1 python benchmarks/selection/checkpoints.py --work trial \\
        --record benchmarks/records/DATE-checkpoints.md

Each training keeps a checkpoint every EVERY epochs; the accuracy of each is that of a logistic
probe of all training images on test images. The curves are those that `jessl pretrain` records.
Resumable; WORK/data is made by train.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from features import LAYERS
from sweeps import DATA

import jessl
from harness import say, tell
from jessl.data import open_source
from jessl.extraction.extract import extract
from jessl.extraction.open_encoder import open_encoder
from jessl.records import HELD_OUT

EPOCHS, EVERY = 40, 2
# data, method, options; the last two get worse with time
RUNS: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("cifar10", "vicreg", {}),
    ("cifar10", "simclr", {}),
    ("fashion", "byol", {}),
    ("fashion", "vicreg", {"lr": 2e-2}),
    ("solar", "simclr", {"lr": 6e-3}),
    ("tagged", "vicreg", {}),
)
CRITERIA = ("view_retrieval/backbone", "rankme/projector", "rankme/backbone")
PATIENCES = (2, 3, 5)


@dataclass(frozen=True)
class Curve:
    """A long training.

    Attributes:
        name: data, method and options.
        epochs: [k]; accuracy: [k], points; scores: criterion -> [k].
    """

    name: str
    epochs: np.ndarray
    accuracy: np.ndarray
    scores: dict[str, np.ndarray]


def _file(work: Path, data: str, method: str, options: dict[str, object]) -> Path:
    name = "-".join([data, method, *(f"{k}{v}" for k, v in options.items())])
    return work / "long" / f"{name}.json"


def measure(work: Path, data: str, method: str, options: dict[str, object]) -> Curve:
    """Train, probe every checkpoint, keep the numbers in WORK/long/NAME.json."""
    kept = _file(work, data, method, options)
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        _train(work, data, method, options, kept)
    stored = json.loads(kept.read_text())
    return Curve(
        kept.stem,
        np.array(stored["epochs"]),
        np.array(stored["accuracy"]),
        {c: np.array(stored["scores"][c], float) for c in CRITERIA},
    )


def _train(work: Path, data: str, method: str, options: dict[str, object], kept: Path) -> None:
    out = kept.parent / kept.stem
    fields = {"lr": 2e-3, "view_options": DATA[data]["view_options"], **options}
    run = jessl.pretrain(
        jessl.Pretrain(
            data=str(work / "data" / f"{data}-train.npz"), out=str(out), resume=out.is_dir(),
            objective=method, encoder="smallconv:16", epochs=EPOCHS, batch_size=128,
            weight_decay=1e-2, seed=0, tune=False, workers=1, device="cpu", channels_last=True,
            evaluate_epochs=EVERY, checkpoint_epochs=EVERY, keep_checkpoints=0,
            online_probes=False, **fields,
        ),
        quiet=True,
    )  # fmt: skip
    train, test = (open_source(work / "data" / f"{data}-{s}.npz") for s in ("train", "test"))
    epochs, accuracy = [], []
    steps = int(run.facts()["steps_per_epoch"])
    for path in sorted(run.checkpoints.iterdir()):
        encoder, *_ = open_encoder(path)
        z, t = (
            extract(encoder, None, source, layers=LAYERS[:1], workers=1)["backbone"]
            for source in (train, test)
        )
        epochs.append(round(int(path.name.rpartition("-")[2]) / steps))
        accuracy.append(100 * jessl.probe(z, t, kind="logistic").accuracy)
        say(f"{out.name}: epoch {epochs[-1]}, {accuracy[-1]:.1f} %")
    curves = {
        (r.name, round(r.epoch)): r.value for r in run.records() if r.split == HELD_OUT and r.epoch
    }
    scores = {c: [curves.get((c, e)) for e in epochs] for c in CRITERIA}
    kept.write_text(json.dumps({"epochs": epochs, "accuracy": accuracy, "scores": scores}))
    shutil.rmtree(out)


def stopped_at(values: np.ndarray, patience: int) -> int:
    """The place at which `--patience` ends a training; the last one where it never does."""
    best, since = -np.inf, 0
    for k, value in enumerate(values):
        best, since = (value, 0) if value > best else (best, since + 1)
        if since >= patience:
            return k
    return len(values) - 1


def tables(curves: list[Curve]) -> list[str]:
    """The regret of the checkpoint that each criterion takes, and of stopping early."""
    lines = [
        "| training | best epoch | accuracy there | at the end | regret of the last | "
        + " | ".join(f"regret by {c}" for c in CRITERIA)
        + " | Spearman of view retrieval |",
        "|---|---:|---:|---:|---:|" + "---:|" * (len(CRITERIA) + 1),
    ]
    for c in curves:
        best = int(c.accuracy.argmax())
        lost = [c.accuracy[best] - c.accuracy[int(np.nanargmax(c.scores[k]))] for k in CRITERIA]
        ranks = [np.argsort(np.argsort(v)) for v in (c.scores[CRITERIA[0]], c.accuracy)]
        lines.append(
            f"| {c.name} | {c.epochs[best]} | {c.accuracy[best]:.1f} | {c.accuracy[-1]:.1f} | "
            f"{c.accuracy[best] - c.accuracy[-1]:.1f} | "
            + " | ".join(f"{x:.1f}" for x in lost)
            + f" | {np.corrcoef(*ranks)[0, 1]:+.2f} |"
        )
    lines += [
        "",
        "| --patience | epochs saved (each training) | points lost against the end (each) |",
        "|---:|---|---|",
    ]
    for patience in PATIENCES:
        places = [stopped_at(c.scores[CRITERIA[0]], patience) for c in curves]
        saved = [1 - c.epochs[k] / c.epochs[-1] for c, k in zip(curves, places, strict=True)]
        lost = [c.accuracy[-1] - c.accuracy[k] for c, k in zip(curves, places, strict=True)]
        cells = (", ".join(f"{x:.0%}" for x in saved), ", ".join(f"{x:+.1f}" for x in lost))
        lines.append(f"| {patience} | {cells[0]} | {cells[1]} |")
    return lines


def main(argv: list[str] | None = None) -> None:
    """Train what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--record", help="a .md file to write")
    parser.add_argument("--finished", action="store_true", help="train nothing more")
    options = parser.parse_args(argv)
    runs = [run for run in RUNS if not options.finished or _file(options.work, *run).is_file()]
    curves = [measure(options.work, *run) for run in runs]
    about = (
        f"{len(runs)} of {len(RUNS)} trainings of {EPOCHS} epochs, smallconv:16, a checkpoint "
        f"every {EVERY}; one seed."
    )
    body = [about, "", *tables(curves)]
    tell("Checkpoints without labels", ("jessl", "torch", "numpy"), body, options.record)


if __name__ == "__main__":
    main()
