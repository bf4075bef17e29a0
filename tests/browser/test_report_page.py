"""The report in a real browser: drawn, alive under its own policy, whole on a narrow screen."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from helpers.paths import TESTS
from jessl.report import write_report

CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (found := shutil.which(name))
    ),
    None,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

# what the page looks like from inside: figures that have a size, text that leaves its figure
PROBE = """
<script>
addEventListener('load', () => {
  const seen = [...document.querySelectorAll('svg.figure')].filter(s => s.getClientRects().length);
  const out = [];
  for (const svg of seen) {
    const frame = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll('text')) {
      const box = text.getBoundingClientRect();
      if (box.left < frame.left - 3 || box.right > frame.right + 3) out.push(text.textContent);
    }
  }
  const line = document.querySelector('.series .line');
  const at = line.getPointAtLength(line.getTotalLength() / 2).matrixTransform(line.getScreenCTM());
  line.dispatchEvent(new PointerEvent('pointermove',
    { bubbles: true, clientX: at.x, clientY: at.y }));
  const tip = document.getElementById('tip');
  const now = document.querySelectorAll('.now').length;
  const heads = [...document.querySelectorAll('th button')];
  heads.find(h => h.textContent === 'RankMe, projector').click();
  parent.postMessage(JSON.stringify({
    figures: seen.filter(s => s.getBoundingClientRect().width > 200).length,
    drawn: seen.filter(s => s.querySelector('path, circle, rect, polygon')
      ?.getBoundingClientRect().width > 0).length,
    out, tip: tip.textContent, shown: tip.style.visibility, now,
    wider: document.documentElement.scrollWidth - innerWidth, inner: innerWidth,
    first: document.querySelector('tbody tr[data-run]').dataset.run,
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
    path = TESTS / "helpers" / "report_samples.py"
    spec = importlib.util.spec_from_file_location("report_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "study"
    _samples().write_study(folder)
    return write_report(folder)


def _browse(page: Path, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--virtual-time-budget=2000",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_the_page_lives_under_its_policy_without_an_error(report: Path, tmp_path: Path) -> None:
    ran = _browse(report, tmp_path, "--dump-dom", "--window-size=1280,2000")
    assert [line for line in ran.stderr.splitlines() if "CONSOLE" in line] == []
    # the script sets this last: its hash fits the policy and it ran to its end
    assert 'data-script="runs"' in ran.stdout
    assert ran.stdout.count('<svg class="figure"') == 14


@pytest.mark.parametrize(("width", "figures"), [(1280, 11), (420, 11)])
def test_figures_have_a_size_and_keep_inside(
    report: Path, tmp_path: Path, width: int, figures: int
) -> None:
    html = report.read_text(encoding="utf-8")
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    probed = tmp_path / "probed.html"
    probed.write_text(html.replace("</body>", PROBE + "</body>"), encoding="utf-8")
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.replace("{width}", str(width)), encoding="utf-8")
    ran = _browse(harness, tmp_path, "--dump-dom", "--window-size=1400,1000")
    told = re.search(r'data-probe="([^"]*)"', ran.stdout)
    assert told is not None
    found = json.loads(told.group(1).replace("&quot;", '"'))
    assert found["inner"] == width
    assert found["figures"] == found["drawn"] == figures
    assert found["out"] == []
    assert found["wider"] <= 0
    assert re.fullmatch(r"vicreg-cov0.5-s0: [\d.]+ at epoch [\d.]+", found["tip"])
    assert found["shown"] == "visible"
    assert found["now"] > 10
    assert found["first"].startswith("vicreg-cov16")


def test_light_and_dark_show_the_colours_of_the_methods(report: Path, tmp_path: Path) -> None:
    light = ((252, 252, 250), (11, 108, 176), (200, 80, 10))
    dark = ((20, 23, 27), (95, 176, 234), (242, 137, 74))
    for scheme, (page, *methods) in ((1, light), (0, dark)):
        target = tmp_path / f"{scheme}.png"
        _browse(
            report,
            tmp_path,
            f"--blink-settings=preferredColorScheme={scheme}",
            f"--screenshot={target}",
            "--window-size=1280,1400",
        )
        with Image.open(target) as image:
            colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        counts = {colour: count for count, colour in colours or []}
        assert counts[page] > 500_000
        assert all(counts.get(method, 0) > 100 for method in methods)
