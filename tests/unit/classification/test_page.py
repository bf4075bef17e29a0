"""The page of a classification: what endangers the answer stands beside it, images are ticked."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

import jessl


def test_warnings_stand_at_the_top_and_images_below(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 40, (80, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(80) % 2
    x[labels == 1, :4] += 60
    # the images to predict look otherwise: stripes
    x[40:, :, ::2] += 150
    np.savez(tmp_path / "images.npz", x=x)
    rows = [f"{k},{'<b>' if labels[k] else 'cat'}" for k in range(40)]
    (tmp_path / "few.csv").write_text("\n".join(["path,label", *rows, ""]), encoding="utf-8")
    result = jessl.classify(
        str(tmp_path / "images.npz"),
        encoder="pixels:8",
        labels=tmp_path / "few.csv",
        out=tmp_path / "p.csv",
        workers=1,
    )
    page = html.unescape((tmp_path / "p.html").read_text(encoding="utf-8")).replace("\xa0", " ")
    head, _, body = page.partition("<section")
    assert any("unlike the labelled ones" in warning for warning in result.warnings)
    for said in (*result.announcement, *result.warnings):
        assert said[1:] in head
    assert head.index("Expected accuracy") < head.index("unlike the labelled ones")
    # all look like one class, of which 24 are shown
    assert body.count('<label class="tile"') == 24 < result.predicted
    assert body.count('src="data:image/jpeg') == 24
