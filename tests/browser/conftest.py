"""One browser for all tests of pages, and a page of every kind, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.chromium import CHROMIUM, Browser

from helpers.every_page import FILES, write_pages
from helpers.shared_folders import shared_folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with Browser() as started:
        yield started


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = shared_folder(tmp_path_factory, "pages", write_pages)
    return {kind: folder / file for kind, file in FILES.items()}
