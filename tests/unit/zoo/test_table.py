"""Tables of models are read as they come, and what cannot be right is refused in one line."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.paths import SHARED
from helpers.report_samples import write_study
from jessl.cli.zoo import ZooCommand
from jessl.report.run_summary import summary_rows
from jessl.zoo.analysis import SECTIONS, analyse
from jessl.zoo.ranking import places, shifts
from jessl.zoo.resample import correlated, drawn, kendall_of, spearman_of
from jessl.zoo.table import COMPONENTS, SETTINGS, read_table

TWO_HEADERS = """\
,risk_decomposition,risk_decomposition,metrics,metrics,hyperparameters,metadata,statistics
,probe_gen,enc_gen,train_test,train-nperclass-3_test,objective,year,train_rank
enc,,,,,,,
one,10.5,2.0,20.0,50.0,simclr,2020,100
two,12.5,,25.0,,byol,2021,
three,8.0,-0.5,30.0,45.5,byol,2021,80
"""


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def random_models(folder: Path, n: int, seed: int, *, missing: float = 0.0) -> Path:
    """A flat table of n models in every setting; a share of all errors is missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"model": [f"m{i}" for i in range(n)]})
    for column in (*COMPONENTS, *SETTINGS.values()):
        frame[column] = rng.uniform(1, 60, n).round(2)
        frame.loc[rng.uniform(size=n) < missing, column] = np.nan
    frame["objective"] = rng.choice(["simclr", "byol", "dino"], n)
    frame["year"] = rng.choice([2020, 2021, 2022], n)
    frame["train_rank"] = rng.uniform(1, 1000, n)
    path = folder / f"random{n}_{seed}_{missing}.csv"
    frame.to_csv(path, index=False)
    return path


def test_two_header_rows(tmp_path):
    models = read_table(written(tmp_path, TWO_HEADERS))
    assert list(models.frame.index) == ["one", "two", "three"]
    assert models.components == ("probe_gen", "enc_gen")
    assert models.settings == {"full": "train_test", "3shot": "train-nperclass-3_test"}
    assert models.choices == ("objective",)
    assert models.metadata == ("year",)
    assert models.statistics == ("train_rank",)
    assert models.source["rows"] == 3
    assert models.source["missing"]["train-nperclass-3_test"] == 1
    assert np.isnan(models.frame.loc["two", "enc_gen"])
    assert models.frame.loc["three", "enc_gen"] == -0.5  # signed, never clipped


def test_the_published_table():
    path = SHARED / "zoo" / "all_results.csv"
    if not path.exists():
        pytest.skip("the table of 169 models beside the checkout (../shared/data/zoo) is not here")
    models = read_table(path)
    assert models.frame.shape == (169, 118)
    assert (models.components, models.settings) == (COMPONENTS, SETTINGS)
    assert [len(k) for k in (models.choices, models.statistics, models.metadata)] == [52, 42, 15]
    assert models.source["missing"]["usability"] == 23


@pytest.mark.parametrize("kind", ["csv", "parquet", "parquet without an index"])
def test_flat_tables_are_the_same_table(tmp_path, kind):
    models = read_table(written(tmp_path, TWO_HEADERS))
    path = tmp_path / "flat"
    if kind == "csv":
        models.frame.to_csv(path)
    elif kind == "parquet":
        models.frame.to_parquet(path)
    else:
        models.frame.reset_index().to_parquet(path)
    again = read_table(path)
    pd.testing.assert_frame_equal(again.frame, models.frame)
    for part in ("components", "settings", "choices", "statistics", "metadata"):
        assert getattr(again, part) == getattr(models, part)


def test_over_http(tmp_path):
    written(tmp_path, TWO_HEADERS)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            models = read_table(f"{address}/table.csv")
            with pytest.raises(OSError, match="404"):
                read_table(f"{address}/other.csv")
        finally:
            server.shutdown()
            thread.join()
    assert models.source["sha256"] == read_table(tmp_path / "table.csv").source["sha256"]


