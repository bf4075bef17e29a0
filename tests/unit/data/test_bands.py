"""Images with all their bands and bits: files, arrays, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.data import Loader, UnreadableImage, band_statistics, open_source
from jessl.data.decode.bands import stored_bands
from jessl.data.decode.tiff_lzw import decoded_lzw
from jessl.data.packing.pack import pack
from jessl.data.sources.base import Bands
from jessl.views import presets

tifffile = pytest.importorskip("tifffile")

VALUES = np.random.default_rng(0).integers(0, 65536, (6, 5, 7, 4)).astype(np.uint16)


def write(path: Path, values: np.ndarray, **options: object) -> None:
    path.parent.mkdir(exist_ok=True)
    plain = {"photometric": "minisblack", "metadata": None}
    tifffile.imwrite(path, np.ascontiguousarray(values), **(plain | options))


def messages(source: object) -> dict[str, str]:
    wrong = {}
    for index in range(len(source)):
        try:
            source.read(index)
        except UnreadableImage as error:
            wrong[Path(error.where).name] = error.reason
    return wrong


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four bands of 16 bits, in every layout that TIFF has for them, in two classes."""
    root = tmp_path_factory.mktemp("bands")
    chunky = {"planarconfig": "contig"}
    write(root / "a" / "0.tif", VALUES[0], **chunky)
    write(root / "a" / "1.tif", VALUES[1], **chunky, compression="zlib", predictor=True)
    write(root / "a" / "2.tif", VALUES[2], photometric="rgb", extrasamples=["unassalpha"])
    write(root / "b" / "3.tif", VALUES[3].transpose(2, 0, 1), planarconfig="separate")
    with tifffile.TiffWriter(root / "b" / "4.tif") as pages:  # a page for each band
        for k in range(4):
            pages.write(VALUES[4, :, :, k], contiguous=False, metadata=None)
    turned = np.ascontiguousarray(VALUES[5].transpose(1, 0, 2))
    write(root / "b" / "5.tif", turned, **chunky, extratags=[(274, "H", 1, 5, True)])
    return root


def test_every_layout_of_a_tiff_keeps_all_bands_and_bits(folder: Path) -> None:
    source = open_source(f"bands:{folder}")
    assert source.bands == Bands(("1", "2", "3", "4"))
    assert source.classes == ("a", "b")
    for index in range(6):
        image = source.read(index)
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image, VALUES[index])
        assert source.size(index) == (5, 7)
    assert any("none of them named as colour" in note for note in source.notes)
    # a choice of bands, in another order, some of them colours
    chosen = open_source(f"bands:{folder}@4,2,1#1,2,4")
    assert chosen.bands == Bands(("4", "2", "1"), (2, 1, 0))
    np.testing.assert_array_equal(chosen.read(0), VALUES[0][:, :, [3, 1, 0]])
    assert "saturation, hue and grayscale change 1, 2 and 4 only" in chosen.notes[-1]
    assert len({open_source(f"bands:{folder}{c}").fingerprint() for c in ("", "@1,2", "@2,1")}) == 3


def test_a_range_is_mapped_to_sixteen_bits(folder: Path) -> None:
    image = open_source(f"bands:{folder}", bits=12).read(0)
    expected = np.floor(np.clip(VALUES[0].astype(float) / 4095, 0, 1) * 65535 + 0.5)
    np.testing.assert_array_equal(image, expected)


def test_arrays_keep_their_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "grey.npy", VALUES[..., 0])
    np.savez(tmp_path / "nine.npz", x=np.tile(VALUES, 3)[..., :9], y=np.arange(6) % 2)
    grey = open_source(f"bands:{tmp_path / 'grey.npy'}")
    assert (grey.bands, grey.read(1).dtype) == (Bands(("1",)), np.uint16)
    assert open_source(tmp_path / "grey.npy").read(1).dtype == np.uint8
    nine = open_source(tmp_path / "nine.npz")  # no other reading of nine channels exists
    assert nine.bands is not None
    np.testing.assert_array_equal(nine.rows(np.array([4, 2])), np.tile(VALUES, 3)[[4, 2], ..., :9])
    some = open_source(f"bands:{tmp_path / 'nine.npz'}@9,1")
    assert some.labels is not None
    np.testing.assert_array_equal(some.rows(np.array([3])), VALUES[[3]][..., [0, 0]])


def test_mean_and_deviation_are_those_of_all_pixels(folder: Path) -> None:
    mean, std = band_statistics(open_source(f"bands:{folder}"))
    np.testing.assert_allclose(mean, VALUES.mean((0, 1, 2)) / 65535, rtol=1e-12)
    np.testing.assert_allclose(std, VALUES.std((0, 1, 2)) / 65535, rtol=1e-12)
    assert band_statistics(open_source(np.full((2, 3, 3, 2), 7, np.uint8))) == (
        (7 / 255, 7 / 255),
        (1.0, 1.0),
    )
    source = open_source(f"bands:{folder}")
    batch = next(iter(Loader(source, presets.simclr(8).normalised(mean, std), 6)))
    assert batch.views[0].shape == (6, 4, 8, 8)


