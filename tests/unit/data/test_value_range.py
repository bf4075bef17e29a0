"""Images of more than 8 bits a channel: what becomes black and white, and what is said of it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.commands import run_code
from jessl.core.files import read_json
from jessl.data import DatasetSource, Subset, UnreadableImage, open_source, unlabelled
from jessl.data.decode.image import decode, file_facts, stored_values
from jessl.data.decode.value_range import SIXTEEN_BITS, ValueRange
from jessl.data.packing.pack import pack

RNG = np.random.default_rng(0)
# values of 12 bits, as a camera or a microscope stores them
TWELVE = RNG.integers(0, 4096, (70, 6, 5)).astype(np.uint16)
TWELVE[:, 0, 0] = 4095
AS_BYTES = np.rint(TWELVE * (255 / 4095)).astype(np.uint8)


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, which Pillow cannot write in colour: uint16 [h, w, c], c 1..4."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(values: np.ndarray, *, order: str = "<", planar: bool = False, extra: int = 0) -> bytes:
    """An uncompressed TIFF of [h, w, c] in one strip (with `planar` one for each band)."""
    height, width, channels = values.shape
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    stored = values.astype(values.dtype.newbyteorder(order))
    data = (np.moveaxis(stored, 2, 0) if planar else stored).tobytes()
    strips = channels if planar else 1
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [bits] * channels),
        259: ("H", [1]),
        262: ("H", [2 if channels >= 3 else 1]),
        273: ("I", [0] * strips),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [len(data) // strips] * strips),
        284: ("H", [2 if planar else 1]),
        **({338: ("H", [0] * extra)} if extra else {}),
        **({} if kind == "u" else {339: ("H", [{"i": 2, "f": 3}[kind]] * channels)}),
    }
    start = 8 + 2 + 12 * len(tags) + 4
    blob_bytes = sum(
        struct.calcsize(order + form * len(numbers))
        for form, numbers in tags.values()
        if struct.calcsize(order + form * len(numbers)) > 4
    )
    first = start + blob_bytes
    tags[273] = ("I", [first + i * (len(data) // strips) for i in range(strips)])
    entries, blob = b"", b""
    for tag, (form, numbers) in sorted(tags.items()):
        packed = struct.pack(order + form * len(numbers), *numbers)
        cell = packed.ljust(4, b"\0")
        if len(packed) > 4:
            cell = struct.pack(order + "I", start + len(blob))
            blob += packed
        entries += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[form], len(numbers)) + cell
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "IH", 8, len(tags))
    return head + entries + bytes(4) + blob + data


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def twelve_bit_folder(path: Path) -> Path:
    return folder(path, {f"{i:02}.png": png16(x[:, :, None]) for i, x in enumerate(TWELVE)})


def test_sixteen_bits_are_divided_by_257_and_rounded() -> None:
    values = np.arange(65536)
    for kind in (np.uint16, ">u2", np.int64, np.float32):
        assert np.array_equal(SIXTEEN_BITS.to_uint8(values.astype(kind)), (values + 128) // 257)


def test_values_outside_are_clipped_and_nan_is_refused() -> None:
    chosen = ValueRange(-1000, 1000)
    values = np.array([[-5000, -1000, 0, 1000, 9e9]], np.float32)
    assert chosen.to_uint8(values).tolist() == [[0, 0, 128, 255, 255]]
    with pytest.raises(ValueError, match="NaN"):
        chosen.to_uint8(np.array([np.nan, 1.0]))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bits": 8}, "bits: expected a whole number from 9 to 16, got 8"),
        ({"bits": 17}, "from 9 to 16, got 17"),
        ({"bits": 12.0}, "got 12.0"),
        ({"value_range": (5, 5)}, r"range: expected two finite numbers, .* got \(5, 5\)"),
        ({"value_range": (0, float("inf"))}, "two finite numbers"),
        ({"value_range": (1,)}, "two finite numbers"),
        ({"bits": 12, "value_range": (0, 1)}, "bits, range: expected at most one"),
    ],
)
def test_what_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        open_source(TWELVE, **options)


@pytest.mark.parametrize("kind", ["folder", "npy", "npz", "array", "items", "Pillow", "files"])
def test_twelve_bits(kind: str, tmp_path: Path) -> None:
    class Items:
        def __len__(self) -> int:
            return len(TWELVE)

        def __getitem__(self, index: int) -> Any:
            values = TWELVE[index]
            if kind == "files":
                return {"image": {"bytes": png16(values[:, :, None]), "path": None}}
            return values if kind == "items" else Image.fromarray(values)

    spec: Any = TWELVE
    if kind == "folder":
        spec = twelve_bit_folder(tmp_path / "d")
    elif kind == "npy":
        np.save(spec := tmp_path / "x.npy", TWELVE)
    elif kind == "npz":
        np.savez(spec := tmp_path / "x.npz", x=TWELVE)
    elif kind != "array":
        spec = Items()
    dark = open_source(spec)
    [note] = [note for note in dark.notes if "black" in note]
    assert "the largest value of 64 images sampled is 4,095, where 65,535 is white" in note
    assert "--bits 12" in note
    assert np.array_equal(dark.read(3)[:, :, 0], (TWELVE[3].astype(int) + 128) // 257)
    source = open_source(spec, bits=12)
    assert not any("black" in note or "clipped" in note for note in source.notes)
    for wrapped in (source, Subset(source, np.arange(9)), unlabelled(source)):
        assert np.array_equal(wrapped.read(3)[:, :, 0], AS_BYTES[3])
        assert wrapped.value_range == ValueRange(0, 4095)
    rows = source.rows(np.arange(5))
    assert rows is None or np.array_equal(rows[..., 0], AS_BYTES[:5])
    assert source.fingerprint() != dark.fingerprint()
    assert source.fingerprint() == open_source(spec, value_range=[0, 4095]).fingerprint()


def test_one_bright_image_is_enough() -> None:
    values = TWELVE[:64].copy()
    values[40] = 65535
    assert open_source(values).notes == ()


def test_sixteen_bits_that_are_asked_for_are_no_mistake() -> None:
    assert open_source(TWELVE, bits=16).notes == ()


def test_values_that_are_clipped_are_counted_with_the_first() -> None:
    [note] = open_source(TWELVE, value_range=(100, 4095)).notes
    dark = [i for i in range(70) if TWELVE[i].min() < 100]
    assert "values outside 100..4095, which are clipped; the first is row" in note
    assert f"row {dark[0]} of array" in note


def test_bits_without_effect() -> None:
    [note] = open_source("digits", bits=12).notes
    assert "have no effect: none of 64 images sampled has more than 8 bits" in note


def test_small_numbers_in_bytes() -> None:
    [note] = open_source(np.ones((5, 8, 8), np.uint8)).notes
    assert "the largest value of 5 images sampled is 1, where 255 is white" in note
    assert open_source(np.zeros((5, 8, 8), np.uint8)).notes == ()


def test_an_open_source_keeps_its_range() -> None:
    source = open_source(TWELVE, bits=12)
    assert open_source(source, bits=12) is source
    with pytest.raises(ValueError, match="bits, range: array is open already"):
        open_source(source, bits=10)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_sixteen_bits(channels: int) -> None:
    values = RNG.integers(0, 4096, (5, 7, channels)).astype(np.uint16)
    if channels in (2, 4):
        values[:, :, -1] = 65535
    colours = values[:, :, : 3 if channels > 2 else 1]
    data = png16(values)
    assert file_facts(data).deep
    stored = stored_values(data)
    assert stored is not None
    assert np.array_equal(stored.values, colours)
    expected = np.rint(colours * (255 / 4095)).astype(np.uint8)
    assert np.array_equal(decode(data, value_range=ValueRange(0, 4095)), expected)


def test_transparency_of_sixteen_bits_is_laid_on_white() -> None:
    values = np.zeros((4, 4, 4), np.uint16)
    assert (decode(png16(values), value_range=ValueRange(0, 4095)) == 255).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_sixteen_bits(order: str, channels: int) -> None:
    values = RNG.integers(0, 4096, (5, 7, channels)).astype(np.uint16)
    data = tiff(values, order=order)
    assert np.array_equal(decode(data, value_range=ValueRange(0, 65535)), (values + 128) // 257)
    expected = np.rint(values * (255 / 4095)).astype(np.uint8)
    assert np.array_equal(decode(data, value_range=ValueRange(0, 4095)), expected)


def test_compressed_tiff() -> None:
    file = io.BytesIO()
    Image.fromarray(TWELVE[0]).save(file, "TIFF", compression="tiff_lzw")
    assert np.array_equal(
        decode(file.getvalue(), value_range=ValueRange(0, 4095))[:, :, 0], AS_BYTES[0]
    )


@pytest.mark.parametrize("kind", [np.float32, np.int16])
def test_physical_values_need_their_range(kind: type, tmp_path: Path) -> None:
    values = np.linspace(-1000, 1000, 35).reshape(5, 7, 1).astype(kind)
    data = tiff(values)
    with pytest.raises(UnreadableImage, match=r"\(--range\)"):
        decode(data)
    got = decode(data, value_range=ValueRange(-1000, 1000))
    assert (got.min(), got.max()) == (0, 255)
    np.save(tmp_path / "x.npy", values[None])
    with pytest.raises(ValueError, match="give their range: --range LOW HIGH"):
        open_source(tmp_path / "x.npy")
    source = open_source(tmp_path / "x.npy", value_range=(-1000, 1000))
    assert np.array_equal(source.read(0), got)
    assert source.notes == ()


def test_nan_makes_an_image_unreadable(tmp_path: Path) -> None:
    values = np.zeros((2, 4, 4), np.float32)
    values[1, 0, 0] = np.nan
    source = open_source(values, value_range=(0, 1))
    assert source.read(0).max() == 0
    with pytest.raises(UnreadableImage, match="row 1 of array: some of its values are NaN"):
        source.read(1)


@pytest.mark.parametrize("largest", [4095, 65535])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("plain", [False, True])
def test_netpbm(largest: int, channels: int, plain: bool) -> None:
    values = RNG.integers(0, 4096, (5, 7, channels)).astype(">u2")
    number = (2 if channels == 1 else 3) + (0 if plain else 3)
    head = f"P{number}\n# 12 bits\n7 5\n{largest}\n".encode()
    data = head + (b" ".join(b"%d" % x for x in values.ravel()) if plain else values.tobytes())
    expected = np.rint(values.astype(int) * (255 / 4095)).astype(np.uint8)
    assert np.array_equal(decode(data, value_range=ValueRange(0, 4095)), expected)
    stored = stored_values(data)
    assert stored is not None
    assert stored.white == largest


@pytest.mark.parametrize(("kind", "bands"), [(np.uint8, 4), (np.uint8, 6), (np.uint16, 4)])
def test_bands_beyond_three_are_counted_with_the_first(
    kind: type, bands: int, tmp_path: Path
) -> None:
    values = RNG.integers(0, 256, (5, 7, bands)).astype(kind)
    plain = np.zeros((5, 7, 3), np.uint8)
    files = {"a.tif": tiff(plain), "b.tif": tiff(values, extra=bands - 3), "c.tif": tiff(plain)}
    source = open_source(folder(tmp_path / "d", files))
    [note] = [note for note in source.notes if " bands beside " in note]
    assert "1 of 3 images sampled has bands beside grey or red, green and blue" in note
    assert f"the first is {tmp_path}/d/b.tif ({bands - 3} left out)" in note


def test_pages_are_counted_and_thumbnails_are_not(tmp_path: Path) -> None:
    file = io.BytesIO()
    pages = [Image.fromarray(AS_BYTES[i]) for i in range(3)]
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    source = open_source(folder(tmp_path / "d", {"a.tif": file.getvalue()}))
    [note] = source.notes
    assert "1 of 1 image sampled has several pages or frames, of which the first is read" in note


def test_tiffs_that_cannot_be_read_are_named_as_such() -> None:
    values = RNG.integers(0, 4096, (5, 7, 5)).astype(np.uint16)
    with pytest.raises(UnreadableImage, match="a TIFF of 5 bands of 16 bits"):
        decode(tiff(values, extra=2))
    # Pillow reads the lower and upper bytes of these as neighbours
    with pytest.raises(UnreadableImage, match="planar"):
        decode(tiff(values[:, :, :3], planar=True))


def test_pillow_prints_no_lines_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "seven.tif"
    path.write_bytes(tiff(RNG.integers(0, 256, (5, 7, 7)).astype(np.uint8), extra=4))
    code = "import sys; from jessl.data.decode.image import decode; decode(sys.argv[1])"
    lines = run_code(code, str(path)).stderr.splitlines()
    assert "seven.tif: a TIFF of 7 bands of 8 bits" in lines[-1]
    assert not [line for line in lines if line.startswith("More samples")]


def test_a_data_set_is_given_its_range() -> None:
    source = DatasetSource([Image.fromarray(x) for x in TWELVE], value_range=ValueRange(0, 4095))
    assert np.array_equal(source.read(0)[:, :, 0], AS_BYTES[0])


@pytest.mark.parametrize("kind", ["png", "tiff", "array", "colour png", "colour tiff"])
def test_packing_keeps_all_levels(kind: str, tmp_path: Path) -> None:
    colour = np.stack([TWELVE[:5], TWELVE[5:10], TWELVE[10:15]], axis=3)
    values = colour if "colour" in kind else TWELVE[:5, :, :, None]
    encoded = tiff if "tiff" in kind else png16
    spec: Any = values
    if kind != "array":
        name = "{}.tif" if "tiff" in kind else "{}.png"
        spec = folder(tmp_path / "d", {name.format(i): encoded(x) for i, x in enumerate(values)})
    before = open_source(spec)
    pack(before, tmp_path / "p")
    notes = read_json(tmp_path / "p" / "manifest.json")["notes"]
    assert any("nearly black" in note for note in notes)
    packed = open_source(tmp_path / "p")
    bright, of_source = open_source(tmp_path / "p", bits=12), open_source(spec, bits=12)
    for i in range(5):
        stored = packed.stored_values(i)
        assert stored is not None
        assert np.array_equal(stored.values, values[i])
        assert np.array_equal(packed.read(i), before.read(i))
        assert np.array_equal(bright.read(i), of_source.read(i))


def test_packing_with_bits(tmp_path: Path) -> None:
    d = twelve_bit_folder(tmp_path / "d")
    pack(d, tmp_path / "p", bits=12)
    packed = open_source(tmp_path / "p")
    assert packed.notes == ()
    assert np.array_equal(packed.read(3)[:, :, 0], AS_BYTES[3])
    assert read_json(tmp_path / "p" / "manifest.json")["options"]["value_range"] == [0, 4095]
    assert pack(d, tmp_path / "p", bits=12).resumed == 1
    with pytest.raises(ValueError, match=r"another range of values .*\[0, 4095\] there, None here"):
        pack(d, tmp_path / "p")


def test_packing_resizes_sixteen_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 64 * 48).reshape(1, 64, 48).astype(np.uint16)
    pack(values, tmp_path / "p", short_side=24)
    stored = open_source(tmp_path / "p").stored_values(0)
    assert stored is not None
    assert stored.values.shape == (32, 24, 1)
    assert abs(stored.values[..., 0].astype(int) - values[0, ::2, ::2].astype(int)).max() < 64
    assert len(np.unique(stored.values)) > 700


def test_values_within_a_narrow_part_of_the_range_are_named(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(29941, 30197, (5, 8, 8)).astype(np.uint16)
    np.save(tmp_path / "x.npy", values)
    for spec in (tmp_path / "x.npy", f"bands:{tmp_path / 'x.npy'}"):
        [note] = [note for note in open_source(spec).notes if "almost one grey" in note]
        assert f"--range {values.min()} {values.max()} (value_range=" in note
    values[3, 0, 0] = 60000
    np.save(tmp_path / "x.npy", values)
    assert not any("grey" in note for note in open_source(tmp_path / "x.npy").notes)
