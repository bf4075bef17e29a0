"""The command `jessl zoo`."""

from __future__ import annotations

from dataclasses import dataclass

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._inputs import comma_separated
from jessl.cli._output import print_lines
from jessl.cli._zoo_files import output_folder, write_analysis
from jessl.cli._zoo_tables import print_analysis
from jessl.core.log import log


@dataclass(frozen=True, kw_only=True)
class ZooCommand(Command):
    """Analyse which design choices go with the errors of many models, and which measures predict
    the errors.

    Attributes:
        table: a CSV or Parquet file, or an http(s) address: the published table of 169 models, one
            with the same column names, or the table of a study.
        out: folder for report.html (a page to look at), zoo.json, evidence.json (for jessl
            decompose) and one CSV file per table.
        top: number of models in the lists of the best.
        sections: names of sections, separated by commas; None: all of them.
        seed: random seed of resamples and folds.
    """

    table: tyro.conf.Positional[str]
    out: str | None = None
    top: int = 5
    sections: str | None = None
    seed: int = 0

    def run(self) -> JsonObject:
        """Read, analyse, and write the files if there is a folder for them."""
        from jessl.core.progress import ProgressBar
        from jessl.core.validation import escape_control
        from jessl.zoo.analysis import analyse, check_request
        from jessl.zoo.evidence import evidence
        from jessl.zoo.page.labels import in_words
        from jessl.zoo.table import read_table

        names = None
        if self.sections is not None:
            names = comma_separated(self.sections)
            if not names:
                raise ValueError("sections: expected at least one name, got none")
        check_request(names, self.top, self.seed)
        with output_folder(self.out) as folder:
            models = read_table(self.table)
            log.info(f"{len(models.frame)} models in {escape_control(self.table)}")
            with ProgressBar("analysing") as bar:

                def progress(section: str, done: int, total: int) -> None:
                    bar.update(done, total)
                    log.info(f"section {done + 1} of {total}: {in_words(section)}")

                analysis = analyse(
                    models, sections=names, top=self.top, seed=self.seed, progress=progress
                )
            if folder is not None:
                files = write_analysis(analysis, evidence(models), folder)
                log.info(f"wrote {len(files)} files to {escape_control(str(folder))}")
        return analysis

    def show(self, result: JsonObject) -> None:
        """The first rows of every table, below the question that it answers."""
        shortened = print_analysis(result)
        if shortened and self.out is None:
            print_lines("", "every row: --out DIR writes CSV files, --json prints them")
