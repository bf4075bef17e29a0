"""The report: one file that needs no network, whatever the folder holds or lacks."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest

from helpers.report_page import SECTIONS, Page, page
from helpers.report_samples import picture, write_run, write_study
from jessl import records
from jessl.core.files import write_json
from jessl.records import Record
from jessl.report import as_markdown, summary_rows, write_report

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_study(tmp_path_factory.mktemp("report") / "study")
    write_report(folder)
    return folder


def test_a_study_has_every_section_and_figure(study: Path) -> None:
    found = page(study)
    assert found.sections() == SECTIONS
    # three figures in two widths, 2 methods x (loss, RankMe) and x (projector, backbone)
    assert found.count("svg") == 3 * 2 + 4 + 4
    assert found.count("img") == 2
    assert "RankMe chose configurations within" in found.text
    assert found.count("tr", **{"data-run": "simclr-temperature0.5-s1"}) == 1
    assert "the rank is near its cap (64 dimensions) (vicreg-cov16-s0" in found.text


def test_one_file_that_reaches_for_nothing(study: Path) -> None:
    path = study / "report.html"
    assert path.stat().st_size < 8_000_000
    html = path.read_text(encoding="utf-8")
    outside = re.sub(r"base64,[A-Za-z0-9+/=]*", "", html)
    assert not re.search(r"(https?:|src=.|href=.)//", outside)
    found = Page(html)
    assert len(found.scripts) == len(found.styles) == 1
    for _, attributes in found.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "data", "action", "srcset", "poster"}:
                assert str(value).startswith(("data:image/png;base64,", "#"))
    for word in (
        "http",
        "import(",
        "fetch",
        "XMLHttp",
        "WebSocket",
        "eval",
        "Function(",
        "@import",
    ):
        assert word not in found.scripts[0] + found.styles[0]
    assert "url(" not in found.styles[0]


def test_the_policy_allows_this_script_and_style_only(study: Path) -> None:
    found = page(study)
    policy = next(str(a["content"]) for _, a in found.elements if a.get("http-equiv") is not None)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for text in (found.scripts[0], found.styles[0]):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    # a style attribute would be blocked by the policy
    assert not any("style" in attributes for _, attributes in found.elements)


def test_strings_from_data_stay_text(tmp_path: Path) -> None:
    quoted = f"\"'>{EVIL}"
    write_json(
        tmp_path / "study.json",
        {
            "name": EVIL,
            "title": quoted,
            "data": {"name": EVIL, "image": quoted},
            "groups": [
                {
                    "method": quoted,
                    "parameter": EVIL,
                    "runs": [{"name": EVIL, "value": quoted, "seed": 0}],
                    "chosen": quoted,
                    "verdict": EVIL,
                }
            ],
            "baselines": {EVIL: 0.9},
            "chosen_run": EVIL,
            "findings": [EVIL, quoted],
            "hardware": EVIL,
            "versions": EVIL,
            "command": EVIL,
        },
    )
    told = {"warnings": [EVIL], "order": EVIL, "probe": quoted}
    records.append(
        tmp_path,
        [
            Record(run=EVIL, name="rankme/projector", value=9.0, split="pretrain", extra=told),
            Record(run=EVIL, name="accuracy/logistic", value=0.9, split="test"),
            Record(run=EVIL, name="risk/usability", value=0.1, split="test", extra=told),
            Record(run=EVIL, name="risk/total", value=0.1, split="test", extra=told),
            Record(run=EVIL, name="loss", value=1.0, step=1),
            Record(run=EVIL, name="loss", value=0.5, step=2),
        ],
    )
    html = write_report(tmp_path).read_text(encoding="utf-8")
    found = Page(html)
    assert html.count("<script") == 1
    assert html.count("</script") == 1
    assert found.count("script") == 1
    assert found.text.count(EVIL) >= 10
    assert "alert(1)" not in found.scripts[0]
    assert found.count("tr", **{"data-run": EVIL}) == 1
    assert {"ranking", "scatter", "training", "risk"} <= set(found.sections())
    assert "\\<script>" in as_markdown(summary_rows(tmp_path))


def test_a_run_has_its_parts(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "alone", merged=False)
    picture(folder / "views.png", 4, 2)
    found = page(folder)
    assert found.sections() == ["risk", "training", "views", "spectra", "what", "table"]
    assert "loss: covariance" in found.text
    assert "smallconv:32" in found.text
    assert "RankMe and accuracy during training come from held-out images." in found.text
    assert "there is no neighbours.png" in found.text
    assert "approximation and usability" not in found.text.lower()


def test_a_run_without_labels_says_nothing_of_accuracy(tmp_path: Path) -> None:
    found = page(write_run(tmp_path / "alone", labels=False))
    assert found.sections() == ["training", "spectra", "what", "table"]
    assert "Risk components: no decomposition was recorded." in found.text
    assert "Accuracy" not in found.text.replace("Accuracies and risks", "")


def test_a_study_without_labels_still_ranks(tmp_path: Path) -> None:
    found = page(write_study(tmp_path / "study", labels=False))
    assert "scatter" not in found.sections()
    assert found.sections()[0] == "ranking"
    assert "No labels were revealed" in found.text
    assert "None" not in found.text


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"groups": []},
        {"groups": [{}]},
        {"groups": [{"runs": [{"name": "gone"}]}], "chosen_run": "gone"},
        {"groups": [{"runs": [{"name": "../../elsewhere", "value": None}], "configs": [{}]}]},
        {"data": {}, "baselines": None, "findings": None, "seconds": None, "seeds": None},
    ],
)
def test_missing_parts_are_said_in_a_line(tmp_path: Path, told: dict[str, object]) -> None:
    write_json(tmp_path / "study.json", told)
    found = page(tmp_path)
    assert "what" in found.sections()
    assert "The ranking: no run has a value of the criterion yet." in found.text
    assert "Training curves: the records hold no finite losses." in found.text


def test_an_empty_records_file_and_an_empty_config(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    (tmp_path / "records.jsonl").write_text("")
    found = page(tmp_path)
    assert found.sections() == ["what", "table"]
    row = summary_rows(tmp_path)[0]
    assert row["loss"] is None
    assert row["rankme_projector"] is None


def test_a_name_that_climbs_out_of_the_study_is_not_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "secret")
    (tmp_path / "study" / "runs").mkdir(parents=True)
    write_json(
        tmp_path / "study" / "study.json",
        {"groups": [{"method": "m", "runs": [{"name": "../../secret", "value": 1.0}]}]},
    )
    assert summary_rows(tmp_path / "study")[0]["loss"] is None


def test_losses_that_are_no_numbers_leave_a_gap_and_a_warning(tmp_path: Path) -> None:
    values = [3.0, 2.0, float("nan"), float("inf"), 1.5, 1.2]
    write_json(tmp_path / "config.json", {"objective": "vicreg"})
    records.append(
        tmp_path, [Record(run="r", name="loss", value=v, step=i) for i, v in enumerate(values)]
    )
    found = page(tmp_path)
    lines = [str(a["d"]) for _, a in found.elements if a.get("class") == "line m0 edge"]
    assert [line.count("M") for line in lines] == [2]
    assert "not a finite number in part of the training" in found.text
    assert "(from step 2)" in found.text
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'"[^"]*\b(nan|inf)\b[^"]*"', html.split("<main>")[1].split("<script")[0])


def test_a_study_of_one_run(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "only")
    write_json(tmp_path / "study.json", {"name": "one"})
    found = page(tmp_path)
    assert found.sections()[0] == "ranking"
    assert "scatter" in found.sections()
    assert "Spearman ρ" not in found.text.split("Every mark is a run")[0]
    assert "only" in found.text


def test_records_of_the_study_and_of_its_runs_are_merged(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", labels=False)
    write_json(
        tmp_path / "study.json",
        {"groups": [{"method": "vicreg", "parameter": "cov", "runs": [{"name": "a", "value": 4}]}]},
    )
    records.append(
        tmp_path, [Record(run="a", name="accuracy/logistic", value=0.875, low=0.85, split="test")]
    )
    row = summary_rows(tmp_path)[0]
    assert row["accuracy_logistic"] == 0.875
    assert row["accuracy_logistic_low"] == 0.85
    assert row["rankme_projector_n"] == 1437
    assert row["rankme_projector"] == pytest.approx(41.7, abs=2)


def test_negative_components_go_below_zero(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "alone")
    found = page(folder)
    row = summary_rows(folder)[0]
    assert row["risk_encoder_generalization"] < 0
    # the narrow and the wide figure: bars of the negative part end where the others begin
    bars = {
        kind: [a for name, a in found.elements if name == "rect" and a.get("class", "") == kind]
        for kind in ("k1 fill part hot", "k3 fill part hot")
    }
    for up, down in zip(*bars.values(), strict=True):
        end = float(down["x"] or 0) + float(down["width"] or 0)
        assert end == pytest.approx(float(up["x"] or 0), abs=0.3)
        assert float(down["width"] or 0) > 3


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"GIF89a", "is not a PNG file"), (b"\x89PNG\r\n\x1a\n" + bytes(2_600_000), "has 2.6 MB")],
)
def test_pictures_that_do_not_fit_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    write_json(tmp_path / "config.json", {})
    (tmp_path / "views.png").write_bytes(content)
    found = page(tmp_path)
    assert found.count("img") == 0
    assert said in found.text


def test_neither_run_nor_study_is_a_users_mistake(tmp_path: Path) -> None:
    for call in (write_report, summary_rows):
        with pytest.raises(ValueError, match=r"neither a run .* nor a study"):
            call(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "study.json").write_text("[]")
    with pytest.raises(ValueError, match=r"study.json: expected a JSON object, got a list"):
        write_report(tmp_path)
