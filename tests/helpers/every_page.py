"""A small page of every kind, of samples where the real thing takes minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import jessl
from helpers.comparison_samples import write_comparison
from helpers.report_samples import picture, write_run, write_study
from helpers.zoo_samples import zoo_answer
from jessl.comparison.page.page import write_encoders_page
from jessl.core.files import read_json, write_json
from jessl.report import write_report
from jessl.zoo.page.page import zoo_page

# kind of page -> its file
FILES = {
    "run": "run/report.html",
    "study": "study/report.html",
    "demo": "demo/report.html",
    "encoders": "encoders/encoders.html",
    "curate": "curated/curation.html",
    "classify": "predictions.html",
    "zoo": "zoo.html",
}


def write_pages(folder: Path) -> None:
    """Fill `folder` with the files of FILES."""
    run = write_run(folder / "run")
    for name in ("views", "neighbours"):
        picture(run / f"{name}.png", 10, 4)
    write_report(run)
    write_report(write_study(folder / "study", labels=False))
    _write_demo(folder / "demo")
    (folder / "encoders").mkdir()
    write_encoders_page(write_comparison(folder / "encoders"))
    _write_used(folder)
    (folder / "zoo.html").write_text(zoo_page(zoo_answer()), encoding="utf-8")


def _write_demo(folder: Path) -> None:
    """A study with labels, and with what a few of them are worth."""
    study = read_json(write_study(folder) / "study.json")
    amounts = [{"shots": k, "value": 0.5 + 0.1 * k, "low": 0.4, "high": 0.9} for k in (1, 3)]
    write_json(folder / "study.json", {**study, "few_labels": {"chosen run": amounts}})
    write_report(folder)


def _write_used(folder: Path) -> None:
    """A curation and a classification of fifty images, one of them constant and far away."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (50, 8, 8, 3)).astype(np.uint8)
    x[3] = 7
    labels = np.arange(50) % 2
    x[:, :4] = 40 + 150 * labels[:, None, None, None]
    z = rng.standard_normal((50, 12)) + 3
    z[3] -= 6
    pool = jessl.Embeddings(z, meta={"classes": ["cat", "<b>dog</b>"]})
    jessl.curate(pool, budget=5, data=x, out=folder / "curated", workers=1)
    np.savez(folder / "images.npz", x=x)
    rows = [f"{k},{'cat' if labels[k] else 'a dog'}" for k in range(4, 34)]
    (folder / "few.csv").write_text("\n".join(["path,label", *rows, ""]), encoding="utf-8")
    jessl.classify(
        str(folder / "images.npz"),
        encoder="pixels:8",
        labels=folder / "few.csv",
        out=folder / "predictions.csv",
        workers=1,
    )
