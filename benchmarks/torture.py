"""The long torture: 200 kills, 20,000 damaged images, 20,000 damaged files; about an hour.

    python benchmarks/torture.py --work torture --record benchmarks/records/DATE-torture.md
    python benchmarks/torture.py --only "jpg:17" --seed 0        # one case again; its file is kept

The harness is that of tests/faults (tests/helpers/torture). What is done is a line of
WORK/cases.jsonl and WORK/trials.jsonl, and a second call goes on. The record holds what was tried
so far, complete or not. Exit code 1 where a fault was found.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import installed, say, write_record
from helpers.torture import fuzz, kills
from helpers.torture.targets import IMAGES, TARGETS

PACKAGES = ("jessl", "torch", "numpy", "pillow", "simplejpeg", "safetensors", "optuna")
# cases that one child takes before its results are final
_CHUNK = 200
_EXAMPLES = 40


class Book:
    """Results as lines of a file, which a second call goes on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.entries: list[dict[str, object]] = []
        if path.exists():
            whole = path.read_text().rpartition("\n")[0]
            self.entries = [json.loads(line) for line in whole.splitlines()]
            path.write_text("".join(json.dumps(entry) + "\n" for entry in self.entries))

    def add(self, entry: dict[str, object]) -> None:
        """Append one result."""
        with self.lock:
            self.entries.append(entry)
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")


def fuzz_all(options: argparse.Namespace, work: Path, book: Book, until: float) -> None:
    """Cases that are not done yet, in chunks, as many at a time as there are jobs."""
    done = {(entry["target"], entry["number"]) for entry in book.entries}
    names = list(TARGETS)
    fuzz.build(work, names)
    cases = [c for c in fuzz.plan(options.images, options.files) if c not in done]
    # a shuffled order would spread kinds evenly over an interrupted run: take them in strides
    chunks = [cases[i :: -(-len(cases) // _CHUNK)] for i in range(-(-len(cases) // _CHUNK))]

    def one(chunk: Sequence[tuple[str, int]]) -> None:
        if time.monotonic() > until:
            return
        for case in fuzz.run(work, chunk, options.seed):
            book.add(asdict(case))
        say(f"{len(book.entries)} files tried")

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, chunks))


def kill_all(options: argparse.Namespace, work: Path, book: Book, until: float) -> None:
    """Trials that are not done yet."""
    done = {(entry["job"], entry["number"]) for entry in book.entries}
    trials = [t for t in kills.plan(options.kills) if t not in done]
    if not trials:
        return
    folder = work / "kills"
    shutil.rmtree(folder, ignore_errors=True)
    inputs = folder / "inputs"
    kills.prepare(inputs)
    kills.with_run(inputs)
    undisturbed = {
        job: kills.reference(job, inputs, folder) for job in dict.fromkeys(j for j, _ in trials)
    }

    def one(trial: tuple[str, int]) -> None:
        if time.monotonic() > until:
            return
        job, number = trial
        book.add(asdict(kills.trial(job, number, inputs, folder, undisturbed[job], options.seed)))
        say(f"{len(book.entries)} kills tried")

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, trials))


