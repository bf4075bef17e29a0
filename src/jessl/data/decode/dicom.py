"""DICOM files: pixels in the units of their rescale, and the window that they are seen through."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsFloat

import numpy as np

from jessl.data.decode.deep import FileFacts, StoredValues
from jessl.data.decode.memory import MOST_DECODED_BYTES

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PREAMBLE_BYTES = 128
_MARK = b"DICM"
# bytes of a pixel while it is decoded: stored, rescaled in float64, and the result
_PIXEL_BYTES = 16


def is_dicom(data: bytes) -> bool:
    """Whether these bytes, at least the first 132 of a file, are of a DICOM file."""
    return data[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _MARK


def header(encoded: bytes) -> tuple[int, int, int]:
    """Height, width and channels (1 or 3) of the image.

    Raises:
        ValueError: for a file without pixels, a corrupt one, or without pydicom.
    """
    dataset = _dataset(encoded)
    return int(dataset.Rows), int(dataset.Columns), _channels(dataset)


def facts(encoded: bytes) -> FileFacts:
    """Whether there are more than 8 bits, and further frames; pixels are not decoded.

    Raises:
        ValueError: as `header`.
    """
    dataset = _dataset(encoded)
    is_deep = _channels(dataset) == 1
    return FileFacts(deep=is_deep, has_more_pages=_frames(dataset) > 1)


def stored_values(encoded: bytes) -> StoredValues:
    """The first frame: grey after its rescale (Hounsfield units in CT), or RGB.

    `low` and `white` are the ends of the first window (PS3.3 C.11.2.1.2); without one, of the
    values that the stored bits can have. MONOCHROME1 is `inverted`: its low values are white.

    Raises:
        ValueError: as `header`, or for pixels that cannot be decoded.
    """
    dataset = _dataset(encoded)
    needed = _PIXEL_BYTES * int(dataset.Rows) * int(dataset.Columns) * _channels(dataset)
    if needed > MOST_DECODED_BYTES:
        raise ValueError(f"too large: decoding takes {needed} bytes, allowed {MOST_DECODED_BYTES}")
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.asarray(pixel_array(dataset, index=0 if _frames(dataset) > 1 else None))
        photometric = str(dataset.PhotometricInterpretation)
        if photometric == "PALETTE COLOR":
            values = np.asarray(apply_color_lut(values, dataset))
        if values.ndim == 3:
            bits = 8 * values.dtype.itemsize
            white = 2 ** (bits if photometric == "PALETTE COLOR" else dataset.BitsStored) - 1
            return StoredValues(values[:, :, :3], white=white)
        rescaled = np.asarray(apply_modality_lut(values, dataset))
    low, high = _window(dataset) or _stored_range(dataset)
    return StoredValues(
        rescaled[:, :, None], white=high, low=low, inverted=photometric == "MONOCHROME1"
    )


def _dataset(encoded: bytes) -> Dataset:
    try:
        import pydicom
    except ImportError:
        raise ValueError("a DICOM file needs pydicom: pip install 'jessl[dicom]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(encoded))
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        kind = str(dataset.get("Modality", "") or "unknown")
        raise ValueError(f"a DICOM file without pixels (modality {kind})")
    for name in ("Rows", "Columns", "PhotometricInterpretation", "BitsAllocated"):
        if dataset.get(name) is None:
            raise ValueError(f"a DICOM file without {name}")
    if int(dataset.Rows) < 1 or int(dataset.Columns) < 1:
        raise ValueError(f"zero-sized ({dataset.Columns}x{dataset.Rows} pixels)")
    return dataset


def _channels(dataset: Dataset) -> int:
    is_grey = str(dataset.PhotometricInterpretation).startswith("MONOCHROME")
    return 1 if is_grey else 3


def _frames(dataset: Dataset) -> int:
    return int(dataset.get("NumberOfFrames", 1) or 1)


def _window(dataset: Dataset) -> tuple[float, float] | None:
    """The values that become black and white by the first window; None: there is none."""
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width < 1:
        return None
    if str(dataset.get("VOILUTFunction", "LINEAR")) == "LINEAR_EXACT" or width == 1:
        return centre - width / 2, centre + width / 2
    return centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2


def _stored_range(dataset: Dataset) -> tuple[float, float]:
    """The values between which those of the stored bits lie after the rescale."""
    bits = int(dataset.get("BitsStored", dataset.BitsAllocated))
    is_signed = int(dataset.get("PixelRepresentation", 0)) == 1
    low = -(2 ** (bits - 1)) if is_signed else 0
    slope = _first(dataset.get("RescaleSlope"))
    slope, intercept = 1.0 if slope is None else slope, _first(dataset.get("RescaleIntercept")) or 0
    ends = (low * slope + intercept, (low + 2**bits - 1) * slope + intercept)
    return min(ends), max(ends)


def _first(value: object) -> float | None:
    """The first number of an element with one or several; None without."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[0] if len(value) else None
    return float(value) if isinstance(value, SupportsFloat | str) and value != "" else None
