"""Shards are those that were packed: their checksums, compared when their size or time changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from jessl.core.checksums import sha256_of
from jessl.core.files import read_json, write_json
from jessl.core.log import log
from jessl.core.validation import escape_control
from jessl.data.sources.shard_manifest import FORMAT, MANIFEST, read_manifest

# sizes and times (ns) of the shards whose checksums were last verified
VERIFIED = ".verified.json"
# reading more bytes than this takes long enough to say so
_LONG_BYTES = 2**30


def record_verified(paths: Sequence[Path]) -> None:
    """Note that shards of one folder are those of its manifest, with their sizes and times."""
    if not paths:
        return
    known = _verified(paths[0].parent)
    known |= {path.name: _stamp(path) for path in paths}
    with suppress(OSError):  # a folder that cannot be written is verified again next time
        write_json(paths[0].parent / VERIFIED, known)


def check_shards(paths: Sequence[Path], *, all_of_them: bool = False) -> int:
    """Compare shards with the SHA-256 in the manifest beside them.

    Args:
        paths: existing shards of one folder.
        all_of_them: also those whose size and time have not changed since they were verified.

    Returns:
        How many were read. None are where no manifest of `jessl pack` lies beside them.

    Raises:
        ValueError: naming the first shard that is not the one that was packed.
    """
    sums = _sums(paths[0].parent) if paths else {}
    known = {} if all_of_them else _verified(paths[0].parent)
    changed = [p for p in paths if p.name in sums and known.get(p.name) != _stamp(p)]
    total = sum(path.stat().st_size for path in changed)
    if total > _LONG_BYTES:
        log.info(f"comparing the checksums of {len(changed):,} shards ({total / 1e9:,.1f} GB)")
    for path in changed:
        if sha256_of(path) != sums[path.name]:
            raise ValueError(
                f"data: {escape_control(str(path))} is not the shard that was packed: its SHA-256 "
                f"differs from {MANIFEST}; pack again, or copy it again from where it was packed"
            )
    if changed:
        record_verified(changed)
    return len(changed)


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _verified(folder: Path) -> dict[str, object]:
    """What an earlier call recorded; nothing where it is missing or damaged."""
    with suppress(OSError, ValueError):
        known = read_json(folder / VERIFIED)
        if isinstance(known, dict):
            return known
    return {}


def _sums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256, by the manifest; empty where there is none of jessl."""
    if not (folder / MANIFEST).is_file():
        return {}
    with suppress(ValueError):
        content = read_json(folder / MANIFEST)
        if isinstance(content, dict) and content.get("format") != FORMAT:
            return {}  # of another program
    return {entry["file"]: entry["sha256"] for entry in read_manifest(folder / MANIFEST)["shards"]}
