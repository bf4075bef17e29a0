"""Which number stands first on a page, in which unit, and where its interval lies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.report_page import page
from helpers.report_samples import picture, write_run, write_study
from jessl import records
from jessl.comparison.page.answer import ColumnOrder, ComparisonData, EncoderData
from jessl.comparison.page.orders import rank_matrix
from jessl.core.files import read_json, write_json
from jessl.core.png_headings import png_headings
from jessl.report import write_report
from jessl.report.charts.stacks import Part, Stack, StackGroup, Total, stacked_bars
from jessl.report.charts.svg import WIDE
from jessl.report.criterion import criterion_title, format_criterion
from jessl.report.pages.points_table import points_table
from jessl.report.pages.run import report_page
from jessl.report.reading import read_report


def test_the_first_tile_of_a_run_is_view_retrieval(tmp_path: Path) -> None:
    content = report_page(read_report(write_run(tmp_path / "run")))
    assert [card.heading for card in content.cards][:3] == [
        "View retrieval, backbone",
        "RankMe, projector",
        "RankMe, backbone",
    ]
    assert content.cards[0].value == "20.0 %"
    pairs = dict(content.cards[0].pairs)
    assert pairs["untrained"].endswith(" %")
    assert pairs["other images"] == "500"


def test_the_number_of_a_tile_lies_in_its_interval(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    record = next(r for r in reversed(records.read(run)) if r.name == "rankme/projector")
    corrected = record.extra["debiased"] + 5
    moved = {"low": corrected - 0.5, "high": corrected + 0.5}
    changed = vars(record) | moved | {"extra": {**record.extra, "debiased": corrected}}
    records.append(run, [type(record)(**changed)])
    report = report_page(read_report(run))
    card = report.cards[1]
    low, high = map(float, dict(card.pairs)["95 % interval"].split(" to "))
    assert low <= float(card.value) <= high
    assert float(dict(card.pairs)["as published"]) < low
    assert "published" in page(run).text.split("All numbers")[1]


def test_what_decides_is_drawn_first_and_spread_is_folded(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path / "run")).read_text(encoding="utf-8")
    titles = re.findall(r'<text x="0" y="16" class="strong">([^<]*)', html)
    assert titles[0] == "view retrieval, held-out images, %"
    assert titles[1].startswith("RankMe, projector")
    assert titles.index("spread, projector") > titles.index("loss")


def test_a_study_draws_its_criterion_in_percent(tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", labels=False)
    told = read_json(study / "study.json")
    write_json(study / "study.json", {**told, "criterion": "view_retrieval/backbone"})
    html = write_report(study).read_text(encoding="utf-8")
    assert "view_retrieval" not in re.sub(r"<script.*?</script>|data-\S*", "", html, flags=re.S)
    assert "view retrieval at the backbone output, %" in html
    assert "vicreg: view retrieval, training images, %" in html


@pytest.mark.parametrize(
    ("criterion", "value", "sd", "text", "title"),
    [
        ("view_retrieval/backbone", 0.0259, 0.0014, "2.59 ± 0.14 %", "view retrieval"),
        ("rankme/projector", 41.7, 0.8, "41.7 ± 0.8", "RankMe"),
        ("lidar:delta=1e-4/backbone", None, None, "–", "LiDAR"),
    ],
)
def test_a_criterion_is_written_in_its_unit(
    criterion: str, value: float | None, sd: float | None, text: str, title: str
) -> None:
    assert format_criterion(criterion, value, sd) == text
    assert criterion_title(criterion, short=True) == title


def test_headings_of_a_picture_are_text_on_the_page(tmp_path: Path) -> None:
    import numpy as np

    from jessl.core.image_grid import write_grid

    run = write_run(tmp_path / "run")
    row = [np.zeros((4, 4, 3), np.uint8)] * 2
    file = run / "views.png"
    write_grid(file, [row], columns=("image", "view 1"), headings_as_text=True)
    assert png_headings(file.read_bytes()) == ["image", "view 1"]
    html = write_report(run).read_text(encoding="utf-8")
    assert "<span>image</span><span>view 1</span>" in html
    # of older runs they are drawn in the picture
    picture(file, 2, 1)
    assert png_headings(file.read_bytes()) == []
    assert '<div class="heads"' not in write_report(run).read_text(encoding="utf-8")


@pytest.mark.parametrize("data", [b"", b"<svg>", b"\x89PNG\r\n\x1a\n" + b"\xff" * 40])
def test_a_damaged_picture_has_no_headings(data: bytes) -> None:
    assert png_headings(data) == []


def test_encoders_that_cannot_be_told_from_the_first_share_its_place() -> None:
    encoders = [EncoderData(name, name, "m0") for name in "abc"]
    order = ColumnOrder("twonn", ["a", "b", "c"], ["a", "b"])
    drawn = str(rank_matrix(ComparisonData(encoders, [order], {}, [], {})))
    assert re.findall(r'data-tip="[^"]*">([^<]*)<', drawn) == ["1=", "1=", "3"]


def test_intervals_lie_below_their_bars() -> None:
    parts = [Part(2.0, "k0", "", 1.0, 3.0), Part(1.0, "k1", "", 0.0, 2.0)]
    stack = Stack("a", parts, "3", Total(3.0, "", 2.0, 4.0))
    drawn = str(stacked_bars([StackGroup("g", [stack])], "", "", WIDE))
    bottoms = [
        float(y) + float(h) for y, h in re.findall(r' y="([\d.]+)" [^>]*height="(\d+)"', drawn)
    ]
    levels = [
        float(y)
        for y in re.findall(r'y1="([\d.]+)"[^>]*class="(?:k\d edge interval|total)"', drawn)
    ]
    assert len(levels) == len(set(levels)) == 3
    assert min(levels) > max(bottoms)


def test_a_table_of_points_has_ten_places_and_the_last_among_them() -> None:
    line = [(float(k), None if k == 3 else k / 7) for k in range(1, 100)]
    table = points_table([("a", line), ("b", line[:5])], "Curve", "epoch")
    assert table is not None
    titles = [column.title for column in table.columns]
    assert (titles[0], titles[1], titles[-1], len(titles)) == ("Curve", "epoch 1", "epoch 99", 11)
    assert table.rows[0].cells[-1].text == "14.1"
    assert table.rows[1].cells[-1].text == "–"
    assert points_table([("a", [(1.0, None)])], "Curve", "epoch") is None
