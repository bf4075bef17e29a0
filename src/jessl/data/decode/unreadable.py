"""The error about an image that cannot be decoded, and its reason in words."""

from __future__ import annotations

from PIL import Image


class UnreadableImage(ValueError):
    """An image that cannot be decoded; the message is the one line "where: reason".

    Attributes:
        where: the path of the image, or the words that say where it lies.
        reason: what is wrong with it, in words.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason

    def __reduce__(self) -> tuple[type[UnreadableImage], tuple[str, str]]:
        # an exception is otherwise rebuilt from its message alone, which fails with two arguments
        return type(self), (self.where, self.reason)


def reason_of(error: Exception, kind: str | None) -> str:
    """What is wrong with a file of a kind, from the error that decoding it raised."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return f"too large, perhaps a decompression bomb: {text}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return f"truncated {kind or 'image'}: {text}"
    return f"corrupt {kind or 'image'}: {text}"
