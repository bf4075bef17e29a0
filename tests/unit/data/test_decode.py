"""The fast path of JPEG files gives what Pillow gives: pixels, sizes, verdicts."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jessl.data import Subset, UnreadableImage, open_source, unlabelled
from jessl.data.decode import jpeg
from jessl.data.decode.image import decode, header_size


def scene(height: int, width: int) -> np.ndarray:
    """A colour image uint8 [height, width, 3] with smooth ramps, edges and some noise."""
    y, x = np.mgrid[:height, :width]
    ramps = np.stack([7 * y, 5 * x, 90 + 2 * (x + y) + 60 * ((x // 5 + y // 3) % 2)], axis=2)
    noise = np.random.default_rng(0).integers(-15, 16, ramps.shape)
    return np.clip(ramps + noise, 0, 255).astype(np.uint8)


def written(image: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    """What `decode` gives where nothing takes the fast path."""
    with mock.patch.object(jpeg, "decode", return_value=None):
        return decode(data)


def verdict(read: Callable[[bytes], np.ndarray], data: bytes) -> np.ndarray | str:
    try:
        return read(data)
    except UnreadableImage as error:
        return error.reason


def assert_same(data: bytes, *, fast_path: bool = True) -> None:
    got, want = decode(data), by_pillow(data)
    assert (jpeg.decode(data) is not None) == fast_path
    assert got.dtype == np.uint8
    assert got.shape == want.shape == (*header_size(data), got.shape[2])
    assert got.flags.c_contiguous
    assert got.flags.writeable
    # equal to the bit where Pillow has the same libjpeg-turbo; libjpeg's own rounding may differ
    assert abs(got.astype(int) - want).max() <= 1


def exif(entries: list[tuple[int, int, int, bytes]], order: str = "<", at: int = 8) -> bytes:
    """An EXIF block of (tag, type, count, four bytes of value) at offset `at`, with its name."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "L", at)
    body = b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0" + head + struct.pack(order + "H", len(entries)) + body + bytes(4)


def turned(value: int, order: str = "<") -> tuple[int, int, int, bytes]:
    return 0x0112, 3, 1, struct.pack(order + "HH", value, 0)


def with_segment(data: bytes, marker: int, payload: bytes) -> bytes:
    """A JPEG file with one more segment behind its start."""
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload
    return data[:2] + segment + data[2:]


def test_photographs(photos: Path) -> None:
    paths = sorted(photos.rglob("*.JPEG"))
    assert len(paths) == 160
    for path in paths:
        assert_same(path.read_bytes())
        assert header_size(path) == header_size(path.read_bytes())
    np.testing.assert_array_equal(decode(paths[0]), decode(paths[0].read_bytes()))


@pytest.mark.parametrize("chroma", ["444", "422", "420", "411", "440", "Gray"])
def test_every_chroma_and_small_size(chroma: str) -> None:
    for height, width in [(1, 1), (1, 17), (17, 1), *((s, 18 - s) for s in range(2, 18)), (37, 53)]:
        data = simplejpeg.encode_jpeg(scene(height, width), 90, colorsubsampling=chroma)
        assert_same(data)
        assert decode(data).shape == (height, width, 1 if chroma == "Gray" else 3)


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True},
        {"progressive": True, "subsampling": 0},
        {"restart_marker_blocks": 1},
        {"restart_marker_rows": 1, "subsampling": 1},
        {"quality": 1},
        {"quality": 100},
        {"keep_rgb": True},
        {"optimize": True, "icc_profile": bytes(100_000)},
        {"comment": b"x" * 60_000},
    ],
    ids=lambda options: "-".join(options),
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_way_of_writing(options: dict[str, object], channels: int) -> None:
    assert_same(written(scene(37, 53)[:, :, :channels], **options))


def test_fill_bytes_before_a_marker() -> None:
    assert_same(PLAIN[:2] + b"\xff\xff" + PLAIN[2:])


def test_an_orientation_without_meaning_turns_no_png() -> None:
    file = io.BytesIO()
    Image.fromarray(scene(21, 34)).save(file, "PNG", exif=exif([turned(9)]))
    np.testing.assert_array_equal(decode(file.getvalue()), scene(21, 34))
    assert header_size(file.getvalue()) == (21, 34)