def test_the_table_of_a_study(tmp_path):
    rows = summary_rows(write_study(tmp_path / "study"))
    known = {r["run"]: r for r in rows if r["risk_total"] is not None}
    assert known
    pd.DataFrame(rows).to_csv(tmp_path / "study.csv", index=False)
    models = read_table(tmp_path / "study.csv")
    assert len(models.frame) == len(rows)
    assert {"objective", "lr", "batch_size"} <= set(models.choices)
    assert {"parameter", "value", "data_fingerprint"} <= set(models.metadata)
    assert "rankme_projector" in models.statistics
    assert "rankme_projector_sd" in models.metadata
    for name, row in known.items():
        assert models.frame.loc[name, "train_test"] == pytest.approx(100 * row["risk_total"])
        parts = models.frame.loc[name, list(models.components)].sum()
        assert parts == pytest.approx(100 * row["risk_total"])
    assert models.source["missing"]["train_test"] == len(rows) - len(known)
    answer = analyse(models)
    json.dumps(answer, allow_nan=False)
    assert answer["sections"]["few_shot"]["notes"]


def test_merged_usability_of_a_study(tmp_path):
    text = (
        "run,risk_total,risk_approximation,risk_usability,risk_merged\n"
        "a,.30,.10,.20,False\nb,.25,0,.25,True\n"
    )
    models = read_table(written(tmp_path, text))
    assert models.components == ("usability",)
    assert models.frame["usability"].tolist() == pytest.approx([30, 25])
    assert "approximation" in models.source["notes"][0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("model,train_test\n", "no row"),
        ("model,colour\na,red\n", "no column is a component .* it has colour"),
        ("model,train_test\na,20\nb,30\na,25\n", r"two models are called 'a' \(rows 1 and 3"),
        ("model,train_test\na,20\n,30\n", "row 2 of the table has no name"),
        ("model,train_test\na,20\nb,many\n", "train_test of model b must be a number, got 'many'"),
        ("model,train_test\na,20\nb,250\n", "train_test of model b must be in percent.* got 250"),
        ("model,train_test\na,20\nb,-inf\n", "must be in percent"),
        ("model,train_test\na,.2\nb,.3\n", "look like fractions"),
        ("model,train_test,train_test\na,20,30\n", "two columns are called 'train_test'"),
        ("model,train_test\na,20,30\n", "row 1 of the table has 3 cells, its header 2"),
        ("run,risk_usability,usability\na,.2,20\n", "mean the same"),
        ("model,train_test,train_rank\na,20,full\n", "train_rank of model a must be a number"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=told) as error:
        read_table(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="folder"):
        read_table(tmp_path)
    (tmp_path / "noise").write_bytes(b"\xff\xfe\x00\x01" * 20)
    with pytest.raises(ValueError, match="neither Parquet nor CSV"):
        read_table(tmp_path / "noise")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1" + b"x" * 50)
    with pytest.raises(ValueError, match="cannot be read"):
        read_table(tmp_path / "cut.parquet")


def test_missing_values_are_left_out_and_counted(tmp_path):
    path = random_models(tmp_path, 40, 1, missing=0.2)
    models = read_table(path)
    answer = analyse(models, sections=["components", "ranking"])
    components, ranking = (answer["sections"][k]["tables"] for k in ("components", "ranking"))
    for row in components["correlations"]["rows"]:
        pair = models.frame[[row["component"], models.settings[row["with"]]]].dropna()
        assert row["n"] == len(pair) < 40
        assert row["kendall"] == pytest.approx(stats.kendalltau(*pair.to_numpy().T).statistic)
    complete = len(models.frame[list(models.settings.values())].dropna())
    assert {r["models"] for r in ranking["agreement"]["rows"]} == {complete}
    assert {r["setting"]: r["models"] for r in ranking["best"]["rows"]} == {
        s: int(models.error(s).notna().sum()) for s in models.settings
    }


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), power=st.floats(0.3, 2))
def test_ranks_do_not_change_under_monotone_maps(tmp_path_factory, seed, power):
    folder = tmp_path_factory.mktemp("monotone")
    path = random_models(folder, 12, seed)
    frame = pd.read_csv(path)
    for column in SETTINGS.values():
        frame[column] = 100 * (frame[column] / 100) ** power
    frame.to_csv(folder / "mapped.csv", index=False)
    before, after = read_table(path), read_table(folder / "mapped.csv")
    pd.testing.assert_frame_equal(places(before), places(after))
    assert shifts(before, "full", "3shot") == shifts(after, "full", "3shot")


