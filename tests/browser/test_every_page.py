"""A page of every kind in a real browser, wide and narrow, light and dark, by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.chromium import Browser, Tab

from helpers.every_page import FILES
from helpers.page_checks import clipped, misplaced_headings, pale, unreachable, unread_charts

Check = Callable[[Tab], list[str]]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("kind", FILES)
def test_a_page_is_whole(kind: str, width: int, pages: dict[str, Path], browser: Browser) -> None:
    tab = browser.open(pages[kind], width=width)
    assert tab.evaluate("document.documentElement.dataset.script") == "runs"
    assert clipped(tab) == []
    assert pale(tab) == []
    if width == 1280:
        assert misplaced_headings(tab) == []
        assert unread_charts(tab) == []
        assert unreachable(tab) == []
    # the same with every fold open
    tab.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert clipped(tab) == []
    tab.emulate(dark=True)
    assert pale(tab) == []
    assert tab.errors == []
    assert tab.requests == []
    tab.close()


# a change of a good page -> the check that must see it
BROKEN: dict[str, tuple[str, Check]] = {
    "a table that is cut off": (
        "document.querySelector('#table td').style = 'display:block; width: 9px; overflow: hidden'",
        clipped,
    ),
    "a page wider than its window": (
        "document.querySelector('h1').style = 'width: 2000px'",
        clipped,
    ),
    "text that leaves its chart": (
        "document.querySelector('#training svg text').setAttribute('x', '400')",
        clipped,
    ),
    "text too small": (
        "document.querySelector('#training svg text').style = 'font-size: 6px'",
        clipped,
    ),
    "pale text": ("document.querySelector('h2').style = 'color: #999'", pale),
    "pale text in a chart": (
        "document.querySelector('#training svg text').style = 'fill: #aaa'",
        pale,
    ),
    "text on a dark cell": (
        "document.querySelector('#table td').style = 'background: #444'",
        pale,
    ),
    "no heading of the page": ("document.querySelector('h1').remove()", misplaced_headings),
    "two headings of the page": (
        "document.querySelector('h2').outerHTML = '<h1>a</h1>'",
        misplaced_headings,
    ),
    "a level that is skipped": (
        "document.querySelector('h2').outerHTML = '<h3>a</h3>'",
        misplaced_headings,
    ),
    "a chart without a label": (
        "document.querySelector('svg').removeAttribute('aria-label')",
        unread_charts,
    ),
    "a chart without a table": (
        "document.querySelectorAll('table').forEach(one => one.remove())",
        unread_charts,
    ),
    "a link that no key reaches": ("document.querySelector('nav a').tabIndex = -1", unreachable),
    "a focus that is not seen": (
        "document.querySelector('summary').style = 'outline: none'",
        unreachable,
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_page_is_seen(fault: str, pages: dict[str, Path], browser: Browser) -> None:
    change, check = BROKEN[fault]
    tab = browser.open(pages["run"], width=1280)
    assert check(tab) == []
    tab.evaluate(change)
    assert len(check(tab)) >= 1
    tab.close()


def test_errors_and_requests_of_a_page_are_seen(
    pages: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    html = pages["run"].read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    # under the policy of the page nothing is asked for, and the console says so
    page.write_text(html.replace("</body>", '<img src="http://127.0.0.1:9/a.png"/></body>'))
    tab = browser.open(page, width=1280)
    assert any("Content Security Policy" in error for error in tab.errors)
    tab.close()
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    page.write_text(free.replace("</body>", '<img src="other.png"/></body>'))
    tab = browser.open(page, width=1280)
    assert tab.requests == [(tmp_path / "other.png").as_uri()]
    tab.close()


def test_a_printed_page_is_light_and_shows_its_tables(
    pages: dict[str, Path], browser: Browser
) -> None:
    tab = browser.open(pages["run"], width=800, dark=True)
    tab.emulate(dark=True, medium="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    assert tab.evaluate("document.querySelector('nav').checkVisibility()") is False
    assert (
        tab.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    )
    assert pale(tab) == []
    tab.close()
