"""The loader: a batch is a function of source, seed, epoch and position, and of nothing else."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jessl.data import Loader
from jessl.views import presets

VIEWS = presets.simclr(12)


def _epoch(loader: Loader) -> list[tuple[list[int], torch.Tensor]]:
    return [(b.ids.tolist(), torch.stack(b.views)) for b in loader]


def _same(a: list, b: list) -> None:
    assert len(a) == len(b)
    for (ids, x), (other_ids, y) in zip(a, b, strict=True):
        assert ids == other_ids
        torch.testing.assert_close(x, y, rtol=0, atol=0)


def test_workers_change_nothing(images: np.ndarray) -> None:
    one = Loader(images, VIEWS, 7, seed=3, workers=1)
    many = Loader(images, VIEWS, 7, seed=3, workers=5)
    for _ in range(2):
        _same(_epoch(one), _epoch(many))


def test_epochs_and_seeds_differ_and_iterations_count_epochs(images: np.ndarray) -> None:
    loader = Loader(images, VIEWS, 16)
    first, second = _epoch(loader), _epoch(loader)
    assert loader.epoch == 2
    assert first[0][0] != second[0][0]
    assert _epoch(Loader(images, VIEWS, 16, seed=1))[0][0] != first[0][0]
    loader.epoch = 0
    _same(_epoch(loader), first)


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_out_each_epoch_exactly(
    images: np.ndarray, world: int, drop_last: bool
) -> None:
    loaders = [
        Loader(images, VIEWS, 5, rank=r, world=world, drop_last=drop_last) for r in range(world)
    ]
    seen = [i for loader in loaders for ids, _ in _epoch(loader) for i in ids]
    assert len(seen) == len(set(seen))
    assert len(seen) == (48 // (5 * world) * 5 * world if drop_last else 48)
    assert [len(_epoch(loader)) for loader in loaders] == [len(loader) for loader in loaders]


def test_goes_on_at_any_batch(images: np.ndarray) -> None:
    whole = Loader(images, VIEWS, 9, seed=4)
    want = _epoch(whole) + _epoch(whole)
    for stop in (0, 1, 5, 6, 8):
        loader = Loader(images, VIEWS, 9, seed=4)
        taken = 0
        while taken < stop:
            for _ in loader:
                taken += 1
                if taken == stop:
                    break
        fresh = Loader(images, VIEWS, 9, seed=4)
        fresh.load_state_dict(loader.state_dict())
        rest: list = []
        while fresh.epoch < 2:
            rest += _epoch(fresh)
        _same(rest, want[stop:])


def test_setting_the_epoch_begins_it(images: np.ndarray) -> None:
    loader = Loader(images, VIEWS, 9)
    first = _epoch(loader)
    for _ in loader:
        break
    assert loader.state_dict() == {"epoch": 1, "batch": 1}
    loader.epoch = 0
    _same(_epoch(loader), first)


def test_threads_end_with_the_iteration(images: np.ndarray) -> None:
    before = threading.active_count()
    for _ in Loader(images, VIEWS, 4, workers=4):
        break
    assert threading.active_count() <= before


def test_labels_and_parameters_come_along(images: np.ndarray) -> None:
    labels = np.arange(48) % 5
    loader = Loader((images, labels), VIEWS, 8, return_params=True)
    for batch in loader:
        assert batch.labels is not None
        assert batch.params is not None
        assert batch.labels.tolist() == (batch.ids % 5).tolist()
        again = VIEWS.apply(images[batch.ids.numpy()], batch.params)
        for x, y in zip(batch.views, again, strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=0)
    assert next(iter(Loader(images, VIEWS, 8))).labels is None


@pytest.fixture
def folder(tmp_path: Path, images: np.ndarray) -> Path:
    for k in range(10):
        Image.fromarray(images[k]).save(tmp_path / f"{k}.png")
    for k in (3, 7):
        (tmp_path / f"{k}.png").write_bytes((tmp_path / f"{k}.png").read_bytes()[:200])
    return tmp_path


def test_unreadable_images_are_replaced_and_named(folder: Path) -> None:
    loader = Loader(folder, VIEWS, 5, workers=3)
    batches = _epoch(loader)
    assert [len(ids) for ids, _ in batches] == [5, 5]
    assert len({i for ids, _ in batches for i in ids}) == 8
    assert {Path(w).name for w in loader.skipped} == {"3.png", "7.png"}
    _same(batches, _epoch(Loader(folder, VIEWS, 5, workers=1)))


def test_unreadable_images_can_be_dropped(folder: Path) -> None:
    loader = Loader(folder, VIEWS, 1, shuffle=False, unreadable="drop")
    assert len(_epoch(loader)) == 8
    assert len(loader.skipped) == 2


def test_a_source_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"not one image of .* can be read; the first: .*a\.png"):
        _epoch(Loader(tmp_path, VIEWS, 1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 49, "drop_last": True}, "needs 49 images"),
        ({"batch_size": 4, "rank": 2, "world": 2}, "rank must be in 0..1"),
        ({"batch_size": 4, "workers": 0}, "workers must be at least 1"),
        ({"batch_size": 4, "unreadable": "ignore"}, "unknown unreadable 'ignore'"),
    ],
)
def test_mistakes_are_named(images: np.ndarray, options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Loader(images, VIEWS, **options)
