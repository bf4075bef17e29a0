"""What a packing leaves in its folder, and whether a folder is one of the same packing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessl.core.leftovers import other_names
from jessl.core.validation import escape_control
from jessl.data.sources.shard_index import INDEX, UNFINISHED
from jessl.data.sources.shard_manifest import MANIFEST, read_manifest

VERSION = 1
PLAN = "plan.json"


@dataclass(frozen=True)
class Packing:
    """The result of a packing.

    Attributes:
        out: the folder.
        images: how many were packed.
        shards: in how many files.
        bytes: of all shards together.
        source_bytes: of the files that were packed; None where the source has no files.
        kept: images whose own bytes were kept.
        resized: images that were made smaller.
        skipped: key -> reason of the images that could not be read.
        resumed: shards that an earlier call had finished; all of them when there was nothing to do.
    """

    out: str
    images: int
    shards: int
    bytes: int
    source_bytes: int | None
    kept: int
    resized: int
    skipped: dict[str, str]
    resumed: int


def refuse_other(out: Path, plan: dict[str, Any], name: str) -> None:
    """Raise ValueError when `out` is no folder for this packing."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a folder, got the file {escape_control(str(out))}")
    begun, whole = out / UNFINISHED / PLAN, out / MANIFEST
    plan_file = next((path for path in (whole, begun) if path.is_file()), None)
    if plan_file is None:
        # an empty folder of notes is what a packing leaves that was killed at once
        others = other_names(out) - {UNFINISHED}
        if INDEX in others:
            raise ValueError(
                f"out: {escape_control(str(out))} has shards and an index but no {MANIFEST}, so "
                "their source is unknown; delete it, or give a new folder"
            )
        if others:
            raise ValueError(
                f"out: {escape_control(str(out))} is not empty, and holds no packing; give a new "
                "folder"
            )
        return
    try:
        there = read_manifest(plan_file)
    except ValueError as error:
        raise ValueError(f"out: {error}; give a new folder") from None
    shown = escape_control(str(out))
    was, now = (options["options"].get("value_range") for options in (there, plan))
    if was != now:
        raise ValueError(
            f"out: {shown} was packed with another range of values (--bits, --range): {was} there, "
            f"{now} here; give a new folder"
        )
    if (there["source"], there["images"]) != (plan["source"], plan["images"]):
        raise ValueError(
            f"out: {shown} was packed from other data ({there['images']} images of "
            f"{there['name']}; got {plan['images']} of {name}); give a new folder"
        )
    differ = [
        f"{option.replace('_', '-')} {was} there, {plan['options'].get(option)} here"
        for option, was in there["options"].items()
        if was != plan["options"].get(option)
    ]
    if differ or there["version"] != plan["version"]:
        what = ", ".join(differ) or "another version of jessl"
        raise ValueError(f"out: {shown} was packed in another way ({what}); give a new folder")


def finished_packing(out: Path, plan: dict[str, Any], name: str) -> Packing | None:
    """The result of a packing that is whole already.

    Raises:
        ValueError: when a shard of it is gone or has another size.
    """
    # again, under the lock: another process may have written it since
    refuse_other(out, plan, name)
    if not (out / MANIFEST).is_file():
        return None
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)
    manifest = read_manifest(out / MANIFEST)
    for entry in [*manifest["shards"], manifest["index"]]:
        file = out / entry["file"]
        if not file.is_file() or file.stat().st_size != entry["bytes"]:
            raise ValueError(
                f"out: {escape_control(str(file))} is missing or not as it was written; delete "
                f"{escape_control(str(out))} and pack again"
            )
    return packing_result(out, manifest["shards"], len(manifest["shards"]))


def packing_result(out: Path, entries: list[dict[str, Any]], resumed: int) -> Packing:
    before = [entry["source_bytes"] for entry in entries]
    return Packing(
        out=str(out),
        images=sum(entry["images"] for entry in entries),
        shards=len(entries),
        bytes=sum(entry["bytes"] for entry in entries),
        source_bytes=None if None in before else sum(before),
        kept=sum(entry["kept"] for entry in entries),
        resized=sum(entry["resized"] for entry in entries),
        skipped={k: v for entry in entries for k, v in entry["skipped"].items()},
        resumed=resumed,
    )