def test_four_channels_are_pillows() -> None:
    cmyk = io.BytesIO()
    Image.fromarray(scene(12, 20)).convert("CMYK").save(cmyk, "JPEG", quality=95)
    assert_same(cmyk.getvalue(), fast_path=False)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_orientations(order: str, channels: int) -> None:
    image = scene(21, 34)[:, :, :channels]
    # 0 and 9 have no meaning
    for value in range(10):
        before = (0x010F, 2, 3, b"ab\0\0"), (0x0100, 4, 1, bytes(4))
        data = written(image, exif=exif([*before, turned(value, order)], order))
        assert_same(data)
        assert decode(data).shape[:2] == ((34, 21) if 5 <= value <= 8 else (21, 34))


XMP = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=%s/>"
PLAIN = written(scene(21, 34))


@pytest.mark.parametrize(
    ("data", "fast_path", "upright"),
    [
        (written(scene(21, 34), exif=exif([])), True, True),
        (written(scene(21, 34), exif=b"Exif\0\0"), True, True),
        (written(scene(21, 34), exif=exif([turned(6)], at=5)), False, True),
        (written(scene(21, 34), exif=exif([turned(6)], at=2**31)), False, True),
        (written(scene(21, 34), exif=exif([turned(6)])[:-10]), False, True),
        (written(scene(21, 34), exif=exif([turned(6)]).replace(b"II*", b"II+")), False, True),
        # a text before it that lies outside the block ends the reading
        (
            written(scene(21, 34), exif=exif([(0x010F, 2, 99, b"\0\0\1\0"), turned(6)])),
            False,
            None,
        ),
        # Pillow reads LONG instead of SHORT, and the first of two values
        (written(scene(21, 34), exif=exif([(0x0112, 4, 1, b"\6\0\0\0")])), False, False),
        (written(scene(21, 34), exif=exif([(0x0112, 3, 2, b"\6\0\3\0")])), False, False),
        (with_segment(with_segment(PLAIN, 0xE1, exif([turned(6)])), 0xE1, exif([])), False, None),
        (with_segment(PLAIN, 0xE1, XMP % b'"6"'), True, False),
        (with_segment(PLAIN, 0xE1, XMP % b'"1"'), True, True),
        (with_segment(written(scene(21, 34), exif=exif([turned(0)])), 0xE1, XMP % b'"6"'),
         True, True),
        (with_segment(written(scene(21, 34), exif=exif([])), 0xE1, XMP % b'"6"'), True, False),
        (with_segment(PLAIN, 0xE1, b"Exif\0"), True, True),
        (with_segment(PLAIN, 0xE1, b""), True, True),
    ],
)  # fmt: skip
def test_odd_metadata(data: bytes, fast_path: bool, upright: bool | None) -> None:
    assert_same(data, fast_path=fast_path)
    if upright is not None:
        assert (decode(data).shape[:2] == (21, 34)) == upright


def test_metadata_over_which_pillow_stumbles_does_not_lose_the_pixels() -> None:
    assert PLAIN[2:4] == b"\xff\xe0"
    data = b"\xff\xd8\xff\xe0\x00\x06JFIF" + PLAIN[20:]  # a JFIF segment without its version
    assert "not an image" in str(verdict(by_pillow, data))
    np.testing.assert_array_equal(decode(data), decode(PLAIN))
    assert header_size(data) == (21, 34)


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"restart_marker_blocks": 1}, {"exif": exif([turned(6)])}],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_truncated_anywhere_is_unreadable(options: dict[str, object], channels: int) -> None:
    data = written(scene(24, 40)[:, :, :channels], **options)
    for stop in (*range(0, len(data), 10), len(data) - 2, len(data) - 1):
        reason = verdict(decode, data[:stop])
        assert isinstance(reason, str)
        assert reason == verdict(by_pillow, data[:stop])


@pytest.mark.parametrize("tail", [b"\0", b"garbage" * 1000, PLAIN, PLAIN[:-300], b"\xff\xd9"])
def test_what_follows_the_end_is_nothing(tail: bytes) -> None:
    assert_same(PLAIN + tail)
    np.testing.assert_array_equal(decode(PLAIN + tail), decode(PLAIN))


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.fromarray(scene(5, 7)).save(png, "PNG")
    for name, data in (("a.jpg", png.getvalue()), ("b.png", written(scene(5, 7)))):
        (tmp_path / name).write_bytes(data)
        assert decode(tmp_path / name).shape == decode(str(tmp_path / name)).shape == (5, 7, 3)
        assert header_size(tmp_path / name) == (5, 7)


