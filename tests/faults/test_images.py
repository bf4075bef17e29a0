"""Images as they are found in the wild: odd kinds are read, broken ones are refused in words."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.paths import SHARED
from jessl.data import UnreadableImage, open_source
from jessl.data.decode.image import decode, header_size

PHOTOS = SHARED / "photos"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(height: int = 12, width: int = 20) -> np.ndarray:
    """A smooth colour image uint8 [height, width, 3] that JPEG keeps to a few grey levels."""
    y, x = np.mgrid[:height, :width]
    return np.stack([8 * y, 10 * x, 100 + 3 * (x + y)], axis=2).astype(np.uint8)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A PNG header of any size, with no pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + pixels + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_colour_is_kept_to_the_bit(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    got = decode(encoded(Image.fromarray(scene()), kind, **options))
    np.testing.assert_array_equal(got, scene())
    assert got.flags.c_contiguous
    assert got.flags.writeable


def test_jpeg_in_colour_grey_and_cmyk() -> None:
    colour = Image.fromarray(scene())
    options = {"quality": 95, "subsampling": 0}
    assert abs(decode(encoded(colour, "JPEG", **options)).astype(int) - scene()).max() < 16
    cmyk = decode(encoded(colour.convert("CMYK"), "JPEG", **options))
    assert cmyk.shape == (12, 20, 3)
    # an inverted CMYK would be off by up to 255
    assert abs(cmyk.astype(int) - scene()).mean() < 10
    grey = decode(encoded(colour.convert("L"), "JPEG", quality=95))
    assert grey.shape == (12, 20, 1)
    assert abs(grey[:, :, 0].astype(int) - np.asarray(colour.convert("L"))).max() < 8


def test_one_bit_and_one_pixel() -> None:
    bits = np.arange(60).reshape(6, 10) % 3 == 0
    got = decode(encoded(Image.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(got, np.where(bits, 255, 0).astype(np.uint8)[:, :, None])
    assert decode(encoded(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 257], [514, 32768, 65406, 65535]], dtype=np.uint16)
    got = decode(encoded(Image.fromarray(values), kind))
    assert got[:, :, 0].tolist() == [[0, 0, 1, 1], [2, 128, 254, 255]]


def test_values_beyond_sixteen_bits_and_floats_are_refused() -> None:
    wide = Image.fromarray(np.array([[0, 70000]], dtype=np.int32))
    with pytest.raises(UnreadableImage, match=r"32-bit grey values 0\.\.70000"):
        decode(encoded(wide, "TIFF"))
    real = Image.fromarray(np.zeros((2, 2), dtype=np.float32))
    with pytest.raises(UnreadableImage, match="kind 'F'"):
        decode(encoded(real, "TIFF"))


def test_palettes_and_transparency_are_laid_on_white() -> None:
    palette = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8), "P")
    palette.putpalette([10, 20, 30, 200, 0, 0, 0, 250, 0])
    want = [[[10, 20, 30], [200, 0, 0]], [[0, 250, 0], [200, 0, 0]]]
    assert decode(encoded(palette, "PNG")).tolist() == want
    clear = [[[255] * 3, [200, 0, 0]], [[0, 250, 0], [200, 0, 0]]]
    assert decode(encoded(palette, "PNG", transparency=0)).tolist() == clear
    assert decode(encoded(palette, "PNG", transparency=b"\x00\xff\xff")).tolist() == clear
    half = Image.new("RGBA", (2, 1), (100, 0, 255, 51))
    assert decode(encoded(half, "PNG"))[0, 0].tolist() == [224, 204, 255]
    grey = Image.new("LA", (2, 1), (100, 51))
    assert decode(encoded(grey, "PNG")).tolist() == [[[224], [224]]]
    key = encoded(Image.new("RGB", (1, 1), (9, 9, 9)), "PNG", transparency=(9, 9, 9))
    assert decode(key).tolist() == [[[255, 255, 255]]]


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    got = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert got.shape == (3, 4, 3)
    assert got[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    marked = np.zeros((16, 32, 3), dtype=np.uint8)
    marked[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(marked), kind, exif=exif)
    got = decode(data)
    assert got.shape[:2] == ((16, 32) if orientation < 5 else (32, 16))
    assert header_size(data) == got.shape[:2]
    corners = [got[1, 1], got[1, -2], got[-2, -2], got[-2, 1]]
    bright = int(np.argmax([corner.mean() for corner in corners]))
    # where EXIF says the stored first corner belongs, clockwise from the top left
    assert bright == {1: 0, 2: 1, 3: 2, 4: 3, 5: 0, 6: 1, 7: 2, 8: 3}[orientation]


def test_broken_exif_does_not_lose_the_pixels() -> None:
    data = encoded(Image.fromarray(scene()), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert decode(data).shape == (12, 20, 3)
    assert header_size(data) == (12, 20)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "PPM", "GIF"])
def test_truncated_at_any_point(kind: str) -> None:
    data = encoded(Image.fromarray(NOISE), kind)
    for share in (0.02, 0.3, 0.6, 0.95):
        with pytest.raises(UnreadableImage) as caught:
            decode(data[: int(share * len(data))], "folder/x.img")
        assert str(caught.value).startswith("folder/x.img: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableImage, match=r"truncated|corrupt"):
        decode(data[: len(data) // 2], "x")


def test_a_truncated_jpeg_says_so() -> None:
    data = encoded(Image.fromarray(NOISE), "JPEG")
    with pytest.raises(UnreadableImage, match=r"^photos/x\.jpg: truncated JPEG") as caught:
        decode(data[: len(data) // 2], "photos/x.jpg")
    assert caught.value.where == "photos/x.jpg"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.where, again.reason) == (caught.value.where, caught.value.reason)


def test_flipped_bytes_raise_only_our_error() -> None:
    random = np.random.default_rng(1)
    refused = 0
    for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF"):
        whole = np.frombuffer(encoded(Image.fromarray(NOISE[:16, :16]), kind), np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[random.integers(0, min(len(data), 200), 4)] = random.integers(0, 256, 4)
            try:
                image = decode(data.tobytes(), "x")
                assert image.ndim == 3
            except UnreadableImage:
                refused += 1
    assert refused > 60


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"empty file \(0 bytes\)"),
        (b"hello, this is no image", "not an image"),
        (b"\xff\xd8\xff", "truncated|corrupt"),
        (png(0, 5), "zero|corrupt|not an image"),
        (png(30000, 30000), "too large.*decompression bomb.*900000000 pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n", "not an image"),
    ],
    ids=["empty", "text", "magic only", "zero-sized", "bomb", "postscript"],
)
def test_what_is_no_image(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(data)
    for given in (data, path):
        with pytest.raises(UnreadableImage, match=reason):
            decode(given)


def test_missing_and_forbidden(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.png: no such file"):
        decode(tmp_path / "gone.png")
    with pytest.raises(UnreadableImage, match="cannot be read: Is a directory"):
        decode(tmp_path)


def test_a_large_image_is_read_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    data = encoded(Image.fromarray(scene()), "PNG")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert decode(data).shape == (12, 20, 3)
        assert header_size(data) == (12, 20)
    assert not seen
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="240 pixels"):
        decode(data)


def test_sizes_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(scene(5, 7)), "PNG"))
    (tmp_path / "b.png").write_bytes(b"")
    heights, widths = open_source(tmp_path).sizes()
    assert (heights.tolist(), widths.tolist()) == ([5], [7])
    (tmp_path / "a.png").unlink()
    with pytest.raises(UnreadableImage, match="empty file"):
        open_source(tmp_path).sizes()


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs of ../shared/data are not here")
def test_photographs_decode_to_the_size_of_their_header() -> None:
    source = open_source(PHOTOS)
    assert len(source) == 160
    for index in range(0, len(source), 8):
        assert source.read(index).shape[:2] == source.size(index)
