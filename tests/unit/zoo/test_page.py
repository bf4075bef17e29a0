"""The page of jessl zoo: whole, escaped, and true to the numbers of the answer."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.paths import SHARED
from helpers.report_page import Page
from helpers.zoo_samples import EVIL, table_section, zoo_answer
from jessl.cli.zoo import ZooCommand
from jessl.zoo.analysis import analyse
from jessl.zoo.page.page import HEADS, findings, zoo_page
from jessl.zoo.table import read_table


def test_every_section_is_drawn_and_every_row_is_there() -> None:
    answer = zoo_answer()
    page = Page(zoo_page(answer))
    heads = [str(i) for i in range(len(HEADS))]
    assert page.sections() == [*(f"part{i}" for i in heads), "about"]
    # wide: stacks, correlations, controlled, linear, slopes; slim: two columns of effects each and
    # four of correlations; panels: 4 of SHAP, 2 of R2, 2 laws, 2 of transfer
    assert page.count("svg") == 5 + (1 + 4 + 2 + 2 + 1) + (4 + 2 + 2 + 2)
    assert all(a.get("role") == "img" and a["aria-label"] for n, a in page.elements if n == "svg")
    tables = [t for s in answer["sections"].values() for t in s["tables"].values()]
    assert page.count("details") == page.count("table") == len(tables)
    assert page.count("tr") == len(tables) + sum(len(t["rows"]) for t in tables)
    # what the sorting script reads
    assert all("data-sort" in a for name, a in page.elements if name == "td")
    assert page.count("li") > len(answer["sections"])


def test_names_that_hold_html_stay_text_and_nothing_is_loaded() -> None:
    html = zoo_page(zoo_answer())
    page = Page(html)
    assert EVIL in page.text
    assert "<script>alert" not in html
    assert len(page.scripts) == len(page.styles) == 1
    content = next(str(a["content"]) for _, a in page.elements if a.get("http-equiv") is not None)
    assert content.startswith("default-src 'none'")
    for text in (page.scripts[0], page.styles[0]):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in content
    targets = {str(a["id"]) for _, a in page.elements if a.get("id")}
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        if "href" in attributes:
            assert str(attributes["href"]).removeprefix("#") in targets
    assert not re.search(r"(https?:|@import|url\()", html)


def test_headlines_are_the_numbers() -> None:
    told = findings(zoo_answer())
    first = told[0]
    # ln 2 times -4 and 3: what a doubling changes
    assert "doubling z_dim moves usability by −2.8 and probe gen. by +2.1 points" in first
    assert f"{EVIL} {EVIL} instead of resnet moves usability by +9.0 points" in first
    assert "nviews" not in first  # its permutation test does not agree
    assert "n_parameters" not in first  # its interval holds 0
    assert told[1].startswith("Doubling z_dim lowers usability error and raises probe gen. error")
    assert "does not measurably change (−0.069 points, 95 %: −0.35 to 0.21)" in told[1]
    assert "confirms 1 of the 2 that it estimates: z_dim on usability. 5 controlled" in told[2]
    assert "usability 0.60 on random folds, −1.50 on an unseen year" in told[3]
    assert "usability from 9.5 to −0.5" in told[4]
    assert "probe generalization is the largest component" in told[4]
    assert "with all labels probe generalization (tau +0.50) and usability (tau +0.40)" in told[5]
    assert "Kendall's tau 0.20, on average 2.5 ranks of 6 apart" in told[6]
    assert "from rank 1 to 6" in told[6]
    assert "R² 0.70 (2022 held out) to 0.90 (2021); the standard law with −3.2 to −3.0" in told[7]


def test_wide_intervals_do_not_flatten_and_are_cut_with_an_arrow() -> None:
    answer = zoo_answer()
    effects = answer["sections"]["controlled"]["tables"]["effects"]["rows"]
    answer["sections"] = {"controlled": answer["sections"]["controlled"]}
    arrows = Page(zoo_page(answer)).count("polygon")
    # two ends of one interval, on the wide and on the slim drawing
    assert arrows == 4
    effects[4] |= {"low": 0.5, "high": 1.5}
    assert Page(zoo_page(answer)).count("polygon") == 0


def test_nothing_at_all_is_a_page_too() -> None:
    assert Page(zoo_page({})).sections() == ["about"]
    source = {"name": "t.csv", "rows": 3}
    page = Page(zoo_page({"source": source, "sections": {}, "left_out": ["trees"]}))
    assert "Models: 3." in page.text
    assert "trees: xgboost is not installed" in page.text
    unknown = {"sections": {"new_one": table_section(rows=[{"a": 1.5}])}}
    assert "New one" in Page(zoo_page(unknown)).text


@pytest.mark.parametrize("name", list(HEADS))
def test_sections_and_tables_may_be_missing(name: str) -> None:
    whole = zoo_answer()
    alone = {**whole, "sections": {name: whole["sections"][name]}}
    assert Page(zoo_page(alone)).sections() == ["part0", "about"]
    assert len(Page(zoo_page(alone)).sections()) == 2
    for table in whole["sections"][name]["tables"]:
        fewer = copy.deepcopy(whole)
        del fewer["sections"][name]["tables"][table]
        assert Page(zoo_page(fewer)).count("details") == Page(zoo_page(whole)).count("details") - 1
    empty = copy.deepcopy(whole)
    empty["sections"][name]["tables"] = {}
    assert "note <script>" in Page(zoo_page(empty)).text


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_number_may_be_missing(data: st.DataObject) -> None:
    answer = zoo_answer()
    share = data.draw(st.sampled_from([0.02, 0.3, 1.0]))
    random = data.draw(st.randoms(use_true_random=False))
    for section in answer["sections"].values():
        for table in section["tables"].values():
            for row in table["rows"]:
                for key, value in row.items():
                    if isinstance(value, int | float) and random.random() < share:
                        row[key] = None
    html = zoo_page(answer)
    assert "nan" not in " ".join(re.findall(r' (?:x|y|cx|cy|width|points)="([^"]*)"', html))
    Page(html)


def test_the_command_writes_the_page_of_its_json(tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("model,probe_gen,objective\na<b>,10.5,x\nc,12.5,y\nd,8,y\ne,11,x\n")
    sections = "counts,components,controlled"
    ZooCommand(table=str(table), out=tmp_path / "out", sections=sections).run()
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    answer = json.loads((tmp_path / "out" / "zoo.json").read_text(encoding="utf-8"))
    assert html == zoo_page(answer)
    assert "a&lt;b&gt;" in html
    assert "usability" not in Page(html).text
    assert "No design choice moves a component beyond its interval" in html


def test_the_page_needs_neither_torch_nor_pandas_nor_the_analysis() -> None:
    code = (
        "import sys, jessl.zoo.page.page; "
        "print([m for m in ('torch', 'pandas', 'jessl.risk') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_page_of_the_published_table() -> None:
    path = SHARED / "zoo" / "all_results.csv"
    if not path.exists():
        pytest.skip("the table of 169 models beside the checkout (../shared/data/zoo) is not here")
    html = zoo_page(analyse(read_table(path), sections=["ranking", "controlled"]))
    assert len(html.encode()) < 1_000_000
    text = Page(html).text
    assert "doubling z_dim moves probe gen. by +2.6 and usability by −2.6 points" in text
    assert "Kendall's tau 0.81, on average 11.4 ranks of 167 apart; mae_vith14" in text
