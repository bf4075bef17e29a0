"""What the tests share: real data where it lies beside the checkout, and tiny images."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from helpers.paths import SHARED, TESTS

# torch is imported where it is needed: the process that starts the workers only waits for them
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jessl import Run
    from jessl.sweeps.coordination import Ledger
    from jessl.sweeps.storage import Storage
    from jessl.zoo.table import Models

# the same examples everywhere, and no failure for a slow machine
settings.register_profile("jessl", deadline=None, derandomize=True)
settings.load_profile("jessl")

# files and folders of tests that take long, the longest first
_LONG = ("integration/test_demo_command.py", "integration/", "distributed/", "faults/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests run first: what the processes share out at the end is short."""

    def place(item: pytest.Item) -> int:
        file = os.path.relpath(item.path, TESTS).replace(os.sep, "/")
        return next((k for k, start in enumerate(_LONG) if file.startswith(start)), len(_LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared_data() -> ModuleType:
    """Readers of the real data sets beside the checkout; skips where they are absent."""
    if not (SHARED / "load.py").exists():
        pytest.skip("the data sets beside the checkout (../shared/data) are not here")
    spec = importlib.util.spec_from_file_location("shared_data_load", SHARED / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photographs beside the checkout; skips where it is absent."""
    if not (SHARED / "photos").is_dir():
        pytest.skip("the photographs beside the checkout (../shared/data/photos) are not here")
    return SHARED / "photos"


@pytest.fixture(scope="module")
def published() -> Models:
    """The published table of models beside the checkout; skips where it is absent."""
    from jessl.zoo.table import read_table

    table = SHARED / "zoo" / "all_results.csv"
    if not table.exists():
        pytest.skip("the table of 169 models beside the checkout (../shared/data/zoo) is not here")
    return read_table(table)


@pytest.fixture
def images() -> np.ndarray:
    """Colour images uint8 [48, 20, 16, 3] of smooth noise: no two pixels of a row agree."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (48, 20, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 labelled images of two kinds: stripes across and stripes down, with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % 2
    stripes = np.tile(np.array([0, 160], np.uint8), (8, 4))
    x = np.stack([stripes if k else stripes.T for k in y]) + rng.integers(
        0, 96, (96, 8, 8), dtype=np.uint8
    )
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="session")
def finished(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from helpers.run_samples import small_config
    from jessl import pretrain

    return pretrain(small_config(stripes, tmp_path_factory.mktemp("runs") / "whole"), quiet=True)


@pytest.fixture(scope="session")
def demo_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a demo study and facts.json, see helpers.demo_study; copy it to change it."""
    from helpers.demo_study import build_demo_study
    from helpers.shared_folders import shared_folder

    return shared_folder(tmp_path_factory, "demo", build_demo_study)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL of our own; skips where it is not installed."""
    from helpers.sweep_samples import postgres_cluster

    with postgres_cluster() as address:
        yield address


@pytest.fixture(params=("sqlite", "journal", "postgresql"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage of each kind."""
    from helpers.sweep_samples import address

    return address(request.param, tmp_path, request)


@pytest.fixture
def books(url: str, tmp_path: Path) -> Iterator[Callable[..., tuple[Ledger, Storage]]]:
    """Makes ledgers of workers of one study, each with a storage of its own."""
    from helpers.sweep_samples import ELSEWHERE, closed, ledger

    opened: list[Storage] = []

    def made(worker: str = ELSEWHERE, lease_seconds: float = 60.0) -> tuple[Ledger, Storage]:
        found, storage = ledger(url, tmp_path, worker=worker, lease_seconds=lease_seconds)
        opened.append(storage)
        return found, storage

    yield made
    for storage in opened:
        closed(storage)
