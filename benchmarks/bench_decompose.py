"""Risk decompositions of real encoders, with all labels and with few, and a sweep of the dimension.

    OMP_NUM_THREADS=1 python benchmarks/bench_decompose.py --train cifar10-train.npz \\
        --test cifar10-test.npz --weights-dir ENCODERS --runs RUNS/simclr RUNS/vicreg RUNS/cissl \\
        --twin RUNS/supervised --sweep RUNS/dim32 RUNS/dim128 --work CACHE \\
        --record records/DATE-decompose.md --figure ../docs/decompose.svg

Encoders: raw pixels; smallconv untrained; ResNet-20 and -56 of He et al., supervised on the same
images (resnet20-12fca82f.th, resnet56-4bfd9763.th below --weights-dir); runs of `jessl pretrain`
(--runs). The twin (--twin, a run with objective supervised) tells the approximation error of runs
with the same encoder. Each encoder is decomposed with all labels of the training images and with
--fraction of them (the draws of `jessl.decompose`), by the logistic probe. --sweep are runs that
differ in the number of features only: Spearman's rank correlation of usability and of probe
generalization with it says whether one is traded for the other.

Embeddings lie in WORK/embeddings, and a line of JSON for each decomposition in WORK/found.jsonl;
a second call goes on. The figure is drawn from the same numbers.
"""

from __future__ import annotations

import argparse
import json
import time
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

import jessl
from bench_encoders import CONTENDERS, UNTRAINED, at_most
from harness import say, tell
from jessl.data import Loader, Source
from jessl.embeddings import Embeddings
from jessl.schema import COMPONENT_NAMES
from jessl.views import central_view

Row = dict[str, Any]
SHORT = ("approximation", "usability", "probe gen.", "encoder gen.")
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#e45756")
PIXELS = "raw pixels"


