"""Tar shards: labels, keys, torn files."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from source_samples import picture, png, tar

from jessl.data import UnreadableImage, open_source
from jessl.data.shards import ShardSource


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
