"""Examples in docs/ run as they stand; blocks of a page run one after the other."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from helpers.paths import ROOT
from jessl.cli.main import _command
from jessl.views import Views

DOCS = ROOT / "docs"
PAGES = sorted(p.name for p in DOCS.glob("*.md") if "```python" in p.read_text("utf-8"))


def _blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES)
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "docs_page", module := ModuleType("docs_page"))
    for block in _blocks(page, "python"):
        exec(compile(block, page, "exec"), vars(module))


def test_the_page_shows_the_example() -> None:
    folder = ROOT / "examples" / "jessl_hinge"
    shown = _blocks("extending.md", "python")[0]
    assert shown == (folder / "jessl_hinge.py").read_text(encoding="utf-8")
    (entries,) = _blocks("extending.md", "toml")
    assert entries in (folder / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [p.name for p in DOCS.glob("*.md")])
def test_commands_are_accepted(page: str) -> None:
    """Names and values of all options; that they run is tested where the command is."""
    for block in _blocks(page, "sh"):
        for line in re.split(r"\n|&&", block.replace("\\\n", " ")):
            words = shlex.split(re.sub(r"\s#.*", "", line))
            if words[:1] == ["jessl"] and "--help" not in words and "|" not in words:
                _command(words[1], words[2:])


def test_the_recipe_is_one() -> None:
    (block,) = _blocks("views.md", "toml")
    views = Views.from_dict(tomllib.loads(block))
    assert len(views) == 2
    assert views.recipes[1].apart_from == 0


def test_links_lead_somewhere() -> None:
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (DOCS / target).exists(), f"{page.name}: {target}"
