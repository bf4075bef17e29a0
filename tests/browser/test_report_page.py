"""The report in a real browser: drawn, alive under the pointer, in the colours of the methods."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image
from tools.chromium import Browser

# figures that have a size, what the pointer reads at a line, what a click on a heading does
PROBE = """
(() => {
  const seen = [...document.querySelectorAll('svg.figure')].filter(s => s.checkVisibility());
  const line = [...document.querySelectorAll('.series .line')].find(one => one.checkVisibility());
  const at = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
  line.dispatchEvent(new PointerEvent('pointermove',
    { bubbles: true, clientX: at.x, clientY: at.y }));
  const tip = document.getElementById('tip');
  const now = document.querySelectorAll('.now').length;
  const heads = [...document.querySelectorAll('#table th button')];
  heads.find(h => h.textContent === 'RankMe, projector').click();
  return {
    figures: seen.filter(s => s.getBoundingClientRect().width > 200).length,
    drawn: seen.filter(s => s.querySelector('path, circle, rect, polygon')
      ?.getBoundingClientRect().width > 0).length,
    tip: tip.textContent, shown: tip.style.visibility, now,
    first: document.querySelector('#table tr[data-run]').dataset.run,
  };
})()
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_figures_have_a_size_and_follow_the_pointer(
    width: int, pages: dict[str, Path], browser: Browser
) -> None:
    tab = browser.open(pages["demo"], width=width)
    seen = tab.evaluate(PROBE)
    tab.close()
    # ranking, risk, scatter, training of two methods, spectra of two layers each
    assert seen["figures"] == seen["drawn"] == 3 + 2 + 4
    assert re.fullmatch(r"vicreg-cov0.5-s0: [\d.]+ at epoch [\d.]+", seen["tip"])
    assert seen["shown"] == "visible"
    assert seen["now"] > 10
    assert seen["first"].startswith("vicreg-cov16")


def test_light_and_dark_show_the_colours_of_the_methods(
    pages: dict[str, Path], browser: Browser
) -> None:
    light = ((252, 252, 250), (11, 108, 176), (189, 74, 6))
    dark = ((20, 23, 27), (95, 176, 234), (242, 137, 74))
    for scheme, (page, *methods) in ((False, light), (True, dark)):
        tab = browser.open(pages["demo"], width=1280, dark=scheme)
        with Image.open(io.BytesIO(tab.screenshot(most_px=2400))) as image:
            colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        tab.close()
        counts = {colour: count for count, colour in colours or []}
        assert counts[page] > 500_000
        assert all(counts.get(method, 0) > 100 for method in methods)
