"""What the scripts of claims compute from trainings: times to an accuracy, long tails, orders."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from helpers.paths import ROOT


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, ModuleType]]:
    import sys

    before, path = set(sys.modules), list(sys.path)
    for folder in ("benchmarks", "benchmarks/selection", "benchmarks/claims"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    import speed
    import transfer

    yield speed, transfer
    # other tests have modules of the same names
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", "") and str(ROOT / "benchmarks") in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]
    sys.path[:] = path


def test_the_time_to_an_accuracy_is_linear_between_epochs(scripts) -> None:
    speed, _ = scripts
    one = object.__new__(speed.Training)
    one.seconds = [10.0, 20.0, 10.0]
    one.accuracy = [0.1, 0.3, 0.5, 0.4]
    assert one.seconds_to(0.2) == pytest.approx(5)
    assert one.seconds_to(0.4) == pytest.approx(10 + 10)
    assert one.seconds_to(0.1) == 0
    assert math.isnan(one.seconds_to(0.6))
    part = speed._part("ratio", [2.0, 8.0], "more")
    assert part.effect == pytest.approx(3)  # geometric mean 4, less 1


def test_a_long_tail_falls_by_a_factor_of_100(scripts) -> None:
    _, transfer = scripts
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5_000))
    counts = np.bincount(labels[transfer._tail(labels)])
    assert counts.sum() == pytest.approx(transfer.IMAGES, abs=10)
    assert counts[0] / counts[-1] == pytest.approx(100, rel=0.03)
    np.testing.assert_allclose(counts[1:] / counts[:-1], 100 ** (-1 / 9), rtol=0.06)
    few = transfer._tail(labels[:500])
    assert np.bincount(labels[few])[0] == (labels[:500] == 0).sum()


def test_orders_of_sweeps_that_range_over_little_say_nothing(scripts) -> None:
    _, transfer = scripts
    rows = [{"rankme": r, "accuracy": {"solar": a}} for r, a in ((1, 0.5), (2, 0.6), (3, 0.7))]
    assert transfer._spearman(rows, "rankme", "solar") == pytest.approx(1)
    assert math.isnan(transfer._spearman(rows, "rankme", "cifar10"))
    near = [{**r, "accuracy": {"solar": 0.5 + 0.001 * k}} for k, r in enumerate(rows)]
    assert math.isnan(transfer._spearman(near, "rankme", "solar"))
    refused = [*rows, {"refused": "the loss is not finite"}]
    assert transfer._spearman(refused, "rankme", "solar") == pytest.approx(1)


def test_the_row_of_a_small_size_names_its_command(tmp_path: Path) -> None:
    from jessl.claims.claim import load_claim
    from jessl.claims.decision import ClaimPart
    from jessl.claims.run import write_script_row

    part = ClaimPart("ratio", 1.0, 0.5, 1.5, 0.25, "more")
    claim = load_claim("democratizing-speed")
    for quick, command in ((False, claim.command), (True, f"{claim.command} --quick")):
        row = write_script_row(claim, [part], tmp_path, notes=[], body=[], quick=quick)
        assert row.command == command
        assert f"`{command}`" in (tmp_path / "democratizing-speed.md").read_text()
