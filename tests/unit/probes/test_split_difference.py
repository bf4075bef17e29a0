"""Train and test that are no random split of one set."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import jessl
from jessl.probes.split_difference import IMPROBABLE, split_difference


def test_random_splits_are_not_named_and_ordered_ones_are() -> None:
    x, y = load_digits(return_X_y=True)
    ordered = split_difference(x[:1200], y[:1200], x[1200:], y[1200:])
    assert ordered is not None
    assert ordered["z"] > 4 * IMPROBABLE
    assert ordered["ratio"] == pytest.approx(4.8, abs=0.5)
    assert ordered["classes"] == 10
    values = []
    for seed in range(25):
        order = np.random.default_rng(seed).permutation(len(y))
        a, b = order[:1200], order[1200:]
        found = split_difference(x[a], y[a], x[b], y[b], seed=seed)
        assert found is not None
        values.append(found["z"])
    # where the truth is no difference
    assert max(values) < IMPROBABLE - 1
    assert abs(np.mean(values)) < 0.5
    assert 0.6 < np.std(values) < 1.6


def test_other_shares_of_the_classes_are_no_difference() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 900)
    x = np.eye(3)[y] * 4 + rng.standard_normal((900, 3))
    many = rng.random(900) < np.array([0.9, 0.5, 0.1])[y]
    found = split_difference(x[many], y[many], x[~many], y[~many])
    assert found is not None
    assert found["z"] < 3


@pytest.mark.parametrize("rows", [3, 8])
def test_few_or_constant_rows_are_not_compared(rows: int) -> None:
    x, y = np.ones((rows, 4)), np.zeros(rows, int)
    assert split_difference(x, y, x, y) is None


def test_one_row_that_differs_is_no_difference_whichever_side_has_it() -> None:
    x, y = np.zeros((10, 4)), np.zeros(5, int)
    x[3] = 0.1
    assert split_difference(x[:5], y, x[5:], y) is None


def test_probe_and_decompose_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = load_digits(return_X_y=True)
    train, test = jessl.Embeddings(x[:1200], y[:1200]), jessl.Embeddings(x[1200:], y[1200:])
    result = jessl.probe(train, test, kind="ridge")
    assert result.params["split_difference"]["z"] > IMPROBABLE
    risks = jessl.decompose(train, test, probe="ridge")
    assert any("random" in warning for warning in risks.params["warnings"])
    quiet = jessl.probe(train, test, kind="ridge", duplicates=False)
    assert quiet.params["split_difference"] is None
