"""How much does a choice by each criterion lose? From the kept features, in minutes.

    python benchmarks/selection/judge.py --work trial --csv records/DATE-criteria.csv \\
        --record records/DATE-criteria.md

The value of a sweep that a criterion takes is the best by its mean over seeds; its regret is the
best mean accuracy minus that of the value taken, in points. Sweeps whose accuracies range over less
than three seed standard deviations say nothing and are left out of the means.
"""

from __future__ import annotations

import argparse
import sys
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from criteria import values_of
from measured import PANELS, measure_all
from replay import replay
from sample_size import sample_sizes
from sweeps import SWEEPS
from tables import SHOWN, Summary, across, each_sweep, write_csv

from harness import say, tell

PAIRED = ("view_retrieval/backbone", *PANELS, "cross_view_reliability/backbone",
          "canonical_sum/backbone", "rotation/backbone")  # fmt: skip
ACROSS = tuple(n for n in SHOWN if n not in PANELS)


def main(argv: list[str] | None = None) -> None:
    """Judge what is trained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--record", help="a .md file to write")
    parser.add_argument("--csv", help="a .csv file to write, a row a training")
    parser.add_argument("--sizes", action="store_true", help="also by number of images and views")
    options = parser.parse_args(argv)
    done = [
        folder
        for folder in sorted((options.work / "units").iterdir())
        if (folder / "accuracy.json").is_file() and (folder / "unit.json").is_file()
    ]
    with Pool(options.jobs) as pool:
        for count, _ in enumerate(pool.imap_unordered(values_of, done), 1):
            if count % 20 == 0:
                say(f"{count} of {len(done)} trainings judged")
    body, everything = [], []
    for split in ("development", "confirmation"):
        wanted = [s for s in SWEEPS if s.split == split]
        measured = measure_all(wanted, options.work, options.seeds)
        everything += measured
        body += [f"## {split}: {len(measured)} of {len(wanted)} sweeps are trained", ""]
        if measured:
            table = Summary(measured)
            body += [*table.lines(), "", *table.pairs(PAIRED), "", *each_sweep(measured), ""]
            body += ["### Stopping runs early", "", *replay(measured, options.work), ""]
            if options.sizes:
                body += ["### Images and views", "", *sample_sizes(measured, options.work), ""]
    other = [s for s in SWEEPS if s.split == "across"]
    everything += measure_all(other, options.work, options.seeds)
    body += ["## Across methods and widths", "", *across(everything, ACROSS), ""]
    if options.csv:
        write_csv(everything, options.csv)
    tell(
        "Criteria without labels, tried", ("jessl", "torch", "numpy", "scipy"), body, options.record
    )


if __name__ == "__main__":
    main()
