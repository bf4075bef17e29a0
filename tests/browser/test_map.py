"""The map of images in a real browser: pointed at, zoomed, selected in; at two widths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tools.chromium import Browser

import jessl

# looks for a point, reads its tip, lassoes everything, hides a class, lassoes again, finds a name
PROBE = """
new Promise(done => {
  // a page that nobody looks at has no frames
  requestAnimationFrame = draw => setTimeout(draw, 1);
  const figure = document.querySelector('figure.map');
  const canvas = figure.querySelector('canvas');
  const part = role => figure.querySelector(`[data-role="${role}"]`);
  const box = canvas.getBoundingClientRect();
  const send = (kind, x, y, more) => canvas.dispatchEvent(new PointerEvent(kind, {
    clientX: box.left + x, clientY: box.top + y, bubbles: true, pointerId: 1, ...more }));
  canvas.setPointerCapture = () => {};
  const tip = figure.querySelector('.map-tip');
  let text = '';
  for (let y = 0; y < box.height && !text; y += 8) {
    for (let x = 0; x < box.width && !text; x += 8) {
      send('pointermove', x, y);
      if (tip.style.visibility === 'visible') text = tip.textContent;
    }
  }
  // a finger that is lifted leaves, a mouse goes away
  send('pointerleave', 0, 0, { pointerType: 'touch' });
  const stays = tip.style.visibility === 'visible';
  const tipBox = tip.getBoundingClientRect();
  const inside = tipBox.left >= box.left - 1 && tipBox.right <= box.right + 1;
  const pixels = () => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    .reduce((sum, v, k) => sum + (k % 4 === 3 && v > 0), 0);
  const around = () => {
    const w = box.width - 1, h = box.height - 1;
    send('pointerdown', 1, 1);
    for (const [x, y] of [[w, 1], [w, h], [1, h]]) send('pointermove', x, y);
    send('pointerup', 1, h);
    const names = part('names').value.split('\\n');
    part('clear').click();
    return names;
  };
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const drawn = pixels();
    part('lasso').click();
    const all = around();
    part('legend').querySelector('button').click();
    const less = around();
    const colours = [...part('colour').options].map(o => o.textContent);
    part('colour').selectedIndex = 1;
    part('colour').dispatchEvent(new Event('change'));
    part('find').value = '7';
    part('find').dispatchEvent(new Event('input'));
    canvas.dispatchEvent(new KeyboardEvent('keydown', { key: '+' }));
    part('reset').click();
    part('lasso').click();
    const ofBrowser = new KeyboardEvent('keydown', { key: '+', ctrlKey: true, cancelable: true });
    canvas.dispatchEvent(ofBrowser);
    const before = canvas.style.touchAction;
    const finger = (kind, id, x) => send(kind, x, 99, { pointerId: id, pointerType: 'touch' });
    finger('pointerdown', 1, 100);
    finger('pointerdown', 2, 140);
    finger('pointermove', 1, 40);
    finger('pointermove', 2, 200);
    finger('pointerup', 1, 40);
    finger('pointerup', 2, 200);
    const pinched = before === 'pan-y' && canvas.style.touchAction === 'none';
    requestAnimationFrame(() => requestAnimationFrame(() => done({
      text, inside, stays, pinched, prevented: ofBrowser.defaultPrevented, drawn,
      all, less, colours, zoomed: pixels(),
      points: figure.dataset.points, hidden: figure.querySelector('.selection').hidden,
      legend: part('legend').textContent,
    })));
  }));
})
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (50, 8, 8, 3)).astype(np.uint8)
    z = rng.standard_normal((50, 12)) + 3
    out = tmp_path_factory.mktemp("page") / "out"
    labels = np.arange(50) % 2
    pool = jessl.Embeddings(z, labels, meta={"classes": ["cat", "<b>dog</b>"]})
    jessl.curate(pool, data=x, out=out, workers=1)
    return out / "curation.html"


@pytest.mark.parametrize("width", [390, 1280])
def test_points_show_their_image_and_a_lasso_lists_names(
    page: Path, width: int, browser: Browser
) -> None:
    tab = browser.open(page, width=width)
    assert tab.evaluate("document.documentElement.dataset.map") == "drawn"
    assert tab.errors == []
    answer = tab.evaluate(PROBE)
    tab.close()
    assert answer["points"] == "50"
    assert answer["drawn"] > 300
    assert answer["zoomed"] > 100
    assert "label: " in answer["text"]
    assert "outlierness, sd: " in answer["text"]
    assert answer["inside"]
    assert answer["stays"]
    assert answer["pinched"]
    assert not answer["prevented"]
    assert sorted(answer["all"], key=int) == [str(k) for k in range(50)]
    assert len(answer["less"]) == 25
    assert answer["colours"] == ["label", "outlierness, sd", "cluster", "none"]
    assert answer["hidden"]
