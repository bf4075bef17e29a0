"""Is the map of 20,000 images fluid in Chromium? Its size, and the time of a frame.

    python benchmarks/bench_map.py --images 20000 --out benchmarks/records/2026-11-29-map.md

A map of clustered random features, with random thumbnails of noise (the least compressible), is
opened without a screen and without a GPU, 1280 px wide, and zoomed in and out 60 times. A frame
is the time from a turn of the wheel to the next frame after all points were drawn, read back once.
Pointing at 500 places is timed as well.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from harness import tell
from jessl.data import open_source
from jessl.embeddings import Embeddings
from jessl.extraction.image_map import image_map, label_colours
from jessl.maps.colours import Values
from jessl.report.pages.content import Page, Section
from jessl.report.pages.document import render
from jessl.report.pages.embedding_map import HEADING, map_blocks

PROBE = """<script>
addEventListener('load', async () => {
  const canvas = document.querySelector('figure.map canvas');
  const box = canvas.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const frame = () => new Promise(done => requestAnimationFrame(() => {
    canvas.getContext('2d').getImageData(0, 0, 1, 1);
    done();
  }));
  for (let k = 0; k < 5; k++) await frame();
  const median = times => times.sort((a, b) => a - b)[times.length / 2 | 0];
  const frames = [], points = [];
  for (let k = 0; k < 60; k++) {
    const begin = performance.now();
    canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: k < 30 ? -20 : 20, ctrlKey: true,
      cancelable: true, clientX: x, clientY: y }));
    await frame();
    frames.push(performance.now() - begin);
  }
  for (let k = 0; k < 500; k++) {
    const begin = performance.now();
    canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + k,
      clientY: y + k % 90, bubbles: true }));
    points.push(performance.now() - begin);
  }
  const middle = median(frames);
  console.log(`MEASURED ${middle} ${frames[57]} ${median(points)} ${points[499]}`);
});
</script></body>"""


def page(count: int) -> tuple[str, float]:
    """The page, and the seconds that its map took."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, count)
    features = rng.standard_normal((10, 256))[labels] + rng.standard_normal((count, 256))
    images = open_source(rng.integers(0, 255, (count, 32, 32, 3)).astype(np.uint8))
    z = Embeddings(features, labels, images.ids)
    begin = time.perf_counter()
    drawn = image_map(z, images, [*label_colours(z), Values("value", rng.random(count))])
    seconds = time.perf_counter() - begin
    section = Section("map", HEADING, map_blocks(drawn))
    return render(Page("jessl", "Map", [f"{count:,} images"], [section])), seconds


def measure(text: str, chromium: str) -> list[float]:
    """Milliseconds: frame (median, 95th percentile), pointing (median, most)."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "map.html"
        file.write_text(text.replace("</body>", PROBE), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        options += [f"--user-data-dir={folder}/profile", "--enable-logging=stderr"]
        with subprocess.Popen(
            [chromium, *options, "--window-size=1280,1000", file.as_uri()],
            stderr=subprocess.PIPE,
            text=True,
        ) as browser:
            assert browser.stderr is not None
            for line in browser.stderr:
                if match := re.search(r"MEASURED ([\d. e-]+)", line):
                    browser.terminate()
                    browser.wait()
                    return [float(value) for value in match.group(1).split()]
    raise SystemExit("Chromium ended without a measurement")


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--out", help="file of the record")
    options = parser.parse_args()
    text, seconds = page(options.images)
    rounds = np.array([measure(text, options.chromium) for _ in range(options.rounds)])
    low, middle, high = rounds.min(axis=0), np.median(rounds, axis=0), rounds.max(axis=0)
    names = ("frame, median", "frame, 95th percentile", "pointing, median", "pointing, most")
    rows = [
        f"| {name} | {middle[k]:.2f} | {low[k]:.2f} to {high[k]:.2f} |"
        for k, name in enumerate(names)
    ]
    lines = [
        f"{options.images:,} images of 256 features: {len(text) / 1e6:.1f} MB of page, made in "
        f"{seconds:.1f} s. {options.rounds} rounds in Chromium without a GPU.",
        "",
        "| | ms, median of rounds | range |",
        "|---|---:|---|",
        *rows,
    ]
    tell("The map of images in a browser", ["numpy", "scikit-learn"], lines, options.out)


if __name__ == "__main__":
    main()
