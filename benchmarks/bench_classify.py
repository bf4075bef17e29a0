"""Does `jessl classify` do what it announces? Accuracy, calibration and promised error rates.

    python benchmarks/bench_classify.py --work classify --set cifar10 smallconv:32 TEST.npz \
        --out records/DATE-classify.md

For each set and encoder, labels are drawn --draws times at 1, 5, 10 and 50 images a class; the
classifier that `jessl.fit_classifier` fits on them is compared with labels that it has not seen.
With a TEST file: labels from the first 10,000 images of TRAIN, compared with all images of TEST.
Without: labels from the one half of the first 10,000 images, divided anew for each draw, compared
with the other half; of fewer than 1,000 images, labels from all, compared with the rest. The
encoder `pixels` is the image itself; encoders by name have random weights (--weights published for
theirs). Finished draws are kept in --work.

Columns: announced, the mean expected accuracy; true, its mean on the other half; inside, the
share of draws whose 95 % interval holds the true accuracy, and how many are above and below it;
width of the interval; expected calibration error there before and after the temperature. For each
--max-error: promised, the share of draws in which a threshold is found; kept, the mean share of
images that reach it; error, the mean true error of these; met, the share of the promised draws
whose true error is at most --max-error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import jessl
from harness import say, tell
from jessl.classification.calibration import calibration_error
from jessl.probes.split import sample_per_class

SHOTS = (1, 5, 10, 50)
RATES = (0.05, 0.1)
MOST_IMAGES = 10_000
# images of a set that is not divided into halves
SMALL = 1_000
Pair = tuple[NDArray[np.float32], NDArray[np.int64]]


def features(data: Any, encoder: str, weights: str, work: Path) -> Pair:
    """Features and labels of the first images, kept in a file."""
    name = hashlib.sha256(f"{data} {encoder} {weights}".encode()).hexdigest()[:16]
    file = work / f"{name}.npz"
    if not file.exists():
        source = jessl.open_source(data)
        source = jessl.data.Subset(source, np.arange(min(MOST_IMAGES, len(source))))
        if encoder == "pixels":
            x = np.stack([source.read(i).ravel() for i in range(len(source))])
            z = jessl.Embeddings(x.astype(np.float32) / 255, source.labels)
        else:
            init = weights if Path(encoder).suffix == "" and ":" in encoder else None
            init = None if encoder.startswith("ckpt:") or Path(encoder).is_dir() else init
            embedded = jessl.embed(encoder, source, init=init)
            assert isinstance(embedded, jessl.Embeddings)
            z = embedded
        np.savez(file, features=z.features, labels=z.labels)
    z = jessl.Embeddings.load(file)
    assert z.labels is not None
    return z.features, z.labels


def halves(pair: Pair, draw: int) -> tuple[Pair, Pair]:
    """Two random halves of one set, others for each draw; a small set as it is, twice.

    With the same halves in all draws one may be easier by chance, in all of them.
    """
    if len(pair[1]) < SMALL:
        return pair, pair
    order = np.random.default_rng([draw, 1]).permutation(len(pair[1]))
    first, second = np.array_split(order, 2)
    return (pair[0][first], pair[1][first]), (pair[0][second], pair[1][second])


def measure(train: Pair, test: Pair, shots: int, draw: int) -> dict[str, Any]:
    """One draw of the labels."""
    rows = sample_per_class(train[1], shots, 1000 * draw + shots)
    x, y = train[0][rows], train[1][rows]
    if test is train:
        rest = np.setdiff1d(np.arange(len(test[1])), rows)
        test = test[0][rest], test[1][rest]
    result: dict[str, Any] = {"shots": shots, "draw": draw, "rates": {}}
    classifier = jessl.fit_classifier(x, y, seed=draw)
    details = classifier.details(test[0])
    right = classifier.classes_[details.label] == test[1]
    for rate in RATES:
        threshold = classifier.with_max_error(rate).abstention_.threshold
        kept = details.probability >= (np.inf if threshold is None else threshold)
        result["rates"][str(rate)] = {
            "promised": threshold is not None,
            "kept": float(kept.mean()),
            "error": float((~right)[kept].mean()) if kept.any() else None,
        }
    expected = classifier.expected_accuracy_
    raw = classifier.probe_.decision_function(test[0])
    raw = np.exp(raw - raw.max(axis=1, keepdims=True))
    before = (raw / raw.sum(axis=1, keepdims=True)).max(axis=1)
    return {
        **result,
        "expected": expected.value,
        "low": expected.low,
        "high": expected.high,
        "true": float(right.mean()),
        "ece_before": calibration_error(before, right),
        "ece_after": calibration_error(details.probability, right),
        "far": float(details.far.mean()),
    }


def draws(
    name: str, encoder: str, pair: Pair, test: Pair | None, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The draws of a set and an encoder, measured or read."""
    for shots in options.shots:
        for draw in range(options.draws):
            kind = "halves" if test is None else "test"
            key = hashlib.sha256(f"{name} {encoder} {shots} {draw} {kind}".encode()).hexdigest()[
                :16
            ]
            file = options.work / f"draw-{key}.json"
            if not file.exists():
                parts = halves(pair, draw) if test is None else (pair, test)
                file.write_text(json.dumps(measure(*parts, shots, draw)))
            yield json.loads(file.read_text())
        say(f"{name}, {encoder}: {shots} labels a class")


