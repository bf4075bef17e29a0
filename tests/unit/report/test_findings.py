"""What a report tells: tables, choices, conventions, settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.report_page import chosen_names, page
from helpers.report_samples import write_run, write_study
from jessl import records
from jessl.core.files import read_json, write_json
from jessl.records import Record
from jessl.report import as_markdown, summary_rows, write_report


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("report") / "study")
    write_report(folder)
    return folder


def test_the_report_imports_no_torch(study: Path) -> None:
    code = (
        "import sys; from jessl.report import write_report;"
        "loaded = lambda names: sorted({m.split('.')[0] for m in sys.modules} & names);"
        "print(loaded({'torch', 'numpy', 'scipy', 'plotly'})); write_report(sys.argv[1]);"
        "print(loaded({'torch', 'plotly', 'pandas'}))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(study)], capture_output=True, text=True, check=True
    )
    # Spearman's correlation is scipy's, which the scatter of a study loads
    assert ran.stdout.split() == ["[]", "[]"]


def test_markdown_has_a_cell_for_every_column(study: Path) -> None:
    rows = summary_rows(study)
    assert len(rows) == 16
    assert [row["run"] for row in rows if row["chosen"]] == chosen_names(study)
    lines = as_markdown(rows).splitlines()
    assert len(lines) == 18
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines if "✓" in line] == chosen_names(study)
    assert json.dumps(rows)
    assert as_markdown([]) == "no runs\n"


def test_the_table_escapes_what_ends_a_cell(tmp_path: Path) -> None:
    write_json(
        tmp_path / "study.json",
        {"groups": [{"method": "a|b\nc", "runs": [{"name": "x|y", "value": None}]}]},
    )
    lines = as_markdown(summary_rows(tmp_path)).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| x\\|y | a\\|b c |")


def test_the_criterion_of_a_study_may_be_any_score(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    write_json(tmp_path / "study.json", {"criterion": "lidar/backbone"})
    records.append(
        tmp_path / "runs" / "a",
        [Record(run="a", name="lidar/backbone", value=7.5, split="pretrain")],
    )
    assert summary_rows(tmp_path)[0]["lidar_backbone"] == 7.5
    assert "LiDAR at the backbone output" in page(tmp_path).text


def test_writing_again_replaces_the_report(study: Path) -> None:
    before = (study / "report.html").read_bytes()
    assert write_report(str(study)) == study / "report.html"
    assert (study / "report.html").read_bytes() == before
    assert read_json(study / "study.json")["name"] == "digits-demo"
    assert not list(study.glob(".*.part"))


def test_a_long_name_of_a_parameter_leaves_the_values_legible(tmp_path: Path) -> None:
    name = "projector_hidden_dimensions"
    runs = []
    for value in (256, 1024):
        run = f"wide-{value}"
        write_run(tmp_path / "runs" / run)
        runs.append({"name": run, "value": value, "seed": 0})
    groups = [{"method": "vicreg", "parameter": name, "runs": runs, "chosen": 1024}]
    write_json(tmp_path / "study.json", {"groups": groups})
    found = page(tmp_path)
    # wide and narrow: heading of the ranking and of the risk
    assert found.text.count(f"vicreg {name}") == 4
    assert "1024  ✓ chosen" in found.text
    assert found.text.count("1024, seed 0") >= 2
    assert f"{name[:8]}…" not in found.text


def test_the_chosen_run_of_every_group_is_marked(study: Path) -> None:
    found = page(study)
    chosen = chosen_names(study)
    assert len(chosen) == 2
    marked = [
        a["data-run"] for name, a in found.elements if name == "tr" and a.get("class") == "chosen"
    ]
    assert marked == chosen
    # in the scatter and in the ranking, each wide and narrow; the ranking has two columns
    assert found.count("circle", **{"class": "halo"}) == 2 * 2
    picked = [a["data-run"] for _, a in found.elements if "ring hot picked" in str(a.get("class"))]
    assert sorted(picked) == sorted(chosen * 4)
    assert found.text.count("✓ chosen") == 2
    assert f"All settings of {chosen[1]}" in found.text
    assert f"Shown for the run {chosen[0]}." in found.text


def test_a_choice_that_is_not_told_is_derived(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    told = read_json(folder / "study.json")
    chosen = chosen_names(folder)
    for group in told["groups"]:
        del group["chosen_run"]
    # the run whose pictures are shown is marked by nothing
    told["chosen_run"] = "simclr-temperature0.5-s0"
    write_json(folder / "study.json", told)
    assert [row["run"] for row in summary_rows(folder) if row["chosen"]] == chosen
    assert "Shown for the run simclr-temperature0.5-s0." in page(folder).text
    # without any choice in the groups it is all that there is
    for group in told["groups"]:
        del group["chosen"]
    write_json(folder / "study.json", told)
    assert [row["run"] for row in summary_rows(folder) if row["chosen"]] == [told["chosen_run"]]
    del told["chosen_run"]
    write_json(folder / "study.json", told)
    assert not any(row["chosen"] for row in summary_rows(folder))
    assert "Chosen" not in as_markdown(summary_rows(folder))
    assert "chosen run" not in page(folder).text


def test_only_open_settings_are_marked_as_picked(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "alone")
    told = read_json(folder / "config.json")
    decided = told["chosen"]["config"]
    left_open = [k for k, v in decided.items() if v is not None and told.get(k) is None]
    assert len(left_open) > 5
    settings = page(folder).text.split("All settings of alone")[1].split("All numbers")[0]
    requested, facts = settings.split("Determined before the training")
    assert requested.count("set automatically") == len(left_open)
    assert "device" in requested
    assert "0123456789abcdef" in facts
    assert "automatically" not in facts


@pytest.mark.parametrize("nested", [True, False])
def test_the_convention_of_the_risk_is_told_in_full(tmp_path: Path, nested: bool) -> None:
    params = {
        "probe": "logistic",
        "C": 10.0,
        "regularisation": "chosen on train",
        "estimator": "crossfit",
        "folds": 5,
        "n_sub": None,
        "train_rows": 40,
        "test_rows": 10,
        "interval": "percentiles",
    }
    extra = {"merged": True, "order": "union", **({"params": params} if nested else params)}
    write_json(tmp_path / "config.json", {})
    records.append(
        tmp_path, [Record(run="r", name="risk/total", value=0.1, split="test", extra=extra)]
    )
    assert (
        "Convention: order union; estimator crossfit with 5 folds; probe logistic; C 10; "
        "regularisation chosen on train; 40 rows to train and 10 to test; intervals: percentiles."
    ) in page(tmp_path).text


def test_runs_with_other_hyperparameters_are_counted(study: Path, tmp_path: Path) -> None:
    for place, c in enumerate((1.0, 1.0, 10.0)):
        name = f"a{place}"
        write_json(tmp_path / "runs" / name / "config.json", {"objective": "vicreg"})
        extra = {"params": {"kind": "logistic", "C": c}}
        made = Record(run=name, name="accuracy/logistic", value=0.9, split="test", extra=extra)
        records.append(tmp_path / "runs" / name, [made])
    write_json(tmp_path / "study.json", {})
    assert "Accuracy: logistic; C 1 (2 runs), 10 (a2)." in page(tmp_path).text


def test_usability_without_a_twin_is_named_with_approximation(study: Path, tmp_path: Path) -> None:
    found = page(study)
    alone = re.sub("approximation and usability", "", found.text, flags=re.IGNORECASE)
    assert "usability" not in alone.lower()
    heads = found.text.split("All numbers")[-1]
    assert "Approximation and usability" in heads
    for merged in (True, False):
        write_run(tmp_path / "runs" / f"merged-{merged}", merged=merged)
    write_json(tmp_path / "study.json", {})
    found = page(tmp_path)
    tips = [str(a["data-tip"]) for _, a in found.elements if "data-tip" in a]
    assert any(t.startswith("merged-True: approximation and usability") for t in tips)
    assert any(t.startswith("merged-False: usability") for t in tips)
    assert not any(t.startswith("merged-True: approximation ") and "and" not in t for t in tips)
    assert [row["risk_merged"] for row in summary_rows(tmp_path)] == [False, True]


def test_runs_judged_on_both_splits_have_panels_for_both(tmp_path: Path) -> None:
    for name, in_study in (("out", False), ("in", True)):
        write_run(tmp_path / "runs" / name, in_study=in_study)
    write_json(tmp_path / "study.json", {})
    found = page(tmp_path)
    assert "vicreg: RankMe, projector, held-out images" in found.text
    assert "vicreg: RankMe, projector, training images" in found.text
    assert "where the title of a panel says training images" in found.text
