"""The report of what the real code writes: a whole study, tiny, and a run of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.report_page import SECTIONS, page
from helpers.report_samples import write_study
from jessl import records
from jessl.core.files import read_json
from jessl.records import PRETRAIN_SAMPLE
from jessl.report import summary_rows


@pytest.fixture(scope="module")
def real(demo_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: reports are written into it."""
    folder = tmp_path_factory.mktemp("real") / "s"
    shutil.copytree(demo_study / "study", folder)
    return folder


def test_a_real_study_has_every_section(real: Path) -> None:
    found = page(real)
    assert found.sections() == ["few", *SECTIONS[:-3], "map", *SECTIONS[-3:]]
    assert "None" not in found.text
    # the sample that was measured during training was trained on
    assert "held-out" not in found.text
    said = "the images that view retrieval and RankMe during training come from are trained on"
    assert said in found.text


def test_the_chosen_runs_of_both_methods_are_marked(real: Path) -> None:
    found = page(real)
    study = read_json(real / "study.json")
    chosen = [group["chosen_run"] for group in study["groups"]]
    assert [name.split("-")[0] for name in chosen] == ["vicreg", "simclr"]
    marked = [
        a["data-run"] for name, a in found.elements if name == "tr" and a.get("class") == "chosen"
    ]
    # the table of few labels, then that of all runs
    assert marked == [study["chosen_run"], *chosen]
    assert [row["run"] for row in summary_rows(real) if row["chosen"]] == chosen
    assert found.count("circle", **{"class": "halo"}) == 2 * len(chosen)


def test_the_convention_of_the_risk_is_told(real: Path) -> None:
    told = page(real).text.split("sum to the total. Convention: ")[1]
    assert told.startswith("order published; estimator crossfit with 10 folds; probe logistic; C ")
    for part in ("regularisation chosen once on train", "rows to train and", "intervals: perc"):
        assert part in told


def test_a_real_run_alone(real: Path, tmp_path: Path) -> None:
    name = read_json(real / "study.json")["chosen_run"]
    shutil.copytree(real / "runs" / name, tmp_path / name)
    found = page(tmp_path / name)
    assert found.sections()[:2] == ["risk", "training"]
    assert "held-out" not in found.text
    assert "trained on as well" in found.text
    facts = found.text.split("Determined before the training")[1]
    assert "data_fingerprint" in facts
    assert "automatically" not in facts


def test_the_samples_have_the_form_of_the_real_thing(real: Path, tmp_path: Path) -> None:
    """Whatever the samples tell, the real code tells under the same names."""
    sample = write_study(tmp_path / "study")
    told, known = (read_json(folder / "study.json") for folder in (sample, real))
    assert told.keys() <= known.keys()
    assert told["baselines"].keys() == known["baselines"].keys()
    for mine, theirs in zip(told["groups"], known["groups"], strict=True):
        # studies of an earlier demo list their settings; of others they follow from the runs
        assert mine.keys() - {"configs"} <= theirs.keys()
        assert mine["runs"][0].keys() <= theirs["runs"][0].keys()
        config, real_config = (
            read_json(folder / "runs" / group["chosen_run"] / "config.json")
            for folder, group in ((sample, mine), (real, theirs))
        )
        assert config.keys() == real_config.keys()
        assert config["chosen"].keys() <= real_config["chosen"].keys()
        assert config["chosen"]["config"].keys() == real_config["chosen"]["config"].keys()
        form = _form(sample / "runs" / mine["chosen_run"])
        real_form = _form(real / "runs" / theirs["chosen_run"])
        # the error of one run is explained, that of the better method
        explained = theirs["chosen_run"] == known["chosen_run"]
        form = {key: one for key, one in form.items() if explained or "risk/" not in key[1]}
        assert form.keys() == real_form.keys()
        assert (PRETRAIN_SAMPLE, "rankme/projector") in form
        for key, (filled, extra, params) in form.items():
            real_filled, real_extra, real_params = real_form[key]
            assert filled == real_filled, key
            assert extra == real_extra, key
            assert params <= real_params, key


def _form(folder: Path) -> dict[tuple[str, str], tuple[set[str], set[str], set[str]]]:
    """Split and name of a record -> which fields, and which parts of extra and params, it has."""
    found = {}
    for record in records.read(folder):
        fields: dict[str, Any] = vars(record)
        filled = {name for name, value in fields.items() if value not in (None, "", {})}
        params = record.extra.get("params") or {}
        found[record.split, record.name] = (filled, set(record.extra), set(params))
    return found
