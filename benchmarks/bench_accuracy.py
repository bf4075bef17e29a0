"""The error of RankMe against a float64 SVD of the same features, over spectra of all shapes.

    python benchmarks/bench_accuracy.py --out records/DATE-accuracy.md

Compared are jessl's two ways (all rows at once, and a Spectrum that is handed chunks by two
halves which are merged) with a float32 Gram matrix, and with features that were stored as
bfloat16, which no algorithm repairs. A second table streams many rows: there the reference is the
float64 SVD of the R factor of a QR decomposition by chunks.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness import say, tell
from spectra import chunks_of, deficient, features, power_law, rankme_of_singular

if TYPE_CHECKING:
    import jessl

GOAL = 1e-5
FLOORS = (1e-2, 1e-3, 1e-4, 1e-5, 0.0)


@dataclass(frozen=True)
class Case:
    """Features of one spectrum.

    Attributes:
        name: of the row.
        eigenvalues: of the covariance, [d].
        mean: of every feature, in standard deviations.
        center: whether RankMe of the centred rows is asked for.
    """

    name: str
    eigenvalues: NDArray[np.float64]
    mean: float = 0.0
    center: bool = False


def cases(d: int) -> list[Case]:
    """The spectra of the first table."""
    found = [Case(f"eigenvalues k^-{a}", power_law(d, a)) for a in (1, 2, 4)]
    found += [Case(f"rank d/4, floor {floor:.0e}", deficient(d, floor)) for floor in FLOORS]
    for a in (1, 2):
        for center in (False, True):
            how = "centred" if center else "not centred"
            name = f"eigenvalues k^-{a}, mean of 3 sd, {how}"
            found.append(Case(name, power_law(d, a), mean=3.0, center=center))
    return found


def streamed_cases(d: int) -> list[Case]:
    """The spectra of the second table."""
    found = [Case(f"eigenvalues k^-{a}", power_law(d, a)) for a in (1, 2, 4)]
    found += [Case(f"rank d/4, floor {floor:.0e}", deficient(d, floor)) for floor in (1e-4, 0.0)]
    return [*found, Case("eigenvalues k^-1, mean of 3 sd, not centred", power_law(d, 1), mean=3.0)]


def main() -> None:
    args = _arguments()
    whole = []
    for case in cases(args.d):
        whole.append(at_once(case, args))
        say(_row(whole[-1]))
    long = []
    for case in streamed_cases(args.stream_d) if args.stream_rows else ():
        long.append(streamed(case, args))
        say(_row(long[-1]))
    body = report(whole, long, args)
    tell(
        "The error of RankMe against a float64 SVD",
        ("jessl", "torch", "numpy", "scipy"),
        body,
        args.out,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=25_600)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--chunk", type=int, default=1000, help="rows handed over at once")
    parser.add_argument("--stream-rows", type=int, default=1_000_000, help="0: no second table")
    parser.add_argument("--stream-d", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="Markdown file with date, hardware, versions and tables")
    args = parser.parse_args()
    for rows, d in ((args.n, args.d), (args.stream_rows or args.stream_d, args.stream_d)):
        if rows < d:
            raise SystemExit(f"{rows} rows of {d} features: needs at least as many rows")
    return args


@dataclass(frozen=True)
class Row:
    """One case: the reference, condition number of the features, and errors by method."""

    name: str
    condition: float
    reference: float
    errors: dict[str, float]


OURS = ("jessl.rankme", "jessl.Spectrum, chunks")
OTHERS = ("float32 Gram", "bfloat16 features")


def at_once(case: Case, args: argparse.Namespace) -> Row:
    """Features that are all at hand."""
    import torch

    import jessl

    z = features(args.n, case.eigenvalues, args.seed, mean=case.mean)
    exact = z.astype(np.float64)
    if case.center:
        exact -= exact.mean(axis=0)
    s = np.linalg.svd(exact, compute_uv=False)
    del exact
    parts = (z[i : i + args.chunk] for i in range(0, len(z), args.chunk))
    state, gram = _stream(parts, args.d)
    narrow = torch.from_numpy(z).bfloat16()
    found = (
        jessl.rankme(z, center=case.center),
        state.rankme(center=case.center),
        _of_gram(_centred(gram, z) if case.center else gram),
        jessl.rankme(narrow, center=case.center),
    )
    return _compare(case.name, s, dict(zip(OURS + OTHERS, found, strict=True)))


def streamed(case: Case, args: argparse.Namespace) -> Row:
    """Features that are never all at hand."""
    triangle = np.empty((0, args.stream_d))

    def parts() -> Iterator[NDArray[np.float32]]:
        nonlocal triangle
        rows = chunks_of(
            args.stream_rows, case.eigenvalues, args.seed, mean=case.mean, size=args.chunk
        )
        for chunk in rows:
            triangle = np.linalg.qr(np.vstack([triangle, chunk.astype(np.float64)]), mode="r")
            yield chunk

    state, gram = _stream(parts(), args.stream_d)
    s = np.linalg.svd(triangle, compute_uv=False)
    return _compare(case.name, s, {OURS[1]: state.rankme(), OTHERS[0]: _of_gram(gram)})


def _stream(
    parts: Iterator[NDArray[np.float32]], d: int
) -> tuple[jessl.Spectrum, NDArray[np.float32]]:
    """jessl's state, every other chunk seen by a second one, and a Gram matrix in float32."""
    import jessl

    halves = jessl.Spectrum(d), jessl.Spectrum(d)
    gram = np.zeros((d, d), np.float32)
    for k, chunk in enumerate(parts):
        halves[k % 2].update(chunk)
        gram += chunk.T @ chunk
    return halves[0].merge(halves[1]), gram


