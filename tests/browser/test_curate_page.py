"""The page of jessl curate in a real browser: under its policy, ticked and copied from, narrow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import jessl
from helpers.browser import browse, console_errors, needs_chromium, probe

pytestmark = needs_chromium

# ticks two images, one of them in two galleries, and reads the list
PROBE = """
<script>
addEventListener('load', () => {
  const boxes = [...document.querySelectorAll('.tile input')];
  const twice = boxes.filter(box => box.value === '3');
  for (const box of [...twice, boxes.find(box => box.value !== '3')]) box.click();
  const ticked = document.getElementById('ticked').textContent;
  const names = document.getElementById('names').value.split('\\n');
  document.querySelector('[data-pick="all"]').click();
  const all = document.getElementById('ticked').textContent;
  parent.postMessage(JSON.stringify({
    ticked, names, twice: twice.length, all, copy: document.getElementById('copy').disabled,
    pictures: document.querySelectorAll('.tile img[src^="data:image/jpeg"]').length,
    wider: document.documentElement.scrollWidth - innerWidth,
  }), '*');
});
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (50, 8, 8, 3)).astype(np.uint8)
    x[3] = 7  # constant, and the outlier of the features
    z = rng.standard_normal((50, 12)) + 3
    z[3] -= 6
    out = tmp_path_factory.mktemp("page") / "out"
    jessl.curate(jessl.Embeddings(z), budget=5, data=x, out=out, workers=1)
    return out / "curation.html"


def test_it_lives_under_its_policy_without_an_error(page: Path, tmp_path: Path) -> None:
    ran = browse(page, tmp_path, "--dump-dom", "--window-size=1280,1000")
    assert console_errors(ran) == []
    assert 'data-script="runs"' in ran.stdout


@pytest.mark.parametrize("width", [390, 1280])
def test_images_are_ticked_and_their_names_listed_once(
    page: Path, width: int, tmp_path: Path
) -> None:
    answer = probe(page.read_text(encoding="utf-8"), PROBE, width, tmp_path)
    assert answer["twice"] == 2
    assert answer["ticked"] == "2"
    assert len(answer["names"]) == 2
    assert "3" in answer["names"]
    assert int(answer["all"]) >= 5
    assert not answer["copy"]
    assert answer["pictures"] >= 7
    assert answer["wider"] <= 0
