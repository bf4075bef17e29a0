"""The page of a comparison of encoders: every encoder, every number, nothing loaded or run."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from helpers.comparison_samples import write_comparison
from helpers.report_page import Page
from helpers.zoo_samples import EVIL
from jessl.comparison.page.answer import read_comparison
from jessl.comparison.page.page import encoders_page, write_encoders_page
from jessl.comparison.table import EncoderRow, column_agreement, rank_by_columns
from jessl.core.files import write_json

SECTIONS = ["table", "labels", "scores", "orders", "neighbours", "reading", "about"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_comparison(tmp_path)


def _answer(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "encoders.json").read_text(encoding="utf-8"))


def _measured(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in answer["encoders"] if row["failed"] is None]


def test_every_encoder_and_every_section_is_there(folder: Path) -> None:
    path = write_encoders_page(folder)
    page = Page(path.read_text(encoding="utf-8"))
    assert path == folder / "encoders.html"
    assert page.sections() == SECTIONS
    for name in ("first", EVIL, "third", "broken"):
        # in the tables of all encoders, of components and of places
        assert page.count("tr", **{"data-run": name}) == (1 if name == "broken" else 3)
    assert page.count("img") == 3
    # error, difference and 3 shots; five scores
    assert page.count("svg") == 3 + 5
    # places and tau are tables
    assert page.count("table", **{"class": "matrix"}) == 2
    assert all(a.get("role") == "img" and a["aria-label"] for n, a in page.elements if n == "svg")
    for said in ("With labels", "RankMe is not comparable.", "warning 2"):
        assert said in page.text
    assert any("doubtful & so" in str(a.get("data-tip")) for _, a in page.elements)
    assert "3 of 4 encoders on 100 images" in page.text
    assert "n < 4 d" in page.text  # 100 images are fewer than 4 * 40 features


def test_names_that_hold_html_stay_text_and_nothing_is_loaded(folder: Path) -> None:
    html = write_encoders_page(folder).read_text(encoding="utf-8")
    page = Page(html)
    assert EVIL in page.text
    assert "<script>alert" not in html
    assert len(page.scripts) == len(page.styles) == 1
    targets = {str(a["id"]) for _, a in page.elements if a.get("id")}
    for name, attributes in page.elements:
        assert "style" not in attributes
        assert not any(key.startswith("on") for key in attributes)
        if "src" in attributes:
            assert name == "img"
            assert str(attributes["src"]).startswith("data:image/png;base64,")
        if "href" in attributes:
            assert str(attributes["href"]).removeprefix("#") in targets
    assert not re.search(r"(https?:|@import|url\()", html)


def test_numbers_of_the_page_are_those_of_the_file(folder: Path) -> None:
    answer = _answer(folder)
    page = Page(encoders_page(answer, folder))
    sorts = [str(a["data-sort"]) for n, a in page.elements if "data-sort" in a]
    for row in _measured(answer):
        for score in row["scores"].values():
            # the number that the interval belongs to stands first
            assert f"{score.get('debiased') or score['value']:.8g}" in sorts
        assert f"{row['labelled']['error']['value']:.8g}" in sorts
    measured = read_comparison(answer).measured
    assert [encoder.name for encoder in measured] == [row["name"] for row in _measured(answer)]
    assert "30.0 %" in page.text
    assert "5.0 points" in page.text
    assert "3.0 to 7.0" in page.text


def test_a_ring_says_that_there_are_too_few_images(folder: Path) -> None:
    answer = _answer(folder)
    few = encoders_page(answer, folder).count(" ring")
    for row in _measured(answer):
        for held in row["scores"].values():
            held["n"] = 1000
    assert few - encoders_page(answer, folder).count(" ring") == 2 * 3  # two encoders, three ranks


def test_pictures_outside_of_the_folder_and_other_files_are_left_out(folder: Path) -> None:
    answer = _answer(folder)
    outside = folder.parent / "secret.png"
    outside.write_bytes((folder / "slug0" / "neighbours.png").read_bytes())
    (folder / "slug1" / "neighbours.png").write_bytes(b"<svg>")
    answer["encoders"][0]["neighbours"] = "../secret.png"
    answer["encoders"][2]["neighbours"] = None
    page = Page(encoders_page(answer, folder))
    assert page.count("img") == 0
    assert "neighbours" not in page.sections()


def test_without_labels_and_with_almost_nothing(folder: Path) -> None:
    answer = _answer(folder)
    for row in answer["encoders"]:
        row["labelled"] = row["to_best"] = None
    answer["orders"] = answer["orders"][:1]
    page = Page(encoders_page(answer, folder))
    assert "labels" not in page.sections()
    bare = {"encoders": [{"name": "x", "failed": None}], "format": "jessl.encoders"}
    kept = copy.deepcopy(bare)
    assert Page(encoders_page(bare, folder)).sections() == ["table", "about"]
    assert bare == kept


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no file .*encoders\.json"):
        write_encoders_page(tmp_path)
    write_json(tmp_path / "encoders.json", {"format": "other"})
    with pytest.raises(ValueError, match="expected a comparison of encoders"):
        write_encoders_page(tmp_path)


def test_orders_and_agreement_follow_their_rules() -> None:
    def row(name: str, rankme: float, alpha: float, twonn: float) -> EncoderRow:
        values = {"rankme": rankme, "alpha_req": alpha, "twonn": twonn}
        scores = {k: {"value": v, "low": v - 0.1, "high": v + 0.1} for k, v in values.items()}
        return EncoderRow(name=name, encoder=name, slug=name, scores=scores)

    rows = [row("a", 3.0, 2.0, 1.0), row("b", 2.95, 0.9, 2.0), row("c", 1.0, 1.2, 3.0)]
    orders = {order.column: order for order in rank_by_columns(rows)}
    assert orders["rankme"].names == ("a", "b", "c")
    assert orders["rankme"].leaders == ("a", "b")
    assert orders["alpha_req"].names == ("b", "c", "a")
    assert orders["twonn"].names == ("a", "b", "c")
    assert orders["twonn"].leaders == ("a",)
    taus = {(pair.a, pair.b): pair.tau for pair in column_agreement(rows)}
    assert taus["rankme", "twonn"] == pytest.approx(1.0)
    assert taus["rankme", "alpha_req"] == pytest.approx(-1 / 3)
    assert column_agreement(rows[:2]) == ()
