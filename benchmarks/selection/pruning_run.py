"""Sweeps of the trial run again with `--prune`, by view retrieval: epochs saved and points lost.

    OMP_NUM_THREADS=1 python benchmarks/selection/pruning_run.py --work trial \\
        --record benchmarks/records/DATE-pruning.md

The accuracies of the settings are those that train.py has kept of the same trainings (seed 0), so
that only the choice differs. A second call goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from sweeps import SWEEPS, Sweep, unit
from train import configuration

import jessl
from harness import say, tell
from jessl.sweeps.coordination import FINISHED, PRUNED

NAMES = ("cifar10/vicreg/inv", "cifar10/simclr/lr", "fashion/vicreg/lr", "cifar10/byol/lr")
CRITERION = "view_retrieval/backbone"


def main(argv: list[str] | None = None) -> None:
    """Run the sweeps, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--record", help="a .md file to write")
    options = parser.parse_args(argv)
    work = options.work.resolve()
    lines = [
        "| sweep | runs stopped | epochs saved | chosen | regret | regret of the default |",
        "|---|---:|---:|---|---:|---:|",
    ]
    for sweep in SWEEPS:
        if sweep.name in NAMES:
            lines.append(_row(sweep, work))
            say(lines[-1])
    about = f"Successive halving by {CRITERION}, seed 0, one run at a time."
    tell("Pruning by view retrieval, run", ("jessl", "torch"), [about, "", *lines], options.record)


def _row(sweep: Sweep, work: Path) -> str:
    one = unit(sweep, sweep.default, 0)
    base = configuration(one, work, work)
    base = jessl.Pretrain(**{**base.as_json(), "out": None})
    study = jessl.Sweep(
        base=base, space={sweep.field: list(sweep.values)}, seeds=(0,), by=CRITERION, prune=True
    )
    out = work / "pruned" / sweep.name.replace("/", "-")
    result = jessl.sweep(study, out)
    accuracy = {
        value: _accuracy(work / "units" / unit(sweep, value, 0).key) for value in sweep.values
    }
    trained = stopped = 0
    for run in result.runs.values():
        stopped += run["outcome"] == PRUNED
        trained += run["epochs"] if run["outcome"] == PRUNED else base.epochs or 0
    finished = sum(run["outcome"] == FINISHED for run in result.runs.values())
    assert finished + stopped == len(sweep.values), result.outcomes
    chosen = result.groups[0].chosen
    best = max(accuracy.values())
    saved = 1 - trained / (len(sweep.values) * (base.epochs or 1))
    return (
        f"| {sweep.name} | {stopped} of {len(sweep.values)} | {saved:.0%} | {chosen} | "
        f"{best - accuracy[chosen]:.1f} | {best - accuracy[sweep.default]:.1f} |"
    )


def _accuracy(folder: Path) -> float:
    """Points by the logistic probe; 0 for a training that diverged."""
    path = folder / "accuracy.json"
    return 100 * json.loads(path.read_text())["logistic"] if path.is_file() else 0.0


if __name__ == "__main__":
    main()