def test_what_has_other_bands_is_left_out_with_its_reason(folder: Path, tmp_path: Path) -> None:
    for file in sorted(folder.rglob("*.tif")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    write(tmp_path / "three.tif", VALUES[0, :, :, :3], photometric="rgb")
    floats = VALUES[0].astype(np.float32)
    write(tmp_path / "float.tif", floats, planarconfig="contig")
    (tmp_path / "torn.tif").write_bytes((folder / "a" / "0.tif").read_bytes()[:150])
    (tmp_path / "text.png").write_bytes(b"no image")
    (tmp_path / "empty.tif").touch()
    wrong = messages(open_source(f"bands:{tmp_path}"))
    assert wrong["three.tif"] == "3 bands, where most images have 4"
    assert "--range" in wrong["float.tif"]
    assert set(wrong) == {"three.tif", "float.tif", "torn.tif", "text.png", "empty.tif"}
    assert not any("\n" in reason for reason in wrong.values())
    floats[0, 0, 0] = np.nan
    write(tmp_path / "nan.tif", floats, planarconfig="contig")
    wrong = messages(open_source(f"bands:{tmp_path}", value_range=(0, 65535)))
    assert wrong["nan.tif"] == "some of its values are NaN"
    assert "float.tif" not in wrong


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("@5", "unknown band '5'"),
        ("@1,1", "each band once"),
        ("#1,2", "the bands of red, green and blue"),
        ("@1,2#1,2,3", "band 3 is not among those that are read"),
    ],
)
def test_a_choice_that_the_images_lack_is_named(folder: Path, suffix: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_source(f"bands:{folder}{suffix}")


def test_more_than_sixteen_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"with c 1..16"):
        open_source(np.zeros((2, 4, 4, 17), np.uint16))
    write(tmp_path / "x.tif", np.zeros((4, 4, 17), np.uint8), planarconfig="contig")
    with pytest.raises(ValueError, match="17 bands"):
        open_source(f"bands:{tmp_path}")


