"""The loader: a batch is a function of source, seed, epoch and position, and of nothing else."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.commands import run_code
from jessl.data import Loader, UnreadableImage
from jessl.views import View, Views, presets

VIEWS = presets.simclr(12)


def _epoch(loader: Loader) -> list[tuple[list[int], torch.Tensor]]:
    return [(b.ids.tolist(), torch.stack(b.views)) for b in loader]


def _same(a: list, b: list) -> None:
    assert len(a) == len(b)
    for (ids, x), (other_ids, y) in zip(a, b, strict=True):
        assert ids == other_ids
        torch.testing.assert_close(x, y, rtol=0, atol=0)


@pytest.mark.parametrize("batch", [7, 100])  # one share, and shares for three threads
def test_workers_change_nothing(images: np.ndarray, batch: int) -> None:
    images = np.concatenate([images] * 5)
    one = Loader(images, VIEWS, batch, seed=3, workers=1)
    many = Loader(images, VIEWS, batch, seed=3, workers=5)
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


def test_a_loop_that_never_comes_back_for_the_end_sees_every_epoch(images: np.ndarray) -> None:
    """Lightning takes as many batches as the loader has, and lets its iterator lie."""
    want = Loader(images, VIEWS, 9, seed=4)
    loader = Loader(images, VIEWS, 9, seed=4)
    for epoch in range(3):
        iterator = iter(loader)
        got = [next(iterator) for _ in range(len(loader))]
        assert loader.state_dict() == {"epoch": epoch + 1, "batch": 0}
        _same([(b.ids.tolist(), torch.stack(b.views)) for b in got], _epoch(want))
    loader.load_state_dict({"epoch": 1, "batch": len(loader)})
    assert loader.state_dict() == {"epoch": 2, "batch": 0}


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


@pytest.mark.parametrize("broken", [(0, 1), (1,), (0, 1, 2, 3), (9,)])
@pytest.mark.parametrize("batch", [4, 5])
def test_no_two_rows_of_a_batch_are_replaced_by_one_image(
    tmp_path: Path, images: np.ndarray, broken: tuple[int, ...], batch: int
) -> None:
    for k in range(10):
        Image.fromarray(images[k]).save(tmp_path / f"{k}.png")
    for k in broken:
        (tmp_path / f"{k}.png").write_bytes(b"broken")
    for shuffle in (False, True):
        for ids, _ in _epoch(Loader(tmp_path, VIEWS, batch, drop_last=True, shuffle=shuffle)):
            assert len(set(ids)) == batch


def test_unreadable_images_can_be_dropped(folder: Path) -> None:
    loader = Loader(folder, VIEWS, 1, shuffle=False, unreadable="drop")
    assert len(_epoch(loader)) == 8
    assert len(loader.skipped) == 2


def test_unreadable_images_can_be_raised(folder: Path) -> None:
    loader = Loader(folder, VIEWS, 1, shuffle=False, unreadable="raise")
    with pytest.raises(UnreadableImage, match=r"3\.png: (truncated|corrupt) PNG"):
        _epoch(loader)
    assert loader.state_dict() == {"epoch": 0, "batch": 3}


def test_a_source_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"not one image of .* can be read; the first: .*a\.png"):
        _epoch(Loader(tmp_path, VIEWS, 1))


@pytest.fixture
def jpegs(tmp_path: Path) -> Path:
    """Twelve JPEG files of different sizes, two of them grey."""
    rng = np.random.default_rng(0)
    for k in range(12):
        pixels = rng.integers(0, 256, (20 + 3 * k, 60 - 2 * k, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((90 - k, 70 + k))
        (image.convert("L") if k % 6 == 0 else image).save(tmp_path / f"{k}.jpg")
    return tmp_path


_DIGEST = """
import hashlib, sys
from jessl.data import Loader, UnreadableImage
from jessl.views import presets
digest = hashlib.sha256()
for batch in Loader(sys.argv[1], presets.simclr(64, blur=0.5), 5, seed=1, workers=int(sys.argv[2])):
    for part in (batch.ids, *batch.views):
        digest.update(part.numpy().tobytes())
