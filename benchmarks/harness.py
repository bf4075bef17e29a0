"""What the speed benchmarks share: pinning, clocks, interleaved rounds, tables and records."""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# thread pools of libraries that would otherwise take all cores beside the threads measured
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None


class Missing(Exception):
    """A contestant is not installed or lacks its input; the message says what."""


@dataclass
class Contestant:
    """One way to do the work.

    Attributes:
        name: of the row.
        start: called once with the number of threads; gives the function that does the work for
            n images and returns how many it did. Raises Missing or ImportError.
        note: what is not as in the common recipe.
        forks: whether it starts worker processes; they are started before anybody's threads.
    """

    name: str
    start: Callable[[int], Callable[[int], int]]
    note: str = ""
    forks: bool = False


@dataclass
class Row:
    """What was measured of one contestant.

    Attributes:
        rounds: (images, wall seconds, CPU seconds of all its processes) of each round.
        first_seconds: wall time of the warm-up, with construction and compilation.
    """

    rounds: list[tuple[int, float, float]] = field(default_factory=list)
    first_seconds: float = 0.0
    note: str = ""

    @property
    def rates(self) -> list[float]:
        """Images a second of each round."""
        return [images / wall for images, wall, _ in self.rounds]

    @property
    def cpu_rates(self) -> list[float]:
        """Images a CPU second of each round."""
        return [images / cpu for images, _, cpu in self.rounds if cpu > 0]


def pin(threads: int) -> None:
    """Keep this process and its children on the first `threads` allowed cores, where that works."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < threads:
            raise SystemExit(f"--threads {threads}: this process may use {len(cores)} cores")
        os.sched_setaffinity(0, set(cores[:threads]))
    for name in _ONE_THREAD:
        os.environ[name] = "1"


def cpu_seconds() -> float:
    """CPU time of this process and its children, finished and running."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    tick = os.sysconf("SC_CLK_TCK")
    for pid in children():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def children() -> list[str]:
    """Process ids of the children of this process that still run."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
        return [pid for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def measure(
    contestants: Sequence[Contestant],
    *,
    threads: int,
    rounds: int,
    seconds: float,
    unit: int,
) -> tuple[dict[str, Row], dict[str, str]]:
    """Interleaved rounds of all contestants in this process.

    Args:
        contestants: who takes part; those that fork are started first.
        threads: handed to each.
        rounds: measured rounds, after one warm-up each.
        seconds: at least so long lasts a round.
        unit: images come in multiples of this, so that each round has the same images.

    Returns:
        Rows by name, and by name why a contestant was left out.
    """
    rows: dict[str, Row] = {}
    missing: dict[str, str] = {}
    work: dict[str, Callable[[int], int]] = {}
    images: dict[str, int] = {}
    for one in sorted(contestants, key=lambda c: not c.forks):
        since = time.perf_counter()
        try:
            run = one.start(threads)
            run(unit)
        except (ImportError, Missing) as error:
            missing[one.name] = " ".join(str(error).split()) or type(error).__name__
            say(f"{threads} threads: {one.name}: left out: {missing[one.name]}")
            continue
        except Exception as error:  # a rival's failure must not end the measurement of the others
            missing[one.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            say(f"{threads} threads: {one.name}: failed: {missing[one.name]}")
            continue
        rows[one.name] = Row(first_seconds=time.perf_counter() - since, note=one.note)
        since = time.perf_counter()
        done = run(unit)
        rate = done / (time.perf_counter() - since)
        images[one.name] = unit * max(1, -(-int(rate * seconds) // unit))
        work[one.name] = run
        if images[one.name] > unit:
            run(images[one.name])
        say(
            f"{threads} threads: {one.name}: warm after {rows[one.name].first_seconds:.1f} s, "
            f"about {rate:.0f} images/s"
        )
    names = [one.name for one in contestants if one.name in work]
    draw = random.Random(0)
    for k in range(rounds):
        # another order each round, so that nobody always follows the same neighbour
        for name in draw.sample(names, len(names)):
            wait_for_quiet()
            wall, cpu = time.perf_counter(), cpu_seconds()
            done = work[name](images[name])
            row = (done, time.perf_counter() - wall, cpu_seconds() - cpu)
            rows[name].rounds.append(row)
        say(f"{threads} threads: round {k + 1} of {rounds}")
    return {name: rows[name] for name in names}, missing


def wait_for_quiet(most_seconds: float = 3.0) -> None:
    """Wait until what this process and its children left running has ended."""
    until = time.perf_counter() + most_seconds
    while time.perf_counter() < until:
        before = cpu_seconds()
        time.sleep(0.05)
        if cpu_seconds() - before < 0.005:
            return
    say("a contestant goes on working after its round; the next one suffers")


def in_child(script: str, arguments: Sequence[str], threads: int, into: Path) -> dict[str, Any]:
    """Run `script` in a fresh process for one number of threads; what it wrote as JSON."""
    into.parent.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        script,
        *arguments,
        "--child",
        str(threads),
        "--child-out",
        str(into),
    ]
    code = subprocess.run(command).returncode
    if code:
        raise SystemExit(f"the process with {threads} threads ended with code {code}")
    return json.loads(into.read_text())


def as_json(rows: dict[str, Row], missing: dict[str, str]) -> dict[str, Any]:
    """What a child hands to its parent."""
    return {
        "rows": {
            name: {"rounds": r.rounds, "first_seconds": r.first_seconds, "note": r.note}
            for name, r in rows.items()
        },
        "missing": missing,
    }


def from_json(found: dict[str, Any]) -> tuple[dict[str, Row], dict[str, str]]:
    """The rows and missing contestants of `as_json`."""
    rows = {
        name: Row([tuple(r) for r in row["rounds"]], row["first_seconds"], row["note"])
        for name, row in found["rows"].items()
    }
    return rows, found["missing"]


def rate_table(found: dict[int, dict[str, Row]], *, base: str | None) -> list[str]:
    """A Markdown table of contestants against numbers of threads.

    Args:
        found: rows by number of threads and name.
        base: the row that ratios are taken to, at each number of threads.
    """
    counts = sorted(found)
    head, rule = ["contestant"], ["---"]
    for n in counts:
        head += [f"images/s, {n} thread{'s' * (n > 1)} (range)", "a CPU second", "ratio"]
        rule += ["---:"] * 3
    if len(counts) > 1:
        head.append(f"{counts[0]} -> {counts[-1]}")
        rule.append("---:")
    head.append("first pass, s")
    rule.append("---:")
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(rule) + "|"]
    names = list(dict.fromkeys(name for n in counts for name in found[n]))
    for name in names:
        cells = [name]
        for n in counts:
            row = found[n].get(name)
            if row is None:
                cells += ["-"] * 3
                continue
            middle = statistics.median(row.rates)
            base_row = found[n].get(base) if base else None
            ratio = f"{middle / statistics.median(base_row.rates):.2f}x" if base_row else "-"
            cpu = statistics.median(row.cpu_rates) if row.cpu_rates else None
            cells += [
                f"{_short(middle)} ({_short(min(row.rates))}-{_short(max(row.rates))})",
                "-" if cpu is None else _short(cpu),
                ratio,
            ]
        ends = [found[n].get(name) for n in (counts[0], counts[-1])]
        if len(counts) > 1:
            both = all(ends)
            scaling = [statistics.median(row.rates) for row in ends if row]
            cells.append(f"{scaling[1] / scaling[0]:.2f}x" if both else "-")
        some = next(row for row in ends if row)
        cells.append(f"{some.first_seconds:.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def paired(found: dict[int, dict[str, Row]], ours: str, theirs: str) -> list[str]:
    """A Markdown line on the ratio of two rows, round by round; none where one is missing."""
    parts = []
    for n, rows in sorted(found.items()):
        if ours in rows and theirs in rows:
            both = zip(rows[ours].rates, rows[theirs].rates, strict=True)
            ratios = [a / b for a, b in both]
            middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
            parts.append(f"{middle:.2f}x ({low:.2f}-{high:.2f}) with {n} thread{'s' * (n > 1)}")
    return [f"- {ours}, to {theirs}, in the same round: {', '.join(parts)}"] if parts else []


def _short(rate: float) -> str:
    return f"{rate:.1f}" if rate < 100 else f"{rate:,.0f}"


def notes_of(found: dict[int, dict[str, Row]], missing: dict[str, str]) -> list[str]:
    """Markdown lines: the contestants' notes, and who was left out and why."""
    notes = {name: row.note for rows in found.values() for name, row in rows.items() if row.note}
    lines = [f"- {name}: {note}" for name, note in notes.items()]
    return lines + [f"- left out: {name}: {why}" for name, why in missing.items()]


