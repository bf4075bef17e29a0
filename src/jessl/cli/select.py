"""The command `jessl select`."""

from __future__ import annotations

import shlex
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jessl.cli._command import Command, JsonObject, ValueRangeOption
from jessl.cli._inputs import comma_separated, data_options, submits
from jessl.cli._output import print_job
from jessl.cli._selection_tables import print_checkpoints, print_encoders, print_runs
from jessl.cli._signals import end_if_stopped, stop_on_signals
from jessl.config import Compare, Select, SelectCheckpoints, option_name

if TYPE_CHECKING:
    from jessl.comparison.table import EncoderTable

# the options that each of the three ways of choosing reads
_OF_RUNS = {f.name for f in fields(Select)} | {
    "train",
    "test",
    "class_names",
    "bits",
    "value_range",
}
_OF_CHECKPOINTS = {f.name for f in fields(SelectCheckpoints)} | {"runs", "checkpoints"}
_OF_ENCODERS = {f.name for f in fields(Compare)} | {"slurm", "slurm_options"}
_OF_ALL = {f.name for f in fields(Command)}


@dataclass(frozen=True, kw_only=True)
class SelectCommand(Command, Select, Compare):
    """Choose without labels: among runs, checkpoints of a run, or encoders for your images.

    Attributes:
        scores: other scores to show beside it, separated by commas; they do not affect the choice.
        train: SRC of labelled images to fit probes on, for runs without a record of `oracle`; with
            --test.
        test: SRC of labelled images to test on.
        class_names: names of the labels 0, 1, ... of --train, --test or --data, whichever has
            numbers only: a,b,c or a text file with a name on each line.
        checkpoints: choose among the checkpoints of one run.
        encoders: choose among encoders instead: timm:NAME, torchvision:NAME, hf:NAME, files, runs.
        data: SRC of the images that the encoders should suit; with --checkpoints where the images
            of the run are now.
        out: folder for the comparison of encoders; the same command continues there.
        slurm: submit the comparison of encoders as a job of one process instead (needs
            jessl[slurm]); the other choices take seconds.
        slurm_options: options of the job, such as partition gpu timeout_min 600.
    """

    runs: tyro.conf.Positional[list[str]] = field(default_factory=list)  # type: ignore[assignment]
    scores: str = ""
    train: str | None = None
    checkpoints: bool = False
    # needed with --encoders only
    encoders: list[str] = field(default_factory=list)  # type: ignore[assignment]
    data: str | None = None  # type: ignore[assignment]
    out: str | None = None  # type: ignore[assignment]
    value_range: ValueRangeOption = None

    slurm: bool = False
    slurm_options: dict[str, int | str] = field(default_factory=dict)

    def run(self) -> JsonObject:
        """Rank and choose."""
        if self.encoders:
            if self.runs:
                raise ValueError("runs, --encoders: expected one of them; a run is an encoder too")
            self._refuse_options_except(_OF_ENCODERS, "--encoders")
            return self._among_encoders()
        if not self.runs:
            raise ValueError("runs: expected at least one run, or --encoders, got none")
        if self.checkpoints:
            if len(self.runs) > 1:
                raise ValueError(f"--checkpoints: expected one run, got {len(self.runs)}")
            self._refuse_options_except(_OF_CHECKPOINTS, "--checkpoints")
            return self._among_checkpoints()
        self._refuse_options_except(_OF_RUNS, "runs")
        return self._among_runs()

    def _refuse_options_except(self, allowed: set[str], way: str) -> None:
        """Refuse options that this way of choosing does not read."""
        for f in fields(self):
            if f.name in allowed | _OF_ALL:
                continue
            default = f.default if f.default_factory is MISSING else f.default_factory()
            if f.name in self.given or getattr(self, f.name) != default:
                option = option_name(f.name)
                raise ValueError(f"{option} has no meaning when choosing among {way}")

    def _among_runs(self) -> JsonObject:
        from jessl.selection import select

        if (self.train is None) != (self.test is None):
            raise ValueError("--train, --test: expected both: probes are fitted, then tested")
        if self.class_names is not None and self.train is None:
            raise ValueError("--class-names: expected --train and --test as well")
        if self.train is None and (self.bits, self.value_range) != (None, None):
            raise ValueError("--bits, --range: expected --train and --test as well")
        scores = comma_separated(self.scores)
        if self.train is not None and self.test is not None:
            from jessl.selection.probe_runs import probe_runs

            # report mistakes before probes are fitted; their records do not affect the choice
            select(self, scores=scores, oracle=Select.oracle)
            probe_runs(
                self.runs,
                self.train,
                self.test,
                oracle=self.oracle,
                class_names=self.class_names,
                bits=self.bits,
                value_range=self.value_range,
            )
        return select(self, scores=scores).as_json()

    def _among_checkpoints(self) -> JsonObject:
        from jessl.core.progress import ProgressBar
        from jessl.selection.checkpoints import select_checkpoints

        with ProgressBar("embedding checkpoints", unit="images") as bar:
            options = SelectCheckpoints(
                run=self.runs[0], by=self.by or SelectCheckpoints.by, data=self.data
            )
            return select_checkpoints(options, progress=bar.update).as_json()

    def _among_encoders(self) -> JsonObject:
        for name in ("data", "out"):
            if getattr(self, name) is None:
                raise ValueError(f"--encoders needs --{name}")
        options = Compare(**{f.name: getattr(self, f.name) for f in fields(Compare)})
        if submits(self.slurm, self.slurm_options):
            from jessl.launch.slurm import submit_compare

            return submit_compare(options, self.slurm_options)
        from jessl.comparison.compare import compare_encoders
        from jessl.comparison.page.page import write_encoders_page

        with stop_on_signals("the same command continues") as stop:
            table = compare_encoders(options, stop=stop)
            page = write_encoders_page(options.out)
            end_if_stopped(stop, page)
        return {**table.as_json(), "page": str(page), "next": self._after_comparison(table)}

    def _after_comparison(self, table: EncoderTable) -> list[str]:
        """Use the best encoder, or label a few images where there are no labels."""
        assert self.data is not None
        by_error = next((order.names[0] for order in table.orders if order.column == "error"), None)
        data = data_options(self.data, None, self.bits, self.value_range)
        row = next((r for r in table.rows if r.name == by_error or r.failed is None), table.rows[0])
        if by_error is not None:
            row = next(r for r in table.rows if r.name == by_error)
            labels = self.labels or "FEW.csv"
            words = ["--encoder", row.encoder, "--labels", labels, "--out", "predictions.csv"]
            return [f"jessl classify {data} {shlex.join(words)}"]
        folder = Path(table.path) / row.slug / "embeddings"
        return [
            f"jessl curate {shlex.quote(str(folder))} {data} --budget 50 --out to-label",
            f"jessl select --encoders {shlex.join(r.encoder for r in table.rows)} {data} --labels "
            f"FEW.csv --out {shlex.quote(str(table.path))}",
        ]

    def show(self, result: JsonObject) -> None:
        """Tables, then the warnings."""
        if "job" in result:
            print_job(result)
        elif "encoders" in result:
            print_encoders(result)
        elif "checkpoints" in result:
            print_checkpoints(result)
        else:
            print_runs(result)
