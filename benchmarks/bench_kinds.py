"""Do the intervals of `jessl classify --multi-label` and `--regression` hold?

    python benchmarks/bench_kinds.py --out records/DATE-kinds.md

Features of a known world: standard normal, 16 of them. Several labels: an image has each of four
labels with a probability that is logistic in the features. Numbers: linear in the features, with
normal or with long-tailed (Student's t, 3 degrees) noise. For each number of labelled rows, --draws
draws; the truth is taken on 20,000 other rows.

Columns: announced and true, their means (share of rows with all labels right, or mean absolute
error); inside, the share of draws whose 95 % interval holds the true value, and how many are above
and below it; for numbers also the share of the other rows that lie in the interval of their
prediction, which is to be .9, mean and sd over the draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import jessl
from harness import say, tell
from jessl.classification.multi_label import MultiLabel
from jessl.classification.regression import Regression

WIDTH, LABELS, ROWS = 16, 4, 20_000


def embeddings(x: np.ndarray) -> jessl.Embeddings:
    return jessl.Embeddings(x.astype(np.float32))


def several(rng: np.random.Generator, n: int) -> tuple[float, float, float, float]:
    """(announced, low, high, true) of one draw of a multi-label world."""
    weights = rng.normal(size=(WIDTH, LABELS)) * 1.5

    def draw(rows: int) -> tuple[np.ndarray, list[frozenset[str]]]:
        x = rng.normal(size=(rows, WIDTH))
        has = rng.random((rows, LABELS)) < 1 / (1 + np.exp(-x @ weights))
        return x, [frozenset("abcd"[k] for k in np.flatnonzero(row)) for row in has]

    x, sets = draw(n)
    fitted = MultiLabel.fit(embeddings(x), sets)
    values = fitted.as_json()
    x, sets = draw(ROWS)
    predicted = fitted.outcome(embeddings(x)).columns["labels"]
    right = [frozenset(p.split(";")) - {""} == s for p, s in zip(predicted, sets, strict=True)]
    announced, low, high = (float(values[k]) for k in ("expected_accuracy", "low", "high"))
    return announced, low, high, float(np.mean(right))


def numbers(
    rng: np.random.Generator, n: int, tails: bool
) -> tuple[float, float, float, float, float]:
    """(announced, low, high, true, share of rows in their interval) of one draw of numbers."""
    weights = rng.normal(size=WIDTH)

    def draw(rows: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(rows, WIDTH))
        noise = rng.standard_t(3, rows) if tails else rng.normal(size=rows)
        return x, x @ weights + noise

    x, y = draw(n)
    fitted = Regression.fit(embeddings(x), y)
    announced, low, high = fitted.expected()
    x, y = draw(ROWS)
    columns = fitted.outcome(embeddings(x)).columns
    error = float(np.abs(np.asarray(columns["value"]) - y).mean())
    inside = (np.asarray(columns["low"]) <= y) & (y <= np.asarray(columns["high"]))
    return announced, low, high, error, float(inside.mean())


def row(title: str, n: int, draws: Sequence[tuple[float, ...]]) -> str:
    """A line of the table."""
    values = np.array(draws)
    announced, low, high, true = values.T[:4]
    above, below = int((true > high).sum()), int((true < low).sum())
    cells = [
        title,
        n,
        f"{announced.mean():.3f}",
        f"{true.mean():.3f}",
        f"{1 - (above + below) / len(values):.2f} ({above}, {below})",
        f"{(high - low).mean():.3f}",
        f"{values[:, 4].mean():.3f} ± {values[:, 4].std():.3f}" if values.shape[1] > 4 else "–",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=(30, 100, 400))
    parser.add_argument("--draws", type=int, default=200, help="of numbers")
    parser.add_argument("--label-draws", type=int, default=40, help="of several labels")
    parser.add_argument("--out")
    options = parser.parse_args()
    lines = []
    for n in options.rows:
        rng = np.random.default_rng([n, 0])
        lines.append(row("labels", n, [several(rng, n) for _ in range(options.label_draws)]))
        say(f"labels, {n} rows")
        for tails in (False, True):
            title = "numbers, long tails" if tails else "numbers"
            draws = [numbers(rng, n, tails) for _ in range(options.draws)]
            lines.append(row(title, n, draws))
    tell(
        "Several labels and numbers: what jessl classify announces, and what comes true",
        ["jessl", "numpy", "scikit-learn"],
        [
            f"{options.label_draws} draws of several labels, {options.draws} of numbers.",
            "",
            "| kind | labelled rows | announced | true | inside | width | in its 90 % interval |",
            "|---|---:|---:|---:|---|---:|---:|",
            *lines,
        ],
        options.out,
    )


if __name__ == "__main__":
    main()
