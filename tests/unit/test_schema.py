"""The schema of tables: what one room writes, the others read under the same names."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from helpers.report_samples import write_study
from jessl import Pretrain
from jessl.comparison.table import EncoderRow
from jessl.probes.registry import KINDS
from jessl.report import summary_rows
from jessl.risk.result import RiskDecomposition
from jessl.schema import (
    COLUMNS,
    COMPONENT_NAMES,
    RUN_FACTS,
    SUFFIXES,
    accuracy_column,
    capitalized,
    component_column,
    few_rows,
    parse_column,
    record_column,
    score_column,
    score_title,
)
from jessl.scores import SCORES
from jessl.selection.candidates import run_summaries
from jessl.selection.criteria import parse_criterion
from jessl.zoo.table import read_table

LAYERS = ("backbone", "projector", "projector.1")


def test_every_column_is_read_back_with_every_suffix() -> None:
    names = {column.name: column.kind for column in COLUMNS}
    names |= {score_column(score, layer): "score" for score in SCORES for layer in LAYERS}
    names |= {accuracy_column(probe): "accuracy" for probe in KINDS}
    names |= {component_column(name): "risk" for name in (*COMPONENT_NAMES, "total")}
    names[score_column("alpha_req:first=5:last=50", "backbone")] = "score"
    for name, kind in names.items():
        for suffix in (None, *SUFFIXES):
            parsed = parse_column(name if suffix is None else f"{name}_{suffix}", SCORES)
            assert parsed is not None, (name, suffix)
            assert (parsed.column, parsed.kind, parsed.suffix) == (name, kind, suffix)
            if kind == "score":
                assert parsed.score is not None
                assert parsed.layer is not None
                assert score_column(parsed.score, parsed.layer) == name


def test_what_is_no_measurement_is_not_taken_for_one() -> None:
    names = ("loss_weight", "accuracy_weight", "rankme_weight", "lr_n", "lidar_projectors", "lr")
    assert [name for name in (*names, *RUN_FACTS) if parse_column(name) is not None] == []
    assert parse_column("hidden_projector", SCORES) is None
    assert parse_column("hidden_projector") is not None


def test_columns_of_records_are_those_of_scores() -> None:
    assert record_column("rankme/projector.2") == score_column("rankme", "projector.2")
    on_test = [c for c in COLUMNS if c.split in ("pretrain", "test")]
    assert [c.name for c in on_test] == [record_column(c.record) for c in on_test]


def test_components_are_fields_of_a_decomposition() -> None:
    assert set(COMPONENT_NAMES) <= set(RiskDecomposition.__dataclass_fields__)


def test_what_a_report_writes_selection_and_zoo_read(tmp_path: Path) -> None:
    write_study(tmp_path)
    rows = pd.DataFrame(summary_rows(tmp_path))
    rows.to_csv(tmp_path / "table.csv", index=False)
    measured = {c for c in rows.columns if parse_column(c, SCORES) is not None}
    written = {column.name for column in COLUMNS}
    assert written <= set(rows.columns)
    assert {c for c in rows.columns if c.startswith(tuple(written))} - {"risk_merged"} <= measured
    found = run_summaries(
        tmp_path / "table.csv", [parse_criterion("rankme")], "accuracy/logistic"
    ).runs
    assert found
    assert all(set(entry.fields) & (measured | set(RUN_FACTS)) == set() for entry in found)
    models = read_table(tmp_path / "table.csv")
    assert set(models.choices) & (measured | set(RUN_FACTS)) == set()
    assert {"rankme_projector", "accuracy_logistic", "loss"} & set(models.statistics)


def test_a_table_of_encoders_has_the_columns_of_the_schema() -> None:
    value = {"value": 0.25, "low": 0.2, "high": 0.3}
    row = EncoderRow(
        name="a", encoder="a", slug="a",
        scores={"rankme": {**value, "n": 10, "d": 4}},
        labelled={
            "error": value, "params": {"kind": "knn"}, "few_shot": [{"shots": 5, **value}],
            "risk": {"merged": True, "risk": value, **dict.fromkeys(COMPONENT_NAMES, value)},
        },
        to_best=value,
    )  # fmt: skip
    flat = row.flat()
    numbers = [c for c in flat if c.startswith(("rankme", "accuracy", "risk"))]
    assert [c for c in numbers if c != "risk_merged" and parse_column(c, SCORES) is None] == []
    assert {"accuracy_knn", "accuracy_5shot_low", "accuracy_to_best", "risk_total"} <= set(numbers)


@pytest.mark.parametrize(("n", "few"), [(39, True), (40, False)])
def test_few_rows_are_fewer_than_four_a_feature(n: int, few: bool) -> None:
    assert few_rows(n, 10) is few


def test_titles_of_scores() -> None:
    titles = [score_title(name) for name in ("rankme", "alpha_req:first=5", "twonn", "idest_new")]
    assert score_title("my_scores:LARGEST_SHARE") == "LARGEST SHARE"
    assert titles == ["RankMe", "alpha-ReQ", "intrinsic dimension", "idest new"]
    assert [capitalized(t) for t in titles[1:]] == ["alpha-ReQ", "Intrinsic dimension", "Idest new"]


def test_the_schema_imports_no_torch_and_no_numpy() -> None:
    code = "import sys, jessl.schema; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_column_that_is_neither_a_fact_nor_measured_is_a_hyperparameter(tmp_path: Path) -> None:
    """`jessl select` takes every other column for one, and would split the seeds of a setting."""
    fields = {field.name for field in dataclasses.fields(Pretrain)}
    for row in summary_rows(write_study(tmp_path / "study")):
        others = [k for k in row if k not in RUN_FACTS and parse_column(k) is None]
        assert {name.partition(".")[0] for name in others} <= fields
