"""Distilled against SimCLR from scratch, the teacher and the untrained net, on held-out images.

    OMP_NUM_THREADS=1 python benchmarks/bench_distill.py --train fashion-train.npz \\
        --test fashion-test.npz --teacher ckpt:resnet20-12fca82f.th --out distill

Students have one encoder, views, rate and number of epochs; no training sees a label. Two probes of
the frozen features: weighted kNN on the training images (k 20, T .07), and a logistic probe on 5
labels a class, the mean of 5 draws; both tested on the test images. Every result is appended to
OUT/results.jsonl as it is there; a second call goes on. The tables at the end are Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
from pathlib import Path
from typing import Any

import jessl
from jessl.data import Source, split_source, unlabelled
from jessl.probes import few_shot
from jessl.records import versions

SHOTS = 5
# options of `jessl.Pretrain`; a student that is not distilled has no teacher
STUDENTS: dict[str, dict[str, Any]] = {
    "simclr": {"objective": "simclr"},
    "distill cosine": {"objective": "distill"},
    "distill relational": {
        "objective": "distill",
        "objective_options": {"variant": "relational"},
    },
}
TEACHER, UNTRAINED = "teacher", "untrained student"


def main() -> None:
    args = _arguments()
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    train, test = (
        _at_most(jessl.open_source(src), most)
        for src, most in ((args.train, args.images), (args.test, args.test_images))
    )
    wanted = [(TEACHER, 0)]
    wanted += [(name, seed) for seed in args.seeds for name in (UNTRAINED, *args.students)]
    for name, seed in wanted:
        if (name, seed) not in _read(folder):
            row = _one(args, folder, name, seed, train, test)
            with (folder / "results.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    print(_tables(args, _read(folder)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True, help="SRC with labels, for the probes alone")
    parser.add_argument("--test", required=True, help="SRC with labels")
    parser.add_argument("--teacher", required=True, help="an encoder, as of jessl embed")
    parser.add_argument("--images", type=int, default=2_500, help="at most so many to train on")
    parser.add_argument("--test-images", type=int, default=5_000)
    parser.add_argument("--encoder", default="smallconv:16")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--size", type=int, default=16, help="side of the student's views, px")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", default="bench-distill")
    return parser.parse_args()


def _at_most(source: Source, images: int) -> Source:
    return source if len(source) <= images else split_source(source, images / len(source), 0)[1]


def _one(
    args: argparse.Namespace, folder: Path, name: str, seed: int, train: Source, test: Source
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "seed": seed}
    encoder: Any = args.teacher
    options: dict[str, Any] = {}
    if name == UNTRAINED:
        encoder, options = args.encoder, {"init": "random", "seed": seed, "size": args.size}
    elif name != TEACHER:
        student = STUDENTS[name]
        distilled = student["objective"] != "simclr"
        config = jessl.Pretrain(
            data=args.train,
            out=str(folder / f"{name.replace(' ', '-')}-{seed}"),
            resume=True,
            encoder=args.encoder,
            teacher=args.teacher if distilled else None,
            epochs=args.epochs,
            batch_size=args.batch_size,
            size=args.size,
            lr=args.lr,
            holdout=0,
            evaluate_epochs=0,
            online_probes=False,
            precision="float32",
            tune=False,
            seed=seed,
            **student,
        )
        encoder = jessl.pretrain(config, source=unlabelled(train), quiet=True)
        row["seconds"] = [r.seconds for r in encoder.records() if r.name == "loss"][-1]
    known, unseen = (jessl.embed(encoder, part, **options) for part in (train, test))
    row["dim"] = known.d
    row["knn"] = jessl.probe(known, unseen, kind="knn").accuracy
    draws = few_shot(known, unseen, shots=(SHOTS,), draws=5, seed=0)[0]
    row["shots"] = draws.accuracy.value
    return row


def _read(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    path = folder / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(r["name"], r["seed"]): r for r in rows}


def _tables(args: argparse.Namespace, done: dict[tuple[str, int], dict[str, Any]]) -> str:
    lines = [
        f"{args.encoder}, {args.images:,} training images, {args.epochs} epochs of batches of "
        f"{args.batch_size}, adamw, peak rate {args.lr:g}, views of {args.size} px by simclr; "
        f"{versions()}; {os.cpu_count()} cores, {platform.machine()}",
        "",
        f"| encoder | features | kNN, mean | sd | {SHOTS}-shot, mean | sd | n | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in (TEACHER, *args.students, UNTRAINED):
        rows = [r for (n, _), r in sorted(done.items()) if n == name]
        spent = [r["seconds"] for r in rows if "seconds" in r]
        lines.append(
            f"| {name} | {rows[0]['dim']} | {_spread(rows, 'knn')} | {_spread(rows, 'shots')} | "
            f"{len(rows)} | {f'{statistics.median(spent):.0f}' if spent else '-'} |"
        )
    lines += ["", "| difference from simclr, paired by seed | kNN | 5-shot |", "|---|---|---|"]
    for name in args.students[1:]:
        both = [s for s in args.seeds if (name, s) in done and ("simclr", s) in done]
        pairs = [(done[name, s], done["simclr", s]) for s in both]
        each = (_paired([a[key] - b[key] for a, b in pairs]) for key in ("knn", "shots"))
        lines.append(f"| {name} | {' | '.join(each)} |")
    return "\n".join(lines)


def _spread(rows: list[dict[str, Any]], key: str) -> str:
    values = [r[key] for r in rows]
    sd = f"{statistics.stdev(values):.4f}" if len(values) > 1 else "-"
    return f"{statistics.fmean(values):.4f} | {sd}"


def _paired(differences: list[float]) -> str:
    mean = statistics.fmean(differences)
    if len(differences) < 2:
        return f"{mean:+.4f}"
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{mean:+.4f} ± {error:.4f} (standard error)"


if __name__ == "__main__":
    main()
