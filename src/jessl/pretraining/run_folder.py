"""The run folder that a pretraining writes: who may write it, and what it may hold.

Rank zero reads and writes the folder; all ranks call the methods together and get the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from jessl import records
from jessl.config import Pretrain, ResolvedPretrain, option_name
from jessl.core import collectives, files
from jessl.core.extensions import is_outside, short_name
from jessl.core.leftovers import other_names
from jessl.core.log import SILENT, Log
from jessl.core.process_group import all_gather_object, mark_reported, on_all_ranks, rank_zero
from jessl.core.processor import instruction_sets
from jessl.data import Source
from jessl.encoders.outside import is_known_outside
from jessl.extraction.reading import TRAINED_ON, reading_of
from jessl.pretraining.build import Parts
from jessl.pretraining.teacher import is_unfinished
from jessl.records import Record
from jessl.runs import CONFIG, Run, is_run
from jessl.training import checkpoint
from jessl.training.checkpoint import Checkpoint
from jessl.training.tuning.outcome import Tuning
from jessl.views import Views
from jessl.views.presets import is_file, save

# fields that a resumed run may change: on one kind of device they do not change what is computed;
# data and labels may have moved, their checksum shows whether they are the same
_CHANGEABLE = {"resume", "out", "data", "labels", "workers", "device", "keep_checkpoints"}
_CHANGEABLE |= {"checkpoint_seconds", "tune", "log", "log_project"}


@contextmanager
def open_run_folder(
    config: Pretrain, explicit_fields: frozenset[str], log: Log
) -> Iterator[RunFolder]:
    """The folder of a new or a resumed run, locked by rank zero while the block lasts."""
    with ExitStack() as stack:
        run = Run(_lock(config, explicit_fields, stack))
        yield RunFolder(run, config, claim(run, config, log, explicit_fields))


@rank_zero
def _lock(config: Pretrain, explicit_fields: frozenset[str], stack: ExitStack) -> Path:
    path = out_folder(config)
    stack.enter_context(
        files.locked(path, check=lambda: _claim(Run(path), config, SILENT, explicit_fields))
    )
    return path


class RunFolder:
    """The folder of one pretraining.

    Attributes:
        run: the run that lies in it.
        resolved_config: of the run that is resumed; None for a new run.
        config: the same, or what the user gave for a new run.
    """

    def __init__(self, run: Run, config: Pretrain, resolved_config: ResolvedPretrain | None):
        self.run = run
        self.resolved_config = resolved_config
        self.config = resolved_config or config

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path

    def check_images(self, source: Source) -> None:
        """Refuse images that differ between the ranks, or from those that the run began with."""
        _check_same_on_all_ranks(source)
        if self.resolved_config is not None:
            self._check_fingerprint(source)

    @rank_zero
    def _check_fingerprint(self, source: Source) -> None:
        if self.run.facts().get("data_fingerprint") != source.fingerprint():
            raise ValueError(
                f"cannot resume {self.path}: {source.name} holds other images or labels than when "
                f"the run began; start a new run with --init {self.path}"
            )

    @rank_zero
    def finished(self) -> bool:
        """Whether the run that is resumed is trained and evaluated."""
        return self.resolved_config is not None and self.run.finished()

    def latest_checkpoint(self, log: Log) -> Checkpoint | None:
        """The newest checkpoint that can be read: the same one on all ranks."""
        path, notes = self._latest_path()
        for note in notes:
            log.note(f"{note}; the one before it is taken, or the training begins again")
        return None if path is None else on_all_ranks(checkpoint.load, path)

    @rank_zero
    def _latest_path(self) -> tuple[Path | None, list[str]]:
        latest, notes = checkpoint.load_latest(self.run.checkpoints)
        return (None if latest is None else latest.path), notes

    @rank_zero
    def write_settings(
        self, settings: ResolvedPretrain, parts: Parts, tuning: Tuning | None
    ) -> None:
        """Write config.json and views.json of a new run; refuse other views in a resumed one."""
        if self.resolved_config is None:
            # name and stem of the encoder as built: they build it again
            stem = None if parts.encoder.name.startswith("smallconv") else parts.encoder.stem
            built = dataclasses.replace(settings, encoder=parts.encoder.name, stem=stem)
            facts = _facts(parts)
            if tuning is not None:
                facts["tuning"] = tuning.as_json(instruction_sets())
            self.run.write_config(self.config, built, facts)
        _check_views(self.run, parts.views, settings.views)

    def resume(self, parts: Parts, latest: Checkpoint | None) -> None:
        """Load a checkpoint where there is one; drop the records that came after it."""
        step = 0
        if latest is not None:
            step = latest.step
            checkpoint.restore(parts.trainer.modules(), latest.tensors, latest.path)
            parts.trainer.load_state(step, latest.state["trainer"])
            parts.loader.load_state_dict(latest.state["loader"])
        self._drop_records_after(step)

    @rank_zero
    def _drop_records_after(self, step: int) -> None:
        records.keep_records(self.path, lambda r: r.step is None or r.step <= step)

    @rank_zero
    def append(self, measurements: Sequence[Record]) -> None:
        """Append records."""
        records.append(self.path, measurements)

    def save_checkpoint(self, parts: Parts, keep: int) -> None:
        """Write a checkpoint, and delete all but the `keep` newest; 0 keeps all."""
        state: dict[str, object] = {
            "trainer": parts.trainer.state(),
            "loader": parts.loader.state_dict(),
        }
        self._write_checkpoint(parts, state, keep)

    @rank_zero
    def _write_checkpoint(self, parts: Parts, state: dict[str, object], keep: int) -> None:
        checkpoint.save(self.run.checkpoints, parts.trainer.step, parts.trainer.modules(), state)
        checkpoint.prune(self.run.checkpoints, keep)


@rank_zero
def claim(
    run: Run, config: Pretrain, log: Log, explicit_fields: frozenset[str] = frozenset()
) -> ResolvedPretrain | None:
    """The settings to resume a run with; None for a new run. The folder must be locked.

    Raises:
        ValueError: for a folder with other things in it, a run that is not to be resumed, or
            settings that the run was not begun with.
    """
    return _claim(run, config, log, explicit_fields)


def _claim(
    run: Run, config: Pretrain, log: Log, explicit_fields: frozenset[str]
) -> ResolvedPretrain | None:
    path = run.path
    if not is_run(path):
        if other_names(path) and not is_unfinished(path):
            raise ValueError(
                f"out {path} is a folder with other things in it; give an empty or new folder"
            )
        if config.resume:
            log.info(f"nothing to resume in {path}: a new run begins")
        return None
    if not config.resume:
        raise ValueError(
            f"out {path} holds a run already; add --resume to go on with it, or give another folder"
        )
    _refuse_changes(path, run.config(), config, explicit_fields)
    # a field left out has the stored value: resuming must not prune checkpoints that were to stay
    default = Pretrain(data="")
    changed: dict[str, object] = {
        name: getattr(config, name)
        for name in _CHANGEABLE
        if getattr(config, name) != getattr(default, name)
    }
    if is_file(config.views):
        changed |= {"views": config.views, "view_options": {}}
    resolved = run.resolved_config()
    encoders = [n for n in (resolved.encoder, resolved.teacher) if n and is_known_outside(n)]
    for name in filter(is_outside, (resolved.objective, *encoders)):
        log.note(f"resuming imports {name}, which {path / CONFIG} names")
    return ResolvedPretrain(**(vars(resolved) | changed))


def out_folder(config: Pretrain) -> Path:
    """Where the run goes: config.out, or the first of runs/OBJECTIVE-1, -2, ... that is free.

    Raises:
        ValueError: for a file, or a folder among the images, which would be trained on.
    """
    path = Path(config.out) if config.out else _free_folder(config)
    if path.exists() and not path.is_dir():
        raise ValueError(f"out {path} is a file; give an empty or new folder")
    data = Path(config.data)
    if data.is_dir() and data.resolve() in path.resolve().parents:
        raise ValueError(
            f"out {path} lies in the folder of the images, {data}: its pictures would be trained "
            "on; give a folder elsewhere"
        )
    return path


def _free_folder(config: Pretrain) -> Path:
    if config.resume:
        raise ValueError("resume needs out: the folder of the run to go on with")
    k = 1
    while (path := Path("runs") / f"{short_name(config.objective)}-{k}").exists():
        k += 1
    return path


def _refuse_changes(
    path: Path, stored: Pretrain, config: Pretrain, explicit_fields: frozenset[str]
) -> None:
    """A resumed run keeps its settings: one that is given anew must be what it was."""
    defaults = Pretrain(data=config.data)
    for field in dataclasses.fields(Pretrain):
        now, then = getattr(config, field.name), getattr(stored, field.name)
        if field.name in _CHANGEABLE or now == then:
            continue
        if now == getattr(defaults, field.name) and field.name not in explicit_fields:
            continue
        if field.name == "views" and is_file(config.views):
            continue  # its content counts, not its place: see _check_views
        raise ValueError(
            f"cannot resume {path} with {option_name(field.name)} {now!r}: the run has {then!r}; "
            f"leave it out, or start a new run with --init {path}"
        )


def _facts(parts: Parts) -> dict[str, object]:
    classes = parts.source.classes
    return {
        "dim": parts.encoder.dim,
        "n_images": len(parts.source),
        "n_train": len(parts.train),
        "n_sample": len(parts.sample),
        "held_out": parts.held_out,
        "steps_per_epoch": len(parts.loader),
        "total_steps": parts.trainer.total_steps,
        "processes": collectives.world(),
        "parameters": sum(p.numel() for p in parts.encoder.parameters()),
        "data_fingerprint": parts.source.fingerprint(),
        **({"classes": list(classes)} if parts.objective.classifies and classes else {}),
        TRAINED_ON: reading_of(parts.source),
        **({"data_notes": list(parts.source.notes)} if parts.source.notes else {}),
        "device": str(parts.trainer.device),
        "torch_threads": torch.get_num_threads(),
        "versions": records.versions(),
    }


def _check_views(run: Run, views: Views, name: str) -> None:
    """Write the views of a new run; refuse others in a resumed one (a file, a new release)."""
    if not run.views.exists():
        save(views, run.views)
    elif files.read_json(run.views) != views.as_dict():
        raise ValueError(
            f"cannot resume {run.path}: the views by {name} are not those that the run began "
            f"with; go on with --views {run.views}, or start a new run with --init {run.path}"
        )


def _check_same_on_all_ranks(source: Source) -> None:
    """Refuse ranks with different images or labels: they would train on a mixture.

    Raises:
        ValueError: on all ranks, reported by rank zero.
    """
    counts_and_hashes = all_gather_object((len(source), source.fingerprint()))
    if len(set(counts_and_hashes)) > 1:
        counts = ", ".join(f"{n:,}" for n, _ in counts_and_hashes)
        raise mark_reported(
            ValueError(
                f"data: the processes do not see the same images or labels in {source.name} "
                f"(they count {counts}); give all of them the same files"
            )
        )