print(digest.hexdigest())
"""


def test_threads_and_restarts_give_the_same_bytes(jpegs: Path) -> None:
    """One, two and eight threads, each in a process of its own, twice with two."""
    runs = [run_code(_DIGEST, str(jpegs), str(workers)) for workers in (1, 2, 8, 2)]
    assert [run.returncode for run in runs] == [0] * 4
    assert len({run.stdout for run in runs}) == 1


def test_eight_ranks_see_every_image_once(images: np.ndarray) -> None:
    for epoch in range(3):
        seen = []
        for rank in range(8):
            loader = Loader(images[:43], VIEWS, 4, rank=rank, world=8, seed=9)
            loader.epoch = epoch
            seen += [i for batch in loader for i in batch.ids.tolist()]
        assert sorted(seen) == list(range(43))


def test_batches_that_are_kept_are_never_written_over(images: np.ndarray) -> None:
    loader = Loader(images, VIEWS, 4, prefetch=1)
    kept = [b.views[0] for b in loader]
    parts = [x[1:3, :1] for x in kept]
    before = [x.clone() for x in kept]
    for _ in loader:
        pass
    for x, part, want in zip(kept, parts, before, strict=True):
        torch.testing.assert_close(x, want, rtol=0, atol=0)
        torch.testing.assert_close(part, want[1:3, :1], rtol=0, atol=0)


def test_memory_of_batches_is_used_again(images: np.ndarray) -> None:
    loader = Loader(images, VIEWS, 4, prefetch=2)
    for _ in range(3):
        for _ in loader:
            pass
    (ring,) = loader._pools.values()
    assert ring.created <= 2 * (2 + 2)  # two views; the batches ahead, the one in use, the next


@pytest.mark.parametrize("k", [1, 10])
def test_any_number_of_views(images: np.ndarray, k: int) -> None:
    views = Views(tuple(View(size=8 + j) for j in range(k)))
    for batch in Loader(images, views, 16):
        assert [tuple(v.shape) for v in batch.views] == [(16, 3, 8 + j, 8 + j) for j in range(k)]


def test_more_threads_than_cores_or_images(images: np.ndarray) -> None:
    _same(_epoch(Loader(images[:3], VIEWS, 2, workers=64)), _epoch(Loader(images[:3], VIEWS, 2)))


def test_size_may_change_between_epochs(images: np.ndarray) -> None:
    loader = Loader(images, lambda epoch: VIEWS.resized(12 + 4 * epoch), 16)
    sizes = [{v.shape[-1] for batch in loader for v in batch.views} for _ in range(3)]
    assert sizes == [{12}, {16}, {20}]
    assert len(loader._pools) == 1  # memory of other sizes is given back
    fresh = Loader(images, lambda epoch: VIEWS.resized(12 + 4 * epoch), 16)
    fresh.load_state_dict({"epoch": 2, "batch": 1})
    assert next(iter(fresh)).views[0].shape[-1] == 20


def test_bytes_are_views_that_are_not_normalised(images: np.ndarray) -> None:
    plain = VIEWS.normalised((0.0,) * 3, (1.0,) * 3)
    for a, b in zip(
        Loader(images, VIEWS, 16, dtype="uint8"), Loader(images, plain, 16), strict=True
    ):
        for x, y in zip(a.views, b.views, strict=True):
            assert x.dtype == torch.uint8
            assert (x - 255 * y).abs().max() <= 0.5 + 1e-3


def test_a_device_that_holds_the_images_makes_the_same_views(images: np.ndarray) -> None:
    views = presets.simclr(12, strength=1.0, blur=0.5).normalised((0.0,) * 3, (1.0,) * 3)
    there = Loader(images, views, 16, augment="device")
    for a, b in zip(there, Loader(images, views, 16), strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        for x, y in zip(a.views, b.views, strict=True):
            assert (x - y).abs().max() < 1 / 255
    assert there._resident is not None


def test_a_device_that_gets_crops_differs_by_their_rounding(jpegs: Path) -> None:
    views = presets.simclr(24, strength=0.5, blur=0.5).normalised((0.0,) * 3, (1.0,) * 3)
    noisy = dataclasses.replace(views.recipes[0], noise=1.0, noise_sigma=(0.1, 0.1), jitter=0.0)
    views = dataclasses.replace(views, recipes=(*views.recipes, noisy))
    there = Loader(jpegs, views, 4, augment="device", return_params=True)
    for a, b in zip(there, Loader(jpegs, views, 4, return_params=True), strict=True):
        assert a.params is not None
        assert b.params is not None
        for x, y, p, q in zip(a.views, b.views, a.params, b.params, strict=True):
            # half a level of rounding, which colours stretch (most the hue of nearly grey pixels)
            assert (x - y).abs().mean() < 0.4 / 255
            assert ((x - y).abs() < 1 / 255).float().mean() > 0.9
            assert (x - y).abs().max() < 4 / 255
            for name in p:
                np.testing.assert_array_equal(p[name], q[name])


def test_any_whole_number_is_a_seed_of_its_own(images: np.ndarray) -> None:
    seeds = (0, -1, -2, 2**63, 2**63 + 1, 2**64 - 3)
    orders = {Loader(images, VIEWS, 48, seed=s).order(0).tobytes() for s in seeds}
    assert len(orders) == len(seeds)
    for kind in (np.int64, np.int32, np.uint64):
        _same(
            _epoch(Loader(images, VIEWS, 16, seed=kind(5))),
            _epoch(Loader(images, VIEWS, 16, seed=5)),
        )


def test_a_loader_that_has_run_can_be_copied(images: np.ndarray) -> None:
    loader = Loader(images, VIEWS, 16, seed=2)
    for _ in loader:
        break
    copies = (copy.deepcopy(loader), pickle.loads(pickle.dumps(loader)))
    rest = _epoch(loader)
    for other in copies:
        _same(_epoch(other), rest)


def test_a_batch_moves_as_a_whole(images: np.ndarray) -> None:
    batch = next(iter(Loader((images, np.arange(48)), VIEWS, 16)))
    moved = batch.to("meta")
    assert moved.labels is not None
    assert {x.device.type for x in (*moved.views, moved.ids, moved.labels)} == {"meta"}


def test_the_share_of_waiting_is_told(images: np.ndarray) -> None:
    slow = Loader(images, VIEWS, 4)
    for _ in slow:
        time.sleep(0.02)
    assert 0 < slow.stalled < 0.9
    eager = Loader(images, presets.simclr(96), 4, prefetch=0)
    for _ in eager:
        pass
    assert slow.stalled < eager.stalled <= 1


def test_images_of_four_channels(images: np.ndarray) -> None:
    four = np.concatenate([images, images[..., :1]], axis=3)
    views = VIEWS.normalised((0.5,) * 4, (0.5,) * 4)
    for batch in Loader(four, views, 16):
        assert batch.views[0].shape == (16, 4, 12, 12)
        assert batch.views[0].isfinite().all()
    with pytest.raises(ValueError, match="images: expected 3 channels, as mean and std"):
        next(iter(Loader(four, VIEWS, 16)))


def test_a_mistake_inside_a_thread_reaches_the_caller(images: np.ndarray) -> None:
    class Broken(Exception):
        pass

    loader = Loader(images, VIEWS, 4)

    def rows(indices: np.ndarray) -> np.ndarray:
        if len(indices) > 1:
            raise Broken
        return images[indices]

    loader.source.rows = rows  # type: ignore[method-assign]
    with pytest.raises(Broken):
        _epoch(loader)
