"""Files that claim too much: nothing takes the memory or never ends, and each error is one line."""

from __future__ import annotations

import io
import os
import random
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jessl.data import UnreadableImage, open_source
from jessl.data.decode import image as image_module
from jessl.data.decode import memory, pillow_pixels
from jessl.data.decode.image import decode, pixels
from jessl.data.packing.pack import pack
from jessl.training import checkpoint

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (5, 4, 4, 3), np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, colour: int, *chunks: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + b"".join(chunks) + _chunk(b"IEND", b"")


def _saved(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()


def _npz(save: Callable[..., None], **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def _tar(kind: int = tarfile.GNU_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for i in range(4):
            for suffix, data in (
                ("png", _saved(Image.fromarray(IMAGES[i]))),
                ("json", b'{"label": 1}'),
            ):
                info = tarfile.TarInfo(f"{'d/' * 60 * (i == 2)}{i}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def test_a_header_that_lies_costs_one_image() -> None:
    """Pillow raises MemoryError for a row this wide, on a machine of any size."""
    wide = _png(134283263, 1, 2, _chunk(b"IDAT", zlib.compress(bytes(4096))))
    with pytest.raises(UnreadableImage, match=r"^w\.png: too large to decode: 134283263 x 1"):
        decode(wide, "w.png")


def test_a_true_shortage_of_memory_is_no_fault_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_image: object) -> None:
        raise MemoryError

    monkeypatch.setattr(image_module, "available_memory", lambda: 1 << 20)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(MemoryError):
        decode(_saved(Image.fromarray(IMAGES[0])))


def test_what_needs_too_many_bytes_is_refused_before_its_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_module, "MOST_DECODED_BYTES", 100)
    with pytest.raises(
        UnreadableImage, match=r"too large: decoding takes 176 bytes, allowed .* 100"
    ):
        decode(_saved(Image.fromarray(IMAGES[0])))


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    active, most = 0, 0
    lock = threading.Lock()
    plain = image_module.pixels

    def counted(image: Image.Image, where: str, value_range: None) -> np.ndarray:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        try:
            threading.Event().wait(0.02)
            return plain(image, where, value_range)
        finally:
            with lock:
                active -= 1

    monkeypatch.setattr(image_module, "pixels", counted)
    monkeypatch.setattr(memory, "LARGE_BYTES", 10)
    file = _saved(Image.fromarray(IMAGES[0]))
    threads = [threading.Thread(target=decode, args=(file,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "tRNS"])
def test_tiles_change_no_pixel(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.fromarray(RNG.integers(0, 256, (40, 50, 3), np.uint8))
    if mode == "I;16":
        picture = Image.fromarray(RNG.integers(0, 65536, (40, 50)).astype(np.uint16))
    elif mode == "tRNS":
        data = _saved(picture.convert("P"), transparency=bytes(range(256)))
        picture = Image.open(io.BytesIO(data))
        picture.load()
    else:
        picture = picture.convert(mode)
    whole = pixels(picture, "x")
    for tile in (30, 700):  # narrower than a row, and several rows
        monkeypatch.setattr(pillow_pixels, "_TILE_PIXELS", tile)
        assert np.array_equal(pixels(picture, "x"), whole)


def test_a_member_that_leads_back_is_refused_by_name(tmp_path: Path) -> None:
    png = _saved(Image.fromarray(IMAGES[0]))
    first = _tar()[: 512 + -(-len(png) // 512) * 512]
    head = bytearray(tarfile.TarInfo("back.png").tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b"\xff" + (256**11 - 512).to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    (tmp_path / "loop.tar").write_bytes(first + head + bytes(1024))
    with pytest.raises(ValueError, match=r"loop\.tar: .*back\.png of -512 bytes"):
        open_source(tmp_path / "loop.tar")


def test_deep_json_is_one_line(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        for name, data in (
            ("0.png", _saved(Image.fromarray(IMAGES[0]))),
            ("0.json", b"[" * 200_000),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(ValueError, match=r"labels: 0 in .*d\.tar\.json is not JSON"):
        open_source(tmp_path / "d.tar")


def test_an_npz_is_measured_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "z.npz"
    np.savez_compressed(path, x=np.zeros((2000, 32, 32, 3), np.uint8))
    monkeypatch.setattr("jessl.core.numpy_files._BOMB_BYTES", 1 << 20)
    with pytest.raises(
        ValueError, match=r"z\.npz .*: a zip bomb: [\d,]+ bytes unpack to 6,144,128"
    ):
        open_source(path)
    monkeypatch.undo()
    monkeypatch.setattr("jessl.core.resources.available_memory", lambda: 1 << 20)
    with pytest.raises(ValueError, match=r"z\.npz .* needs 0\.0 GiB of memory"):
        open_source(path)


def test_a_head_that_announces_more_than_there_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 32, 32, 3)}
        )
        archive.writestr("x.npy", head.getvalue() + bytes(64))
    with pytest.raises(ValueError, match=r"h\.npz .*expected 3072000000000 bytes .* got 64"):
        open_source(tmp_path / "h.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.tar", "folder/a.png"])
def test_a_named_pipe_is_never_opened(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"^data: "):
        open_source(path.parent if "/" in name else path)


def test_a_state_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, {"net": torch.nn.Linear(2, 2)}, {"step": 1})
    (path / "checksums.json").unlink()  # its author need not write one
    with zipfile.ZipFile(path / "state.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("s/data.pkl", bytes(50_000_000))
    with pytest.raises(ValueError, match=r"state\.pt: its [\d,]+ bytes unpack to 50,000,000"):
        checkpoint.load(path)


def _mutated(data: bytes, name: str, draw: random.Random) -> bytes:
    """A few bytes changed, cut or added; headers of tars get their checksum again."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 16])):
        if len(changed) < 512:
            break
        at = draw.randrange(128 if name.endswith("npy") else len(changed))
        kind = draw.random()
        if name.endswith("tar") and kind < 0.6:
            start = 512 * draw.randrange(len(changed) // 512)
            changed[start + draw.randrange(345)] = draw.choice([0, 255, 128, 55, 45, 120])
            block = bytearray(changed[start : start + 512])
            block[148:156] = b" " * 8
            changed[start + 148 : start + 156] = b"%06o\0 " % sum(block)
        elif kind < 0.7:
            changed[at] = draw.randrange(256)
        elif kind < 0.8:
            changed[at] = draw.choice(b"0123456789-,()[]{}'")
        elif kind < 0.9:
            del changed[at : at + draw.randrange(1, 200)]
        else:
            changed[at : at + 4] = draw.choice([b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"])
    return bytes(changed)


@pytest.mark.parametrize(
    "name", ["gnu.tar", "pax.tar", "set.npy", "set.npz", "packed.npz", "pack/index.npz"]
)
def test_mutated_files_never_cause_a_traceback(name: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=IMAGES, y=np.arange(5))
    np.savez_compressed(tmp_path / "packed.npz", x=IMAGES, y=np.arange(5))
    np.save(tmp_path / "set.npy", np.tile(IMAGES, (4, 1, 1, 1)))
    (tmp_path / "gnu.tar").write_bytes(_tar())
    (tmp_path / "pax.tar").write_bytes(_tar(tarfile.PAX_FORMAT))
    pack(tmp_path / "set.npz", tmp_path / "pack", workers=1)
    path = tmp_path / name
    whole = path.read_bytes()
    draw = random.Random(name)
    for _ in range(60):
        path.write_bytes(_mutated(whole, name, draw))
        try:
            source = open_source(path.parent if "/" in name else path)
            for index in range(min(len(source), 6)):
                source.where(index)
                source.size(index)
                source.read(index)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 (most are read without an error)