def test_a_header_behind_much_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(written(scene(5, 7), icc_profile=bytes(200_000), exif=exif([turned(6)])))
    assert header_size(path) == (7, 5)
    assert decode(path).shape == (7, 5, 3)


def test_a_bomb_is_refused_before_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    at = PLAIN.index(b"\xff\xc0") + 5
    data = PLAIN[:at] + struct.pack(">HH", 60_000, 50_000) + PLAIN[at + 4 :]
    with mock.patch.object(simplejpeg, "decode_jpeg", side_effect=AssertionError):
        for read in (decode, header_size):
            with pytest.raises(UnreadableImage, match=r"decompression bomb.*3000000000 pixels"):
                read(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 21 * 34 // 2)
    assert_same(PLAIN)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 21 * 34 // 2 - 1)
    assert "decompression bomb" in str(verdict(decode, PLAIN))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert_same(PLAIN)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (decode, header_size):
        with pytest.raises(UnreadableImage, match="cannot be read: not a regular file"):
            read(tmp_path / "pipe.jpg")
        with pytest.raises(UnreadableImage, match="cannot be read: Is a directory"):
            read(tmp_path)
        with pytest.raises(UnreadableImage, match="no such file"):
            read(tmp_path / "gone.jpg")


def test_a_file_of_too_many_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(PLAIN)
    monkeypatch.setattr("jessl.data.decode.image._MOST_BYTES", len(PLAIN) - 1)
    with pytest.raises(UnreadableImage, match=f"too large: {len(PLAIN)} bytes, allowed are"):
        decode(path)
    assert header_size(path) == (21, 34)


def test_coarse_decoding_is_near() -> None:
    data = written(scene(120, 160), quality=90)
    exact, coarse = decode(data), decode(data, fast=True)
    assert coarse.shape == exact.shape
    assert 0 < abs(coarse.astype(int) - exact).mean() < 4


def test_many_threads() -> None:
    files = [written(scene(40 + k, 60), exif=exif([turned(k)])) for k in range(1, 9)]
    want = [by_pillow(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        for k, got in enumerate(pool.map(decode, files * 40)):
            np.testing.assert_array_equal(got, want[k % 8])


FUZZED = [
    written(scene(16, 24)[:, :, :channels], **options)
    for channels in (1, 3)
    for options in ({"exif": exif([turned(6)])}, {"progressive": True})
]


@given(
    st.sampled_from(FUZZED),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=4),
    st.floats(0.9, 1.1),
)
def test_any_bytes_give_what_pillow_gives(
    data: bytes, flips: list[tuple[float, int]], share: float
) -> None:
    changed = bytearray(data)
    for at, value in flips:
        changed[int(at * len(data))] = value
    broken = bytes(changed[: int(share * len(data))])
    got, want = verdict(decode, broken), verdict(by_pillow, broken)
    if isinstance(got, str):
        assert got == want
    elif not isinstance(want, str):
        assert got.shape == want.shape
        assert abs(got.astype(int) - want).max() <= 1
        assert header_size(broken) == got.shape[:2]


def test_importing_decodes_nothing_heavy() -> None:
    code = (
        "import sys, jessl.data\n"
        "print([m for m in ('numba', 'torch', 'torchvision', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_open_source_threads_the_faster_decoding_through(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((64, 48))
    smooth.save(tmp_path / "a.jpg", quality=80)
    exact = open_source(tmp_path).read(0)
    rough = open_source(tmp_path, fast_decode=True).read(0)
    assert (exact != rough).any()
    assert np.abs(exact.astype(int) - rough).mean() < 10  # noise has the most colour there is
    np.testing.assert_array_equal(rough, decode(tmp_path / "a.jpg", fast=True))
    part = open_source(unlabelled(Subset(open_source(tmp_path), [0])), fast_decode=True)
    np.testing.assert_array_equal(part.read(0), rough)
    with pytest.raises(ValueError, match="fast_decode: digits holds no files"):
        open_source("digits", fast_decode=True)
