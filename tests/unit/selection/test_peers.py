"""Runs that judge each other: worlds where the right order is known, and where it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from jessl.selection.invariant_tasks import invariant_tasks
from jessl.selection.peer_prediction import PeerRun, peer_prediction

IMAGES, CONTENT = 600, 6


def runs_of(clarity: Sequence[float], *, seed: int = 0, own: float = 0.0) -> list[PeerRun]:
    """Runs that see one common content through noise, each with features of its own.

    clarity: signal of each setting; own: a signal that views keep and no other run has.
    """
    r = np.random.default_rng(seed)
    content = r.standard_normal((IMAGES, CONTENT))
    made = []
    for setting, signal in enumerate(clarity):
        private = own * r.standard_normal((IMAGES, CONTENT))
        seen = np.hstack([signal * content, private]) @ r.standard_normal((2 * CONTENT, 24))
        views = seen + r.standard_normal((2, IMAGES, 24))
        made.append(PeerRun(setting, views))
    return made


def controls(seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((IMAGES, 5))


def test_the_clearest_run_predicts_its_peers_best() -> None:
    scores = peer_prediction(runs_of([0.1, 0.3, 0.6, 1.0, 2.0]), controls())
    assert list(np.argsort(scores)) == [0, 1, 2, 3, 4]
    assert scores[4] <= 1
    tasks = invariant_tasks(runs_of([0.1, 0.3, 0.6, 1.0, 2.0]), controls(), tasks=80)
    assert tasks[0].value < tasks[2].value < tasks[4].value
    assert all(t.tasks > 5 and 0 < t.se < 0.1 for t in tasks)


def test_noise_shares_nothing() -> None:
    scores = peer_prediction(runs_of([0.0] * 4), controls())
    assert max(np.abs(scores)) < 0.15


def test_what_controls_know_does_not_count() -> None:
    runs = runs_of([1.0] * 4)
    r = np.random.default_rng(0)
    content = r.standard_normal((IMAGES, CONTENT))  # the first draw of runs_of
    known = peer_prediction(runs, content)
    unknown = peer_prediction(runs, controls())
    assert max(known) < 0.1 < 0.5 < min(unknown)


def test_what_no_peer_has_does_not_count() -> None:
    plain = peer_prediction(runs_of([0.3] * 5), controls())
    runs = runs_of([0.3] * 5)
    alone = runs_of([0.3] * 5, own=5.0)
    runs[0] = alone[0]
    assert peer_prediction(runs, controls())[0] < plain[0] + 0.1


def test_runs_of_one_setting_are_no_peers() -> None:
    runs = runs_of([1.0, 0.1, 0.1, 0.1])
    twice = [*runs, PeerRun(0, runs[0].views)]
    assert peer_prediction(twice, controls())[0] == pytest.approx(
        peer_prediction(runs, controls())[0]
    )


def test_what_cannot_be_judged_is_refused() -> None:
    for judge in (peer_prediction, invariant_tasks):
        with pytest.raises(ValueError, match="expected at least 4 settings"):
            judge(runs_of([1.0] * 3), controls())
        with pytest.raises(ValueError, match="expected the same images"):
            judge(runs_of([1.0] * 4), controls()[:10])
        one = [PeerRun(run.setting, run.views[:1]) for run in runs_of([1.0] * 4)]
        with pytest.raises(ValueError, match="at least 2 views"):
            judge(one, controls())
    constant = [PeerRun(k, np.ones((2, IMAGES, 3))) for k in range(4)]
    assert peer_prediction(constant, controls()) == [0.0] * 4
    left = invariant_tasks(constant, controls(), tasks=8)
    assert all(t.tasks == 0 and math.isnan(t.value) for t in left)
