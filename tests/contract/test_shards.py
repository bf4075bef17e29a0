"""Tar shards: labels, keys, torn files."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.source_samples import picture, png, tar
from jessl.cli import main
from jessl.data import Subset, UnreadableImage, open_source, unlabelled
from jessl.data.packing.pack import pack
from jessl.data.sources.shard_index import read_index
from jessl.data.sources.shards import ShardSource


def test_shard_labels(tmp_path: Path) -> None:
    members = {}
    for i, (kind, text) in enumerate(
        [
            ("json", json.dumps({"label": "cat", "caption": "x"})),
            ("cls", "dog"),
            ("txt", "cat\n"),
            ("json", '"dog"'),
            ("json", '{"caption": "no label here"}'),
            ("seg.png", "not the image"),
        ]
    ):
        members[f"{i}.{kind}"] = text.encode()
        members[f"{i}.png"] = png(i)
    source = open_source(tar(tmp_path / "x.tar", members))
    assert source.classes == ("cat", "dog")
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 0, 1, -1, -1]
    np.testing.assert_array_equal(source.read(5), picture(5))
    captions = {f"{i}.{kind}": png(i) if kind == "png" else b"caption %d" % i
                for i in range(5) for kind in ("png", "txt")}  # fmt: skip
    source = open_source(tar(tmp_path / "y.tar", captions))
    assert source.labels is None
    assert "captions" in source.notes[0]


def test_labels_of_other_types_are_counted(tmp_path: Path) -> None:
    members = {}
    for i, label in enumerate([1, 2.0, [0, 1], None, 0.5, {"id": 3}, "4"]):
        members[f"{i}.json"] = json.dumps({"label": label}).encode()
        members[f"{i}.png"] = png(i)
    source = open_source(tar(tmp_path / "x.tar", members))
    assert source.labels is not None
    assert source.labels.tolist() == [1, 2, -1, -1, -1, -1, 4]
    [note] = source.notes
    assert "3 labels are no integers or names and are left out, the first is [0, 1] of 2 in" in note


def test_shards_of_webdataset_with_jpg_and_webp(tmp_path: Path) -> None:
    import webdataset
    from webdataset import tariterators

    path = tmp_path / "x.tar"
    with webdataset.TarWriter(str(path)) as sink:
        for i, kind in enumerate(["jpg", "webp", "png"]):
            data = io.BytesIO()
            Image.fromarray(picture(i)).save(data, "JPEG" if kind == "jpg" else kind)
            sink.write({"__key__": f"deep/er/{i}", kind: data.getvalue(), "json": {"cls": i}})
    source = open_source(tmp_path)
    with path.open("rb") as file:
        members = tariterators.tar_file_expander([{"url": str(path), "stream": file}])
        theirs = [*tariterators.group_by_keys(members)]
    assert [source.key(i) for i in range(3)] == [sample["__key__"] for sample in theirs]
    assert source.key(1) == "deep/er/1"
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(source.read(2), picture(2))
    assert source.where(1) == f"deep/er/1 in {path}"


def test_members_are_only_keys(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    evil = {"../../evil.png": png(0), "/abs/evil.png": png(1)}
    source = open_source(tar(inner / "x.tar", evil))
    assert [source.read(i).shape for i in range(2)] == [(6, 9, 3)] * 2
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "x.tar"]
    assert not Path("/abs").exists()


def test_same_keys_in_two_shards(tmp_path: Path) -> None:
    paths = [tar(tmp_path / f"{i}.tar", {"k.png": png(i)}) for i in range(2)]
    source = open_source(tmp_path)
    assert [source.key(i) for i in range(2)] == ["0.tar/k", "1.tar/k"]
    np.testing.assert_array_equal(source.read(1), picture(1))
    with tarfile.open(paths[0], "a") as file:
        for name in ("other.png", "k.png"):
            file.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match="key 'k' comes twice"):
        open_source(tmp_path)


def test_torn_and_damaged_shards(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {f"{i}.png": png(i, 20) for i in range(4)})
    whole = path.read_bytes()
    with tarfile.open(path) as file:
        third = file.getmembers()[2]
    for cut, kept, reason in [
        (third.offset_data + 100, 2, "torn: 2.png has 100 of"),
        (third.offset + 100, 2, "torn after byte"),
        (third.offset, 2, "no end mark"),
    ]:
        path.write_bytes(whole[:cut])
        source = ShardSource([path])
        assert len(source) == kept
        assert len(source.skipped) == 1
        assert reason in source.skipped[0]
        assert source.notes == source.skipped
        np.testing.assert_array_equal(source.read(1), picture(1, 20))
    damaged = bytearray(whole)
    damaged[third.offset : third.offset + 512] = b"\x7f" * 512
    path.write_bytes(damaged)
    source = ShardSource([path])
    assert len(source) == 2
    assert "damaged at byte" in source.skipped[0]
    path.write_bytes(whole)
    source = ShardSource([path])
    assert source.skipped == ()
    path.write_bytes(whole[: third.offset_data])
    with pytest.raises(UnreadableImage, match="shrunk"):
        source.read(2)
    path.unlink()
    with pytest.raises(UnreadableImage, match="No such file"):
        source.read(0)


def test_shards_that_are_refused(tmp_path: Path) -> None:
    for name, mode in (("x.tar.gz", "w:gz"), ("y.tar", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as file:
            file.addfile(tarfile.TarInfo("a.png"))
        with pytest.raises(ValueError, match=rf"{name} is compressed"):
            open_source(tmp_path / name)
        (tmp_path / name).unlink()
    (tmp_path / "z.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match=r"z\.tar is not a tar file"):
        open_source(tmp_path)
    tar(tmp_path / "z.tar", {"a.txt": b"x"})
    with pytest.raises(ValueError, match=r"no image in .*1 samples without an image"):
        open_source(tmp_path)


def test_a_folder_with_images_and_tars_is_a_folder_of_images(tmp_path: Path) -> None:
    tar(tmp_path / "x.tar", {"a.png": png(0), "b.png": png(1)})
    assert len(open_source(tmp_path)) == 2
    (tmp_path / "c.png").write_bytes(png(2))
    assert len(open_source(tmp_path)) == 1


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """12 images with classes in 3 shards with an index, packed from a folder."""
    for i in range(12):
        (tmp_path / "in" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "ab"[i % 2] / f"{i:02d}.v.png").write_bytes(png(i, 20, 30))
    pack(tmp_path / "in", tmp_path / "out", shard_mb=0.016)
    assert len([*(tmp_path / "out").glob("*.tar")]) == 3
    return tmp_path / "out"


def test_an_index_gives_back_ids_keys_and_classes(packed: Path) -> None:
    source, before = open_source(packed), open_source(packed.parent / "in")
    np.testing.assert_array_equal(source.ids, before.ids)
    assert source.classes == ("a", "b")
    assert source.key(0) == "a/00.v.png"
    assert source.where(0) == f"a/00.v.png in {packed / 'shard-000000.tar'}"
    (packed / "index.npz").unlink()
    scanned = open_source(packed)
    assert scanned.notes == ()
    assert scanned.key(0) == "a/00%2Ev"
    assert scanned.classes is None
    np.testing.assert_array_equal(scanned.labels, before.labels)
    np.testing.assert_array_equal(scanned.segments, source.segments)
    assert scanned.sizes(3)[1].tolist() == source.sizes(3)[1].tolist() == [30] * 3
    for i in range(12):
        np.testing.assert_array_equal(source.read(i), scanned.read(i))
    assert source.fingerprint() != scanned.fingerprint()


def test_opening_by_index_reads_no_header(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jessl.data.sources.shards.scan", None)
    monkeypatch.setattr("jessl.data.sources.shards.header_size", None)
    source = open_source(packed)
    assert source.size(11) == (20, 30)
    assert source.sizes(5)[0].tolist() == [20] * 5


def test_some_shards_of_an_index(packed: Path) -> None:
    source = open_source(packed)
    assert source.segments is not None
    assert sorted(set(source.segments)) == [0, 1, 2]
    turned = open_source(packed / "shard-{000002,000000}.tar")
    rows = np.concatenate([np.flatnonzero(source.segments == k) for k in (2, 0)])
    np.testing.assert_array_equal(turned.ids, source.ids[rows])
    assert turned.segments is not None
    assert (np.diff(turned.segments) >= 0).all()
    assert turned.notes == ()
    for i, row in enumerate(rows):
        assert turned.key(i) == source.key(row)
        np.testing.assert_array_equal(turned.read(i), source.read(row))
    (packed / "shard-000001.tar").unlink()
    fewer = open_source(packed)
    np.testing.assert_array_equal(np.sort(fewer.ids), np.sort(turned.ids))
    assert "1 of 3 shards" in fewer.notes[0]
    assert "the first is shard-000001.tar" in fewer.notes[0]
    alone = Subset(source, [11, 0]), unlabelled(source)
    assert [s.segments.tolist() for s in alone if s.segments is not None] == [
        [2, 0],
        source.segments.tolist(),
    ]


def test_an_index_that_is_not_of_these_shards(packed: Path) -> None:
    scanned = "the headers were read instead"
    shard = packed / "shard-000001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole + bytes(512))
    for path in (packed, shard):
        with pytest.raises(ValueError, match=r"shard-000001.tar is not the shard that was packed"):
            open_source(path)
    manifest = (packed / "manifest.json").read_bytes()
    (packed / "manifest.json").unlink()  # without it nothing says what the shard was
    for source in (open_source(packed), open_source(shard)):
        assert re.search(
            rf"shard-000001.tar has \d+ bytes now and had .*{scanned}", source.notes[0]
        )
        assert source.key(0)[0] in "ab"
        assert "%2E" in source.key(0)
    shard.write_bytes(whole)
    (packed / "manifest.json").write_bytes(manifest)
    assert open_source(packed).notes == ()
    tar(packed / "more.tar", {"z.png": png(0)})
    assert "does not name more.tar" in open_source(packed).notes[0]
    assert len(open_source(packed)) == 13
    (packed / "other").mkdir()
    (packed / "other" / "more.tar").write_bytes((packed / "more.tar").read_bytes())
    both = open_source(packed / "{other/more,shard-000000}.tar")
    assert "several folders" in both.notes[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": np.zeros(11, np.int64)}, "it has 12 images and 11 entries in label"),
        ({"id": np.zeros(12, np.int64)}, "two images the same id"),
        ({"id": np.arange(12.0)}, "column id is float64"),
        ({"shard": np.full(12, 3)}, "out of range"),
        ({"offset": np.full(12, 100)}, "out of range"),
        ({"size": np.full(12, 2**62)}, "out of range"),
        ({"label": np.full(12, 2)}, "out of range"),
        ({"keys_ends": np.arange(13)}, "texts keys are damaged"),
        ({"files_ends": np.array([0, 16])}, "texts files are damaged"),
        ({"format": np.int64(2)}, "its format is 2, this jessl reads 1"),
        ({"format": np.zeros(2)}, "no index of jessl"),
        ({"format": np.zeros((), [("a", np.int64), ("b", np.int64)])}, "no index of jessl"),
        ({"named": np.zeros(2, bool)}, "its entry named is bool"),
        ({"named": np.zeros((), [("a", bool)])}, "its entry named is"),
        ({"header": None}, "has no column header"),
        ({"id": np.array([{}])}, "cannot be read"),
    ],
)
def test_a_damaged_index_is_refused(
    change: dict[str, np.ndarray | None], reason: str, packed: Path
) -> None:
    with np.load(packed / "index.npz") as file:
        arrays = {**file, **change}
    np.savez(packed / "index.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(ValueError, match=reason):
        read_index(packed / "index.npz")
    source = open_source(packed)
    assert re.search(f"index.npz is not used: .*{reason}", source.notes[0])
    assert len(source) == 12


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\3\4" + bytes(99), png(0)])
def test_an_index_that_is_no_npz(data: bytes, packed: Path) -> None:
    (packed / "index.npz").write_bytes(data)
    assert "is not used: it cannot be read" in open_source(packed).notes[0]


def test_a_shard_that_changes_after_it_was_indexed(packed: Path) -> None:
    path = packed / "shard-000000.tar"
    whole = path.read_bytes()
    for source in (open_source(packed), ShardSource([path])):
        path.write_bytes(bytes(512) + whole[:-512])
        with pytest.raises(UnreadableImage, match=r"00.* in .*changed since it was indexed"):
            source.read(0)
        # the same written again at another time is the same
        path.write_bytes(whole[:136] + b"00000000777" + whole[147:])
        assert source.read(0).shape == (20, 30, 3)
        path.write_bytes(whole.replace(b"a/00", b"a/99", 1))
        with pytest.raises(UnreadableImage, match="changed since it was indexed"):
            source.read(0)
        path.write_bytes(whole)
        np.testing.assert_array_equal(source.read(0), picture(0, 20, 30))


def test_a_shard_of_another_packing_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in "ab":  # the same names, labels and sizes; other pixels
        x = rng.integers(0, 256, (20, 12, 12, 3), dtype=np.uint8)
        pack((x, np.arange(20) % 2), tmp_path / name)
    shard = tmp_path / "a" / "shard-000000.tar"
    assert len(open_source(tmp_path / "a")) == 20
    shard.touch()  # another time alone: the checksum decides
    assert len(open_source(tmp_path / "a")) == 20
    data = bytearray((tmp_path / "b" / "shard-000000.tar").read_bytes())
    if len(data) == shard.stat().st_size:
        shard.write_bytes(data)
        with pytest.raises(ValueError, match=r"shard-000000\.tar is not the shard that was packed"):
            open_source(tmp_path / "a")
    assert main(["pack", "--verify", str(tmp_path / "b")]) == 0
    changed = tmp_path / "b" / "shard-000000.tar"
    status = changed.stat()
    data[3000] ^= 1
    changed.write_bytes(data)
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert main(["pack", "--verify", str(tmp_path / "b")]) == 2
