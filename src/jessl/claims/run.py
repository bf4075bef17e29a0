"""Measure a claim, and write its row and record."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

from jessl.claims.claim import NONE, RECORD, SCRIPT, Claim
from jessl.claims.contrasts import contrast_parts, seconds_of, wanted_arms
from jessl.claims.decision import ClaimPart
from jessl.claims.experiments import ArmUnit, Experiment, load_experiment
from jessl.claims.extraction import extract_parts
from jessl.claims.rows import FULL, QUICK, Row, new_row, read_rows, write_row
from jessl.claims.units import chosen_setting, open_images, run_units
from jessl.core.interruption import Stopped
from jessl.core.log import Log, log
from jessl.core.processes import check_main_guard

_LOOK_SECONDS = 0.2
# below the folder of trainings: rows of the small size where the records have the full one
SMALL_ROWS = "rows"


def run_claim(
    claim: Claim,
    *,
    records: Path,
    work: Path,
    data: Path | None = None,
    quick: bool = False,
    jobs: int = 1,
    log: Log = log,
    stop: Callable[[], bool] = lambda: False,
) -> Row:
    """Measure a claim; what an earlier call measured is not repeated.

    Args:
        records: folder of the rows; its parent has the records of benchmarks/.
        work: folder of trainings, which several claims share.
        data: folder with NAME-train.npz and NAME-test.npz.
        quick: the small size: one data set and fewer seeds. Where `records` has the full size,
            its row stays, and the small one is written to `work`/rows.
        jobs: processes that train.
        log: lines on the progress.
        stop: True saves the training at work and raises Stopped.

    Raises:
        ValueError: for a claim that is not measured, and for images or records that are missing.
        Stopped: when `stop` returned True; the same call continues.

    Example:
        run_claim(load_claim("simclr-patch"), records=Path("rows"), work=Path("claims-work"))
    """
    if claim.source == NONE:
        raise ValueError(
            f"{claim.id}: expected a claim that can be run, got one that is not "
            f"measured: {claim.reason}"
        )
    if claim.source == SCRIPT:
        return _run_script(claim, records, work, data, quick, stop)
    if claim.source == RECORD:
        row = new_row(claim, extract_parts(claim, records.parent))
        write_row(claim, row, records)
        return row
    experiment = load_experiment(_experiment(claim), quick=quick)
    pairs = wanted_arms(claim, experiment, quick)
    _train(experiment, pairs, data, work, jobs, log, stop)
    row = experiment_row(claim, work, quick=quick)
    held = read_rows(records).get(claim.id)
    if row.scale == QUICK and held is not None and held.scale == FULL:
        # a small size does not replace a larger one
        small = work / SMALL_ROWS
        write_row(claim, row, small)
        log.note(f"{claim.id}: {records} keeps the full size; the small size is in {small}")
    else:
        write_row(claim, row, records)
    return row


def experiment_row(claim: Claim, work: Path, *, quick: bool = False) -> Row:
    """The row of an experiment from the units that are finished, without training any."""
    experiment = load_experiment(_experiment(claim), quick=quick)
    parts, notes, missing = contrast_parts(claim, experiment, work, quick)
    seconds = seconds_of(experiment, wanted_arms(claim, experiment, quick), work)
    scale = QUICK if quick else FULL
    command = f"jessl claims run {claim.id}{' --quick' if quick else ''}"
    return new_row(
        claim, parts, notes=notes, scale=scale, seconds=seconds, missing=missing, command=command
    )


def _experiment(claim: Claim) -> str:
    if claim.experiment is None:
        raise ValueError(
            f"{claim.id}: expected a claim of an experiment, got one of {claim.source}"
        )
    return claim.experiment


def write_script_row(
    claim: Claim,
    parts: list[ClaimPart],
    records: Path,
    *,
    notes: list[str],
    body: list[str],
    missing: list[str] | None = None,
    quick: bool = False,
) -> Row:
    """What a script of benchmarks/claims calls at its end."""
    row = new_row(
        claim,
        parts,
        notes=notes,
        missing=missing or [],
        scale=QUICK if quick else FULL,
        command=f"{claim.command} --quick" if quick else claim.command,
    )
    write_row(claim, row, records, body)
    return row


def _run_script(
    claim: Claim,
    records: Path,
    work: Path,
    data: Path | None,
    quick: bool,
    stop: Callable[[], bool],
) -> Row:
    """The row of a claim that a script of the checkout measures."""
    words = shlex.split(claim.script or "")
    if not Path(words[0]).is_file():
        raise ValueError(
            f"{claim.id}: expected a checkout of the repository as the working directory, which "
            f"has {words[0]}; got {Path.cwd()}"
        )
    options = ["--records", str(records), "--work", str(work)]
    options += [] if data is None else ["--data", str(data)]
    options += ["--quick"] if quick else []
    process = subprocess.Popen([sys.executable, *words, *options])
    while process.poll() is None:
        if stop():
            process.terminate()
            process.wait()
            raise Stopped(f"{claim.id}: stopped")
        time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise ValueError(f"{claim.id}: {words[0]} ended with code {process.returncode}")
    return read_rows(records)[claim.id]


def _train(
    experiment: Experiment,
    pairs: list[tuple[str, str]],
    data: Path | None,
    work: Path,
    jobs: int,
    log: Log,
    stop: Callable[[], bool],
) -> None:
    """First the trainings that are compared, then those with the chosen settings."""
    tuning = [unit for pair in pairs for unit in experiment.tuning_units(*pair)]
    _together(tuning, experiment, data, work, jobs, log, stop)
    final = [
        unit
        for pair in pairs
        for unit in experiment.final_units(*pair, chosen_setting(experiment, *pair, work))
    ]
    _together(final, experiment, data, work, jobs, log, stop)


def _together(
    units: list[ArmUnit],
    experiment: Experiment,
    data: Path | None,
    work: Path,
    jobs: int,
    log: Log,
    stop: Callable[[], bool],
) -> None:
    """Units in several processes; this one works too, so that its signals are heard."""
    context = get_context("spawn")
    helpers = []
    if jobs > 1 and units:
        check_main_guard(f"run_claim with jobs={jobs}")
        helpers = [
            context.Process(target=_work, args=(units, experiment, data, work), daemon=True)
            for _ in range(jobs - 1)
        ]
    for process in helpers:
        process.start()
    try:
        _work(units, experiment, data, work, stop, log)
    except Stopped:
        for process in helpers:
            process.terminate()
        raise
    finally:
        for process in helpers:
            process.join()


def _work(
    units: list[ArmUnit],
    experiment: Experiment,
    data: Path | None,
    work: Path,
    stop: Callable[[], bool] | None = None,
    log: Log | None = None,
) -> None:
    import torch

    if stop is None:  # a helper
        torch.set_num_threads(1)
    names = dict.fromkeys(unit.data for unit in units)
    images = {
        name: open_images(experiment.data[name], data, experiment.validation_share)
        for name in names
    }
    more = {} if stop is None else {"stop": stop}
    run_units(units, experiment, images, work, log=log or Log(), **more)
