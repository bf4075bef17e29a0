"""The page of jessl curate in a real browser: images are ticked and their names listed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.chromium import Browser

# ticks two images, one of them in two galleries, and reads the list
PROBE = """
(() => {
  const boxes = [...document.querySelectorAll('.tile input')];
  const twice = boxes.filter(box => box.value === '3');
  for (const box of [...twice, boxes.find(box => box.value !== '3')]) box.click();
  const ticked = document.getElementById('ticked').textContent;
  const names = document.getElementById('names').value.split('\\n');
  document.querySelector('[data-pick="all"]').click();
  const all = document.getElementById('ticked').textContent;
  return {
    ticked, names, twice: twice.length, all, copy: document.getElementById('copy').disabled,
    pictures: document.querySelectorAll('.tile img[src^="data:image/jpeg"]').length,
  };
})()
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_images_are_ticked_and_their_names_listed_once(
    width: int, pages: dict[str, Path], browser: Browser
) -> None:
    tab = browser.open(pages["curate"], width=width)
    answer = tab.evaluate(PROBE)
    tab.close()
    assert answer["twice"] == 2
    assert answer["ticked"] == "2"
    assert len(answer["names"]) == 2
    assert "3" in answer["names"]
    assert int(answer["all"]) >= 5
    assert not answer["copy"]
    assert answer["pictures"] >= 7
