"""The command `jessl sweep`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._output import print_lines
from jessl.cli._selection_tables import print_runs
from jessl.cli._signals import end_if_stopped, stop_on_signals
from jessl.config import Sweep

# options that replace a field of the study where they are given
_OVERRIDES = (
    "trials",
    "by",
    "sampler",
    "test",
    "class_names",
    "grace_epochs",
    "scores",
    "score_views",
    "prune",
    "decompose",
)


@dataclass(frozen=True, kw_only=True)
class SweepCommand(Command):
    """Train many settings and choose one without labels, by RankMe or another score, with error
    bars.

    The same command continues an interrupted study. Run at the same time on many machines, it
    divides the work among them; a run that a killed worker had started is tried again.

    Attributes:
        study: a .toml file with the tables [base] (fields of jessl pretrain), [space] (field =
            [values], or {low, high, log}) and [study]; the folder of an existing study; or a named
            study: digits_sweep, digits_sweep_quick, rankme_simclr, rankme_vicreg,
            small_simclr_sweep, small_vicreg_sweep.
        data: SRC, the images; replaces those of the file.
        out: folder of the study; None: studies/NAME.
        trials: number of settings; None: all of a grid, 20 of random and tpe. Of a grid the first.
        seeds: number of runs of each setting (the file can list seeds).
        by: the score that chooses, such as view_retrieval/backbone (the default), rankme,
            lidar/projector; or panel, where three unlike scores vote and abstain where they do not
            agree.
        scores: more scores to compute, for comparison.
        score_views: recipe of the views for scores of views: simclr (the default), coarse,
            disjoint, grayscale or another preset, the same for all runs.
        sampler: grid, each (one field at a time), random or tpe; None: grid where all fields have
            lists, else random.
        test: SRC of labelled images for a final check, which does not affect the choice.
        class_names: names of the labels 0, 1, ... of the images or of --test, whichever has numbers
            only: a,b,c or a text file with a name on each line.
        decompose: with --test, also the components of the error, for jessl zoo.
        prune: stop runs that fall behind, by the score alone.
        grace_epochs: epochs before any run is stopped; None: a quarter of them.
        log: where the records of each run also go: tensorboard, csv, wandb, mlflow, or none; None:
            that of the base, else tensorboard where it is installed.
        log_project: project of wandb and experiment of MLflow, in which the runs are a group with
            the name of the study; None: that of the base, else jessl.
        storage: journal:PATH (a file on a shared disk), postgresql://user@host/name; None: that of
            the study, for a new one SQLite in its folder (processes of one machine).
        jobs: processes on this machine, which share the cores.
        lease_seconds: a worker that has been silent for this long is considered dead.
        slurm: submit --jobs workers to a cluster instead (needs jessl[slurm], and --storage
            journal: or a database).
        slurm_options: options of these jobs, such as partition gpu gpus_per_node 1 timeout_min 600.
    """

    study: tyro.conf.Positional[str]
    data: str | None = None
    out: str | None = None
    trials: int | None = None
    seeds: int | None = None
    by: str | None = None
    scores: tuple[str, ...] = ()
    score_views: str | None = None
    sampler: str | None = None
    test: str | None = None
    class_names: str | None = None
    decompose: bool = False
    prune: bool = False
    grace_epochs: int | None = None
    log: tuple[str, ...] | None = None
    log_project: str | None = None
    storage: str | None = None
    jobs: int = 1
    lease_seconds: float = 60.0
    slurm: bool = False
    slurm_options: dict[str, int | str] = field(default_factory=dict)

    def run(self) -> JsonObject:
        """Work on the study until it is complete, or submit the jobs that will."""
        config, out = self.config()
        if self.slurm_options and not self.slurm:
            raise ValueError("slurm_options are read with --slurm only; add it, or leave them out")
        if self.slurm:
            from jessl.launch.slurm import submit_sweep

            return submit_sweep(
                config,
                out,
                self.slurm_options,
                workers=self.jobs,
                storage=self.storage,
                lease_seconds=self.lease_seconds,
            )
        from jessl.report import write_report, write_table
        from jessl.sweeps.sweep import sweep

        with stop_on_signals("the same command continues") as stop:
            result = sweep(
                config,
                out,
                storage=self.storage,
                jobs=self.jobs,
                lease_seconds=self.lease_seconds,
                stop=stop,
            )
            tables = [str(write_table(out, out / f"table.{kind}")) for kind in ("csv", "parquet")]
            report = str(write_report(out))
            end_if_stopped(stop, out)
        summary = result.as_json()
        if self.json:  # the table has the results of every run
            summary.pop("runs")
        if result.selection is None:
            raise ValueError(f"{' '.join(result.findings)} {report}")
        return {**summary, "report": report, "tables": tables}

    def config(self) -> tuple[Sweep, Path]:
        """The study with the options that replace its fields, and its folder."""
        options = {name: getattr(self, name) for name in _OVERRIDES}
        changes: JsonObject = {
            name: value
            for name, value in options.items()
            if value is not None and value is not False and value != ()
        }
        if self.seeds is not None:
            if self.seeds < 1:
                raise ValueError(f"seeds: expected a whole number of at least 1, got {self.seeds}")
            changes["seeds"] = tuple(range(self.seeds))
        study, out = self._study()
        tracking = {"log": self.log, "log_project": self.log_project}
        given = {name: value for name, value in tracking.items() if value is not None}
        base = dataclasses.replace(study.base, **given)  # type: ignore[arg-type]
        return dataclasses.replace(study, base=base, **changes), out

    def _study(self) -> tuple[Sweep, Path]:
        """The study that the argument names: a folder, a file, or a published one."""
        from jessl.core.validation import refuse_path_of_the_same_name
        from jessl.recipes.studies import NAMES
        from jessl.sweeps.manifest import stored_sweep
        from jessl.sweeps.plan import read_toml

        path = Path(self.study)
        if self.study in NAMES:
            refuse_path_of_the_same_name("study", self.study, "its name from another folder")
        if path.is_dir():
            if self.out is not None:
                raise ValueError(f"out: {path} is the folder of a study already; leave --out out")
            study = stored_sweep(path)
            if self.data is not None:
                base = dataclasses.replace(study.base, data=self.data)
                study = dataclasses.replace(study, base=base)
            return study, path
        if path.suffix == ".toml":
            return read_toml(path, self.data), Path(self.out or Path("studies") / path.stem)
        return self._named_study(), Path(self.out or Path("studies") / self.study)

    def _named_study(self) -> Sweep:
        from jessl.core.validation import unknown_name
        from jessl.recipes.studies import NAMES, named

        if self.study not in NAMES:
            line = unknown_name("study", self.study, NAMES)
            raise ValueError(f"{line}; or a .toml file, or the folder of a study")
        if self.data is None:
            raise ValueError(f"study {self.study} needs images: give --data SRC")
        return named(self.study, self.data)

    def show(self, result: JsonObject) -> None:
        """The settings, best first, the choice, and the warnings."""
        if self.slurm:
            for name in ("jobs", "logs", "watch", "cancel"):
                print_lines(f"{name:<9} {result[name]}")
            return
        selection = result["selection"]
        print_runs(selection)
        # the last findings repeat the choices, which are printed above
        choices = sum(len(group["choices"]) for group in selection["groups"])
        for text in result["findings"][: len(result["findings"]) - choices]:
            print_lines(text)
        print_lines(f"report    {result['report']}")
        print_lines(f"tables    {'  '.join(result['tables'])}")
