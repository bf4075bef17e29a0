"""Zip files of torch.save, whose announced sizes are checked before anything is unpacked."""

from __future__ import annotations

import zipfile
from pathlib import Path

# torch.save never compresses: a file that unpacks to this many times its size is not its own
_MOST_EXPANSION = 4
_SLACK_BYTES = 1 << 20


class ZipBombError(ValueError):
    """A file unpacks to far more than its size."""


def check_uncompressed_zip(path: Path) -> None:
    """Refuse a file of `torch.save` that unpacks to far more than its size; it never compresses.

    Raises:
        ZipBombError: in one line that does not name the file.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if unpacked > _MOST_EXPANSION * size + _SLACK_BYTES:
        raise ZipBombError(
            f"its {size:,} bytes unpack to {unpacked:,}; torch.save does not compress"
        )
