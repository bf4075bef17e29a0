"""The command that runs a study of many pretrainings (see making.py for the form of commands)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from jessl.cli._base import Interrupted, stoppable
from jessl.cli.select import show_runs
from jessl.config import Sweep


@dataclass(kw_only=True)
class SweepCommand:
    """Train many settings, and choose without labels: by RankMe or another score, with error bars.

    The same command goes on where it was. Given at the same time on many machines it shares the
    work among them; what a killed worker had begun is tried again.

    Attributes:
        study: a .toml file with the tables [base] (fields of jessl pretrain), [space] (field =
            [values], or {low, high, log}) and [study]; the folder of a study that was begun; or a
            named one: rankme_simclr, rankme_vicreg, small_simclr_sweep, small_vicreg_sweep.
        data: SRC, the images; over that of the file.
        out: folder of the study; None: studies/NAME.
        trials: how many settings; None: all of a grid, 20 of random and tpe. Of a grid the first.
        seeds: how many runs of each setting (the file can list seeds).
        by: the score that chooses, such as rankme, rankme/backbone, lidar/projector.
        scores: more scores to take, for comparison.
        sampler: grid, each (one field at a time), random or tpe; None: grid where all fields have
            lists, else random.
        test: SRC of labelled images for a closing check, which chooses nothing.
        decompose: with --test, also the components of the error, for jessl zoo.
        prune: stop runs that fall behind, by the score alone.
        grace_epochs: epochs before any run is stopped; None: a quarter of them.
        storage: journal:PATH (a file on a shared disk), postgresql://user@host/name; None: that of
            the study, at first SQLite in the folder (processes of one machine).
        jobs: processes here, which share the cores.
        lease_seconds: a worker that is silent for so long counts as gone.
        slurm: submit --jobs workers to a cluster instead (needs jessl[slurm], and --storage
            journal: or a database).
        slurm_options: of these jobs, such as partition gpu gpus_per_node 1 timeout_min 600.
        json: print the answer as JSON on standard output.
    """

    study: tyro.conf.Positional[str]
    data: str | None = None
    out: str | None = None
    trials: int | None = None
    seeds: int | None = None
    by: str | None = None
    scores: list[str] = field(default_factory=list)
    sampler: str | None = None
    test: str | None = None
    decompose: bool = False
    prune: bool = False
    grace_epochs: int | None = None
    storage: str | None = None
    jobs: int = 1
    lease_seconds: float = 60.0
    slurm: bool = False
    slurm_options: dict[str, int | str] = field(default_factory=dict)
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Work on the study to its end, or submit the jobs that will."""
        asked, out = self._asked()
        if self.slurm_options and not self.slurm:
            raise ValueError("slurm_options are read with --slurm only; add it, or leave them out")
        if self.slurm:
            from jessl.launch.slurm import submit_sweep

            return submit_sweep(
                asked,
                out,
                self.slurm_options,
                workers=self.jobs,
                storage=self.storage,
                lease_seconds=self.lease_seconds,
            )
        from jessl.core.interruption import Stopped
        from jessl.report import write_report, write_table
        from jessl.sweeps.sweep import sweep

        with stoppable() as stop:
            try:
                told = sweep(
                    asked,
                    out,
                    storage=self.storage,
                    jobs=self.jobs,
                    lease_seconds=self.lease_seconds,
                    stop=stop,
                )
            except Stopped as stopped:
                raise Interrupted(f"{stopped}; the same command goes on") from None
        if self.json:  # what every run came to is in the table
            told.pop("runs")
        tables = [str(write_table(out, out / f"table.{kind}")) for kind in ("csv", "parquet")]
        report = str(write_report(out))
        if told["selection"] is None:
            raise ValueError(f"{' '.join(told['findings'])} {report}")
        return {**told, "report": report, "tables": tables}

    def _asked(self) -> tuple[Sweep | None, Path]:
        """The study with the options over it, and its folder."""
        import dataclasses

        from jessl.sweeps.manifest import stored_sweep
        from jessl.sweeps.plan import read_toml

        path = Path(self.study)
        given = {
            name: value
            for name in ("trials", "by", "sampler", "test", "grace_epochs")
            if (value := getattr(self, name)) is not None
        }
        if self.seeds is not None:
            if self.seeds < 1:
                raise ValueError(f"seeds must be at least 1, got {self.seeds}")
            given["seeds"] = tuple(range(self.seeds))
        if self.scores:
            given["scores"] = tuple(self.scores)
        given |= {name: True for name in ("prune", "decompose") if getattr(self, name)}
        if path.is_dir():
            if self.out is not None:
                raise ValueError(f"out: {path} is a study's folder already; leave --out out")
            asked, out = stored_sweep(path), path
            if self.data is not None:
                base = dataclasses.replace(asked.base, data=self.data)
                asked = dataclasses.replace(asked, base=base)
        elif path.suffix == ".toml":
            asked, name = read_toml(path, self.data), path.stem
            out = Path(self.out or Path("studies") / name)
        else:
            asked, out = self._named(), Path(self.out or Path("studies") / self.study)
        return dataclasses.replace(asked, **given), out

    def _named(self) -> Sweep:
        from jessl.core.validation import unknown_name
        from jessl.recipes.studies import NAMES, named

        if self.study not in NAMES:
            line = unknown_name("study", self.study, NAMES)
            raise ValueError(f"{line}; or a .toml file, or the folder of a study")
        if self.data is None:
            raise ValueError(f"study {self.study} needs images: give --data SRC")
        return named(self.study, self.data)

    def show(self, answer: dict[str, Any]) -> None:
        """The settings, best first, what was chosen, and what is to be doubted."""
        if self.slurm:
            for name in ("jobs", "logs", "watch", "cancel"):
                print(f"{name:<9} {answer[name]}")
            return
        show_runs(answer["selection"])
        choices = sum(len(g["choices"]) for g in answer["selection"]["groups"])
        for text in answer["findings"][: len(answer["findings"]) - choices]:
            print(text)  # what was chosen stands above
        print(f"report    {answer['report']}")
        print(f"tables    {'  '.join(answer['tables'])}")