def test_bands_that_are_files_are_found_by_a_pattern(tmp_path: Path) -> None:
    for k in range(4):
        for band, name in enumerate(("2", "10", "8A")):
            write(tmp_path / "ab"[k % 2] / f"x{k}_B{name}.tif", VALUES[k, :, :, band])
    pattern = f"bands:{tmp_path}/{{name}}_B{{band}}.tif"
    source = open_source(pattern)
    assert source.bands == Bands(("2", "8A", "10"))
    assert list(source.names()) == ["a/x0", "a/x2", "b/x1", "b/x3"]
    assert source.classes == ("a", "b")
    np.testing.assert_array_equal(source.read(1), VALUES[2][:, :, [0, 2, 1]])
    assert source.size(1) == (5, 7)
    chosen = open_source(f"{pattern}@10,2,8A#10,2,8A")
    assert chosen.bands == Bands(("10", "2", "8A"), (0, 1, 2))
    np.testing.assert_array_equal(chosen.read(0), VALUES[0][:, :, [1, 0, 2]])

    # a band of half the pixels, one that is missing, one that only one image has
    write(tmp_path / "a" / "x0_B10.tif", VALUES[0, :2, :3, 1])
    for band in ("2", "8A"):
        write(tmp_path / "a" / f"x0_B{band}.tif", VALUES[0, :4, :6, 0])
    (tmp_path / "b" / "x3_B8A.tif").unlink()
    write(tmp_path / "a" / "x2_B11.tif", VALUES[0, :, :, 3])
    write(tmp_path / "b" / "x1_B2.tif", VALUES[0, :3, :3, 0])
    source = open_source(pattern)
    assert source.bands == Bands(("2", "8A", "10"))
    notes = "; ".join(source.notes)
    assert "1 of 4 images lack bands" in notes
    assert "b/x3 (no file for band 8A)" in notes
    assert "left out: 11" in notes
    halves = VALUES[0, :2, :3, 1].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(source.read(0)[:, :, 2], halves)
    wrong = messages(source)
    assert wrong["x3"] == "no file for band 8A"
    assert "which is no multiple" in wrong["x1"]
    assert set(wrong) == {"x1", "x3"}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{name}_C{band}.tif", "no file matches .*; below .* are 6 images, such as a/0.tif"),
        ("{name}.tif", "expected a pattern with one {name} and one {band}"),
        ("none/{name}_{band}.tif", "no folder"),
    ],
)
def test_a_pattern_that_matches_nothing_is_named(folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_source(f"bands:{folder}/{pattern}")


def test_packed_bands_are_the_same_images(folder: Path, tmp_path: Path) -> None:
    pack(f"bands:{folder}", tmp_path / "four")
    packed, source = open_source(f"bands:{tmp_path / 'four'}"), open_source(f"bands:{folder}")
    assert packed.classes == source.classes
    np.testing.assert_array_equal(packed.ids, source.ids)
    for index in range(6):
        np.testing.assert_array_equal(packed.read(index), source.read(index))
    pack(f"bands:{folder}@4,2,1#1,2,4", tmp_path / "three")
    assert open_source(f"bands:{tmp_path / 'three'}").bands == Bands(("4", "2", "1"), (2, 1, 0))
    assert open_source(f"bands:{tmp_path / 'three'}@1,4").bands == Bands(("1", "4"))
    pack(f"bands:{folder}@4,2,1", tmp_path / "grey")
    assert open_source(f"bands:{tmp_path / 'grey'}").bands == Bands(("4", "2", "1"))
    pack(f"bands:{folder}@3", tmp_path / "one", short_side=4)
    one = open_source(f"bands:{tmp_path / 'one'}").read(0)
    assert (one.shape, one.dtype) == ((4, 6, 1), np.uint16)
    with pytest.raises(ValueError, match="JPEG does not hold"):
        pack(f"bands:{folder}", tmp_path / "no", quality=90)


def lzw(values: np.ndarray) -> bytes:
    """Bytes as an LZW segment, by Pillow."""
    file = io.BytesIO()
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    Image.fromarray(rows).save(file, "TIFF", compression="tiff_lzw", strip_size=1 << 20)
    with Image.open(file) as image:
        start, count = image.tag_v2[273][0], image.tag_v2[279][0]
    return file.getvalue()[start : start + count]


@pytest.mark.parametrize("predictor", [False, True])
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_lzw_needs_no_imagecodecs(tmp_path: Path, planes: str, predictor: bool) -> None:
    """Strips of two rows of five bands of 16 bits; the last one has one row."""
    image = np.tile(VALUES[0], 2)[:, :, :5]
    stored = image if planes == "contig" else image.transpose(2, 0, 1)
    across = 1 if planes == "contig" else 2
    delta = np.diff(stored, axis=across, prepend=stored.take([0], axis=across) * 0)
    written = delta if predictor else stored
    strips = [written] if planes == "contig" else list(written)
    segments = [lzw(part[k : k + 2]) for part in strips for k in range(0, 5, 2)]
    path = tmp_path / "lzw.tif"
    tifffile.imwrite(
        path,
        iter(segments),
        shape=stored.shape,
        dtype=np.uint16,
        compression="zlib",
        predictor=predictor,
        planarconfig=planes,
        photometric="minisblack",
        rowsperstrip=2,
        metadata=None,
    )
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[259].overwrite(5)
    np.testing.assert_array_equal(stored_bands(path.read_bytes(), "x").values, image)
    with pytest.raises(OSError, match="decod"):
        decoded_lzw(segments[0][:20], 2, 140)


def test_other_compressions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "zstd.tif"
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(path, VALUES[0], **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags[259].overwrite(50000)
    with pytest.raises(UnreadableImage, match="compression ZSTD, which needs imagecodecs"):
        stored_bands(path.read_bytes(), "x")


def test_a_picture_has_the_bands_that_are_named_as_colour(folder: Path) -> None:
    source = open_source(f"bands:{folder}@4,2,1,3#1,2,4")
    np.testing.assert_array_equal(source.picture(0), VALUES[0][:, :, [0, 1, 3]])
    plain = open_source(f"bands:{folder}")
    np.testing.assert_array_equal(plain.picture(0), VALUES[0][:, :, :3])
    assert open_source(f"bands:{folder}@4,2").picture(0).shape == (5, 7, 1)


def test_two_files_of_one_band_are_named(tmp_path: Path) -> None:
    for name in ("a_B1_x.tif", "a_B1_y.tif", "a_B2_x.tif"):
        write(tmp_path / "t" / name, VALUES[0, :, :, 0])
    source = open_source(f"bands:{tmp_path}/t/{{name}}_B{{band}}_*.tif")
    assert "1 files are of an image and a band" in source.notes[0]
    assert "the first is a_B1_y.tif (a_B1_x.tif is read)" in source.notes[0]


def test_a_palette_is_read_as_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).convert("P")
    image.putpalette([v for k in range(256) for v in (255 - k, k, 7)])
    for name in ("p.tif", "p.png"):
        image.save(tmp_path / name)
        values = stored_bands((tmp_path / name).read_bytes(), "x").values
        assert values.shape == (6, 8, 3)
