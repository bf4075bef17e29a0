"""Examples in docs/ run as they stand; blocks of a page run one after the other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from helpers.paths import ROOT
from jessl.views import Views

DOCS = ROOT / "docs"
PAGES = sorted(p.name for p in DOCS.glob("*.md") if "```python" in p.read_text("utf-8"))


def _blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES)
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in _blocks(page, "python"):
        exec(compile(block, page, "exec"), names)


def test_the_recipe_is_one() -> None:
    (block,) = _blocks("views.md", "toml")
    views = Views.from_dict(tomllib.loads(block))
    assert len(views) == 2
    assert views.recipes[1].apart_from == 0


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / target).exists(), f"{page.name}: {target}"
