"""Seeded damage to files: raw bytes, and inside what checksums would otherwise reject at once."""

from __future__ import annotations

import ast
import copy
import io
import json
import random
import re
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Mutation = Callable[[bytes, random.Random], bytes]

# numbers at which sizes and counts of headers go wrong
_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
_LEAVES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, -0.0, 0.5, 1e308, -1e308, 2**31, 2**63, 10**30, 10**400,
    "", "a", "a" * 5000, "\x1b[2J\x07", "line\nline", "../../..", "/", "0", "nan", "é\u202e",
    float("nan"), float("inf"), [], [[]], [0, "a"], {}, {"": None}, {"a": {"b": []}},
)  # fmt: skip
_DEPTHS = (10, 200, 1000, 5000, 100_000)


def raw(data: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes set, a part cut, copied, zeroed or inserted, a number overwritten."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not out:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(64)))
        # headers are at the beginning: half of the damage goes there
        end = len(out) if rng.random() < 0.5 else min(len(out), 128)
        at = rng.randrange(end)
        _DAMAGES[rng.randrange(len(_DAMAGES))](out, at, rng)
    return bytes(out)


def _flip(out: bytearray, at: int, rng: random.Random) -> None:
    out[at] ^= 1 << rng.randrange(8)


def _set(out: bytearray, at: int, rng: random.Random) -> None:
    out[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _number(out: bytearray, at: int, rng: random.Random) -> None:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice(_NUMBERS) % (1 << 8 * size)
    out[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))


def _truncate(out: bytearray, at: int, rng: random.Random) -> None:
    del out[rng.randrange(len(out)) :]


def _remove(out: bytearray, at: int, rng: random.Random) -> None:
    del out[at : at + rng.choice((1, 4, 64, 512))]


def _zero(out: bytearray, at: int, rng: random.Random) -> None:
    end = min(len(out), at + rng.choice((4, 20, 64, 512)))
    out[at:end] = bytes(end - at)


def _splice(out: bytearray, at: int, rng: random.Random) -> None:
    begin = rng.randrange(len(out))
    out[at:at] = out[begin : begin + rng.choice((4, 64, 512))]


def _insert(out: bytearray, at: int, rng: random.Random) -> None:
    out[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 32))))


_DAMAGES = (_flip, _set, _number, _truncate, _remove, _zero, _splice, _insert)


def png(data: bytes, rng: random.Random) -> bytes:
    """Damage with right checksums, so that the decoder and not the checksum meets it."""
    out = raw(data, rng)
    return _with_png_checksums(out) if rng.random() < 0.7 else out


def _with_png_checksums(data: bytes) -> bytes:
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        size = struct.unpack_from(">I", out, at)[0]
        end = at + 8 + size
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def json_value(value: object, rng: random.Random) -> object:
    """A JSON value with places changed: another type, gone, doubled, renamed, nested, swapped."""
    value = copy.deepcopy(value)
    places: list[tuple[dict | list, str | int]] = []
    _collect(value, places)
    if not places:
        return rng.choice(_LEAVES)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        holder, key = rng.choice(places)
        try:
            _change(holder, key, rng, places)
        except (KeyError, IndexError):
            continue  # an earlier change removed the place
    return value


def _collect(value: object, places: list[tuple[dict | list, str | int]]) -> None:
    entries: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value[:50]))
    for key, inner in entries:
        assert isinstance(value, dict | list)
        places.append((value, key))
        _collect(inner, places)


def _change(holder, key, rng: random.Random, places) -> None:  # type: ignore[no-untyped-def]
    kind = rng.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        holder[key] = [holder[key]] * rng.choice((1, 2, 1000))
    elif kind == 2 and isinstance(holder, dict):
        holder[rng.choice((f"{key}x", "", "__class__", "a" * 300))] = holder.pop(key)
    elif kind == 3:
        other, name = rng.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif kind == 4 and isinstance(holder[key], int | float):
        holder[key] = rng.choice((-1, 2, 1000, 1e-300, 1e300)) * holder[key]
    else:
        holder[key] = rng.choice(_LEAVES)


def json_text(data: bytes, rng: random.Random) -> bytes:
    """A JSON document with changed values, deep nesting, or raw damage."""
    if rng.random() < 0.2:
        return raw(data, rng)
    if rng.random() < 0.05:
        depth, kind = rng.choice(_DEPTHS), rng.choice(("[", '{"a":'))
        return (
            kind * depth + rng.choice(("", "0" + ("]" if kind == "[" else "}") * depth))
        ).encode()
    return json.dumps(json_value(json.loads(data), rng)).encode()


def json_lines(data: bytes, rng: random.Random) -> bytes:
    """One line of records changed, doubled or broken."""
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    kind = rng.randrange(10)
    if kind == 0:
        return raw(data, rng)
    if kind == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    else:
        lines[at] = json_text(lines[at], rng) + b"\n"
    return b"".join(lines)


def text(data: bytes, rng: random.Random) -> bytes:
    """A word of a TOML or CSV text replaced by another value, or raw damage."""
    if rng.random() < 0.25:
        return raw(data, rng)
    out = data.decode("utf-8")
    for _ in range(rng.choice((1, 1, 2, 4))):
        words = list(re.finditer(r"[^\s,=\[\]{}]+", out))
        if not words:
            break
        word = rng.choice(words)
        new = rng.choice(
            ["", "-", "nan", "-inf", "1e999", "0", "-1", "true", '""', '"a"', "[]", "{}", "[[1]]",
             "1979-05-27", "9" * 30, "9" * 5000, "=1+1", '"', "\x1b[2J", "é", "[" * 2000,
             rng.choice(words)[0]]
        )  # fmt: skip
        out = out[: word.start()] + new + out[word.end() :]
    return out.encode("utf-8", "surrogatepass")


