"""Does `jessl finetune` beat the probe of the frozen encoder, and does it keep the better of both?

    python benchmarks/bench_finetune.py --work finetune --set cifar10 RUN TRAIN.npz TEST.npz \
        --record 2026-11-29-finetune-folds

For each set and encoder, labels are drawn --draws times at 5, 10 and 50 images a class of the first
file. `jessl.finetune` trains on them (its trials and its training on all labels), the probe is
fitted on the same labels, and both are tested on the first --test images of the second file. All
sets get their first draw before any gets the second; after --minutes of CPU time no draw is begun.
Finished draws are kept in --work.

--only-train leaves the trials out: for the choice of defaults by --option, on draws (from
--first-draw) that are not used later. With 1 label a class nothing can be compared, and the command
refuses; --shots 1 measures the training on all labels.

The predictions of both about each labelled image, by networks that did not see it, are kept, so
that rules can be replayed: which of the two would be kept by the comparison on all folds, and on
the first fold alone, which is one held-out part of a quarter of the images.

Columns: probe and fine-tuned, the mean accuracy of both on the test images, difference with the
95 % interval of its mean over the draws (Student's t); wins, the draws in which fine-tuning is more
accurate; kept, the draws in which the default keeps it; right, the draws in which the default keeps
the more accurate of the two; lost, by how much what is kept is less accurate than the better of the
two, mean and worst; CPU seconds of the probe (features of the labelled images and the fit) and of
the fine-tuning with all its trials.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

import jessl
from finetune_rules import Draw, keeps_by_default, lost_by, summary
from harness import cpu_seconds, say, tell
from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.finetune_folder import COMPARED
from jessl.classification.finetune_start import open_start, run_config
from jessl.classification.finetuned_network import FinetunedNetwork
from jessl.classification.label_parts import LabelParts, write_labels
from jessl.classification.mirrored import choose_flip
from jessl.classification.start_head import write_start_head
from jessl.core.log import SILENT
from jessl.data import Source, Subset
from jessl.data.labels import number_cells
from jessl.extraction.extract import extract
from jessl.probes.split import sample_per_class

SHOTS = (5, 10, 50)
RECORDS = Path(__file__).resolve().parent / "records"


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result, and seconds of wall and CPU time."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = work()
    return result, {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}


def accuracy(network: FinetunedNetwork, classes: list[str], test: Source) -> float:
    """Share of the test images whose label the network predicts."""
    predicted = network.logits(network.features(test, 1)).argmax(axis=1)
    assert test.labels is not None
    return float((np.array(classes)[predicted] == test.labels.astype(str)).mean())


class Set:
    """A set of images with an encoder; features of the frozen encoder are computed once."""

    def __init__(self, name: str, init: str, train: str, test: str, count: int, work: Path) -> None:
        self.name, self.init, self.train_file, self.work = name, init, train, work
        self.train = jessl.open_source(train)
        images = jessl.open_source(test)
        self.test = Subset(images, np.arange(min(count, len(images))))

    def features(self, images: Source, config: jessl.Finetune) -> Any:
        """Of the frozen encoder."""
        net = open_start(config).opened.encoder
        return extract(net, None, images, layers=("backbone",), workers=1)["backbone"]

    def test_features(self, config: jessl.Finetune) -> np.ndarray:
        """Of the test images, kept in a file."""
        key = hashlib.sha256(f"{self.name} {self.init} {len(self.test)}".encode()).hexdigest()[:16]
        file = self.work / f"test-{key}.npy"
        if not file.exists():
            np.save(file, np.asarray(self.features(self.test, config).features))
        return np.load(file)


def draw_labels(one: Set, shots: int, draw: int, file: Path) -> np.ndarray:
    """Images with labels, and the CSV file of these."""
    labels = one.train.labels
    assert labels is not None
    rows = np.sort(sample_per_class(labels, shots, 1000 * draw + shots))
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([("path", "label"), *((i, labels[i]) for i in rows)])
    return rows


def train_on_all(
    config: jessl.Finetune, one: Set, rows: np.ndarray, probe: EmbeddingClassifier
) -> tuple[jessl.Run, list[str]]:
    """The training on all labels alone, as `jessl finetune` runs it."""
    assert one.train.labels is not None
    cells = {i: str(one.train.labels[i]) for i in rows.tolist()}
    labels, classes = number_cells(cells, len(one.train))
    assert labels is not None
    assert classes is not None
    parts = LabelParts(classes, rows, labels[rows], ())
    out = Path(config.out)
    out.mkdir()
    source = write_labels(out / "all.csv", one.train, parts, parts.all)
    head = None
    if config.head == "probe":
        head = out / "head.safetensors"
        write_start_head(head, probe, classes)
    run = run_config(
        config,
        open_start(config),
        out=out / "run",
        labels=out / "all.csv",
        n_train=len(rows),
        stop=0,
        flip=choose_flip(one.train, rows, labels[rows], seed=config.seed, workers=1, log=SILENT),
        head=head,
    )
    return jessl.pretrain(run, source=source, quiet=True), list(classes)


def measure(one: Set, shots: int, draw: int, options: dict[str, Any], only_train: bool) -> Draw:
    """One draw of the labels."""
    place = one.work / f"draw-{one.name}-{shots}-{draw}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    rows = draw_labels(one, shots, draw, place / "few.csv")
    config = jessl.Finetune(
        data=one.train_file,
        labels=str(place / "few.csv"),
        init=one.init,
        out=str(place / "out"),
        keep="finetuned",
        seed=draw,
        workers=1,
        **options,
    )
    y = one.train.labels[rows].astype(str)
    probe, probe_time = timed(
        lambda: EmbeddingClassifier(seed=draw).fit(
            np.asarray(one.features(Subset(one.train, rows), config).features), y
        )
    )
    right = probe.predict(one.test_features(config)) == one.test.labels.astype(str)
    result: Draw = {
        "shots": shots,
        "draw": draw,
        "probe": float(right.mean()),
        "probe_time": probe_time,
        "announced": [getattr(probe.expected_accuracy_, k) for k in ("value", "low", "high")],
    }
    if only_train:
        (run, classes), spent = timed(lambda: train_on_all(config, one, rows, probe))
    else:
        tuned, spent = timed(lambda: jessl.finetune(config, quiet=True, log=SILENT))
        run, classes = jessl.Run.open(tuned.run), list(tuned.classes)
        expected = EmbeddingClassifier.load(tuned.classifier).expected_accuracy_
        result |= {
            "folds": compared_predictions(tuned.out / COMPARED),
            "tuned_announced": [expected.value, expected.low, expected.high],
            "epochs": tuned.epochs,
            "flip": tuned.flip,
        }
    result |= {
        "tuned": accuracy(FinetunedNetwork.open(run, "cpu"), classes, one.test),
        "tuned_time": spent,
    }
    shutil.rmtree(place)
    return result


def compared_predictions(file: Path) -> list[list[list[bool]]]:
    """By fold, whether the network and the probe predict each image rightly: [folds, 2, m]."""
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [
        [
            [r[who] == r["label"] for r in rows if int(r["fold"]) == fold]
            for who in ("finetuned", "probe")
        ]
        for fold in sorted({int(r["fold"]) for r in rows})
    ]


def draw_file(one: Set, shots: int, draw: int, changes: dict[str, Any], only_train: bool) -> Path:
    """Where a draw is kept."""
    words = (one.name, one.init, shots, draw, sorted(changes.items()), only_train, "folds")
    return one.work / f"{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}.json"


def measure_all(sets: list[Set], changes: list[dict[str, Any]], options: Any) -> None:
    """Measure what is missing, the first draw of all sets first, while there is time."""
    for draw in range(options.first_draw, options.first_draw + options.draws):
        for shots in options.shots:
            for one in sets:
                for changed in changes:
                    if options.minutes is not None and cpu_seconds() > 60 * options.minutes:
                        return
                    only_train = options.only_train or shots < 2
                    file = draw_file(one, shots, draw, changed, only_train)
                    if file.exists():
                        continue
                    result = measure(one, shots, draw, changed, only_train)
                    file.write_text(json.dumps(result))
                    say(
                        f"{one.name}, {shots} labels a class, draw {draw}: "
                        f"probe {result['probe']:.3f}, fine-tuned {result['tuned']:.3f}, "
                        f"{result['tuned_time']['cpu']:.0f} s of CPU"
                    )


def draws(one: Set, shots: int, changes: dict[str, Any], options: Any) -> list[Draw]:
    """The measured draws of a set."""
    files = [
        draw_file(one, shots, draw, changes, options.only_train or shots < 2)
        for draw in range(options.first_draw, options.first_draw + options.draws)
    ]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def interval(values: list[float]) -> str:
    """Mean in points, with the 95 % interval of Student's t."""
    mean = 100 * float(np.mean(values))
    if len(values) < 2:
        return f"{mean:+.1f}"
    half = 100 * float(np.std(values, ddof=1) / len(values) ** 0.5)
    half *= float(student.ppf(0.975, len(values) - 1))
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def points(values: list[float]) -> str:
    """Mean and standard deviation in percent."""
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def row(name: str, shots: int, found: list[Draw]) -> str:
    """The table's line of one set and number of labels."""
    gain = [d["tuned"] - d["probe"] for d in found]
    compared = [d for d in found if "folds" in d]
    kept = right = lost = "–"
    if compared:
        keeps = [keeps_by_default(d) for d in compared]
        losses = [lost_by(d, keep) for d, keep in zip(compared, keeps, strict=True)]
        kept = f"{sum(keeps)} of {len(compared)}"
        right = f"{sum(loss == 0 for loss in losses)} of {len(losses)}"
        lost = f"{100 * np.mean(losses):.1f} ({100 * max(losses):.1f})"
    seconds = [f"{np.mean([d[k]['cpu'] for d in found]):.1f}" for k in ("probe_time", "tuned_time")]
    cells = [
        name,
        shots,
        len(found),
        points([d["probe"] for d in found]),
        points([d["tuned"] for d in found]),
        interval(gain),
        f"{sum(g > 0 for g in gain)} of {len(gain)}",
        kept,
        right,
        lost,
        *seconds,
    ]
    return f"| {' | '.join(map(str, cells))} |"


