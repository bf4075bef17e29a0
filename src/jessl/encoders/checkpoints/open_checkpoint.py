"""Checkpoints of other libraries as encoders: `ckpt:PATH`, `ckpt:PATH@ARCH`, `ckpt:PATH#KEY`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.random import seeded
from jessl.encoders.build import Normalisation, build_encoder
from jessl.encoders.checkpoints.infer_architecture import (
    SMALL_PX,
    InferredArchitecture,
    has_ambiguous_heads,
    infer_architecture,
)
from jessl.encoders.checkpoints.load_weights import load_tensors
from jessl.encoders.checkpoints.matching import Tensors
from jessl.encoders.checkpoints.reading import read_tensors
from jessl.encoders.encoder import Encoder
from jessl.encoders.expansion import is_resnet
from jessl.encoders.load_report import LoadReport

FAMILY = "ckpt:"
_PADDED = (
    "3x3 stem with stride 1, padding 1 and no max-pool, which tensors do not show (solo-learn "
    "pads by 2)"
)


@dataclass(frozen=True)
class CheckpointFile:
    """A file of weights, and its architecture and prefix where they are given."""

    path: Path
    arch: str | None = None
    key: str | None = None


def parse_checkpoint(
    encoder: str | Path, arch: str | None = None, key: str | None = None
) -> CheckpointFile | None:
    """Parse a spec or a bare path; None where it does not name a file of weights.

    Args:
        encoder: `ckpt:PATH[@ARCH][#KEY]`, or the path of a file.
        arch, key: the same as arguments.

    Raises:
        ValueError: when there is no such file, or spec and arguments both give `arch` or `key`.
    """
    text = os.fspath(encoder)
    if not text.startswith(FAMILY):
        path = Path(text)
        return CheckpointFile(path, arch, key) if arch is not None or path.is_file() else None
    rest = text.removeprefix(FAMILY)
    file = next((f for f in _all_readings(rest) if f.path.is_file()), None)
    if file is None:
        plain = Path(rest.partition("@")[0])
        actual = "a folder (name a run without ckpt:)" if plain.is_dir() else "no file"
        raise ValueError(
            f"encoder {text!r}: expected ckpt:PATH, PATH@ARCH or PATH#KEY, but {plain} is {actual}"
        )
    for name, argument, own in (("arch", arch, file.arch), ("key", key, file.key)):
        if argument is not None and own is not None:
            raise ValueError(f"{name} {argument!r}: encoder {text!r} names one already")
    return CheckpointFile(file.path, file.arch or arch, file.key or key)


def _all_readings(rest: str) -> list[CheckpointFile]:
    """All readings of PATH[@ARCH][#KEY], longest path first: file names may contain @ and #."""
    readings = [CheckpointFile(Path(rest))]
    head, mark, key = rest.rpartition("#")
    parts = [(head, key), (rest, None)] if mark else [(rest, None)]
    for whole, own in parts:
        if own:
            readings.append(CheckpointFile(Path(whole), None, own))
        path, at, arch = whole.rpartition("@")
        if at and arch:
            readings.append(CheckpointFile(Path(path), arch, own))
    return readings


def open_checkpoint(
    file: CheckpointFile,
    *,
    stem: str | None = None,
    size: int | None = None,
    normalisation: Normalisation | None = None,
) -> tuple[Encoder, LoadReport]:
    """Build the encoder of a file and load its weights.

    Args:
        file: without `arch` it is inferred (`infer_architecture`).
        stem: None: the stem of the file's first convolution.
        size: side of the images, pixels; None: the net's default, 32 with the small stem.
        normalisation: mean and standard deviation of the bands of the images; a first convolution
            of RGB is adapted to their number. None: RGB.

    Raises:
        ValueError: in one line, when the file cannot be read or does not match.
    """
    tensors = read_tensors(file.path)
    if file.arch is None:
        choice = infer_architecture(tensors, file.path, file.key)
    else:
        choice = InferredArchitecture(file.arch, stem, size)
    if stem is not None or size is not None:
        choice = replace(choice, stem=stem or choice.stem, size=size or choice.size)
    encoder, report = _build_and_load(choice, tensors, file, normalisation)
    notes = [*choice.notes]
    if has_ambiguous_heads(choice.arch, report.prefix):
        warning = f"MoCo v3's small ViT has 12 heads of attention, {choice.arch} has 6"
        if file.arch is None:
            raise ValueError(f"arch: {file.path} is ambiguous: {warning}; give arch if it has 6")
        notes.append(warning)
    if file.arch is None:
        notes.insert(0, f"architecture inferred: {choice.arch}")
    if choice.imagenet and normalisation is None:
        encoder.preprocess = replace(encoder.preprocess, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    if encoder.stem == "small" and is_resnet(encoder.body):
        notes.append(f"{encoder.preprocess.size} px images, {_PADDED}")
    return encoder, replace(report, notes=(*report.notes, *notes))


def _build_and_load(
    choice: InferredArchitecture,
    tensors: Tensors,
    file: CheckpointFile,
    normalisation: Normalisation | None,
) -> tuple[Encoder, LoadReport]:
    """Try the other stem too where none was requested; an error is that of the usual stem."""
    with seeded(0):
        encoder = build_encoder(
            choice.arch, size=choice.size, stem=choice.stem, normalisation=normalisation
        )
    try:
        return encoder, load_tensors(encoder, tensors, file.path, key=file.key)
    except ValueError:
        if choice.stem is not None or not is_resnet(encoder.body):
            raise
        small = encoder.stem == "standard"
        other = replace(
            choice,
            stem="small" if small else "standard",
            size=choice.size or (SMALL_PX if small else None),
        )
        with seeded(0):
            net = build_encoder(
                other.arch, size=other.size, stem=other.stem, normalisation=normalisation
            )
        try:
            return net, load_tensors(net, tensors, file.path, key=file.key)
        except ValueError:
            pass  # neither matches: raise the first error
        raise