def npy(data: bytes, rng: random.Random) -> bytes:
    """The header of a .npy file changed with its length kept right, or raw damage."""
    if rng.random() < 0.4 or data[:6] != b"\x93NUMPY" or data[6] != 1:
        return raw(data, rng)
    (size,) = struct.unpack_from("<H", data, 8)
    header = ast.literal_eval(data[10 : 10 + size].decode("latin1"))
    shape = list(header["shape"])
    kind = rng.randrange(5)
    if kind == 0:
        header["descr"] = rng.choice(
            ("<f4", "<f8", ">f4", "<f2", "<i8", "|O", "|S0", "<U4", "|V8", "<M8[s]", "<c16", "|b1",
             "<f16", "", "x", 5, None, [("a", "<f4")], [("a", "|O")], ("<f4", (2,)))
        )  # fmt: skip
    elif kind == 1:
        header["fortran_order"] = rng.choice((True, 2, None, "a", []))
    elif kind == 2:
        header.pop(rng.choice(list(header)))
    elif kind == 3 and shape:
        shape[rng.randrange(len(shape))] = rng.choice((-1, 0, 1, 2**31, 2**62, 10**30, "a", 1.5))
        header["shape"] = tuple(shape)
    else:
        header["shape"] = rng.choice(
            (tuple(shape[::-1]), (), (0,), (0, 2**40), (2**33, 2**33), tuple([1] * 70), 5, None,
             (True, 2), (len(data),), (*shape, 1))
        )  # fmt: skip
    written = f"{header!r}\n".encode("latin1")
    return data[:8] + struct.pack("<H", len(written)) + written + data[10 + size :]


def archive(inner: Mutation) -> Mutation:
    """A member of a .npz or .pt file changed inside a zip whose checksums are right, or raw."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.3:
            return raw(data, rng)
        members = _members(data)
        name = rng.choice(list(members))
        kind = rng.randrange(8)
        if kind == 0:
            del members[name]
        elif kind == 1:
            members[name] = members[rng.choice(list(members))]
        elif kind == 2:
            members[rng.choice((f"../{name}", "a" * 200, f"{name}/x"))] = members.pop(name)
        else:
            members[name] = inner(members[name], rng)
        file = io.BytesIO()
        with zipfile.ZipFile(
            file, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        ) as z:
            for key, value in members.items():
                z.writestr(key, value)
        return file.getvalue()

    return mutate


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        return {name: z.read(name) for name in z.namelist()}


def tar(data: bytes, rng: random.Random) -> bytes:
    """Fields of a member's header changed with the checksum kept right, or raw damage."""
    if rng.random() < 0.3:
        return raw(data, rng)
    out = bytearray(data)
    headers = [at for at in range(0, len(out) - 511, 512) if out[at + 257 : at + 262] == b"ustar"]
    at = rng.choice(headers or [0])
    kind = rng.randrange(5)
    if kind == 0:  # the type: links, devices, GNU and PAX extensions
        out[at + 156] = rng.choice(b"01234567LKxgSVMD\0\xff")
    elif kind == 1:  # the size, in octal or base 256
        out[at + 124 : at + 136] = rng.choice(
            (b"77777777777\0", b"00000000000\0", b"-0000000001\0", b"\x80" + b"\xff" * 11,
             b"\xff" * 12, b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7, b"1e5\0".ljust(12, b"\0"))
        )  # fmt: skip
    elif kind == 2:
        name = rng.choice(
            (b"../../x.jpg", b"/x.jpg", b"", b"a\nb.jpg", b"\xff\xfe.jpg", b"x" * 100)
        )
        out[at : at + 100] = name.ljust(100, b"\0")
    elif kind == 3:
        out[at + rng.randrange(512)] = rng.randrange(256)
    else:
        other = rng.choice(headers or [0])
        out[at : at + 512] = out[other : other + 512]
    out[at + 148 : at + 156] = b" " * 8
    out[at + 148 : at + 156] = b"%06o\0 " % sum(out[at : at + 512])
    return bytes(out)


def safetensors(data: bytes, rng: random.Random) -> bytes:
    """The JSON header changed with its length kept right, or raw damage."""
    if rng.random() < 0.3:
        return raw(data, rng)
    (size,) = struct.unpack_from("<Q", data)
    header = json_text(data[8 : 8 + size], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def database(data: bytes, rng: random.Random) -> bytes:
    """Cells of an SQLite database changed, rows and tables removed, or raw damage."""
    if rng.random() < 0.4:
        return raw(data, rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.db"
        path.write_bytes(data)
        connection = sqlite3.connect(path)
        try:
            for _ in range(rng.choice((1, 1, 2, 4))):
                _change_table(connection, rng)
            connection.commit()
        finally:
            connection.close()
        return path.read_bytes()


def _change_table(connection: sqlite3.Connection, rng: random.Random) -> None:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    filled = [
        name
        for (name,) in connection.execute(query)
        if connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    ]
    table = rng.choice(filled)
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    rows = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]
    kind = rng.randrange(8)
    if kind == 0:
        connection.execute(f"DROP TABLE {table}")
    elif kind == 1:
        connection.execute(f"DELETE FROM {table} WHERE rowid = ?", (rng.choice(rows),))
    else:
        value = rng.choice(
            (None, "", "a", -1, 0, 2**62, 1e308, b"\xff", "{", "[]", '{"a": 1}', "x" * 999)
        )
        column = rng.choice(columns)
        try:
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rng.choice(rows))
            )
        except sqlite3.IntegrityError:
            return
