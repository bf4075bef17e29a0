"""Train the sweeps of the trial once, and keep what any criterion needs.

    OMP_NUM_THREADS=1 python benchmarks/selection/train.py --work trial \\
        --cifar10 DIR --fashion DIR --solar WHEEL --split development --minutes 60

Resumable and for any number of processes: a training is a folder WORK/units/KEY, claimed by a lock;
what is finished has unit.json. A killed call loses the training that it was at. Confirmation sweeps
are refused until frozen.toml is committed.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

# a process a core, one thread each: set OMP_NUM_THREADS=1
from features import accuracies, keep_features
from filelock import FileLock, Timeout
from images import prepare
from sweeps import SWEEPS, Unit, units

from harness import say

FROZEN = Path(__file__).with_name("frozen.toml")


def configuration(one: Unit, work: Path, out: Path):
    """The training as `jessl.pretrain` takes it."""
    import jessl

    fields: dict[str, object] = {"view_options": {}, "objective_options": {}}
    for name, value in one.fields:
        part, _, option = name.partition(".")
        if option:
            fields[part] = {**fields[part], option: value}  # type: ignore[dict-item]
        else:
            fields[part] = value
    return jessl.Pretrain(
        data=str(work / "data" / f"{one.data}-train.npz"),
        out=str(out),
        seed=one.seed,
        tune=False,
        workers=1,
        device="cpu",
        # 12 % less CPU time for smallconv on AVX2, equal up to rounding
        channels_last=True,
        evaluate_epochs=1,
        online_probes=False,
        checkpoint_epochs=int(fields["epochs"]),  # type: ignore[call-overload]
        keep_checkpoints=1,
        **fields,
    )


def train_unit(one: Unit, work: Path) -> None:
    """Train, keep features and accuracies; `unit.json` comes last."""
    import jessl
    from jessl.data import open_source
    from jessl.extraction.open_encoder import open_encoder, open_untrained

    folder = work / "units" / one.key
    began = time.time()
    for old in ("run", "unit.json"):
        shutil.rmtree(folder / old, ignore_errors=True)
    outcome = "finished"
    run = jessl.pretrain(configuration(one, work, folder / "run"), quiet=True)
    losses = [r.value for r in run.records() if r.name == "loss"]
    train, test = (open_source(work / "data" / f"{one.data}-{s}.npz") for s in ("train", "test"))
    encoder, objective, _ = open_encoder(run)
    if not losses or not math.isfinite(losses[-1]):
        outcome = "diverged"
    else:
        keep_features(encoder, objective, train, folder)
        accuracy = accuracies(encoder, train, test)
        (folder / "accuracy.json").write_text(json.dumps(accuracy))
    keep_features(*open_untrained(run), train, folder, prefix="untrained-")
    shutil.copy(run.path / "records.jsonl", folder / "records.jsonl")
    shutil.rmtree(run.path)
    about = {
        "data": one.data,
        "fields": dict(one.fields),
        "seed": one.seed,
        "outcome": outcome,
        "seconds": round(time.time() - began, 1),
    }
    (folder / "unit.json").write_text(json.dumps(about, indent=1))


def work_through(wanted: list[Unit], work: Path, until: float) -> None:
    """Train what nobody has trained or is training, until the time is over."""
    for one in wanted:
        folder = work / "units" / one.key
        if (folder / "unit.json").exists():
            continue
        if time.time() > until:
            return
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        with lock:
            if not (folder / "unit.json").exists():
                try:
                    train_unit(one, work)
                except ValueError as error:
                    # a setting that cannot be trained is a result of the sweep
                    about = {
                        "data": one.data,
                        "fields": dict(one.fields),
                        "seed": one.seed,
                        "outcome": "refused",
                        "reason": str(error),
                    }
                    (folder / "unit.json").write_text(json.dumps(about, indent=1))
        done = sum((work / "units" / u.key / "unit.json").exists() for u in wanted)
        say(f"{done} of {len(wanted)} trainings; {one.key}")


def _refuse_before_freeze() -> None:
    """Confirmation sweeps may only be trained after the choice is in git."""
    tracked = subprocess.run(
        ["git", "log", "--oneline", "-1", "--", str(FROZEN)],
        cwd=FROZEN.parent,
        capture_output=True,
        text=True,
    )
    if not tracked.stdout.strip():
        raise SystemExit("frozen.toml is not committed: choose on the development sweeps first")


def main(argv: list[str] | None = None) -> None:
    """Train in as many processes as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--cifar10", type=Path, help="folder with cifar10-train.npz, -test.npz")
    parser.add_argument("--fashion", type=Path, help="folder with fashion-train.npz, -test.npz")
    parser.add_argument("--solar", type=Path, help="wheel of elpv-dataset")
    parser.add_argument("--split", choices=("development", "confirmation", "across"), required=True)
    parser.add_argument("--only", help="sweeps whose name contains this")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin nothing later")
    options = parser.parse_args(argv)
    if options.split != "development":
        _refuse_before_freeze()
    work = options.work.resolve()
    named = {k: getattr(options, k) for k in ("cifar10", "fashion", "solar")}
    prepare(work, {k: v for k, v in named.items() if v is not None})
    chosen = [
        s
        for s in SWEEPS
        if s.split == options.split
        and (options.only or "") in s.name
        and (work / "data" / f"{s.data}-test.npz").is_file()
    ]
    wanted = units(chosen, options.seeds)
    until = time.time() + 60 * options.minutes
    say(f"{len(chosen)} sweeps, {len(wanted)} trainings")
    context = get_context("spawn")
    crew = [
        context.Process(target=work_through, args=(wanted, work, until))
        for _ in range(options.jobs)
    ]
    for process in crew:
        process.start()
    for process in crew:
        process.join()


if __name__ == "__main__":
    main()