def mean(values: list[float]) -> str:
    return f"{np.mean(values):.3f}" if values else "–"


def accuracy_row(name: str, encoder: str, shots: int, found: list[dict[str, Any]]) -> str:
    known = [d for d in found if d["expected"] is not None]
    true = [d["true"] for d in found]
    above = sum(d["true"] > d["high"] for d in known)
    below = sum(d["true"] < d["low"] for d in known)
    inside = f"{1 - (above + below) / len(known):.2f} ({above}, {below})" if known else "–"
    cells = [
        name,
        encoder,
        shots,
        mean([d["expected"] for d in known]) if known else "cannot be estimated",
        mean(true),
        inside,
        mean([d["high"] - d["low"] for d in known]),
        mean([d["ece_before"] for d in found]),
        mean([d["ece_after"] for d in found]),
        mean([d["far"] for d in found]),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def promise_row(
    name: str, encoder: str, shots: int, rate: float, found: list[dict[str, Any]]
) -> str:
    every = [d["rates"][str(rate)] for d in found]
    promised = [d for d in every if d["promised"]]
    met = [float(d["error"] is None or d["error"] <= rate) for d in promised]
    cells = [
        name,
        encoder,
        shots,
        rate,
        f"{len(promised) / len(every):.2f}",
        mean([d["kept"] for d in promised]),
        mean([d["error"] for d in promised if d["error"] is not None]),
        f"{np.mean(met):.2f}" if met else "–",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--set", action="append", nargs="+", required=True, help="NAME ENCODER FILE [TEST]"
    )
    parser.add_argument("--weights", default="random")
    parser.add_argument("--shots", type=int, nargs="+", default=SHOTS)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    accuracy, promises = [], []
    total: dict[int, list[bool]] = defaultdict(list)
    kept: dict[float, list[bool]] = defaultdict(list)

    def add(name: str, encoder: str, pair: Pair, test: Pair | None) -> None:
        found = list(draws(name, encoder, pair, test, options))
        shown = Path(encoder.partition("@")[0]).stem or encoder
        for shots in options.shots:
            own = [d for d in found if d["shots"] == shots]
            accuracy.append(accuracy_row(name, shown, shots, own))
            total[shots] += [
                d["low"] <= d["true"] <= d["high"] for d in own if d["expected"] is not None
            ]
            for rate in RATES:
                promises.append(promise_row(name, shown, shots, rate, own))
                rates = [d["rates"][str(rate)] for d in own]
                kept[rate] += [d["error"] <= rate for d in rates if d["promised"] and d["kept"]]

    for name, encoder, file, *tests in options.set:
        pair, *test = (
            features(part, encoder, options.weights, options.work) for part in (file, *tests)
        )
        add(name, encoder, pair, test[0] if test else None)
    summary = [
        f"- {shots} labels a class: {np.mean(inside):.3f} of {len(inside)} intervals hold the "
        "true accuracy"
        for shots, inside in total.items()
        if inside
    ]
    summary += [
        f"- --max-error {rate:g}: {np.mean(met):.3f} of {len(met)} promises are met"
        for rate, met in kept.items()
        if met
    ]
    body = [
        f"{options.draws} draws of the labels a line; true values on images that no fit has seen. "
        "inside: share of the 95 % intervals that hold the true "
        "accuracy (in brackets: draws whose true accuracy is above, below).",
        "",
        *summary,
        "",
        "| set | encoder | labels a class | announced | true | inside | width | calibration error "
        "before | after | far |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|---:|",
        *accuracy,
        "",
        "| set | encoder | labels a class | max error | promised | kept | true error | met |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
        *promises,
    ]
    tell(
        "What jessl classify announces, and what comes true", ["jessl", "numpy"], body, options.out
    )


if __name__ == "__main__":
    main()
