"""`jessl embed --csv --parquet`, and commands on tables of other tools."""

import json

import numpy as np
import pandas as pd
import pytest

from jessl import Embeddings
from jessl.cli import main

EMBED = ["embed", "smallconv:8", "--init", "random", "--size", "8", "--data", "digits"]


def test_tables_beside_embeddings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*EMBED, "--out", "z", "--csv", "z.csv", "--parquet", "z.parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tables"] == ["z.csv", "z.parquet"]
    z = Embeddings.load("z")
    for name in ("z.csv", "z.parquet"):
        back = Embeddings.load(name)
        np.testing.assert_array_equal(back.features, z.features)
        assert list(back.names) == list(z.names) == [str(k) for k in range(1797)]
        np.testing.assert_array_equal(back.labels, z.labels)
    frame = pd.read_parquet("z.parquet").rename(columns=lambda c: f"emb_{c}" if c[0] == "f" else c)
    frame.rename(columns={"label": "kind"}).to_csv("other.csv", index=False)
    options = ["--features-columns", "emb_f*", "--label-column", "kind", "--kind", "ridge"]
    assert main(["probe", "--train", "other.csv", "--test", "other.csv", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["all"]["accuracy"] > 0.5
    assert main(["score", "other.csv", "z", "--json"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--csv", "old.csv"], "csv: old.csv exists"),
        (["--csv", "z.txt"], "csv: expected a file that ends in .csv, got z.txt"),
        (["--parquet", "z.csv"], "parquet: expected a file that ends in .parquet"),
    ],
)
def test_mistakes_are_one_line_before_any_work(tmp_path, monkeypatch, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.csv").write_text("x")
    assert main([*EMBED, "--out", "z", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "z").exists()
