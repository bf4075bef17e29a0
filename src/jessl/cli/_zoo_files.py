"""The files of an analysis of models: a page, JSON for programs, a CSV file per table."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jessl.cli._command import JsonObject
from jessl.cli._zoo_tables import as_text


@contextmanager
def output_folder(out: str | Path | None) -> Iterator[Path | None]:
    """Create the folder to write to, and check before long work begins that it is writable.

    Folders created here are removed if the work fails and nothing is in them.

    Raises:
        ValueError: where it cannot be created or written to.
    """
    if out is None:
        yield None
        return
    from jessl.core.validation import escape_control

    if not str(out).strip():
        raise ValueError("out: expected the name of a folder, got nothing; . is this folder")
    folder, shown = Path(out), escape_control(str(out))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"out: expected a folder, got the file {shown}")
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a name
        _remove_empty(new)
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"out: {shown} cannot be written to: {reason}") from None
    try:
        yield folder
    except BaseException:
        _remove_empty(new)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, up to the first that is not empty."""
    for one in folders:
        if one.is_dir():
            if any(one.iterdir()):
                return
            one.rmdir()


def write_analysis(analysis: JsonObject, evidence: list[JsonObject], folder: Path) -> list[Path]:
    """Write zoo.json, evidence.json, report.html and the CSV files; return their paths."""
    import pandas as pd

    from jessl.core.csv_files import write_csv
    from jessl.core.files import atomic_write, write_json
    from jessl.zoo.page.page import zoo_page

    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "zoo.json", folder / "evidence.json", folder / "report.html"]
    write_json(files[0], analysis)
    write_json(files[1], evidence)
    with atomic_write(files[2]) as part:
        part.write_text(zoo_page(analysis), encoding="utf-8")
    for section_name, section in analysis["sections"].items():
        for table_name, table in section["tables"].items():
            files.append(folder / f"{section_name}_{table_name}.csv")
            rows = [{k: as_text(v) for k, v in row.items()} for row in table["rows"]]
            write_csv(pd.DataFrame(rows), files[-1])
    return files
