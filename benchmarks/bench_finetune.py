"""Does `jessl finetune` beat the probe of the frozen encoder, and does it keep the better of both?

    python benchmarks/bench_finetune.py --work finetune --set cifar10 RUN TRAIN.npz TEST.npz \
        --record 2026-11-29-finetune

For each set and encoder, labels are drawn --draws times at 1, 5, 10 and 50 images a class of the
first file. `jessl.finetune` trains on them (its trial and its training on all labels), the probe
is fitted on the same labels, and both are tested on the first --test images of the second file. At
one label a class nothing can be compared, and the command refuses; the training is then that
which it would run on all labels.

--only-train leaves the trial out: for the choice of defaults by --option, on draws (from
--first-draw) that are not used later. Finished draws are kept in --work.

Columns: probe and fine-tuned, the mean accuracy of both on the test images, difference with the
95 % interval of its mean over the draws (Student's t); wins, the draws in which fine-tuning is more
accurate; kept, the draws in which the default keeps it; right, the draws in which the default keeps
the more accurate of the two; lost, by how much what is kept is less accurate than the better of the
two, mean and worst; seconds of wall and CPU time for either (the probe's: features of the labelled
images and the fit).
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
from harness import cpu_seconds, say, tell
from jessl.classification.classifier import EmbeddingClassifier
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

SHOTS = (1, 5, 10, 50)
RECORDS = Path(__file__).resolve().parent / "records"
Draw = dict[str, Any]


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
    parts = LabelParts(classes, rows, labels[rows], rows, rows[:0], 0)
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
        "announced": probe.expected_accuracy_.value,
    }
    if only_train:
        (run, classes), spent = timed(lambda: train_on_all(config, one, rows, probe))
    else:
        tuned, spent = timed(lambda: jessl.finetune(config, quiet=True, log=SILENT))
        run, classes = jessl.Run.open(tuned.run), list(tuned.classes)
        difference = tuned.difference
        result |= {
            "estimate": difference.value,
            "better": difference.better,
            "compared": difference.n,
            "epochs": tuned.epochs,
            "flip": tuned.flip,
        }
    result |= {
        "tuned": accuracy(FinetunedNetwork.open(run, "cpu"), classes, one.test),
        "tuned_time": spent,
    }
    shutil.rmtree(place)
    return result


def draws(one: Set, options: argparse.Namespace, changes: dict[str, Any]) -> list[Draw]:
    """All draws of a set, measured or read."""
    found = []
    for shots in options.shots:
        for draw in range(options.first_draw, options.first_draw + options.draws):
            only_train = options.only_train or shots < 2
            words = (one.name, one.init, shots, draw, sorted(changes.items()), only_train)
            key = hashlib.sha256(repr(words).encode()).hexdigest()[:16]
            file = one.work / f"{key}.json"
            if not file.exists():
                result = measure(one, shots, draw, changes, only_train)
                file.write_text(json.dumps(result))
                say(
                    f"{one.name}, {shots} labels a class, draw {draw}: probe {result['probe']:.3f},"
                    f" fine-tuned {result['tuned']:.3f}, {result['tuned_time']['cpu']:.0f} s of CPU"
                )
            found.append(json.loads(file.read_text()))
    return found


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
    compared = [d for d in found if "better" in d]
    kept = f"{sum(d['better'] for d in compared)} of {len(compared)}" if compared else "refused"
    right = lost = "–"
    if compared:
        losses = [
            max(d["tuned"], d["probe"]) - d["tuned" if d["better"] else "probe"] for d in compared
        ]
        right = f"{sum(loss == 0 for loss in losses)} of {len(losses)}"
        lost = f"{100 * np.mean(losses):.1f} ({100 * max(losses):.1f})"
    seconds = [
        f"{np.mean([d[k]['wall'] for d in found]):.1f}, {np.mean([d[k]['cpu'] for d in found]):.1f}"
        for k in ("probe_time", "tuned_time")
    ]
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
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--test", type=int, default=2_000, help="images to test on")
    parser.add_argument("--only-train", action="store_true", help="without the trial")
    parser.add_argument("--option", nargs="*", action="append", metavar="NAME=VALUE", default=[])
    parser.add_argument("--record", help="name of a file in benchmarks/records, without .md")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    lines, every = [], []
    for name, init, train, test in options.set:
        one = Set(name, init, train, test, options.test, options.work)
        for texts in options.option or [[]]:
            found = draws(one, options, changed(texts))
            every += found
            title = ", ".join([name, *texts])
            lines += [row(title, k, [d for d in found if d["shots"] == k]) for k in options.shots]
    tell(
        "Fine-tuning against the probe of the frozen encoder",
        ["jessl", "torch", "numpy", "scikit-learn"],
        [
            "- threads: 1",
            "",
            *summary(every),
            "",
            "| set | labels a class | draws | probe, % | fine-tuned, % | difference, points | "
            "wins | kept | right | lost (worst) | probe, s wall, CPU | fine-tuning, s wall, CPU |",
            "|---|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|",
            *lines,
        ],
        str(RECORDS / f"{options.record}.md") if options.record else None,
    )


def summary(every: list[Draw]) -> list[str]:
    """How often the default kept the better, over all draws that it compares."""
    compared = [d for d in every if "better" in d]
    if not compared:
        return []
    lines = []
    for title, keeps in (
        ("the default (fine-tuned where the interval lies above 0)", lambda d: d["better"]),
        ("fine-tuned where its estimate is higher", lambda d: d["estimate"] > 0),
        ("always the probe", lambda d: False),
        ("always the fine-tuned network", lambda d: True),
    ):
        losses = [
            max(d["tuned"], d["probe"]) - d["tuned" if keeps(d) else "probe"] for d in compared
        ]
        below = [d["probe"] - d["tuned" if keeps(d) else "probe"] for d in compared]
        lines.append(
            f"- {title}: the more accurate one in {sum(x == 0 for x in losses)} of {len(losses)} "
            f"draws, loses {100 * np.mean(losses):.2f} points (worst {100 * max(losses):.1f}); "
            f"below the probe in {sum(x > 0 for x in below)}, by {100 * max(below):.1f} at worst"
        )
    return lines


if __name__ == "__main__":
    main()
