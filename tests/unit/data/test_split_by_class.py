"""Splits in which every class has its share."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.data import Subset, open_source, split_by_class


def test_classes_have_their_shares_whatever_the_order() -> None:
    digits = open_source("digits")
    assert digits.labels is not None
    rest, part = split_by_class(digits, 100, 3)
    assert len(part) == 100
    assert not set(rest.ids.tolist()) & set(part.ids.tolist())
    shares = 100 * np.bincount(digits.labels) / len(digits)
    assert part.labels is not None
    assert (abs(np.bincount(part.labels) - shares) < 1).all()
    turned = Subset(digits, np.arange(len(digits))[::-1])
    assert set(split_by_class(turned, 100, 3)[1].ids.tolist()) == set(part.ids.tolist())
    assert set(split_by_class(digits, 100, 4)[1].ids.tolist()) != set(part.ids.tolist())


@pytest.mark.parametrize("count", [0, 1, 24])
def test_any_count_is_met(count: int) -> None:
    source = open_source((np.zeros((24, 8, 8), np.uint8), np.arange(24) % 7))
    assert [len(p) for p in split_by_class(source, count, 0)] == [24 - count, count]


def test_images_without_labels_are_refused() -> None:
    few = open_source((np.zeros((3, 8, 8), np.uint8), np.array([0, -1, 1])))
    with pytest.raises(ValueError, match="expected one for each image"):
        split_by_class(few, 1, 0)
    with pytest.raises(ValueError, match="count: expected 0 to"):
        split_by_class(open_source("digits"), 10**6, 0)
