"""Which stored values become black and white: the one conversion of deep images to uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from jessl.core.validation import check_int

# bands that an image may have: more are spectra, for which encoders of images are not made
MOST_BANDS = 16
# values that are converted at a time: their intermediate values take 8 bytes each
_BLOCK_VALUES = 1 << 20


@dataclass(frozen=True)
class ValueRange:
    """Stored values from `low` (black) to `high` (white); values outside are clipped.

    It applies to images of more than 8 bits a channel: 16-bit and 32-bit integers, and floating
    point. Images of 8 bits stay as they are.

    Example:
        >>> ValueRange.of(bits=12).to_uint8(np.array([0, 2048, 4095], np.uint16)).tolist()
        [0, 128, 255]
    """

    low: float
    high: float

    @classmethod
    def of(
        cls, bits: int | None = None, value_range: Sequence[float] | None = None
    ) -> ValueRange | None:
        """The range of `bits` (0..2^bits - 1), or of two numbers; None where both are None.

        Raises:
            ValueError: for bits outside 9..16, a range that is not two finite numbers in
                ascending order, or both.
        """
        if bits is not None and value_range is not None:
            raise ValueError(
                f"bits, range: expected at most one of them, got {bits!r} and {value_range!r}"
            )
        if bits is not None:
            return cls(0, 2 ** check_int("bits", bits, 9, 16) - 1)
        if value_range is None:
            return None
        try:
            low, high = (float(value) for value in value_range)
        except (TypeError, ValueError):
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(
                f"range: expected two finite numbers, the lower one first, got {value_range!r}"
            )
        return cls(low, high)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}" if self.high < 1e5 else f"{self.low}..{self.high}"

    def to_uint8(self, values: np.ndarray) -> np.ndarray:
        """The values as uint8 of the same shape: linear between the ends, rounded, clipped.

        Raises:
            ValueError: for values that are NaN.
        """
        return self._scaled(values, 255)

    def to_uint16(self, values: np.ndarray) -> np.ndarray:
        """As `to_uint8`, with 65535 for the upper end: no level of up to 16 bits is lost."""
        return self._scaled(values, 65535)

    def _scaled(self, values: np.ndarray, white: int) -> np.ndarray:
        if values.dtype.kind == "u" and values.dtype.itemsize == 2:
            return _table(self.low, self.high, white)[values]
        result = np.empty(values.shape, np.uint8 if white == 255 else np.uint16)
        step = max(1, _BLOCK_VALUES // max(1, values[:1].size))
        for start in range(0, len(values), step):
            block = values[start : start + step].astype(np.float64)
            if np.isnan(block).any():
                raise ValueError("some of its values are NaN")
            scaled = (block - self.low) * (white / (self.high - self.low))
            result[start : start + step] = np.floor(np.clip(scaled, 0, white) + 0.5)
        return result


# what white is in files of 16 bits, where nobody says otherwise
SIXTEEN_BITS = ValueRange(0, 65535)


@lru_cache(maxsize=8)
def _table(low: float, high: float, white: int) -> np.ndarray:
    table = ValueRange(low, high)._scaled(np.arange(65536), white)
    table.flags.writeable = False
    return table
