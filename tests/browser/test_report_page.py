"""The report in a real browser: drawn, alive under its own policy, whole on a narrow screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from helpers.browser import browse, console_errors, needs_chromium, probe
from helpers.report_samples import write_study
from jessl.report import write_report

pytestmark = needs_chromium

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


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_study(tmp_path_factory.mktemp("browser") / "study"))


def test_the_page_lives_under_its_policy_without_an_error(report: Path, tmp_path: Path) -> None:
    ran = browse(report, tmp_path, "--dump-dom", "--window-size=1280,2000")
    assert console_errors(ran) == []
    # the script sets this last: its hash fits the policy and it ran to its end
    assert 'data-script="runs"' in ran.stdout
    assert ran.stdout.count('<svg class="figure"') == 14


@pytest.mark.parametrize(("width", "figures"), [(1280, 11), (420, 11)])
def test_figures_have_a_size_and_keep_inside(
    report: Path, tmp_path: Path, width: int, figures: int
) -> None:
    seen = probe(report.read_text(encoding="utf-8"), PROBE, width, tmp_path)
    assert seen["inner"] == width
    assert seen["figures"] == seen["drawn"] == figures
    assert seen["out"] == []
    assert seen["wider"] <= 0
    assert re.fullmatch(r"vicreg-cov0.5-s0: [\d.]+ at epoch [\d.]+", seen["tip"])
    assert seen["shown"] == "visible"
    assert seen["now"] > 10
    assert seen["first"].startswith("vicreg-cov16")


def test_light_and_dark_show_the_colours_of_the_methods(report: Path, tmp_path: Path) -> None:
    light = ((252, 252, 250), (11, 108, 176), (200, 80, 10))
    dark = ((20, 23, 27), (95, 176, 234), (242, 137, 74))
    for scheme, (page, *methods) in ((1, light), (0, dark)):
        target = tmp_path / f"{scheme}.png"
        browse(
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
