"""The command that analyses a table of models (see making.py for its form)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from jessl.cli._base import table

WHOLE_TABLE = 36  # rows up to which a table is printed whole, else the first ROWS_SHOWN
ROWS_SHOWN = 12
WIDEST = 60  # letters of a cell on the screen


@dataclass(kw_only=True)
class ZooCommand:
    """Say what goes with the errors of many models, and what tells them ahead.

    Attributes:
        table: a CSV or Parquet file, or an http(s) address: the published table of 169 models, one
            with the same column names, or the table of a study.
        out: folder for report.html (a page to look at), zoo.json, evidence.json (for jessl
            decompose) and one CSV file a table.
        top: models in the lists of the best.
        sections: which ones, by commas; None: all of them.
        seed: of resamples and folds.
        json: print the answer as JSON on standard output.
    """

    table: tyro.conf.Positional[str]
    out: str | None = None
    top: int = 5
    sections: str | None = None
    seed: int = 0
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Read, analyse, and write where asked to."""
        from jessl.core.log import log
        from jessl.core.progress import ProgressBar
        from jessl.core.validation import escape_control
        from jessl.zoo.analysis import analyse, checked
        from jessl.zoo.evidence import evidence
        from jessl.zoo.page.labels import in_words
        from jessl.zoo.table import read_table

        names = None
        if self.sections is not None:
            names = [word.strip() for word in self.sections.split(",") if word.strip()]
            if not names:
                raise ValueError("sections must name at least one section, got none")
        checked(names, self.top, self.seed)
        with _folder(self.out) as folder:
            models = read_table(self.table)
            log.info(f"{len(models.frame)} models in {escape_control(self.table)}")
            with ProgressBar("analysing") as count:

                def told(section: str, done: int, total: int) -> None:
                    count.update(done, total)
                    log.info(f"section {done + 1} of {total}: {in_words(section)}")

                answer = analyse(
                    models, sections=names, top=self.top, seed=self.seed, progress=told
                )
            if folder is not None:
                written = write(answer, evidence(models), folder)
                log.info(f"wrote {len(written)} files to {escape_control(str(folder))}")
        return answer

    def show(self, answer: dict[str, Any]) -> None:
        """The first rows of every table below the question that it answers."""
        from jessl.core.validation import escape_control
        from jessl.zoo.page.labels import in_words

        shortened = False
        for section in answer["sections"].values():
            print(f"\n{section['question'].upper()}")
            for name, held in section["tables"].items():
                rows = held["rows"]
                print(f"\n{in_words(name)}: {held['about']}")
                shown = rows if len(rows) <= WHOLE_TABLE else rows[:ROWS_SHOWN]
                table(*_for_people(shown))
                if len(shown) < len(rows):
                    shortened = True
                    print(f"... and {len(rows) - len(shown)} more rows")
            for note in section["notes"]:
                print(f"note: {escape_control(note)}")
        if answer["left_out"]:
            told = " and ".join(answer["left_out"])
            print(f"\nleft out, xgboost is not installed (pip install 'jessl[zoo]'): {told}")
        if shortened and self.out is None:
            print("\nevery row: --out DIR writes CSV files, --json prints them")


@contextmanager
def _folder(out: str | None) -> Iterator[Path | None]:
    """The folder to write to, which is there and can be written to before long work begins.

    Folders made here are removed where the work fails, if nothing is in them.

    Raises:
        ValueError: where it cannot be made or written to.
    """
    if out is None:
        yield None
        return
    from jessl.core.validation import escape_control

    if not str(out).strip():
        raise ValueError("out must name a folder, got nothing; . is this folder")
    folder, shown = Path(out), escape_control(str(out))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out must be a folder, {shown} is a file")
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
        _remove(new)
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"out: {shown} cannot be written to: {reason}") from None
    try:
        yield folder
    except BaseException:
        _remove(new)
        raise


def _remove(folders: list[Path]) -> None:
    """Remove folders, the innermost first, up to the first that holds anything."""
    for one in folders:
        if one.is_dir():
            if any(one.iterdir()):
                return
            one.rmdir()


def write(answer: dict[str, Any], rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """report.html, zoo.json, evidence.json (`rows`) and a CSV file for every table; the files."""
    import pandas as pd

    from jessl.core.files import atomic_write, write_json
    from jessl.zoo.page.page import zoo_page

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "zoo.json", folder / "evidence.json"]
    for file, content in zip(files, (answer, rows), strict=True):
        write_json(file, content)
    files.append(folder / "report.html")
    with atomic_write(files[-1]) as part:
        part.write_text(zoo_page(answer), encoding="utf-8")
    for name, section in answer["sections"].items():
        for told, held in section["tables"].items():
            files.append(folder / f"{name}_{told}.csv")
            flat = [{k: _flat(v) for k, v in row.items()} for row in held["rows"]]
            pd.DataFrame(flat).to_csv(files[-1], index=False)
    return files


def _for_people(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Headings and cells: an interval is one column, a number and its own n are one, too."""
    from jessl.core.validation import escape_control
    from jessl.zoo.page.labels import in_words

    keys = [k for k in rows[0] if any(row[k] not in (None, "", [], {}) for row in rows)]
    beside = {f"{k}_{part}": k for k in keys for part in ("n", "place") if f"{k}_{part}" in keys}
    headings, columns = [], []
    for key in keys:
        if key in beside or key == "high" or key.endswith("_high"):
            continue
        if key == "low" or key.endswith("_low"):
            base = key.removesuffix("low")
            headings.append(f"{in_words(base)} 95 %".strip())
            columns.append([_span(row[key], row[f"{base}high"]) for row in rows])
        elif key in beside.values():
            other = next(k for k, of in beside.items() if of == key)
            headings.append(f"{in_words(key)} ({other.removeprefix(key)[1:]})")
            columns.append([f"{_number(row[key])} ({row[other]})" for row in rows])
        else:
            headings.append(in_words(key))
            p_value = key == "p" or key.endswith("_p")
            columns.append([_cell(row[key], p_value=p_value) for row in rows])
    headings = [escape_control(heading) for heading in headings]
    return headings, [list(cells) for cells in zip(*columns, strict=True)]


def _cell(value: Any, *, p_value: bool = False) -> Any:
    from jessl.core.validation import escape_control
    from jessl.zoo.page.labels import WORDS

    value = _flat(value)
    if isinstance(value, str):
        value = escape_control(value)
        if len(value) > WIDEST:
            return value[: WIDEST - 3] + "..."
        first, minus, second = value.partition(" - ")
        return WORDS.get(first, first) + minus + WORDS.get(second, second)
    return f"{value:.1e}" if p_value and value is not None else value


def _flat(value: Any) -> Any:
    """Lists and dictionaries as text; an empty one is None."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {v}" for k, v in value.items()) or None
    return (", ".join(map(str, value)) or None) if isinstance(value, list) else value


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{_number(low)} to {_number(high)}"
