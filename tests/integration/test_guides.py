"""The tutorial, the notebooks and the site: their commands and cells run, their pages are found."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.paths import ROOT
from jessl.cli import main

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
# what makes a training of the tutorial one of a test
QUICK = "--batch-size 8 --encoder smallconv:4 --evaluate-epochs 0"
# an encoder that needs no file and no network
PUBLISHED, STANDS_IN = "ckpt:resnet20-12fca82f.th", "random:smallconv:4"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of small pictures and labels of ten of them, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for k in range(24):
        pixels = rng.integers(0, 200, (20, 24, 3), dtype=np.uint8) + np.uint8(50 * (k % 2))
        Image.fromarray(pixels).save(f"photos/p{k:02}.jpg")
    rows = [f"p{k:02}.jpg,{'light' if k % 2 else 'dark'}" for k in range(10)]
    Path("few.csv").write_text("\n".join(["path,label", *rows]) + "\n")


@pytest.mark.usefixtures("photos")
def test_the_commands_of_the_tutorial_run() -> None:
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)).splitlines()
    commands = [shlex.split(re.sub(r"\s#.*", "", line)) for line in lines if line]
    assert len(commands) >= 7
    for program, name, *options in commands:
        assert program == "jessl"
        if name == "doctor":
            continue  # measures for a quarter of a minute: tests/unit/cli/test_machine.py
        words = [STANDS_IN if word == PUBLISHED else word for word in options]
        if name == "pretrain":
            words = [*words, *QUICK.split()]
            words[words.index("--epochs") + 1] = "1"
        assert main([name, *words]) == 0, name
    pages = ("views.png", "my-run/report.html", "encoders/encoders.html", "curated/curation.html")
    for made in (*pages, "by-resnet20/predictions.csv", "by-pixels/predictions.csv"):
        assert Path(made).exists(), made


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_cells_of_notebooks_run(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert notebook.stat().st_size < 40_000
    names: dict[str, object] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["execution_count"], "run the notebook before it is committed"
        outputs = json.dumps(cell["outputs"])
        assert "stderr" not in outputs
        assert "/tmp/" not in outputs
        exec(compile("".join(cell["source"]), notebook.name, "exec"), names)


def test_every_page_is_in_the_navigation_once() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert sorted(re.findall(r"[\w-]+\.md", nav)) == sorted(p.name for p in DOCS.glob("*.md"))


@pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="mkdocs-material: make docs installs it"
)
def test_the_site_is_strict(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
