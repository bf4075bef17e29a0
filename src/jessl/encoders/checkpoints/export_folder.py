"""Folders that `jessl export` wrote: what identifies them, and opening them again.

The folder may be a stranger's. jessl.json is data that is checked; names of files are those of the
format, never those of the file; no link leads out of the folder; no code is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from jessl.config import EXPORT_DESCRIPTION as DESCRIPTION
from jessl.core.checksums import FILE as CHECKSUMS
from jessl.core.checksums import ChangedError, check_file
from jessl.core.files import contained, is_contained_file, read_json
from jessl.core.random import seeded
from jessl.core.validation import check_choice, check_float, check_int
from jessl.encoders.build import build_encoder
from jessl.encoders.checkpoints.load_weights import load_tensors
from jessl.encoders.checkpoints.reading import read_tensors
from jessl.encoders.encoder import Encoder, Preprocess
from jessl.encoders.load_report import LoadReport

README = "README.md"
_MARK = "jessl_export"
_VERSION = 1
# format -> the file with its weights or its program
WEIGHTS = {
    "timm": "model.safetensors",
    "torchvision": "weights.pth",
    "transformers": "model.safetensors",
    "onnx": "model.onnx",
    "torch": "model.pt2",
}
PROGRAMS = ("onnx", "torch")
# every name that an export may have
NAMES = frozenset(
    {
        *WEIGHTS.values(),
        *(DESCRIPTION, README, CHECKSUMS),
        *("config.json", "preprocessor_config.json", "model.onnx.data"),
    }
)
_NAME = re.compile(r"[A-Za-z0-9_.:/@-]{1,200}")
_MOST_PX = 8192


@dataclass(frozen=True)
class ExportDescription:
    """What jessl.json says about the encoder of an export.

    Attributes:
        format: timm, torchvision, transformers, onnx or torch.
        encoder: the name that builds its architecture.
        stem: small or standard.
        dim: features of an image.
        projection: outputs of the projector; None: there is none.
        preprocess: of the images.
        weights_sha256: of the encoder's tensors.
        source: where the weights came from; for people.
        classes: names of the classes, in the order of the logits; empty without a classifier.
    """

    format: str
    encoder: str
    stem: str
    dim: int
    projection: int | None
    preprocess: Preprocess
    weights_sha256: str
    source: Mapping[str, object]
    classes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The content of jessl.json."""
        return {_MARK: _VERSION, **asdict(self), "source": dict(self.source)}


def is_export(folder: str | Path) -> bool:
    """Whether a folder holds an export of jessl."""
    return is_contained_file(folder, DESCRIPTION)


def read_description(folder: str | Path) -> ExportDescription:
    """Read and check jessl.json.

    Raises:
        ValueError: in one line, where it is not one that `jessl export` writes.
    """
    path = contained(folder, DESCRIPTION)
    try:
        check_file(path)
    except ChangedError as error:
        raise ValueError(f"{path}: {error}") from None
    stored = read_json(path)
    if not isinstance(stored, dict) or stored.get(_MARK) is None:
        raise ValueError(f"{path}: expected the description of an export, got other JSON")
    if stored[_MARK] != _VERSION:
        raise ValueError(
            f"{path}: expected version {_VERSION} of exports, got {stored[_MARK]!r}: it is of "
            "another release of jessl"
        )
    try:
        return _parsed(stored)
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is damaged: {reason}") from None


def _parsed(stored: Mapping[str, Any]) -> ExportDescription:
    encoder, source, pixels = stored["encoder"], stored["source"], stored["preprocess"]
    if not isinstance(encoder, str) or not _NAME.fullmatch(encoder):
        raise ValueError(f"encoder: expected a name such as timm:resnet18, got {encoder!r}")
    if not isinstance(source, dict) or not isinstance(pixels, dict):
        raise ValueError("source and preprocess: expected objects")
    projection = stored["projection"]
    classes = stored.get("classes", [])  # a release wrote none
    if not isinstance(classes, list):
        raise ValueError(f"classes: expected a list, got {classes!r}")
    return ExportDescription(
        format=check_choice("format", stored["format"], WEIGHTS),
        encoder=encoder,
        stem=check_choice("stem", stored["stem"], ("small", "standard")),
        dim=check_int("dim", stored["dim"], 1),
        projection=None if projection is None else check_int("projection", projection, 1),
        preprocess=Preprocess(
            check_int("size", pixels["size"], 1, _MOST_PX),
            _numbers("mean", pixels["mean"]),
            _numbers("std", pixels["std"], above=0, count=len(pixels["mean"])),
            check_float("crop_share", pixels["crop_share"], above=0, maximum=1),
        ),
        weights_sha256=str(stored["weights_sha256"]),
        source=source,
        classes=tuple(map(str, classes)),
    )


def _numbers(
    name: str, values: object, above: float | None = None, count: int | None = None
) -> tuple[float, ...]:
    if not isinstance(values, list) or not values or len(values) != (count or len(values)):
        raise ValueError(f"{name}: expected a number for each channel, got {values!r}")
    return tuple(check_float(name, v, above=above) for v in values)


def exported_weights(folder: str | Path) -> tuple[Path, ExportDescription]:
    """The file of weights in an export, compared with its checksum, and the description.

    Raises:
        ValueError: in one line, for an export that holds a program instead of weights, or a file
            that is missing, changed, or a link.
    """
    description = read_description(folder)
    if description.format in PROGRAMS:
        raise ValueError(
            f"{folder} is an export in the format {description.format}, a program without an "
            "architecture to load weights into; export with --format timm, torchvision or "
            "transformers, or use what it was exported from"
        )
    file = contained(folder, WEIGHTS[description.format])
    if not file.is_file():
        raise ValueError(f"no weights at {file}: the export is incomplete")
    try:
        check_file(file)
    except ChangedError as error:
        raise ValueError(f"cannot read weights from {file}: {error}") from None
    return file, description


def open_export(
    folder: str | Path, *, size: int | None = None
) -> tuple[Encoder, LoadReport | None, ExportDescription]:
    """The encoder of an export with its weights and preprocessing.

    Args:
        folder: of the formats timm, torchvision and transformers.
        size: side of the images, pixels, instead of the export's.

    Raises:
        ValueError: in one line, where the folder cannot be opened again.
    """
    file, description = exported_weights(folder)
    preprocess = description.preprocess
    if size is not None:
        preprocess = replace(preprocess, size=check_int("size", size, 1, _MOST_PX), crop_share=1.0)
    family = description.encoder.partition(":")[0]
    try:
        if family == "hf":
            encoder = build_encoder(f"hf:{folder}", size=preprocess.size, pretrained=True)
            report = getattr(encoder.body, "report", None)
        else:
            check_choice("encoder", family, ("timm", "torchvision", "hf"))
            with seeded(0):
                encoder = build_encoder(
                    description.encoder,
                    size=preprocess.size,
                    stem=description.stem,
                    normalisation=(
                        None if len(preprocess.mean) == 3 else (preprocess.mean, preprocess.std)
                    ),
                )
            report = load_tensors(encoder, read_tensors(file), file)
    except ValueError as error:
        raise ValueError(f"export {folder} cannot be opened: {error}") from None
    encoder.preprocess = preprocess
    if encoder.dim != description.dim:
        raise ValueError(
            f"export {folder} is damaged: {DESCRIPTION} has {description.dim} features, its "
            f"weights {encoder.dim}"
        )
    return encoder, report, description
