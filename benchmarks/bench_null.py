"""Encoder generalization where the truth is 0: random features of the digits, split at random.

    OMP_NUM_THREADS=1 python benchmarks/bench_null.py --probe logistic --splits 30

Prints the mean over the splits, with its standard error, for several numbers of folds, and the
optimism that the estimator adds to the held-out error.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_digits

import jessl
from harness import tell

FOLDS = (5, 10, 40)


def features() -> tuple[np.ndarray, np.ndarray]:
    """128 random Fourier features of the digits, which no image has influenced."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    weights, phases = rng.standard_normal((64, 128)), rng.uniform(0, 6, 128)
    return np.cos(x / 16 @ weights * 0.5 + phases), y


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--probe", default="logistic")
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--out", help="file of the record")
    options = parser.parse_args()
    z, y = features()
    rows = ["| folds | encoder generalization, points | optimism, points |", "|---:|---|---:|"]
    for folds in FOLDS:
        value, added = [], []
        for split in range(options.splits):
            order = np.random.default_rng(split).permutation(len(y))
            train, test = (
                jessl.Embeddings(z[part], y[part]) for part in (order[:1438], order[1438:])
            )
            risks = jessl.decompose(train, test, probe=options.probe, folds=folds, duplicates=False)
            value.append(100 * risks.encoder_generalization.value)
            added.append(100 * float(str(risks.params["optimism"])))
        error = np.std(value, ddof=1) / np.sqrt(options.splits)
        rows.append(f"| {folds} | {np.mean(value):+.2f} ± {error:.2f} | {np.mean(added):.2f} |")
    title = f"A null world: {options.probe} probe, {options.splits} random splits"
    tell(title, ["jessl", "numpy", "scikit-learn"], rows, options.out)


if __name__ == "__main__":
    main()
