"""The page of jessl zoo in a real browser: text keeps apart, under the pointer, wide and narrow."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.chromium import Browser

# text on text, what a pointer and a click do
PROBE = """
(() => {
  const seen = [...document.querySelectorAll('svg.figure')].filter(s => s.getClientRects().length);
  const over = [];
  for (const svg of seen) {
    const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent,
      t.getBoundingClientRect()]);
    for (const [i, [said, box]] of boxes.entries()) {
      for (const [other, near] of boxes.slice(i + 1)) {
        const across = Math.min(box.right, near.right) - Math.max(box.left, near.left);
        const down = Math.min(box.bottom, near.bottom) - Math.max(box.top, near.top);
        if (across > 2 && down > 0.6 * Math.min(box.height, near.height)) over.push([said, other]);
      }
    }
  }
  const dot = seen[0].querySelector('rect.hot');
  const at = dot.getBoundingClientRect();
  dot.dispatchEvent(new PointerEvent('pointermove',
    { bubbles: true, clientX: at.x + 2, clientY: at.y + 2 }));
  const tip = document.getElementById('tip');
  for (const fold of document.querySelectorAll('details')) fold.open = true;
  const head = [...document.querySelectorAll('th button')].find(h => h.textContent === 'shift');
  head.click();
  return {
    figures: seen.filter(s => s.getBoundingClientRect().width > 200).length, over,
    tip: tip.textContent, shown: tip.style.visibility,
    first: head.closest('table').tBodies[0].rows[0].cells[3].textContent,
  };
})()
"""


@pytest.mark.parametrize(("width", "figures"), [(1280, 5 + 10), (390, 10 + 10)])
def test_text_keeps_apart(
    width: int, figures: int, pages: dict[str, Path], browser: Browser
) -> None:
    tab = browser.open(pages["zoo"], width=width)
    seen = tab.evaluate(PROBE)
    tab.close()
    assert seen["figures"] == figures
    assert seen["over"] == []
    assert seen["tip"] == "all models (6 models): approximation 0.800"
    assert seen["shown"] == "visible"
    assert seen["first"] == "5"
