"""One contract, run over every kind of source, and what all sources share."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from helpers.source_samples import N, mnist, picture, png
from jessl.core.hashing import hashed_ids
from jessl.data import Source, Subset, open_source, split_source, unlabelled


def arrays(_: Path) -> Source:
    return open_source((np.stack([picture(i) for i in range(N)]), np.arange(N) % 3 - 1))


def npz(folder: Path) -> Source:
    path = folder / "set.npz"
    images = np.stack([picture(i)[:, :, 0] for i in range(N)])
    np.savez(path, images=images, labels=np.array(["cat", "", "dog"] * 4))
    return open_source(path)


def npy(folder: Path) -> Source:
    np.save(folder / "set.npy", np.stack([picture(i) for i in range(N)]))
    return open_source(str(folder / "set.npy"))


def flat(folder: Path) -> Source:
    for i in range(N):
        (folder / f"{i}.PNG").write_bytes(png(i, 4 + i))
    return open_source(folder)


def classes(folder: Path) -> Source:
    for i in range(N):
        (folder / "xyz"[i % 3]).mkdir(exist_ok=True)
        (folder / "xyz"[i % 3] / f"{i}.png").write_bytes(png(i))
    return open_source(folder)


def shards(folder: Path) -> Source:
    import webdataset

    for number in range(2):
        with webdataset.TarWriter(str(folder / f"set-{number:03d}.tar")) as sink:
            for i in range(number, N, 2):
                sink.write({"__key__": f"k{i:03d}", "png": png(i), "cls": i % 4})
    return open_source(str(folder / "set-{000..001}.tar"))


def items(_: Path) -> Source:
    from torchvision.datasets import FakeData

    return open_source(FakeData(size=N, image_size=(3, 6, 9), num_classes=3))


def relabelled(folder: Path) -> Source:
    (folder / "labels.csv").write_text("path,label\n3,b\n1,a\n0,\n")
    images = np.stack([picture(i) for i in range(N)])
    return open_source(images, labels=folder / "labels.csv")


KINDS: dict[str, Callable[[Path], Source]] = {
    "arrays": arrays,
    "npz": npz,
    "npy": npy,
    "digits": lambda _: open_source("digits"),
    "folder": flat,
    "class folders": classes,
    "shards": shards,
    "torchvision array": mnist,
    "torchvision items": items,
    "subset": lambda folder: Subset(classes(folder), [7, 2, 5]),
    "subset of array": lambda folder: Subset(arrays(folder), np.array([7, 2, 5])),
    "unlabelled": lambda folder: unlabelled(classes(folder)),
    "relabelled": relabelled,
}


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind: str, tmp_path: Path) -> None:
    source = KINDS[kind](tmp_path)
    n = len(source)
    assert source.name
    assert source.ids.shape == (n,)
    assert source.ids.dtype == np.int64
    assert source.ids.min() >= 0
    assert len(np.unique(source.ids)) == n
    if source.labels is None:
        assert source.classes is None
    else:
        assert source.labels.shape == (n,)
        assert source.labels.dtype == np.int64
        assert source.labels.min() >= -1
        assert source.labels.max() >= 0
        assert source.classes is None or source.labels.max() < len(source.classes)
    few = range(min(n, N))
    images = [source.read(i) for i in few]
    for i, image in zip(few, images, strict=True):
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] in (1, 3)
        assert image.flags.c_contiguous
        assert image.shape[:2] == source.size(i)
        assert source.where(i)
    assert len({source.key(i) for i in few}) == len(few)

    with ThreadPoolExecutor(8) as pool:
        for i, image in zip([*few] * 8, pool.map(source.read, [*few] * 8), strict=True):
            np.testing.assert_array_equal(image, images[i])

    heights, widths = source.sizes(5)
    assert heights.shape == widths.shape == (min(n, 5),)
    assert (heights[0], widths[0]) == images[0].shape[:2]
    assert (heights[-1], widths[-1]) == source.size(n - 1)

    together = source.rows(np.arange(len(few)))
    if together is not None:
        np.testing.assert_array_equal(together, np.stack(images))

    for again in (KINDS[kind](tmp_path), pickle.loads(pickle.dumps(source))):
        np.testing.assert_array_equal(again.ids, source.ids)
        np.testing.assert_array_equal(again.labels, source.labels)
        assert again.classes == source.classes
        assert again.fingerprint() == source.fingerprint()
        np.testing.assert_array_equal(again.read(1), images[1])


EXPECTED_LABELS = {
    "arrays": ([-1, 0, 1] * 4, None),
    "npz": ([0, -1, 1] * 4, ("cat", "dog")),
    "npy": (None, None),
    "folder": (None, None),
    "class folders": ([0] * 4 + [1] * 4 + [2] * 4, ("x", "y", "z")),
    "shards": ([0, 2] * 3 + [1, 3] * 3, None),
    "subset": ([1, 0, 1], ("x", "y", "z")),
    "unlabelled": (None, None),
    "relabelled": ([-1, 0, -1, 1] + [-1] * 8, ("a", "b")),
}


@pytest.mark.parametrize("kind", EXPECTED_LABELS)
def test_labels_of_each_kind(kind: str, tmp_path: Path) -> None:
    source = KINDS[kind](tmp_path)
    labels, names = EXPECTED_LABELS[kind]
    assert (None if source.labels is None else source.labels.tolist()) == labels
    assert source.classes == names


def test_importing_sources_imports_no_heavy_library() -> None:
    code = (
        "import sys, jessl.data.sources.base, jessl.data.sources.hub_datasets\n"
        "import jessl.data.sources.shards, jessl.data.labels\n"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fingerprints_tell_sources_apart(tmp_path: Path) -> None:
    images = np.stack([picture(i) for i in range(N)])
    other = images.copy()
    other[5, 3, 2, 1] ^= 1
    labels = np.arange(N) % 2
    sources = [
        open_source(images),
        open_source(other),
        open_source((images, labels)),
        open_source((images, 1 - labels)),
        open_source(images[:-1]),
        Subset(open_source(images), [0, 1]),
        Subset(open_source(images), [1, 0]),
        unlabelled(open_source((images, labels))),
        flat(tmp_path),
    ]
    (tmp_path / "0.PNG").write_bytes(png(0, 4, 40))
    sources.append(open_source(tmp_path))
    assert len({source.fingerprint() for source in sources}) == len(sources)


def test_split_is_exact_disjoint_and_blind_to_order() -> None:
    source = open_source(np.zeros((101, 2, 2), dtype=np.uint8))
    rest, part = split_source(source, 0.257, 7)
    assert (len(rest), len(part)) == (75, 26)
    assert sorted([*rest.ids, *part.ids]) == list(range(101))
    assert (np.diff(rest.indices) > 0).all()
    assert (np.diff(part.indices) > 0).all()
    turned = Subset(source, np.random.default_rng(0).permutation(101))
    assert set(split_source(turned, 0.257, 7)[1].ids) == set(part.ids)
    assert set(split_source(source, 0.257, 8)[1].ids) != set(part.ids)
    # an image that joins may push one out of the part, and never more
    fewer = split_source(Subset(source, np.arange(100)), 0.257, 7)[1]
    assert len(set(fewer.ids) - set(part.ids)) <= 1
    assert [len(s) for s in split_source(source, 0, -1)] == [101, 0]
    with pytest.raises(ValueError, match=r"share: expected a number from 0 to 1, got 1\.5"):
        split_source(source, 1.5, 0)


def test_split_draws_evenly() -> None:
    source = open_source(np.zeros((4000, 1, 1), dtype=np.uint8))
    drawn = np.array([split_source(source, 0.5, seed)[1].ids.sum() for seed in range(40)])
    # the mean of 2,000 of 0..3999 without repetition has a standard deviation of 18.3
    assert abs(drawn.mean() / 2000 - 1999.5) < 4 * 18.3 / 40**0.5
    assert 12 < (drawn / 2000).std() < 25


@pytest.mark.parametrize(
    ("indices", "reason"),
    [([0, 12], r"expected 0\.\.11 in"), ([1, 1], "at most once"), ([0.5], "integers")],
)
def test_subset_refuses(indices: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Subset(open_source(np.zeros((N, 2, 2), dtype=np.uint8)), indices)


def test_ids_are_the_documented_hash() -> None:
    import hashlib

    digest = hashlib.blake2b(b"a/b.jpg", digest_size=8).digest()
    assert hashed_ids(["a/b.jpg"], "x")[0] == int.from_bytes(digest, "little") // 2
    with pytest.raises(ValueError, match="'k' and 'k' have the same id"):
        hashed_ids(["k", "k"], "x")


def test_files_with_other_extensions_are_counted_with_the_first(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jfif", "sub/c.jfif", "noextension"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(png(0))
    (note,) = open_source(tmp_path).notes
    assert "3 files are left out" in note
    assert "2 .jfif, 1 without extension; the first is noextension" in note