def test_resampled_correlations_are_those_of_the_resampled_table():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 6, 25).astype(float)  # with many equal values
    y = x + rng.normal(size=25).round(1)
    counts = drawn(25, seed=4, draws=20)
    for k, tau, rho in zip(
        counts, kendall_of(x, y, counts), spearman_of(x, y, counts), strict=True
    ):
        again = np.repeat(np.arange(25), k.astype(int))
        assert tau == pytest.approx(stats.kendalltau(x[again], y[again]).statistic)
        assert rho == pytest.approx(stats.spearmanr(x[again], y[again]).statistic)
    groups = np.repeat(list("abcde"), 5)
    together = drawn(25, seed=4, groups=groups, draws=20).reshape(20, 5, 5)
    assert (together == together[:, :, :1]).all()
    constant = correlated(np.ones(9), np.arange(9.0), seed=0)
    assert np.isnan(constant["kendall"])


def test_a_table_of_one_number_is_analysed_too(tmp_path):
    models = read_table(written(tmp_path, "model,train_test\na,20\nb,30\nc,25\n"))
    answer = analyse(models)
    assert list(answer["sections"]) == list(SECTIONS)
    assert answer["sections"]["components"]["notes"] == ["the table has no component of the error"]
    json.dumps(answer, allow_nan=False)


def test_the_command(tmp_path, capsys):
    path = random_models(tmp_path, 30, 2, missing=0.1)
    command = ZooCommand(table=str(path), out=tmp_path / "out", top=3, sections="ranking, few_shot")
    answer = command.run()
    assert list(answer["sections"]) == ["ranking", "few_shot"]
    assert json.loads((tmp_path / "out" / "zoo.json").read_text()) == answer
    for name, section in answer["sections"].items():
        for told, held in section["tables"].items():
            rows = pd.read_csv(tmp_path / "out" / f"{name}_{told}.csv")
            assert len(rows) == len(held["rows"])
    said = capsys.readouterr()
    assert said.out == ""
    assert "section 2 of 2: few shot" in said.err
    command.show(answer)
    shown = capsys.readouterr().out
    assert "30 shots" in shown
    assert "WHICH MODELS ARE BEST" in shown
    assert "None" not in shown
    assert "_" not in shown.replace(str(tmp_path), "").replace("ssl_mode", "")
    again = ZooCommand(table=str(path), top=3, sections="ranking").run()
    assert again["sections"]["ranking"] == answer["sections"]["ranking"]


def test_the_seed_is_of_the_intervals(tmp_path):
    models = read_table(random_models(tmp_path, 20, 5))
    one, same, other = (analyse(models, sections=["components"], seed=k) for k in (1, 1, 2))
    assert one == same

    def told(answer: dict, key: str) -> list[float]:
        rows = answer["sections"]["components"]["tables"]["correlations"]["rows"]
        return [row[key] for row in rows]

    assert told(one, "kendall") == told(other, "kendall")
    assert told(one, "kendall_low") != told(other, "kendall_low")


def test_mistakes_of_the_command(tmp_path):
    path = str(written(tmp_path, TWO_HEADERS))
    with pytest.raises(ValueError, match="unknown section 'rankin'; did you mean 'ranking'"):
        ZooCommand(table=path, sections="rankin").run()
    with pytest.raises(ValueError, match="sections: expected at least one"):
        ZooCommand(table=path, sections=" ,").run()
    with pytest.raises(ValueError, match="top: expected a whole number of at least 1"):
        ZooCommand(table=path, top=0).run()
    with pytest.raises(ValueError, match="out: expected a folder, got the file"):
        ZooCommand(table=path, out=Path(path)).run()
