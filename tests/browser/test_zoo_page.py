"""The page of jessl zoo in a real browser: under its policy, inside its frame, wide and narrow."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from helpers.paths import TESTS
from jessl.zoo.page.page import zoo_page

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

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
# windows have a least width of 500 px, frames have none
HARNESS = """<!doctype html><body><script>
addEventListener('message', event => { document.body.dataset.probe = event.data; });
</script><iframe src="probed.html" width="{width}" height="900" style="border:0"></iframe></body>
"""


def _samples() -> ModuleType:
    path = TESTS / "helpers" / "zoo_samples.py"
    spec = importlib.util.spec_from_file_location("zoo_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _browse(page: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")
    options += ("--no-first-run", "--disable-background-networking", "--disable-component-update")
    options += ("--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--dump-dom")
    return subprocess.run(
        [
            CHROMIUM,
            *options,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=2000",
            "--window-size=1400,1000",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_the_page_lives_under_its_policy_without_an_error(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(zoo_page(_samples().zoo_answer()), encoding="utf-8")
    ran = _browse(page, tmp_path)
    assert [line for line in ran.stderr.splitlines() if "CONSOLE" in line] == []
    assert 'data-script="runs"' in ran.stdout


@pytest.mark.parametrize(("width", "figures"), [(1280, 5 + 10), (420, 10 + 10)])
def test_text_keeps_inside_and_apart(tmp_path: Path, width: int, figures: int) -> None:
    html = zoo_page(_samples().zoo_answer())
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    (tmp_path / "probed.html").write_text(html.replace("</body>", PROBE + "</body>"), "utf-8")
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.replace("{width}", str(width)), encoding="utf-8")
    told = re.search(r'data-probe="([^"]*)"', _browse(harness, tmp_path).stdout)
    assert told is not None
    found = json.loads(told.group(1).replace("&quot;", '"').replace("&amp;", "&"))
    assert found["inner"] == width
    assert found["figures"] == figures
    assert found["out"] == []
    assert found["over"] == []
    assert found["wider"] <= 0
    assert found["tip"] == "all models (6 models): approximation 0.800"
    assert found["shown"] == "visible"
    assert found["first"] == "5"
