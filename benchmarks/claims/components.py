"""Claims on the components of the error of encoders trained here, from what a trial kept of them.

    python benchmarks/claims/components.py own-largest-part --work WORK

WORK/trial is the folder of benchmarks/selection/train.py: features of 2,000 training images of
every encoder, and three accuracies on test images. The encoders have seen all of these images,
without labels, so the encoder generalization of unseen images is missing; here it is that of a
random division into 1,500 and 500, which an encoder without labels does not know, and its
expectation is zero. Approximation is within usability. Seed 0 of every setting, the backbone,
logistic probe. With --quick the 14 development sweeps alone. Results are kept in
WORK/components.jsonl; a second call goes on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "selection"))

import numpy as np
import pandas as pd
from script import Options, Outcome, main
from sweeps import SWEEPS, unit
from zoo import compare_predictors

import jessl
from jessl.claims.decision import MORE, ClaimPart
from jessl.claims.intervals import over_groups

DATA = ("cifar10", "fashion")
TRAIN_ROWS = 1_500


def components(options: Options) -> pd.DataFrame:
    """usability, probe_gen, enc_gen, full, 5shot (percent) of every encoder, and its sweep."""
    kept = options.work / "components.jsonl"
    lines = kept.read_text().splitlines() if kept.is_file() else []
    rows = {row["key"]: row for row in map(json.loads, lines)}
    trial = options.work / "trial"
    if not (trial / "units").is_dir():
        raise ValueError(f"--work: expected {trial}, of benchmarks/selection/train.py")
    wanted = []
    for sweep in [s for s in SWEEPS if s.split == "development" or not options.quick]:
        for value in sweep.values:
            one = unit(sweep, value, 0)
            folder = trial / "units" / one.key
            if one.data in DATA and (folder / "accuracy.json").is_file():
                wanted.append((sweep.name, one, folder))
    with kept.open("a") as file:
        for count, (name, one, folder) in enumerate(wanted, 1):
            if one.key not in rows:
                rows[one.key] = {"key": one.key, "sweep": name} | _measure(one.data, folder, trial)
                file.write(json.dumps(rows[one.key]) + "\n")
                file.flush()
                if count % 10 == 0:
                    print(f"{count} of {len(wanted)} encoders", file=sys.stderr, flush=True)
    # an encoder that several sweeps share counts once, in the first
    return pd.DataFrame([rows[key] for key in dict.fromkeys(o.key for _, o, _ in wanted)])


def _measure(data: str, folder: Path, trial: Path) -> dict[str, object]:
    z = np.load(folder / "backbone-plain.npy").astype(np.float32)
    if not np.isfinite(z).all():
        raise ValueError(f"{folder}: features that are not finite")
    with np.load(trial / "data" / f"{data}-train.npz") as held:
        y = held["y"][: len(z)]
    order = np.random.default_rng(0).permutation(len(z))
    parts = [
        jessl.Embeddings(z[some], labels=y[some], ids=some)
        for some in (order[:TRAIN_ROWS], order[TRAIN_ROWS:])
    ]
    result = jessl.decompose(*parts, duplicates=False).as_json()
    accuracy = json.loads((folder / "accuracy.json").read_text())
    values = {name: 100 * result[name]["value"] for name in _NAMES}
    full, few = (100 * (1 - accuracy[name]) for name in ("logistic", "5-shot"))
    return {"data": data, **{_NAMES[k]: v for k, v in values.items()}, "full": full, "5shot": few}


# of a decomposition -> of the published table
_NAMES = {
    "usability": "usability",
    "probe_generalization": "probe_gen",
    "encoder_generalization": "enc_gen",
}


def largest_part(options: Options) -> Outcome:
    """Probe generalization minus usability, the mean over encoders."""
    frame = components(options)
    parts, notes = [], []
    for data in DATA:
        some = frame[frame["data"] == data]
        gap = (some["probe_gen"] - some["usability"]).to_numpy()
        estimate = over_groups(lambda r, gap=gap: float(gap[r].mean()), some["sweep"].tolist())
        n = f"{len(some)} encoders of {some['sweep'].nunique()} sweeps"
        parts.append(
            ClaimPart(
                f"probe generalization minus usability, {data}", *estimate, 2.0, MORE, "points", n
            )
        )
        means = ", ".join(f"{c} {some[c].mean():.1f}" for c in _NAMES.values())
        share = 100 * float((gap > 0).mean())
        notes.append(
            f"{data}: means {means}; probe generalization above usability in "
            f"{share:.0f} % of the encoders"
        )
    return Outcome(parts, notes, missing=[_MISSING], quick=options.quick)


def few_shot(options: Options) -> Outcome:
    """Regressions of the 5-shot error on the components and on the full error, sweeps left out."""
    frame = components(options)
    parts, notes = [], []
    for data in DATA:
        some = frame[frame["data"] == data]
        outcome = compare_predictors(
            some, ["usability", "probe_gen"], ["full"], "sweep", ["5shot"], primary="5shot"
        )
        parts += [
            ClaimPart(f"{p.name}, {data}", p.effect, p.low, p.high, p.smallest, p.rule, p.unit, p.n)
            for p in outcome.parts
        ]
        notes += [f"{data}, {note}" for note in outcome.notes]
    notes.append(
        "the full error is measured on 5,000 test images, the components on 2,000 training "
        "images: the comparison favours the full error"
    )
    return Outcome(parts, notes, missing=[_MISSING], quick=options.quick)


_MISSING = (
    "approximation by itself (no supervised twin), and encoder generalization to images that the "
    "encoder did not see: the trial kept features of training images only"
)

TESTS = {"own-largest-part": largest_part, "own-components-few-shot": few_shot}

if __name__ == "__main__":
    main(TESTS, __doc__)