def changed(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE as options of `Finetune`."""
    pairs = (text.partition("=")[::2] for text in texts)
    return {name: value if name == "head" else json.loads(value) for name, value in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--set", action="append", nargs=4, required=True, metavar=("NAME", "INIT", "TRAIN", "TEST")
    )
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--minutes", type=float, help="of CPU time, after which no draw is begun")
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--test", type=int, default=2_000, help="images to test on")
    parser.add_argument("--only-train", action="store_true", help="without the trials")
    parser.add_argument("--option", nargs="*", action="append", metavar="NAME=VALUE", default=[])
    parser.add_argument("--record", help="name of a file in benchmarks/records, without .md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    sets = [Set(*words, options.test, options.work) for words in options.set]
    changes = [changed(texts) for texts in options.option or [[]]]
    measure_all(sets, changes, options)
    lines, every = [], []
    for one in sets:
        for texts, change in zip(options.option or [[]], changes, strict=True):
            for shots in options.shots:
                if found := draws(one, shots, change, options):
                    every += found
                    lines.append(row(", ".join([one.name, *texts]), shots, found))
    tell(
        "Fine-tuning against the probe of the frozen encoder",
        ["jessl", "torch", "numpy", "scikit-learn"],
        [
            "- threads: 1",
            "",
            *summary(every),
            "",
            "| set | labels a class | draws | probe, % | fine-tuned, % | difference, points | "
            "wins | kept | right | lost (worst) | probe, s CPU | fine-tuning, s CPU |",
            "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|",
            *lines,
        ],
        str(RECORDS / f"{options.record}.md") if options.record else None,
    )


if __name__ == "__main__":
    main()
