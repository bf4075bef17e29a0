"""Names beside features: in memory, on disk, and from every kind of source."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import jessl
from jessl.core.texts import Texts
from jessl.data import Subset, split_source
from jessl.data.packing.pack import pack
from jessl.data.sources.arrays import ArraySource
from jessl.embeddings import Embeddings

X = np.random.default_rng(0).standard_normal((5, 3))
NAMES = ["cat/1.png", "cat/2.png", "dog/ü.png", "=1+1", "\udcff.png"]


def test_rows_keep_their_names():
    e = Embeddings(X, [0, -1, 1, 1, 0], names=NAMES)
    assert isinstance(e.names, Texts)
    assert list(e.names) == NAMES
    assert list(e.subset([3, -1]).names) == [NAMES[3], NAMES[-1]]
    assert list(e.subset(np.array([True, False, False, True, False])).names) == NAMES[::3]
    assert list(e.labelled().names) == [NAMES[k] for k in (0, 2, 3, 4)]
    assert Embeddings(X).names is None
    assert Embeddings(X).subset([0]).names is None


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (NAMES[:3], "names: expected 5, one per row, got 3"),
        ("abcde", "names: expected a sequence of texts, got str"),
        ([1, 2, 3, 4, 5], "names: expected texts, got 1"),
        (7, "names: expected a sequence"),
    ],
)
def test_mistakes_are_named(names, words):
    with pytest.raises(ValueError, match=words):
        Embeddings(X, names=names)


@pytest.mark.parametrize("mmap", [False, True])
def test_names_are_saved(tmp_path, mmap):
    Embeddings(X, names=NAMES).save(tmp_path / "z")
    assert list(Embeddings.load(tmp_path / "z", mmap=mmap).names) == NAMES
    Embeddings(X).save(tmp_path / "z")
    assert Embeddings.load(tmp_path / "z").names is None


def test_a_folder_from_before_names(tmp_path):
    Embeddings(X).save(tmp_path / "z")
    header = json.loads((tmp_path / "z" / "meta.json").read_text())
    assert header.pop("names") is False
    del header["files"], header["header_sha256"]
    (tmp_path / "z" / "meta.json").write_text(json.dumps(header))
    assert Embeddings.load(tmp_path / "z").names is None


def test_changed_names_are_refused(tmp_path):
    Embeddings(X, names=NAMES).save(tmp_path / "z")
    file = tmp_path / "z" / "names_utf8.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"names_utf8\.npy: changed since it was written"):
        Embeddings.load(tmp_path / "z")


def test_a_million_names_cost_little():
    """In another process, as its peak of memory is asked for."""
    code = (
        "import resource, numpy as np; from jessl.core.texts import Texts\n"
        "ends = np.arange(1_000_001, dtype=np.int64) * 30\n"
        "names = Texts(np.full(ends[-1], 97, np.uint8), ends)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "taken = names.take(np.arange(1_000_000)[::-1])\n"
        "assert len(taken) == 1_000_000 and taken[5] == 'a' * 30\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert float(done.stdout) < 150  # 30 MB of names, 8 MB of ends, and parts


def folder_of_images(path, n=6):
    for k in range(n):
        place = path / f"class{k % 2}" / f"{k}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)
    return path


def test_sources_name_their_images(tmp_path):
    folder = jessl.open_source(folder_of_images(tmp_path / "photos"))
    assert list(folder.names(np.array([5, 0]))) == ["class1/5.png", "class0/0.png"]
    assert len(folder.names()) == 6
    pack(tmp_path / "photos", tmp_path / "packed", workers=1)
    shards = jessl.open_source(tmp_path / "packed")
    assert sorted(shards.names()) == sorted(folder.names())
    arrays = ArraySource(np.zeros((3, 4, 4), np.uint8), names=["a", "b", "c"])
    assert list(arrays.names(np.array([2]))) == ["c"]
    assert arrays.find(" b ") == "b"
    rest, part = split_source(jessl.open_source("digits"), 0.1, 0)
    assert list(part.names(np.array([0, 3]))) == [str(part.ids[0]), str(part.ids[3])]
    assert len(rest.names()) == len(rest)
    for bad in (["a", "b"], ["a", "b", "b"], ["a", "b", ""]):
        with pytest.raises(ValueError, match="names: array: "):
            ArraySource(np.zeros((3, 4, 4), np.uint8), names=bad)


@pytest.mark.parametrize("views", [None, "simclr"])
def test_embedding_keeps_names(tmp_path, views):
    (folder_of_images(tmp_path / "photos") / "class0" / "0.png").write_bytes(b"no image")
    options = {"size": 8, "init": "random", "views": views, "n_views": 2 if views else None}
    z = jessl.embed("smallconv:8", tmp_path / "photos", out=tmp_path / "z", **options)
    expected = [f"class{k % 2}/{k}.png" for k in (2, 4, 1, 3, 5)] * (2 if views else 1)
    assert list(z.names) == expected
    assert list(Embeddings.load(tmp_path / "z").names) == expected


def test_parts_of_a_large_source_keep_names(tmp_path, monkeypatch):
    monkeypatch.setattr("jessl.extraction.embed_to_folder.PART_ROWS", 100)
    data = Subset(jessl.open_source("digits"), np.arange(900, 200, -1))
    z = jessl.embed("smallconv:8", data, out=tmp_path / "z", size=8, init="random", batch_size=32)
    assert list(z.names) == [str(k) for k in range(900, 200, -1)]
