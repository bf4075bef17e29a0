"""The page of jessl zoo in a real browser: under its policy, inside its frame, wide and narrow."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.browser import browse, console_errors, needs_chromium, probe
from helpers.zoo_samples import zoo_answer
from jessl.zoo.page.page import zoo_page

pytestmark = needs_chromium

# text that leaves its figure, text on text, what a pointer and a click do
PROBE = """
<script>
addEventListener('load', () => {
  const seen = [...document.querySelectorAll('svg.figure')].filter(s => s.getClientRects().length);
  const out = [], over = [];
  for (const svg of seen) {
    const frame = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent,
      t.getBoundingClientRect()]);
    for (const [i, [said, box]] of boxes.entries()) {
      if (box.left < frame.left - 3 || box.right > frame.right + 3) out.push(said);
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
  parent.postMessage(JSON.stringify({
    figures: seen.filter(s => s.getBoundingClientRect().width > 200).length, out, over,
    tip: tip.textContent, shown: tip.style.visibility,
    wider: document.documentElement.scrollWidth - innerWidth, inner: innerWidth,
    first: head.closest('table').tBodies[0].rows[0].cells[3].textContent,
  }), '*');
});
</script>
"""


def test_the_page_lives_under_its_policy_without_an_error(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(zoo_page(zoo_answer()), encoding="utf-8")
    ran = browse(page, tmp_path, "--dump-dom", "--window-size=1400,1000")
    assert console_errors(ran) == []
    assert 'data-script="runs"' in ran.stdout


@pytest.mark.parametrize(("width", "figures"), [(1280, 5 + 10), (420, 10 + 10)])
def test_text_keeps_inside_and_apart(tmp_path: Path, width: int, figures: int) -> None:
    seen = probe(zoo_page(zoo_answer()), PROBE, width, tmp_path)
    assert seen["inner"] == width
    assert seen["figures"] == figures
    assert seen["out"] == []
    assert seen["over"] == []
    assert seen["wider"] <= 0
    assert seen["tip"] == "all models (6 models): approximation 0.800"
    assert seen["shown"] == "visible"
    assert seen["first"] == "5"
