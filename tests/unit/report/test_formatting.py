"""What the report's figures are made of: ranks, written numbers, axes, thinned lines."""

from __future__ import annotations

from itertools import pairwise

import pytest

from jessl.core.rank_correlation import spearman
from jessl.report.charts.axis import Axis
from jessl.report.charts.curves import thin
from jessl.report.charts.svg import shorten, spread_apart, tag
from jessl.report.formatting import (
    format_fixed,
    format_interval,
    format_number,
    format_percent,
    format_value,
    format_with_sd,
)

EVIL = "<script>alert(1)</script>"


def test_spearman_shares_ranks_of_ties() -> None:
    # scipy.stats.spearmanr([1, 2, 2, 3, 5], [2, 1, 4, 4, 9]) = 0.7631578947368421
    assert spearman([1, 2, 2, 3, 5], [2, 1, 4, 4, 9]).value == pytest.approx(0.7631578947368421)
    assert spearman([1, 2, 3], [3, 2, 1]).value == pytest.approx(-1)
    assert spearman([1, 2], [1, 2]).value is None
    assert spearman([1, 1, 1], [1, 2, 3]).value is None


def test_numbers_are_written_for_readers() -> None:
    assert [format_number(v) for v in (41.66, 0.0312, -2.5, 1437.2, None)] == [
        "41.7",
        "0.0312",
        "−2.50",
        "1437",
        "–",
    ]
    assert format_with_sd(41.66, 0.84) == "41.7 ± 0.8"
    assert format_interval(0.123, 0.456, format_percent) == "12.3 to 45.6 %"
    assert format_interval(0.1, None) == ""
    assert [format_fixed(v) for v in (-0.04, -0.06, 2.55)] == ["0.0", "−0.1", "2.5"]
    assert tag("b", EVIL, title='"') == (
        '<b title="&#34;">&lt;script&gt;alert(1)&lt;/script&gt;</b>'
    )


def test_axes_and_labels_keep_their_place() -> None:
    axis = Axis.over([0.91, 0.97], 0, 100)
    assert axis.low < 0.91 < 0.97 < axis.high
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks())
    assert 2 <= len(axis.ticks()) <= 8
    same = Axis.over([3.0, 3.0], 0, 100)
    assert same(3.0) == pytest.approx(50)
    assert Axis.over([1e-8, 1.0], 0, 100, log=True, pad=0)(1e-4) == pytest.approx(50)
    placed = spread_apart([50, 51, 52], 13, 0, 60)
    assert [b - a for a, b in pairwise(placed)] == pytest.approx([13, 13])
    assert max(placed) <= 60


def test_thinning_keeps_means_and_gaps() -> None:
    points = [(float(i), None if 400 <= i < 420 else 2.0 * i) for i in range(1000)]
    found = thin(points, 200)
    assert len(found) == 200
    assert found[0] == (2.0, 4.0)
    assert [x for x, y in found if y is None] == [402.0, 407.0, 412.0, 417.0]
    assert thin(points, 1000) == points


def test_values_are_shown_as_a_user_writes_them() -> None:
    written = [format_value(v) for v in (4.0, 1e-4, 1_281_167, "cosine", None, True)]
    assert written == ["4", "0.0001", "1281167", "cosine", "–", "True"]
    assert shorten("temperature", 1000) == "temperature"
    assert shorten("temperature", 40) == "temp…"
