"""Suspected label errors: planted ones, none where labels are right, none without a basis."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.curation import label_errors
from jessl.curation.label_errors import find_label_errors


def labelled(n: int = 300, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return 3 * np.eye(12)[y] + 0.5 * rng.standard_normal((n, 12)), y


def test_planted_errors_are_suspected_with_their_class() -> None:
    x, y = labelled()
    wrong = np.random.default_rng(1).choice(300, 15, replace=False)
    noisy = y.copy()
    noisy[wrong] = (noisy[wrong] + 1) % 3
    errors = find_label_errors(x, noisy)
    # the rule is strict: a probability near that of rows with right labels is needed
    assert set(errors.rows.tolist()) <= set(wrong.tolist())
    assert len(errors.rows) >= 13
    assert np.array_equal(errors.suggested, y[errors.rows])
    assert (np.diff(errors.given_probability) >= 0).all()
    assert errors.checked == 300
    assert errors.accuracy == pytest.approx(0.95)


def test_right_labels_are_not_suspected() -> None:
    assert len(find_label_errors(*labelled(seed=2)).rows) <= 1


def test_rows_beyond_those_that_are_fitted_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_errors, "MOST_FITTED", 100)
    x, y = labelled(seed=3)
    y[7] = (y[7] + 1) % 3
    y[-1] = (y[-1] + 1) % 3
    assert {7, 299} <= set(find_label_errors(x, y).rows.tolist())


def test_labels_that_have_nothing_to_do_with_the_features_are_not_judged() -> None:
    x, _ = labelled(seed=4)
    y = np.random.default_rng(5).integers(0, 3, 300)
    errors = find_label_errors(x, y)
    assert not len(errors.rows)
    assert "cannot be judged" in errors.skipped


def test_unlabelled_rows_and_small_classes_are_left_out() -> None:
    x, y = labelled(seed=6)
    y[:100] = -1
    y[100:103] = 3
    errors = find_label_errors(x, y)
    assert errors.checked == 197
    assert (errors.rows >= 103).all()
    few = find_label_errors(x[:8], np.arange(8) % 2)
    assert "two classes of at least 5" in few.skipped


def test_copies_do_not_vouch_for_each_other() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((40, 60)), np.arange(40) % 2
    x[:, 0] += 2 * y
    copies = np.arange(40) % 20
    double = np.r_[x[:20], x[:20]], np.r_[y[:20], y[:20]]
    alone = find_label_errors(*double, copies=copies)
    together = find_label_errors(*double)
    assert (alone.accuracy or 0) < (together.accuracy or 0)


def test_the_number_of_errors_is_counted_by_hand() -> None:
    # thresholds: class 0 (.9 + .6 + .3) / 3 = .6, class 1 (.8 + .6) / 2 = .7
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6]])
    assert label_errors.count_errors(p, np.array([0, 0, 0, 1, 1])) == 1
    # .65 of class 1 is below its threshold: not confident
    p[2] = [0.35, 0.65]
    assert label_errors.count_errors(p, np.array([0, 0, 0, 1, 1])) == 0
