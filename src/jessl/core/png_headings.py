"""Headings of the columns of a picture, kept in its PNG file, so that a page shows them as text."""

from __future__ import annotations

HEADINGS_KEY = "columns"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_headings(data: bytes) -> list[str]:
    """What `jessl.core.image_grid.write_grid` left in a PNG file; empty: none, or no PNG."""
    at = len(_SIGNATURE)
    while data.startswith(_SIGNATURE) and at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"IDAT":
            break
        key, _, text = data[at + 8 : at + 8 + size].partition(b"\0")
        if kind == b"tEXt" and key == HEADINGS_KEY.encode():
            return text.decode("latin-1").split("\n")
        at += 12 + size
    return []
