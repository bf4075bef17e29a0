"""The page of a comparison of encoders: every encoder, every number, nothing loaded or run."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.report_page import Page
from helpers.zoo_samples import EVIL
from jessl.comparison.page.answer import read_comparison
from jessl.comparison.page.page import encoders_page, write_encoders_page
from jessl.comparison.table import EncoderRow, column_agreement, rank_by_columns
from jessl.core.files import write_json
from jessl.core.image_grid import write_grid

SECTIONS = ["table", "labels", "scores", "orders", "neighbours", "reading", "about"]


def _number(value: float, half: float = 0.1) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half}


def _encoder(name: str, place: int, *, n: int = 100) -> dict[str, Any]:
    scores = {}
    for k, column in enumerate(("rankme", "normalized_rank", "lidar", "alpha_req", "twonn")):
        scores[column] = {
            **_number(10.0 * (k + 1) + place),
            "debiased": None,
            "n": n,
            "d": 20 * (place + 1),
            "params": {"source": f"someone {EVIL}"},
            "warnings": ["doubtful & so"],
        }
    labelled = {
        "error": _number(0.3 + 0.05 * place, 0.02),
        "few_shot": [{"shots": 3, **_number(0.5, 0.05)}],
        "risk": {
            key: _number(0.1 * (k + 1), 0.01)
            for k, key in enumerate(
                ("risk", "usability", "probe_generalization", "encoder_generalization")
            )
        },
    }
    return {
        "name": name,
        "encoder": f"spec of {name}",
        "slug": f"slug{place}",
        "failed": None,
        "method": None,
        "weights": "published",
        "d": 20 * (place + 1),
        "input_px": 32,
        "parameters": 1_234_567,
        "weights_mb": 4.9,
        "feature_mb_per_1000": 0.5,
        "cost": {
            "ms_per_image": 1.5,
            "low": 1.4,
            "high": 1.6,
            "batches": 3,
            "batch_size": 8,
            "device": "cpu",
            "warm": True,
        },
        "scores": scores,
        "labelled": labelled,
        "to_best": _number(0.05 * place, 0.02 if place else 0.0),
        "neighbours": f"slug{place}/neighbours.png",
        "warnings": [f"warning {place}"],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["first", EVIL, "third"]
    rows = [_encoder(name, place) for place, name in enumerate(names)]
    failed = {"name": "broken", "encoder": "broken", "slug": "b", "failed": f"no {EVIL}"}
    answer = {
        "format": "jessl.encoders",
        "version": 1,
        "settings": {
            "data": f"/data/{EVIL}",
            "images": 100,
            "of_images": 200,
            "data_checksum": "abc",
            "labelled": 100,
            "test": None,
            "views": "simclr",
            "n_views": 3,
            "view_images": 10,
            "probe": "logistic",
            "seed": 0,
        },
        "encoders": [*rows, failed],
        "orders": [
            {"column": "rankme", "names": names[::-1], "leaders": names[:0:-1]},
            {"column": "error", "names": names, "leaders": names[:1]},
        ],
        "agreement": [{"a": "rankme", "b": "error", "tau": -1.0, "n": 3}],
        "notes": [f"With labels {EVIL} wins.", "RankMe is not comparable."],
    }
    rng = np.random.default_rng(0)
    for row in rows:
        (tmp_path / row["slug"]).mkdir()
        image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        write_grid(tmp_path / row["neighbours"], [[image, image]])
    write_json(tmp_path / "encoders.json", answer)
    return tmp_path


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
        assert page.count("tr", **{"data-run": name}) == (1 if name == "broken" else 2)
    assert page.count("img") == 3
    # error, difference and 3 shots; five scores; places and tau
    assert page.count("svg") == 3 + 5 + 2
    assert all(a.get("role") == "img" and a["aria-label"] for n, a in page.elements if n == "svg")
    assert all("data-sort" in a for n, a in page.elements if n == "td")
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
    sorts = [str(a["data-sort"]) for n, a in page.elements if n == "td"]
    for row in _measured(answer):
        for score in row["scores"].values():
            assert f"{score['value']:.8g}" in sorts
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