def cases_table(cases: Sequence[fuzz.Case]) -> list[str]:
    """Outcomes by kind of file, then the kinds of faults with an example each."""
    lines = [
        "| damaged | tried | read | refused in one line | faults |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, counts in sorted(fuzz.counted(cases).items()):
        tried = sum(counts.values())
        rest = " | ".join(f"{counts[k]:,}" for k in (fuzz.READ, fuzz.REFUSED, fuzz.FAULT))
        lines.append(f"| {name} | {tried:,} | {rest} |")
    faults = defaultdict(list)
    for case in cases:
        if case.outcome == fuzz.FAULT:
            faults[fuzz.kind_of(case)].append(case)
    for found in sorted(faults.values(), key=len, reverse=True)[:_EXAMPLES]:
        first = found[0]
        lines.append(
            f"\n- {len(found)} times, first {first.target}:{first.number}: `{first.detail}`"
        )
    return lines


def trials_table(trials: Sequence[kills.Trial]) -> list[str]:
    """Trials by command and by what happened to it, then the faults."""
    lines = ["| command | what happened | tried | lost or wrong |", "|---|---|---:|---:|"]
    tried = Counter((t.job, t.way) for t in trials)
    wrong = Counter((t.job, t.way) for t in trials if t.fault)
    lines += [
        f"| {job} | {way} | {n} | {wrong[job, way]} |" for (job, way), n in sorted(tried.items())
    ]
    for trial in [t for t in trials if t.fault][:_EXAMPLES]:
        lines.append(
            f"\n- {trial.job} {trial.number}, {trial.way} at {trial.moment}: {trial.fault}"
        )
    return lines


def record(options: argparse.Namespace, cases: Book, trials: Book, seconds: float) -> int:
    """Write the record of everything tried so far; the number of faults."""
    done_cases = [fuzz.Case(**e) for e in cases.entries]  # type: ignore[arg-type]
    done_trials = [kills.Trial(**e) for e in trials.entries]  # type: ignore[arg-type]
    images = sum(c.target in IMAGES for c in done_cases)
    faults = sum(c.outcome == fuzz.FAULT for c in done_cases)
    lost = sum(bool(t.fault) for t in done_trials)
    body = [
        f"Seed {options.seed}. Tried: {len(done_trials)} of {options.kills} kills, {images:,} of "
        f"{options.images:,} damaged images, {len(done_cases) - images:,} of {options.files:,} "
        f"damaged files; {seconds / 60:.0f} minutes in the last call.",
        f"A damaged file has {fuzz.MEMORY_BYTES >> 30} GiB and {fuzz.CPU_SECONDS:.0f} s of CPU.",
        f"Faults: {faults} of damaged files, {lost} of kills.",
        "",
        "## Damaged files",
        "",
        *cases_table(done_cases),
        "",
        "## Kills",
        "",
        *trials_table(done_trials),
    ]
    print("\n".join(body))
    if options.record:
        write_record(options.record, "Torture: damaged files and kills", installed(PACKAGES), body)
    return faults + lost


def again(options: argparse.Namespace, work: Path) -> int:
    """One case or trial again, with its file or folder kept in the work folder."""
    name, _, number = options.only.rpartition(":")
    if name in kills.JOBS:
        folder = work / "again"
        shutil.rmtree(folder, ignore_errors=True)
        kills.prepare(folder / "inputs")
        kills.with_run(folder / "inputs")
        undisturbed = kills.reference(name, folder / "inputs", folder)
        trial = kills.trial(name, int(number), folder / "inputs", folder, undisturbed, options.seed)
        print(trial)
        return int(bool(trial.fault))
    fuzz.build(work, [name])
    kept = work / f"{number}-{Path(TARGETS[name].file).name}"
    kept.write_bytes(fuzz.damaged(work, name, int(number), options.seed))
    (case,) = fuzz.run(work, [(name, int(number))], options.seed)
    print(f"{kept}\n{case}")
    return int(case.outcome == fuzz.FAULT)


def main() -> None:
    """Run, or go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("torture"))
    parser.add_argument("--record", help="Markdown file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing later")
    parser.add_argument("--only", help="one case again: TARGET:NUMBER or COMMAND:NUMBER")
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if options.only:
        sys.exit(again(options, work))
    settings = {"seed": options.seed}
    stored = work / "settings.json"
    if stored.exists() and json.loads(stored.read_text()) != settings:
        raise SystemExit(f"{work} holds another seed: {stored.read_text()}")
    stored.write_text(json.dumps(settings))
    began = time.monotonic()
    cases, trials = Book(work / "cases.jsonl"), Book(work / "trials.jsonl")
    # a third of the time is for the kills, which come first
    kill_all(options, work, trials, began + 60 * options.minutes / 3)
    fuzz_all(options, work, cases, began + 60 * options.minutes)
    sys.exit(min(1, record(options, cases, trials, time.monotonic() - began)))


if __name__ == "__main__":
    main()
