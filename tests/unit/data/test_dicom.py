"""DICOM files: rescale, window, photometric interpretation, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from jessl.data import UnreadableImage, open_source

pydicom = pytest.importorskip("pydicom")

VALUES = np.random.default_rng(0).integers(0, 4096, (5, 7)).astype(np.uint16)


def dicom(values: np.ndarray | None, **elements: object) -> bytes:
    """A file of these pixels; keywords are its elements."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.Modality = "OT"
    if values is not None:
        shape = values.shape[1:] if "NumberOfFrames" in elements else values.shape
        bits = 8 * values.dtype.itemsize
        plain = {
            "Rows": shape[0],
            "Columns": shape[1],
            "SamplesPerPixel": 3 if len(shape) == 3 else 1,
            "PhotometricInterpretation": "RGB" if len(shape) == 3 else "MONOCHROME2",
            "BitsAllocated": bits,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": 0,
            **({"PlanarConfiguration": 0} if len(shape) == 3 else {}),
        }
        for name, value in plain.items():
            setattr(dataset, name, value)
        dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(folder: Path, data: bytes, **options: object) -> np.ndarray:
    (folder / "x.dcm").write_bytes(data)
    return open_source(folder, **options).read(0)


def scaled(values: np.ndarray, low: float, high: float, white: int = 255) -> np.ndarray:
    return np.floor(np.clip((values - low) / (high - low), 0, 1) * white + 0.5)[:, :, None]


def test_rescale_window_and_range(tmp_path: Path) -> None:
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -1024}
    units = 2.0 * VALUES - 1024
    window = {"WindowCenter": [40, 300], "WindowWidth": [400, 1500]}
    image = read(tmp_path, dicom(VALUES, **rescale, **window))
    # C.11.2.1.2.1: from centre - .5 - (width - 1) / 2 to centre - .5 + (width - 1) / 2
    np.testing.assert_array_equal(image, scaled(units, -160, 239))
    image = read(tmp_path, dicom(VALUES, **rescale, **window), value_range=(-1000, 400))
    np.testing.assert_array_equal(image, scaled(units, -1000, 400))
    inverted = dicom(VALUES, **rescale, **window, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(tmp_path, inverted), 255 - scaled(units, -160, 239))


def test_without_a_window_the_stored_bits_are_the_range(tmp_path: Path) -> None:
    image = read(tmp_path, dicom(VALUES, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(image, scaled(VALUES, 0, 4095))
    signed = VALUES.astype(np.int16) - 2048
    image = read(tmp_path, dicom(signed, BitsStored=12, HighBit=11, PixelRepresentation=1))
    np.testing.assert_array_equal(image, scaled(signed, -2048, 2047))


def test_all_bits_are_kept_on_request(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_bytes(dicom(VALUES, BitsStored=12, HighBit=11))
    source = open_source(f"bands:{tmp_path}")
    assert source.bands is not None
    assert source.bands.names == ("1",)
    np.testing.assert_array_equal(source.read(0), scaled(VALUES, 0, 4095, 65535))
    assert len(np.unique(source.read(0))) == len(np.unique(VALUES))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_in_monochrome1_with_all_bits_too(
    tmp_path: Path, dtype: type[np.unsignedinteger]
) -> None:
    white = np.iinfo(dtype).max
    values = (VALUES % 256).astype(dtype)
    (tmp_path / "x.dcm").write_bytes(dicom(values, PhotometricInterpretation="MONOCHROME1"))
    image = open_source(f"bands:{tmp_path}").read(0)
    assert image.dtype == dtype
    np.testing.assert_array_equal(image[:, :, 0], white - values)


def test_colour_and_frames(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    np.testing.assert_array_equal(read(tmp_path, dicom(colour)), colour)
    frames = dicom(np.stack([VALUES, 0 * VALUES]), NumberOfFrames=2)
    np.testing.assert_array_equal(read(tmp_path, frames), scaled(VALUES, 0, 65535))
    assert any("several pages or frames" in note for note in open_source(tmp_path).notes)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    whole = dicom(VALUES)
    (tmp_path / "whole.dcm").write_bytes(whole)
    (tmp_path / "report.dcm").write_bytes(dicom(None, Modality="SR"))
    (tmp_path / "torn.dcm").write_bytes(whole[:-20])
    (tmp_path / "text.dcm").write_bytes(b"no image")
    (tmp_path / "stub.dcm").write_bytes(whole[:140])
    source = open_source(tmp_path)
    reasons = {}
    for index in range(len(source)):
        try:
            source.read(index)
        except UnreadableImage as error:
            reasons[Path(error.where).name] = error.reason
    assert set(reasons) == {"report.dcm", "torn.dcm", "text.dcm", "stub.dcm"}
    assert reasons["report.dcm"] == "a DICOM file without pixels (modality SR)"
    assert not any("\n" in reason for reason in reasons.values())
