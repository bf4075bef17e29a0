"""Probes without a test set: every label tests once, and the interval covers what it promises."""

from __future__ import annotations

import numpy as np
import pytest

import jessl
from jessl.probes.bootstrap import widened
from jessl.probes.fewshot import few_shot


def _embeddings(seed: int, n: int = 60, gap: float = 2.0) -> jessl.Embeddings:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return jessl.Embeddings(rng.standard_normal((n, 6)) + gap * np.eye(6)[y], y)


@pytest.mark.parametrize("kind", ["logistic", "ridge", "knn"])
def test_every_label_is_tested_once(kind: str) -> None:
    z = _embeddings(0)
    result = jessl.probe(z, kind=kind)
    assert len(result.correct) == 60
    assert result.params["cross_validated"] == 10
    assert result.params["train_rows"] == 54
    assert 0.6 < result.accuracy < 1
    assert result.low <= result.error <= result.high
    assert "each left out of its fit" in result.conclusion
    assert result.params["variance_factor"] > 1
    assert result.as_json()["curve"] is None


def test_labels_that_mean_nothing_give_chance() -> None:
    z = [np.random.default_rng(seed).standard_normal((60, 4)) for seed in range(15)]
    results = [jessl.probe(jessl.Embeddings(x, np.arange(60) % 2), kind="ridge") for x in z]
    # leave-one-out of balanced classes would be below chance
    assert 0.45 < np.mean([result.accuracy for result in results]) < 0.56
    assert sum(result.low < 0.5 < result.high for result in results) >= 13


def test_equal_encoders_are_rarely_distinguished() -> None:
    """Two encoders of equal quality with noise of their own: 0 lies in the paired interval."""
    outside = without_factor = 0
    for seed in range(40, 70):
        rng = np.random.default_rng(seed)
        y = np.arange(50) % 5
        shared = rng.standard_normal((50, 8)) / 2 + np.eye(8)[y]
        one, other = (
            jessl.probe(jessl.Embeddings(shared + rng.standard_normal((50, 8)), y), kind="ridge")
            for _ in range(2)
        )
        difference = one.minus(other)
        outside += not difference.low <= 0 <= difference.high
        plain = widened(difference.low, difference.high, 1 / one.params["variance_factor"])
        without_factor += not plain[0] <= 0 <= plain[1]
    # of 150 draws 5 % lie outside, with the plain paired bootstrap 19 %
    assert outside <= 3 < without_factor


def test_groups_stay_together_and_lonely_classes_are_errors() -> None:
    z = _embeddings(2, gap=0.0)
    # a group repeats its row: with a copy on the other side each would be right
    copies = jessl.Embeddings(
        np.repeat(z.features[:20], 3, axis=0),
        np.repeat(z.labels[:20], 3),
        groups=np.repeat(np.arange(20), 3),
    )
    assert jessl.probe(copies, kind="knn", k=1).accuracy < 0.8
    alone = jessl.Embeddings(z.features[:31], [*z.labels[:30], 7])
    result = jessl.probe(alone, kind="ridge")
    assert not result.correct[30]
    assert "1 class with all labelled images in one fold" in str(result)
    with pytest.raises(ValueError, match="two classes with at least two labelled images"):
        jessl.probe(jessl.Embeddings(z.features[:3], [0, 1, 2]))


def test_few_labels_are_tested_on_the_others() -> None:
    z = _embeddings(3)
    one = jessl.probe(z, kind="ridge", shots=4)
    assert (one.params["train_rows"], one.params["test_rows"]) == (12, 48)
    few, more = few_shot(z, shots=(1, 10), kind="ridge")
    assert few.accuracy.value < more.accuracy.value
    assert few.accuracy.low < few.accuracy.value < few.accuracy.high
    assert few.conclusion.startswith("A ridge probe names the class of ")
    assert few.conclusion.endswith("with 1 label of each class; means over 5 draws of the labels")
    with pytest.raises(ValueError, match="expected labelled images beside those to fit on"):
        jessl.probe(z, kind="ridge", shots=20)
