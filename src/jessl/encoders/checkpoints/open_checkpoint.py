"""Checkpoints of other libraries as encoders: `ckpt:PATH`, `ckpt:PATH@ARCH`, `ckpt:PATH#KEY`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.random import seeded
from jessl.encoders.build import build_encoder
from jessl.encoders.checkpoints.infer_architecture import (
    SMALL_PX,
    Guess,
    doubtful_heads,
    infer,
)
from jessl.encoders.checkpoints.load_weights import load_tensors
from jessl.encoders.checkpoints.matching import Tensors
from jessl.encoders.checkpoints.reading import read_tensors
from jessl.encoders.encoder import Encoder
from jessl.encoders.expansion import is_resnet
from jessl.encoders.load_report import LoadReport

FAMILY = "ckpt:"
_PADDED = (
    "3x3 stem with stride 1, padding 1 and no max-pool, which tensors do not tell (solo-learn "
    "pads by 2)"
)


@dataclass(frozen=True)
class CheckpointFile:
    """A file of weights, the net that it is of, and the prefix to take, where they are given."""

    path: Path
    arch: str | None = None
    key: str | None = None


def checkpoint_file(
    encoder: str | Path, arch: str | None = None, key: str | None = None
) -> CheckpointFile | None:
    """The file that a spec or a bare path names; None where it names none.

    Args:
        encoder: `ckpt:PATH[@ARCH][#KEY]`, or the path of a file.
        arch, key: the same as arguments.

    Raises:
        ValueError: when there is no such file, or the spec and the arguments both name one thing.
    """
    text = os.fspath(encoder)
    if not text.startswith(FAMILY):
        path = Path(text)
        return CheckpointFile(path, arch, key) if arch is not None or path.is_file() else None
    rest = text.removeprefix(FAMILY)
    found = next((f for f in _readings(rest) if f.path.is_file()), None)
    if found is None:
        plain = Path(rest.partition("@")[0])
        what = (
            "a folder, not a file (a run is given without ckpt:)" if plain.is_dir() else "no file"
        )
        raise ValueError(f"encoder {text!r}: {plain} is {what}; ckpt:PATH, PATH@ARCH or PATH#KEY")
    for name, given, own in (("arch", arch, found.arch), ("key", key, found.key)):
        if given is not None and own is not None:
            raise ValueError(f"{name} {given!r}: encoder {text!r} names one already")
    return CheckpointFile(found.path, found.arch or arch, found.key or key)


def _readings(rest: str) -> list[CheckpointFile]:
    """All readings of PATH[@ARCH][#KEY], longest path first: names of files may hold @ and #."""
    found = [CheckpointFile(Path(rest))]
    head, mark, key = rest.rpartition("#")
    parts = [(head, key), (rest, None)] if mark else [(rest, None)]
    for whole, own in parts:
        if own:
            found.append(CheckpointFile(Path(whole), None, own))
        path, at, arch = whole.rpartition("@")
        if at and arch:
            found.append(CheckpointFile(Path(path), arch, own))
    return found


def open_checkpoint(
    file: CheckpointFile, *, stem: str | None = None, size: int | None = None
) -> tuple[Encoder, LoadReport]:
    """The encoder of a file with its weights.

    Args:
        file: without `arch` it is inferred (`infer`).
        stem: None: the one whose first convolution the file has.
        size: side of the images, pixels; None: what the net takes, 32 with the small stem.

    Raises:
        ValueError: when the file cannot be read, or does not fit; in one line.
    """
    tensors = read_tensors(file.path)
    if file.arch is None:
        guess = infer(tensors, file.path, file.key)
    else:
        guess = Guess(file.arch, stem, size)
    if stem is not None or size is not None:
        guess = replace(guess, stem=stem or guess.stem, size=size or guess.size)
    encoder, report = _loaded(guess, tensors, file)
    notes = [*guess.notes]
    if doubtful_heads(guess.arch, report.prefix):
        doubt = f"MoCo v3's small ViT has 12 heads of attention, {guess.arch} has 6"
        if file.arch is None:
            raise ValueError(f"arch: {file.path} is in doubt: {doubt}; give arch if it has 6")
        notes.append(doubt)
    if file.arch is None:
        notes.insert(0, f"taken for {guess.arch}")
    if guess.imagenet:
        encoder.preprocess = replace(encoder.preprocess, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    if encoder.stem == "small" and is_resnet(encoder.body):
        notes.append(f"{encoder.preprocess.size} px images, {_PADDED}")
    return encoder, replace(report, notes=(*report.notes, *notes))


def _loaded(guess: Guess, tensors: Tensors, file: CheckpointFile) -> tuple[Encoder, LoadReport]:
    """With the stem that fits where none was asked for; a refusal is that of the usual stem."""
    with seeded(0):
        encoder = build_encoder(guess.arch, size=guess.size, stem=guess.stem)
    try:
        return encoder, load_tensors(encoder, tensors, file.path, key=file.key)
    except ValueError:
        if guess.stem is not None or not is_resnet(encoder.body):
            raise
        small = encoder.stem == "standard"
        other = replace(
            guess,
            stem="small" if small else "standard",
            size=guess.size or (SMALL_PX if small else None),
        )
        with seeded(0):
            net = build_encoder(other.arch, size=other.size, stem=other.stem)
        try:
            return net, load_tensors(net, tensors, file.path, key=file.key)
        except ValueError:
            pass  # neither fits: the first refusal is told
        raise
