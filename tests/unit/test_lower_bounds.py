"""The lower bounds of pyproject.toml, and the job of the workflow that installs them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tools.minimal_versions import PYPROJECT, constraints

ROOT = PYPROJECT.parent
TEXT = """
[project]
dependencies = ["torch>=2.6", "numpy >= 2.0"]
[project.optional-dependencies]
zoo = ["xgboost>=2.1"]
odd = ["torch>=2.7"]
dev = ["pytest~=8.0"]
"""


def test_every_requirement_is_pinned_to_its_lower_bound() -> None:
    assert constraints(TEXT, ["zoo"]) == ["torch==2.6", "numpy==2.0", "xgboost==2.1"]


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ("odd", "two lower bounds of torch: 2.6, 2.7"),
        ("dev", "expected NAME>=VERSION, got pytest~=8.0"),
        ("none", "extras: expected some of zoo, odd, dev, got none"),
    ],
)
def test_mistakes_are_named(extra: str, line: str) -> None:
    with pytest.raises(ValueError, match=re.escape(line)):
        constraints(TEXT, [extra])


def test_without_options_all_that_a_user_can_install_is_pinned() -> None:
    text = PYPROJECT.read_text("utf-8")
    extras = set(tomllib.loads(text)["project"]["optional-dependencies"])
    tool = ROOT / "tools" / "minimal_versions.py"
    done = subprocess.run([sys.executable, tool], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()) == set(constraints(text, sorted(extras - {"dev"})))
    # dev has the same bounds where it names the same packages
    assert constraints(text, sorted(extras))


def test_the_workflow_installs_the_bounds_of_all_extras_and_runs_folders_that_exist() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    job = workflow.partition("  minimal-versions:")[2].partition("\n  audit:")[0]
    extras = set(tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["optional-dependencies"])
    [installed] = re.findall(r"-e '\.\[([a-z,]+)\]'", job)
    assert set(installed.split(",")) == extras - {"dev", "docs"}  # docs is of the site alone
    oldest = re.search(r'requires-python = ">=([\d.]+)"', PYPROJECT.read_text("utf-8"))
    assert oldest is not None
    assert f'python-version: "{oldest[1]}"' in job
    folders = re.findall(r"tests/[\w/]+", job)
    assert folders
    assert all(Path(ROOT, folder).is_dir() for folder in folders)
