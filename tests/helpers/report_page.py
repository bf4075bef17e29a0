"""A report as the tests read it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from jessl.core.files import read_json
from jessl.report import write_report

# of a study with labels, in the order of the page
SECTIONS = ["ranking", "risk", "scatter", "training", "views", "neighbours", "spectra"]
SECTIONS += ["what", "table"]
VOID = {"meta", "img", "br", "line", "circle", "rect", "path", "polygon"}


class Page(HTMLParser):
    """Elements with their attributes and text; refuses elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] == ["style"]:
            self.styles.append(data)
        else:
            self.text += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            name == tag and all(found.get(k) == v for k, v in attributes.items())
            for name, found in self.elements
        )

    def sections(self) -> list[str]:
        return [str(found["id"]) for name, found in self.elements if name == "section"]


def page(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def chosen_names(folder: Path) -> list[str]:
    return [group["chosen_run"] for group in read_json(folder / "study.json")["groups"]]
