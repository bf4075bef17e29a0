"""CSV files: what is wrong is named, and no cell that jessl writes is run by a spreadsheet."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from jessl.core.csv_files import csv_frame, csv_rows, csv_text, read_regular_file, write_csv

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "-"]
NUMBERS = ["-0.5", "+3", "-1e-3", "-.5"]


def test_formulas_are_neutralised_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    frame = pd.DataFrame({"run": [*FORMULAS, *NUMBERS], "=head": range(10), "v": [-1.5] * 10})
    write_csv(frame, path)
    assert list(frame.columns) == ["run", "=head", "v"]  # the frame itself stays
    raw = pd.read_csv(path, dtype=str)
    assert list(raw.columns) == ["run", "'=head", "v"]
    assert list(raw["run"]) == [*("'" + cell for cell in FORMULAS), *NUMBERS]
    assert set(raw["v"]) == {"-1.5"}
    header, *rows = csv_rows(csv_text(path.read_bytes(), "t"), "t")
    assert list(csv_frame(header, rows, "t")["run"]) == [*FORMULAS, *NUMBERS]


def _read(content: bytes, name: str) -> pd.DataFrame:
    header, *rows = csv_rows(csv_text(content, name), name)
    return csv_frame(header, rows, name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"a,b\n1\n", "row 1 of the table has 1 cells"),
        (b"a,b\n1,\x002\n", "line 2 holds a zero byte"),
        (b'a,b\n"1,2\n', "quote is never closed"),
        (b"a,b\n\xff,2\n", "byte 0xff in line 2"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n", "no row below its header"),
    ],
)
def test_malformed_files_are_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        _read(content, "t.csv")
    assert str(error.value).startswith("t.csv: ")


def test_a_mark_at_the_beginning_is_no_name() -> None:
    assert csv_rows(csv_text(b"\xef\xbb\xbfa,b\n1,2\n", "t"), "t")[0] == ["a", "b"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ValueError, match="not a regular file"):
        read_regular_file(tmp_path / "pipe.csv", "a table")
