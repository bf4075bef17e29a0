"""The end of the path of penalties: noise does not end it, a true rise does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from jessl.probes.base import Evaluation
from jessl.probes.tuning import _choose

PATH = [{"C": 10.0**k} for k in range(-6, 2)]


def evaluations(errors: list[int], n: int) -> Iterator[Evaluation]:
    """The first rows are wrong, as many as asked for, so that candidates differ in few rows."""
    for wrong in errors:
        yield Evaluation(np.arange(n) < wrong, None)


def test_two_rises_within_noise_do_not_end_the_path() -> None:
    # an untrained ResNet-20, 30 images a class: the first errors are 243, 243, 245, 247 of 300
    errors = [243, 243, 245, 247, 231, 215, 219, 226]
    tuned = _choose(PATH, "C", evaluations(errors, 300), "error", "", None)
    assert tuned.options == {"C": 1e-1}
    assert tuned.curve is not None
    assert tuned.curve["error"] == pytest.approx([e / 300 for e in errors])


def test_a_rise_beyond_noise_ends_it() -> None:
    errors = [500, 300, 320, 340, 0]
    tuned = _choose(PATH, "C", evaluations(errors, 10_000), "error", "", None)
    assert tuned.options == {"C": 1e-5}
    assert tuned.curve is not None
    assert tuned.curve["error"] == pytest.approx([0.05, 0.03, 0.032, 0.034])


def test_the_noise_of_log_losses_is_that_of_their_differences() -> None:
    rng = np.random.default_rng(0)
    base = rng.exponential(1, 200)

    def steps(shift: float) -> Iterator[Evaluation]:
        for k in range(6):
            noise = rng.normal(0, 0.5, 200)
            yield Evaluation(base > 1, base + shift * k + (noise - noise.mean()) * (k > 0))

    tuned = _choose(PATH[:6], "C", steps(0.01), "log_loss", "", None)
    assert tuned.curve is not None
    assert len(tuned.curve["log_loss"]) == 6
    tuned = _choose(PATH[:6], "C", steps(0.5), "log_loss", "", None)
    assert tuned.curve is not None
    assert len(tuned.curve["log_loss"]) == 3