def pixels(source: Source) -> Embeddings:
    """The pixels of the central view, flattened."""
    view = central_view(32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    rows, labels = [], []
    for batch in Loader(source, view, 1024, shuffle=False, workers=1):
        rows.append(batch.views[0].flatten(1).numpy())
        assert batch.labels is not None
        labels.append(batch.labels.numpy())
    return Embeddings(np.concatenate(rows), np.concatenate(labels))


def encoders(args: argparse.Namespace) -> dict[str, Any]:
    """Name -> function that gives an encoder; None for pixels."""
    found: dict[str, Any] = {PIXELS: None}
    for one in CONTENDERS:
        if one.name == f"smallconv {UNTRAINED}":
            found[one.name] = lambda one=one: one.make(args, None, 32)
        files = [p for f in args.weights_dir for p in sorted(Path(f).rglob(one.file or "-"))]
        if one.name.endswith("supervised") and files:
            found[one.name] = lambda one=one, file=files[0]: one.make(args, file, 32)
    for folder in [*args.runs, *args.sweep, *([args.twin] if args.twin else [])]:
        found[Path(folder).name] = lambda folder=folder: jessl.Run.open(folder)
    return found


def embedded(args: argparse.Namespace, name: str, make: Any, part: str) -> Embeddings:
    """From the cache, or made and kept there."""
    place = Path(args.work) / "embeddings" / f"{name.replace(' ', '-')}-{part}-{args.images}"
    if not place.exists():
        source = at_most(jessl.open_source(getattr(args, part)), args.images)
        since = time.perf_counter()
        z = pixels(source) if make is None else jessl.embed(make(), source)
        assert isinstance(z, Embeddings)
        z.save(place)
        say(f"{name}, {part}: {z} in {time.perf_counter() - since:.0f} s")
    return Embeddings.load(place)


def decomposed(args: argparse.Namespace, name: str, make: Any, twin: Any, few: bool) -> Row:
    """One decomposition, from an earlier call where there is one."""
    file = Path(args.work) / "found.jsonl"
    of = {"encoder": name, "fraction": args.fraction if few else None, "images": args.images}
    of["twin"] = twin is not None
    if file.exists():
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if of.items() <= row.items():
                return row
    train, test = (embedded(args, name, make, part) for part in ("train", "test"))
    since = time.perf_counter()
    found = jessl.decompose(train, test, supervised=twin, fraction=of["fraction"])
    row = {**of, "d": train.d, "seconds": time.perf_counter() - since, **found.as_json()}
    with file.open("a") as out:
        out.write(json.dumps(row) + "\n")
    say(f"{name}, {'few' if few else 'all'}: {row['seconds']:.0f} s")
    return row


def cell(one: dict[str, float]) -> str:
    """A component in percent with its interval."""
    return f"{100 * one['value']:.1f} ({100 * one['low']:.1f} to {100 * one['high']:.1f})"


def table(rows: dict[str, Row]) -> list[str]:
    """Markdown: a row an encoder."""
    lines = [
        "| encoder | d | risk | approximation | usability | probe gen. | encoder gen. "
        "| union order: probe, encoder gen. | midpoint | dominant | identical, near | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        params = row["params"]
        parts = [cell(row["risk"])]
        parts += ["in usability" if row["merged"] else cell(row["approximation"])]
        parts += [cell(row[k]) for k in COMPONENT_NAMES[1:]]
        union = params["union_order"]
        parts.append(", ".join(f"{100 * union[k]:.1f}" for k in COMPONENT_NAMES[2:]))
        twins = params["near_duplicates"]
        parts += [cell(row["midpoint"]), (row["dominant"] or "-").replace("_", " ")]
        parts.append(
            f"{twins['identical']}, {'-' if twins['near'] is None else twins['near']}"
            + " *"[: not twins["complete"]]
        )
        lines.append(f"| {name} | {row['d']} | {' | '.join(parts)} | {row['seconds']:.0f} |")
    return lines


def sweep(rows: dict[str, Row]) -> list[str]:
    """What goes with the number of features."""
    if len(rows) < 3:
        return []
    d = [row["d"] for row in rows.values()]
    lines = [f"Spearman's correlation with the number of features over {len(d)} runs: "]
    told = []
    for name in COMPONENT_NAMES[1:]:
        rho = spearmanr(d, [row[name]["value"] for row in rows.values()]).statistic
        told.append(f"{name.replace('_', ' ')} {rho:+.2f}")
    lines[0] += ", ".join(told) + "."
    return lines


def figure(panels: dict[str, dict[str, Row]]) -> str:
    """Stacked signed bars of every panel with the risk and its interval, as SVG."""
    width, bar, label, head = 760, 17, 190, 34
    scale = (width - label - 60) / 1.0
    out, y = [], 30
    x = label
    for name, colour in zip(SHORT, COLOURS, strict=True):
        out.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/>')
        out.append(f'<text x="{x + 14}" y="17">{name}</text>')
        x += 110
    for title, rows in panels.items():
        out.append(f'<text x="4" y="{y + 20}" font-weight="bold">{escape(title)}</text>')
        y += head
        for name, row in rows.items():
            out.append(
                f'<text x="{label - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            )
            up = down = 0.0
            for part, colour in zip(COMPONENT_NAMES, COLOURS, strict=True):
                value = row[part]["value"]
                left = up if value >= 0 else down + value
                if value >= 0:
                    up += value
                else:
                    down += value
                out.append(
                    f'<rect x="{label + scale * left:.1f}" y="{y}" height="{bar}" '
                    f'width="{scale * abs(value):.1f}" fill="{colour}"><title>{escape(name)}: '
                    f"{part.replace('_', ' ')} {cell(row[part])} %</title></rect>"
                )
            low, high = (label + scale * row["risk"][k] for k in ("low", "high"))
            middle = y + bar / 2
            out.append(f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="#111" stroke-width="2"/>')
            end = label + scale * max(up, row["risk"]["high"])
            out.append(
                f'<text x="{end + 5:.1f}" y="{y + 13}">{100 * row["risk"]["value"]:.1f} %</text>'
            )
            y += bar + 5
        y += 6
    out.append(f'<path d="M{label} 26V{y}" stroke="#888"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 6}" width="{width}" '
        'font-family="sans-serif" font-size="12"><title>Where the error of encoders comes from'
        f'</title><rect width="{width}" height="{y + 6}" fill="#fff"/>' + "".join(out) + "</svg>\n"
    )


def main() -> None:
    args = _arguments()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    every = encoders(args)
    twin_name = Path(args.twin).name if args.twin else None
    twin = None
    if twin_name:
        twin = tuple(embedded(args, twin_name, every[twin_name], p) for p in ("train", "test"))
    widened = {Path(folder).name for folder in args.sweep}
    panels: dict[str, dict[str, Row]] = {}
    for few in (False, True):
        title = f"{100 * args.fraction:g} % of the labels" if few else "all labels"
        panels[title] = {}
        for name, make in every.items():
            if name in widened:
                continue
            # the same architecture: only its own can have the twin's approximation error
            own = twin if name in {Path(r).name for r in args.runs} else None
            panels[title][name] = decomposed(args, name, make, own, few)
    body = [
        f"{min(args.images, 50_000):,} training and all test images, logistic probe, crossfit "
        "estimator, shared penalty, published order; percent, with 95 % intervals.",
        "",
    ]
    for title, rows in panels.items():
        body += [f"## {title}", "", *table(rows), ""]
    if args.sweep:
        rows = {name: decomposed(args, name, every[name], None, False) for name in widened}
        rows = dict(sorted(rows.items(), key=lambda item: item[1]["d"]))
        panels["SimCLR by number of features, all labels"] = rows
        body += ["## The number of features", "", *table(rows), "", *sweep(rows), ""]
    if args.figure:
        Path(args.figure).write_text(figure(panels), encoding="utf-8")
    tell("Where the error of real encoders comes from", PACKAGES, body, args.record)


PACKAGES = ("jessl", "torch", "numpy", "scipy", "scikit-learn")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True, help="SRC with labels")
    parser.add_argument("--test", required=True, help="SRC with labels")
    parser.add_argument("--images", type=int, default=10**9, help="at most so many of each set")
    parser.add_argument("--weights-dir", nargs="*", default=[], help="folders of published weights")
    parser.add_argument("--runs", nargs="*", default=[], help="folders of runs of one encoder")
    parser.add_argument("--twin", help="a run of the same encoder, trained with labels")
    parser.add_argument("--sweep", nargs="*", default=[], help="runs of several --dim")
    parser.add_argument("--fraction", type=float, default=0.01)
    parser.add_argument("--work", default="decompose")
    parser.add_argument("--figure", help="SVG file")
    parser.add_argument("--record")
    return parser.parse_args()


if __name__ == "__main__":
    main()