def hardware() -> str:
    """CPU model, the cores that this process may use, and how busy the machine was."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        named = next((line for line in lines if line.startswith("model name")), "")
        model = named.partition(":")[2].strip() or model
    except OSError:
        pass
    load = "" if _LOAD is None else f", load average {_LOAD:.1f} before it began"
    return f"{model}, {cores} cores, {platform.system()} {platform.machine()}{load}"


def installed(names: Sequence[str]) -> str:
    """Versions of Python and of those packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def command_line() -> str:
    """The command as typed, paths shortened to their last part; where numbers go is left out."""
    words = [word if word.startswith("-") else Path(word).name or word for word in sys.argv[1:]]
    for option in ("--json", "--work"):
        if option in words:
            del words[words.index(option) : words.index(option) + 2]
    script, here = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parent
    inside = script.relative_to(here) if script.is_relative_to(here) else Path(script.name)
    return shlex.join(["python", f"benchmarks/{inside.as_posix()}", *words])


def tell(title: str, packages: Sequence[str], body: Sequence[str], out: str | None) -> None:
    """Print a result, and write it as a record where `out` names a file."""
    versions = installed(packages)
    print(f"{title}\n\n{hardware()}\n{versions}\n")
    print("\n".join(body))
    if out:
        write_record(out, title, versions, body)


def write_record(path: str | Path, title: str, versions: str, body: Sequence[str]) -> None:
    """A dated record: hardware, versions, command, then the body."""
    from jessl.core.processor import instruction_sets  # other processes here have no jessl

    lines = [
        f"# {title}",
        "",
        f"- date: {datetime.date.today().isoformat()}",
        f"- hardware: {hardware()}",
        f"- instruction sets: {instruction_sets()}",
        f"- versions: {versions}",
        f"- commit: {_commit()}",
        f"- command: `{command_line()}`",
        "",
        *body,
        "",
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines), encoding="utf-8")


def _commit() -> str:
    here = Path(__file__).parent
    said = []
    for question in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "../src"]):
        try:
            done = subprocess.run(["git", *question], cwd=here, capture_output=True, text=True)
        except OSError:
            return "unknown"
        if done.returncode:
            return "unknown"
        said.append(done.stdout.strip())
    return said[0] + (" with changes that are not committed" if said[1] else "")


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
