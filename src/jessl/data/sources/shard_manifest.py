"""The manifest of packed shards: what was packed, how, and the checksums of what was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jessl.core.checksums import json_sum
from jessl.core.files import read_json
from jessl.core.validation import escape_control
from jessl.data.sources.base import Bands

MANIFEST = "manifest.json"
# of images that keep all their bands: what these are
BANDS = "bands"
FORMAT = "jessl.pack"
CHECKSUM = "manifest_sha256"

_COUNT = (int,)
_PLAN = {"version": _COUNT, "source": (str,), "images": _COUNT, "options": (dict,), "name": (str,)}
_FILE = {"file": (str,), "bytes": _COUNT, "sha256": (str,)}
_SHARD = {
    **_FILE,
    "images": _COUNT,
    "kept": _COUNT,
    "resized": _COUNT,
    "source_bytes": (int, type(None)),
    "skipped": (dict,),
}


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest with its own checksum."""
    return {**manifest, CHECKSUM: json_sum(manifest, without=CHECKSUM)}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a packing, or the plan of an unfinished one, as a whole.

    Raises:
        ValueError: naming the file and the field, where it is not one, or was changed.
    """
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{escape_control(str(path))} is not of a packing")
    if manifest.get(CHECKSUM, "") not in ("", json_sum(manifest, without=CHECKSUM)):
        raise ValueError(
            f"{escape_control(str(path))}: changed since it was written (SHA-256 differs)"
        )
    check_fields(path, "", manifest, _PLAN)
    if path.name == MANIFEST:
        check_fields(path, "", manifest, {"shards": (list,), "index": (dict,)})
        check_fields(path, "index.", manifest["index"], _FILE)
        for number, entry in enumerate(manifest["shards"]):
            check_shard(path, entry, f"shards[{number}].")
    return manifest


def check_shard(path: Path, entry: object, where: str = "") -> None:
    """Check the types of what a file says of one shard.

    Raises:
        ValueError: naming the file and the field.
    """
    check_fields(path, where, entry, _SHARD)
    assert isinstance(entry, dict)
    for key, reason in entry["skipped"].items():
        check_fields(path, f"{where}skipped.", {key: reason}, {key: (str,)})


def check_fields(
    path: Path, where: str, value: object, kinds: Mapping[str, tuple[type, ...]]
) -> None:
    """Check that an object has fields of these types, and whole numbers of at least 0.

    Raises:
        ValueError: naming the file and the first field that is not so.
    """
    shown = escape_control(f"{path}: {where}")
    if not isinstance(value, dict):
        raise ValueError(f"{shown.rstrip('.')}: expected an object, got {type(value).__name__}")
    for name, types in kinds.items():
        entry = value.get(name, ...)
        is_fine = isinstance(entry, types) and not isinstance(entry, bool)
        if not is_fine or (isinstance(entry, int) and entry < 0):
            expected = " or ".join("null" if t is type(None) else t.__name__ for t in types)
            got = "none" if entry is ... else escape_control(repr(entry)[:60])
            raise ValueError(f"{shown}{escape_control(name)}: expected {expected}, got {got}")


def bands_as_json(bands: Bands) -> dict[str, list[str]]:
    """The field BANDS of a manifest: the names, and those that are red, green and blue."""
    return {"names": list(bands.names), "colour": [bands.names[k] for k in bands.colour]}


def packed_bands(folder: Path) -> Bands | None:
    """The bands of the images in a packed folder; None where it names none.

    Raises:
        ValueError: for a manifest that is damaged.
    """
    path = folder / MANIFEST
    stored = read_manifest(path).get(BANDS) if path.is_file() else None
    if stored is None:
        return None
    check_fields(path, f"{BANDS}.", stored, {"names": (list,), "colour": (list,)})
    # the folder may be a stranger's
    names, colour = (
        tuple(escape_control(str(name)) for name in stored[key]) for key in ("names", "colour")
    )
    if len(set(names)) < len(names) or len(colour) not in (0, 3) or not set(colour) <= set(names):
        raise ValueError(f"{escape_control(str(path))}: {BANDS}: expected names, and three of them")
    return Bands(names, tuple(names.index(name) for name in colour))
