"""Tables that are none, and options that cannot be: one line each, before anything is computed."""

from __future__ import annotations

import datetime
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jessl.cli.zoo import ZooCommand
from jessl.core.validation import escape_control
from jessl.zoo.analysis import SECTIONS, analyse
from jessl.zoo.table import read_table

TABLE = "model,train_test,train-nperclass-3_test,objective\na,20,50,x\nb,30,60,y\nc,25,40,x\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model,train_test\na,20\nb,-20\n", "train_test of model b .* percent, 0 to 100, got -20"),
        ("model,train_test\na,20\nb,100.5\n", "0 to 100, got 100.5"),
        ("model,enc_gen\na,-101\n", "enc_gen of model a must be in percent, -100 to 100, got -101"),
        (
            "model,train_test,train-nperclass-3_test\na,20,.5\nb,30,.6\n",
            "train-nperclass-3_test is 0.6 at most, which looks like fractions beside columns",
        ),
        ("model,train_test,enc_gen\na,.2,.01\nb,.3,-.02\n", "percent, these look like fractions"),
        ("model,usability,enc_gen\na,.2,.01\nb,.3,-.02\n", "percent, these look like fractions"),
        (
            "model,usability,probe_gen,enc_gen,train_test\na,.1,.05,.05,20\nb,.2,.05,.05,30\n",
            "usability is 0.2 at most, which looks like fractions",
        ),
        ("run,risk_total\na,20\n", "risk_total of model a must be fractions, 0 to 1, got 20"),
    ],
)
def test_errors_that_cannot_be(tmp_path, text, told):
    with pytest.raises(ValueError, match=told) as error:
        read_table(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_small_percentages_are_no_fractions(tmp_path):
    small = "model,usability,probe_gen,enc_gen,train_test\na,10,9,.5,19.5\nb,12,9,-.9,20.1\n"
    assert read_table(written(tmp_path, small)).frame["enc_gen"].tolist() == [0.5, -0.9]
    none = "model,train_test,train-nperclass-3_test\na,0,5\nb,0,6\n"
    assert read_table(written(tmp_path, none)).frame["train_test"].tolist() == [0, 0]
    edges = "model,train_test,enc_gen\na,0,-100\nb,100,100\n"
    assert len(read_table(written(tmp_path, edges)).frame) == 2
    study = "run,risk_total\na,.004\nb,.009\n"
    assert read_table(written(tmp_path, study)).frame["train_test"].max() == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (TABLE.encode("utf-16"), "in UTF-16; save as UTF-8"),
        (TABLE.encode("utf-16-le"), "in UTF-16; save as UTF-8"),
        (TABLE.replace("x", "\xe9").encode("latin-1"), "UTF-8 .byte 0xe9 in line 2.; save"),
        (TABLE.replace(",", ";"), "parted by semicolons; they must be by commas"),
        ("model;train_test\na;20,5\n", "parted by semicolons"),
        (TABLE.replace(",", "\t"), "parted by tabs"),
        ("\n<!doctype html><html></html>", "a web page"),
        ('{"a": 1}', "but JSON"),
        (b"\x1f\x8b\x08 rest", "compressed with gzip"),
        ('model,train_test\na,20\n"b,30\nc,25\n', "quote is never closed; .* begins in line 3"),
        ("model,train_test, train_test\na,20,30\n", "two columns are called 'train_test'"),
        ("model,train_test\na ,20\n a,30\n", "two models are called 'a'"),
        ("model,train_test\na,20\n  ,30\n", "row 2 of the table has no name"),
        ("model,train_test\n\x1b[2Jx,red\n", r"of model \\x1b\[2Jx must be a number"),
    ],
)
def test_files_in_other_forms(tmp_path, content, told):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=told) as error:
        read_table(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_an_excel_workbook_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.xlsx", "w") as archive:
        archive.writestr("sheet", "x")
    with pytest.raises(ValueError, match="Excel workbook; save it as CSV"):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match="name of the table is empty"):
        read_table("")


def test_blanks_around_names_are_left_out(tmp_path):
    text = 'model , train_test ,"objective "\n a ,20, x\n"b ",30,y\n'
    models = read_table(written(tmp_path, text))
    assert list(models.frame.index) == ["a", "b"]
    assert models.settings == {"full": "train_test"}
    assert models.choices == ("objective",)


