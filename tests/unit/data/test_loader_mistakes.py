"""What a loader refuses, in one line that names the argument."""

from __future__ import annotations

import numpy as np
import pytest

from jessl.data import Loader
from jessl.views import presets

VIEWS = presets.simclr(12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1"),
        ({"batch_size": 49, "drop_last": True}, "needs 49 images"),
        (
            {"batch_size": 4, "rank": 2, "world": 2},
            "rank: expected a whole number from 0 to 1",
        ),
        ({"batch_size": 4, "workers": 0}, "workers: expected a whole number of at least 1"),
        (
            {"batch_size": 4, "prefetch": -1},
            "prefetch: expected a whole number of at least 0",
        ),
        (
            {"batch_size": 4, "window": 10, "shuffle": False},
            "window: expected None without shuffle, got 10",
        ),
        ({"batch_size": 8.0}, "batch_size: expected a whole number of at least 1, got 8.0"),
        ({"batch_size": True}, "batch_size: expected a whole number"),
        ({"batch_size": 4, "seed": None}, "seed: expected a whole number, got None"),
        ({"batch_size": 4, "world": 0}, "world: expected a whole number of at least 1, got 0"),
        (
            {"batch_size": 4, "window": 10},
            "window: expected None for all sources but tar shards",
        ),
        ({"batch_size": 4, "dtype": "float16"}, "unknown dtype 'float16'"),
        (
            {"batch_size": 4, "dtype": "uint8", "augment": "device"},
            "dtype: expected float32 with augment='device', got uint8",
        ),
        ({"batch_size": 4, "unreadable": "ignore"}, "unknown unreadable 'ignore'"),
    ],
)
def test_mistakes_are_named(images: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Loader(images, VIEWS, **options)


@pytest.mark.parametrize("state", [{}, None, {"epoch": 1.5, "batch": 0}, {"epoch": -3, "batch": 0}])
def test_a_state_that_is_none_is_refused(images: np.ndarray, state: dict) -> None:
    with pytest.raises(
        ValueError, match=r"state: expected epoch and batch|epoch: expected a whole"
    ):
        Loader(images, VIEWS, 16).load_state_dict(state)


def test_what_is_no_recipe_is_refused(images: np.ndarray) -> None:
    for views in (None, "simclr", 3):
        with pytest.raises(ValueError, match="views: expected a recipe"):
            Loader(images, views, 16)


def test_a_state_of_another_loader_is_refused(images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"state: expected batch 0\.\.3, got 99"):
        Loader(images, VIEWS, 16).load_state_dict({"epoch": 0, "batch": 99})
