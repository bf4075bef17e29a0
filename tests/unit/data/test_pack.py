"""Packing: what an image becomes, what stays the same, who can read it."""

from __future__ import annotations

import gc
import io
import json
import re
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from jessl.cli.main import main
from jessl.data import Source, Subset, open_source
from jessl.data.packing.encode import Recipe
from jessl.data.packing.pack import pack
from jessl.data.packing.shard_writer import member_keys
from jessl.data.sources.shard_checksums import VERIFIED


def scene(i: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth coloured picture with some noise: uint8 [height, width, 3]."""
    rng = np.random.default_rng(i)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(6 * (a * x + b * y) + c) for a, b, c in rng.uniform(-3, 3, (3, 3))]
    noise = rng.normal(0, 6, (height, width, 3))
    return (np.stack(waves, 2) * 90 + 128 + noise).clip(0, 255).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def members(out: Path) -> dict[str, bytes]:
    found = {}
    for shard in sorted(out.glob("*.tar")):
        with tarfile.open(shard) as file:
            for member in file:
                found[member.name] = file.extractfile(member).read()  # type: ignore[union-attr]
    return found


def turned(image: np.ndarray, orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, "JPEG", quality=95, subsampling=0, exif=exif)


def mixed(path: Path) -> Source:
    """Two class folders with photographs of many kinds."""
    rgba = np.dstack([scene(5), np.full((48, 64), 128, np.uint8)])
    return open_source(
        folder_of(
            path,
            {
                "cat/1.jpg": encoded(scene(0), "JPEG", quality=80),
                "cat/1.png": encoded(scene(1), "PNG"),
                "cat/2.v1.JPEG": encoded(scene(2)[:, :, 0], "JPEG", progressive=True),
                "cat/alpha.png": encoded(rgba, "PNG"),
                "dog/deep.png": encoded(scene(3)[:, :, 0].astype(np.uint16) * 257, "PNG"),
                "dog/palette.gif": encoded(Image.fromarray(scene(4)).convert("P"), "GIF"),
                "dog/x.webp": encoded(scene(6), "WEBP", lossless=True),
            },
        )
    )


def arrays(_: Path) -> Source:
    images = np.stack([scene(i, 32, 32) for i in range(9)])
    return open_source((images, np.array(["b", "", "a"] * 3)))


def some(path: Path) -> Source:
    return Subset(mixed(path), [5, 0, 2])


def labelled(path: Path) -> Source:
    (path / "labels.csv").write_text("path,label\n3,yes\n0,no\n7,yes\n")
    return open_source(np.stack([scene(i, 8, 8) for i in range(8)]), labels=path / "labels.csv")


def grey(_: Path) -> Source:
    return open_source(np.stack([scene(i, 8, 8)[:, :, 0] for i in range(5)]))


@pytest.mark.parametrize("kind", [mixed, arrays, some, labelled, grey])
def test_without_options_nothing_is_lost(kind: object, tmp_path: Path) -> None:
    source = kind(tmp_path)  # type: ignore[operator]
    result = pack(source, tmp_path / "out", shard_mb=0.02)
    assert result.images == len(source)
    assert result.shards > 1 or result.bytes < 20_000
    again = open_source(tmp_path / "out")
    assert again.notes == ()
    np.testing.assert_array_equal(again.ids, source.ids)
    np.testing.assert_array_equal(again.labels, source.labels)
    assert again.classes == source.classes
    for i in range(len(source)):
        assert again.key(i) == source.key(i)
        np.testing.assert_array_equal(again.read(i), source.read(i))
        assert again.size(i) == source.size(i)
    for ours, theirs in zip(again.sizes(3), source.sizes(3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert again.segments is not None
    assert again.segments[0] == 0
    assert again.segments[-1] == result.shards - 1
    # packing what was packed changes nothing but the options
    pack(again, tmp_path / "twice", shard_mb=0.02)
    assert members(tmp_path / "twice") == members(tmp_path / "out")


def test_own_bytes_are_kept_where_any_reader_sees_the_same(tmp_path: Path) -> None:
    source = mixed(tmp_path / "in")
    result = pack(source, tmp_path / "out")
    assert (result.kept, result.resized) == (4, 0)
    found = members(tmp_path / "out")
    assert sorted(found) == sorted(
        f"{key}.{kind}"
        for key, image in {
            "cat/1%2Ejpg": "jpg",
            "cat/1%2Epng": "png",
            "cat/2%2Ev1": "jpg",
            "cat/alpha": "png",
            "dog/deep": "png",
            "dog/palette": "png",
            "dog/x": "png",
        }.items()
        for kind in (image, "cls")
    )
    for name, file in (("1%2Ejpg.jpg", "1.jpg"), ("1%2Epng.png", "1.png")):
        assert found[f"cat/{name}"] == (tmp_path / "in" / "cat" / file).read_bytes()
    assert found["dog/x.cls"] == b"1"
    with Image.open(io.BytesIO(found["cat/alpha.png"])) as image:
        assert image.mode == "RGB"
    # 16 bits are kept: in 8 a source of 12 bits would have 16 levels
    assert found["dog/deep.png"] == (tmp_path / "in" / "dog" / "deep.png").read_bytes()


def test_what_is_turned_or_not_rgb_is_encoded_anew(tmp_path: Path) -> None:
    cmyk = Image.fromarray(scene(1)).convert("CMYK")
    source = open_source(
        folder_of(
            tmp_path / "in",
            {
                "1.jpg": turned(scene(0)),
                "2.jpg": encoded(cmyk, "JPEG", quality=95),
                "3.jpg": turned(scene(2), 1),
                "4.png": encoded(
                    scene(3),
                    "PNG",
                    exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\3\0\0\0\0\0\0",
                ),
            },
        )
    )
    assert source.size(0) == (64, 48)
    result = pack(source, tmp_path / "out")
    assert result.kept == 1
    again = open_source(tmp_path / "out")
    for i in range(4):
        data = again.encoded(i)
        assert data is not None
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "RGB"
            assert image.size == source.size(i)[::-1]
            assert image.getexif().get(0x0112, 1) == 1
        options = {"quality": 90, "subsampling": "4:2:0", "optimize": True}
        if i in (0, 1):
            assert data == encoded(source.read(i), "JPEG", **options)
    assert again.encoded(2) == source.encoded(2)
    np.testing.assert_array_equal(again.read(3), source.read(3))


def test_quality_and_subsampling(tmp_path: Path) -> None:
    photos = {f"{i}.png": encoded(scene(i, 200, 300), "PNG") for i in range(3)}
    source = open_source(folder_of(tmp_path / "in", photos))
    sizes = {}
    for quality, subsampling in ((95, "4:4:4"), (80, "4:4:4"), (80, "4:2:0"), (40, "4:2:0")):
        out = tmp_path / f"{quality}{subsampling[2]}"
        sizes[quality, subsampling] = pack(
            source, out, quality=quality, subsampling=subsampling
        ).bytes
        found = members(out)
        assert sorted(found) == ["0.jpg", "1.jpg", "2.jpg"]
        wanted = {"4:4:4": 0, "4:2:0": 2}[subsampling]
        for i, data in enumerate(found.values()):
            plain = encoded(source.read(i), "JPEG", quality=quality, subsampling=subsampling)
            # optimised Huffman tables change the size and nothing else
            assert len(data) < len(plain)
            with Image.open(io.BytesIO(data)) as ours, Image.open(io.BytesIO(plain)) as theirs:
                assert JpegImagePlugin.get_sampling(ours) == wanted
                np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)


def test_small_files_are_kept_at_any_quality(tmp_path: Path) -> None:
    small = encoded(scene(0, 200, 300), "JPEG", quality=30)
    large = encoded(scene(0, 200, 300), "JPEG", quality=98)
    grey_png = encoded(scene(1)[:, :, 0], "PNG")
    folder_of(tmp_path / "in", {"l.jpg": large, "s.jpg": small, "t.png": grey_png})
    result = pack(tmp_path / "in", tmp_path / "out", quality=75)
    found = members(tmp_path / "out")
    assert found["s.jpg"] == small
    assert len(found["l.jpg"]) < len(large)
    assert result.kept == 1
    assert result.source_bytes == len(small) + len(large) + len(grey_png)
    with Image.open(io.BytesIO(found["t.jpg"])) as image:
        assert image.mode == "L"


@pytest.mark.parametrize(("option", "side"), [("short_side", min), ("long_side", max)])
def test_sides(option: str, side: object, tmp_path: Path) -> None:
    shapes = [(40, 80), (80, 40), (39, 20), (40, 40), (41, 300), (200, 3)]
    pictures = {f"{h}x{w}.png": encoded(scene(h, h, w), "PNG") for h, w in shapes}
    source = open_source(folder_of(tmp_path / "in", pictures))
    result = pack(source, tmp_path / "out", **{option: 40})
    again = open_source(tmp_path / "out")
    resized = 0
    for i in range(len(source)):
        (h, w), (height, width) = source.size(i), again.size(i)
        assert again.read(i).shape[:2] == (height, width)
        if side((h, w)) <= 40:  # type: ignore[operator]
            assert (height, width) == (h, w)
        else:
            resized += 1
            assert side((height, width)) == 40  # type: ignore[operator]
            scale = 40 / side((h, w))  # type: ignore[operator]
            assert abs(height - h * scale) <= 1
            assert abs(width - w * scale) <= 1
            # no aliasing: the mean survives
            assert abs(again.read(i).mean() - source.read(i).mean()) < 3
    assert result.resized == resized > 0


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600), st.booleans())
def test_sides_never_grow_nor_vanish(height: int, width: int, side: int, short: bool) -> None:
    recipe = Recipe(short_side=side) if short else Recipe(long_side=side)
    h, w = recipe.target(height, width)
    assert 1 <= h <= height
    assert 1 <= w <= width
    assert (min if short else max)(h, w) <= side
    assert (min if short else max)(h, w) == min(side, (min if short else max)(height, width))


# webdataset leaves it to the garbage collector to close its files
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_plain_webdataset_reads_it(tmp_path: Path) -> None:
    import webdataset

    source = mixed(tmp_path / "in")
    pack(source, tmp_path / "out", shard_mb=0.02)
    shards = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    assert len(shards) > 1
    samples = [*webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("rgb8")]
    assert len({sample["__key__"] for sample in samples}) == len(source)
    assert source.labels is not None
    for i, sample in enumerate(samples):
        assert sample["cls"] == source.labels[i]
        theirs = sample.get("jpg", sample.get("png"))
        if sample["__key__"] == "dog/deep":
            # Pillow's conversion to RGB, which webdataset asks for, clips 16 bits
            assert source.facts(i).deep
            continue
        np.testing.assert_array_equal(theirs, np.broadcast_to(source.read(i), theirs.shape))
    gc.collect()


NAMES = st.lists(
    st.text(
        st.characters(codec=None, exclude_categories=()) | st.sampled_from("./_%ab"), min_size=1
    )
    | st.sampled_from(
        ["a.jpg", "a.png", "a", "a.JPG", "__x__/a.png", "../a", "/a", "a/", "a\n.b/c"]
    ),
    unique=True,
)


@given(NAMES)
def test_names_of_members_are_webdatasets_keys(keys: list[str]) -> None:
    from webdataset import tariterators

    names = member_keys(keys)
    assert len(set(names)) == len(keys)
    for name in names:
        assert tariterators.base_plus_ext(f"{name}.jpg") == (name, "jpg")
        assert not re.match(r"__[^/]*__($|/)", f"{name}.jpg")
        assert not {"", ".", ".."} & set(name.split("/"))
        assert name.encode()


def test_odd_names_come_back(tmp_path: Path) -> None:
    names = ["a.b/c.d.jpg", "a.b/c.e.jpg", "__m__/1.jpg", "x" * 120 + "/" + "y" * 120 + ".jpg",
             "é ü/ß%.jpg", "caf\udce9.jpg", "n\nl.jpg", "back\\slash.jpg"]  # fmt: skip
    data = encoded(scene(0), "JPEG")
    source = open_source(folder_of(tmp_path / "in", dict.fromkeys(names, data)))
    pack(source, tmp_path / "out")
    again = open_source(tmp_path / "out")
    assert [again.key(i) for i in range(8)] == sorted(names)
    np.testing.assert_array_equal(again.ids, source.ids)
    assert [again.encoded(i) for i in range(8)] == [data] * 8
    (tmp_path / "out" / "index.npz").unlink()
    assert len(open_source(tmp_path / "out")) == 8


def test_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    source = mixed(tmp_path / "in")
    for workers in (1, 3):
        pack(source, tmp_path / str(workers), shard_mb=0.02, quality=70, workers=workers)
    one, three = (
        {p.name: p.read_bytes() for p in (tmp_path / w).iterdir() if p.name != VERIFIED}
        for w in "13"
    )
    assert one == three
    assert len(one) >= 4


def test_shuffled_over_the_shards(tmp_path: Path) -> None:
    source = open_source((np.stack([scene(i, 8, 8) for i in range(40)]), np.arange(40) // 10))
    pack(source, tmp_path / "out", shuffle=3, shard_mb=0.02)
    again = open_source(tmp_path / "out")
    assert sorted(again.ids) == list(range(40))
    assert again.ids.tolist() != list(range(40))
    assert again.labels is not None
    np.testing.assert_array_equal(again.labels, again.ids // 10)
    np.testing.assert_array_equal(again.read(7), source.read(int(again.ids[7])))


def test_manifest(tmp_path: Path) -> None:
    import hashlib

    folder_of(tmp_path / "in", {"1.jpg": encoded(scene(0), "JPEG"), "2.png": b"broken"})
    result = pack(tmp_path / "in", tmp_path / "out", quality=50)
    assert list(result.skipped) == ["2.png"]
    assert "not an image" in result.skipped["2.png"]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["images"] == 2
    assert manifest["packed"] == 1
    assert manifest["options"]["quality"] == 50
    for entry in [*manifest["shards"], manifest["index"]]:
        data = (tmp_path / "out" / entry["file"]).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert manifest["shards"][0]["skipped"] == result.skipped
    assert len(open_source(tmp_path / "out")) == 1


def test_memory_holds_no_shard(tmp_path: Path) -> None:
    class Noise(Source):
        name, ids = "noise", np.arange(120)

        def read(self, index: int) -> np.ndarray:
            rng = np.random.default_rng(index)
            return rng.integers(0, 256, (128, 128, 3), dtype=np.uint8)

        def key(self, index: int) -> str:
            return str(index)

        where = key

        def fingerprint(self) -> str:
            return "noise"

    pack(Subset(Noise(), [0]), tmp_path / "warm")
    tracemalloc.start()
    result = pack(Noise(), tmp_path / "out", workers=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result.shards, result.images) == (1, 120)
    assert result.bytes > 5_000_000
    assert peak < 1_500_000


def test_shards_without_their_manifest_are_named(tmp_path: Path) -> None:
    pack("digits", tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"has shards and an index but no manifest\.json"):
        pack("digits", tmp_path / "out")


def test_commands_tell_what_is_wrong_with_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack("digits", tmp_path / "out")
    (tmp_path / "out" / "index.npz").write_bytes(b"garbage")
    command = ["views", "--data", str(tmp_path / "out"), "--out", str(tmp_path / "v.png")]
    assert main(command) == 0
    assert "note: " in capsys.readouterr().err