def parquet(folder: Path, **columns: list) -> Path:
    frame = pd.DataFrame({"model": list("abcd"), "train_test": [20.0, 30.0, 25.0, 22.0]})
    frame.assign(**columns).to_parquet(folder / "table.parquet", index=False)
    return folder / "table.parquet"


def test_parquet_columns_of_any_kind(tmp_path):
    days = [datetime.date(2020, 1, k) for k in (1, 2, 2, 1)]
    path = parquet(
        tmp_path,
        dictionaries=[{"a": 1}, {"a": 2}, {"a": 1}, None],
        lists=[[1], [2], [1, 2], None],
        raw=[b"x", b"y", b"x", b"y"],
        day=days,
        moment=pd.to_datetime(days),
        price=[Decimal("1.5"), Decimal("2.5"), None, Decimal("1.5")],
        epochs=pd.array([100, 200, None, 100], dtype="Int64"),
        is_ema=pd.array([True, None, False, True], dtype="boolean"),
        kind=pd.Categorical(["x", "y", "x", None]),
        objective=["p", "q", "p", "q"],
    )
    models = read_table(path)
    assert [n.split(":")[0] for n in models.source["notes"]] == [
        f"column {c} is left out" for c in ("dictionaries", "lists", "raw")
    ]
    assert models.frame["day"].tolist() == models.frame["moment"].tolist()
    assert models.frame["day"].iloc[1] == "2020-01-02"
    assert models.frame["epochs"].dtype == models.frame["price"].dtype == np.float64
    wanted = [s for s in SECTIONS if s not in ("trees", "validation")]
    found = analyse(models, sections=wanted)["sections"]
    assert "dictionaries" in " ".join(found["counts"]["notes"])


def test_parquet_errors_and_names_must_be_plain(tmp_path):
    with pytest.raises(ValueError, match="column train_test holds lists"):
        read_table(parquet(tmp_path, train_test=[[1], [2], [3], [4]]))
    with pytest.raises(ValueError, match="'model' names the models, its cells must be texts"):
        read_table(parquet(tmp_path, model=[{"a": k} for k in range(4)]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"seed": 2**40}, "seed: expected at most"),
        ({"top": 0}, "top: expected a whole number of at least 1"),
        ({"sections": "nope"}, "unknown section 'nope'"),
        ({"out": ""}, "out: expected the name of a folder"),
        ({"out": "FILE"}, "out: expected a folder, got the file .*"),
        ({"out": "FILE/x"}, "cannot be written to: Not a directory"),
        ({"out": "zero\0byte"}, r"out: .*zero\\x00byte cannot be written"),
    ],
)
def test_options_are_checked_before_the_analysis(tmp_path, monkeypatch, options, told):
    written(tmp_path, TABLE).rename(tmp_path / "FILE")
    if options.get("out"):
        options = {"out": str(tmp_path / options["out"])}

    def late(*_: object, **__: object) -> None:
        raise AssertionError("the analysis began")

    monkeypatch.setattr("jessl.zoo.analysis.analyse", late)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=told):
        ZooCommand(table=str(tmp_path / "FILE"), **options).run()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_was_made_for_nothing_goes_away(tmp_path):
    (tmp_path / "kept").mkdir()
    for out in ("new/deep", "kept"):
        with pytest.raises(ValueError, match="no such file"):
            ZooCommand(table=str(tmp_path / "none.csv"), out=str(tmp_path / out)).run()
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_names_steer_no_terminal(tmp_path, capsys):
    bad = "\x1b]0;gone\x07\x9b2J\u202e"
    text = TABLE.replace("a,", f"{bad},").replace("x\n", f'"x{bad}\n y"\n')
    command = ZooCommand(table=str(written(tmp_path, text)), sections="counts,ranking,controlled")
    command.show(command.run())
    shown = capsys.readouterr()
    assert "\\x1b]0;gone\\x07" in shown.out
    assert not set("\x1b\x07\x9b\u202e") & set(shown.out + shown.err)


def test_printable():
    assert escape_control("a\nb\t\x00\x1b é 漢\u202e") == "a\\nb\\t\\x00\\x1b é 漢\\u202e"
    assert escape_control("\udcff\ud800") == "\\xff\\ud800"
