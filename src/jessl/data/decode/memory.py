"""Limits on the memory of decoding: no file, whatever its header claims, takes all of it."""

from __future__ import annotations

import contextlib
import threading
from contextlib import AbstractContextManager

# of one image with all its conversions; every image within Pillow's limit of pixels needs less
MOST_DECODED_BYTES = 2 << 30
# images that need more than this are decoded one at a time, however many threads there are
LARGE_BYTES = 128 << 20
_large_images = threading.Lock()


def one_large_at_a_time(needed: int) -> AbstractContextManager[object]:
    """Wait for other large images where this one needs more than LARGE_BYTES bytes."""
    return _large_images if needed > LARGE_BYTES else contextlib.nullcontext()