def _centred(gram: NDArray[np.float32], z: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = z.mean(axis=0)
    return gram - np.float32(len(z)) * np.outer(mean, mean)


def _of_gram(gram: NDArray[np.float32]) -> float:
    """From the float64 eigenvalues of a float32 Gram matrix, clamped at 0."""
    eigenvalues = np.linalg.eigvalsh(gram.astype(np.float64))
    return rankme_of_singular(np.sqrt(np.maximum(eigenvalues, 0.0)))


def _compare(name: str, s: NDArray[np.float64], found: dict[str, float]) -> Row:
    reference = rankme_of_singular(s)
    errors = {method: value / reference - 1 for method, value in found.items()}
    return Row(name, float(s[0] / s[-1]), reference, errors)


def report(whole: list[Row], long: list[Row], args: argparse.Namespace) -> list[str]:
    """Markdown: both tables and whether the goal is met."""
    lines = [
        "Relative error of RankMe (eps 1e-7) of float32 features. Eigenvalues: of the "
        "covariance, those of d/4 directions are 1/k too; floor: standard deviation of the other "
        "directions, in that of the first. Condition: largest over smallest singular value of "
        f"the features. Chunks of {args.chunk:,} rows; in jessl.Spectrum, two states that each "
        "see every other chunk are merged.",
        "",
        f"n = {args.n:,}, d = {args.d}, reference: numpy's float64 SVD of the features.",
        "",
        *_table(whole, OURS + OTHERS),
    ]
    if long:
        lines += [
            "",
            f"n = {args.stream_rows:,} streamed rows, d = {args.stream_d}, reference: float64 SVD "
            "of R from a chunked float64 QR.",
            "",
            *_table(long, (OURS[1], OTHERS[0])),
        ]
    ours = [abs(row.errors[m]) for row in whole + long for m in OURS if m in row.errors]
    verdict = "met" if max(ours) < GOAL else "missed"
    return [*lines, "", f"Largest error of jessl: {max(ours):.1e}; goal < {GOAL:.0e}: {verdict}."]


def _table(rows: list[Row], methods: tuple[str, ...]) -> list[str]:
    head = ["spectrum", "condition", "RankMe", *methods]
    rule = "|---|" + "---:|" * (len(head) - 1)
    return ["| " + " | ".join(head) + " |", rule, *[_row(row) for row in rows]]


def _row(row: Row) -> str:
    errors = [f"{error:+.1e}" for error in row.errors.values()]
    return f"| {row.name} | {row.condition:.1e} | {row.reference:.4f} | {' | '.join(errors)} |"


if __name__ == "__main__":
    main()
