"""Open whatever holds images: the door of this room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jessl.core.validation import escape_control, refuse_path_of_the_same_name
from jessl.data.decode.value_range import ValueRange
from jessl.data.sources.base import Source
from jessl.data.sources.relabel import SourceWithLabels
from jessl.data.sources.sample_notes import sample_notes
from jessl.data.sources.subset import Subset

_ALLOWED = (
    "a folder of images, a .npz or .npy file, tar shards (a .tar, a folder of .tar, or a pattern "
    "like shard-{000..012}.tar), bands:PATH, digits, torchvision:NAME[:split], "
    "hf:NAME[:split], an array [n, h, w] or [n, h, w, c], a pair (images, labels), a map-style "
    "torch Dataset, or a Source"
)


def open_source(
    spec: Any,
    *,
    labels: str | Path | None = None,
    groups: str | None = None,
    split: str | None = None,
    x_key: str | None = None,
    y_key: str | None = None,
    fast_decode: bool = False,
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
) -> Source:
    """Open whatever holds images.

    Args:
        spec: a Source (returned as it is), an array uint8 [n, h, w] or [n, h, w, c] with c 1..16,
            a pair (images, labels), a map-style torch.utils.data.Dataset (see
            `jessl.data.sources.dataset.DatasetSource`), or the path or name of a folder of images,
            a .npz or .npy file, tar shards in the WebDataset layout (one .tar, a folder of them, or
            a pattern like shard-{000..012}.tar), `bands:PATH[@BANDS][#COLOUR]` (files with all
            their bands and bits), `digits`, `torchvision:NAME[:split]`, `hf:NAME[:split]`.
        labels: CSV file with columns path,label that replaces the labels; see `labels_from_csv`.
        groups: name of a column of that file: images with the same cell (a patient, a camera) are
            a group, which `split` never divides. The column label may then be missing.
        split: part of a torchvision or Hugging Face data set, where `spec` does not name it.
        x_key, y_key: names of the arrays in an .npz file, by default the first that exists of
            x, images, data, arr_0 and of y, labels, targets.
        fast_decode: of JPEG files: 4 to 9% less time for pixels that differ by 1.3 levels in the
            mean and by up to 85 at edges of colour (160 photographs).
        bits: of images that are stored in more than 8 bits a channel: 2^bits - 1 is white, and
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: instead of `bits`, two numbers: the stored values that become black and white.
            Others are clipped. It also opens floating-point and signed images.

    Up to 64 evenly spaced images are looked at, and `notes` says where they use little of the
    range, have values that are clipped, or bands and pages that are left out.

    Example:
        source = jessl.open_source("microscope", bits=12)

    Raises:
        ValueError: one line that says what is wrong and what is allowed.
    """
    if groups is not None and not (isinstance(groups, str) and groups.strip()):
        raise ValueError(
            f"groups: expected the name of a column of the labels file, got {groups!r}"
        )
    if groups is not None and labels is None:
        raise ValueError(
            f"groups: {groups!r} is to be a column of the labels file; give labels, a CSV file"
        )
    chosen = ValueRange.of(bits, value_range)
    source = _open(spec, split, x_key, y_key, chosen)
    if source is not spec:
        source.value_range = chosen
        source.notes = (*source.notes, *sample_notes(source))
    elif chosen not in (None, source.value_range):
        raise ValueError(
            f"bits, range: {source.name} is open already; expected them where it is opened"
        )
    if fast_decode:
        files = source
        while isinstance(files, Subset | SourceWithLabels):
            files = files.source
        if files.fast_decode is None:
            raise ValueError(f"fast_decode: {source.name} holds no files, leave it out")
        files.fast_decode = True
    if labels is None:
        return source
    from jessl.data.labels import labels_from_csv

    return labels_from_csv(source, labels, groups)


def _open(
    spec: Any,
    part: str | None,
    x_key: str | None,
    y_key: str | None,
    value_range: ValueRange | None,
) -> Source:
    from jessl.data.sources import arrays
    from jessl.data.sources.dataset import DatasetSource, is_dataset

    text = str(spec) if isinstance(spec, str | Path) else ""
    kind, _, rest = text.partition(":")
    if part is not None and kind not in ("torchvision", "hf"):
        near = f" (perhaps the folder {Path(text) / part}?)" if Path(text, part).is_dir() else ""
        raise ValueError(f"split: expected None but for torchvision: and hf:, got {part!r}{near}")
    if not text.lower().endswith(".npz") and (x_key is not None or y_key is not None):
        raise ValueError(
            f"x_key, y_key: expected None but for a .npz file, got {x_key!r}, {y_key!r}"
        )
    if isinstance(spec, Source):
        return spec
    if isinstance(spec, tuple) and len(spec) == 2:
        return arrays.ArraySource(spec[0], spec[1], value_range=value_range)
    if hasattr(spec, "__array__"):
        return arrays.ArraySource(spec, value_range=value_range)
    if not text and is_dataset(spec):
        return DatasetSource(spec, value_range=value_range)
    if not text:
        raise ValueError(f"data: expected {_ALLOWED}, got {type(spec).__name__}")
    if kind == "bands" and rest:
        return _open_bands(rest, x_key, y_key, value_range)
    if kind == "torchvision" and rest:
        from jessl.data.sources.hub_datasets import open_torchvision

        return open_torchvision(rest, part, value_range)
    if kind == "hf" and rest:
        from jessl.data.sources.hub_datasets import open_hugging_face

        return open_hugging_face(rest, part)
    if text == "digits":
        refuse_path_of_the_same_name("data", text, "sklearn:digits")
    if text in ("digits", "sklearn:digits"):
        return arrays.digits()
    try:
        return _open_path(text, x_key, y_key, value_range)
    except OSError as error:
        at = escape_control(str(error.filename or text))
        raise ValueError(f"data: {at} cannot be read: {error.strerror}") from error


def _open_bands(
    text: str, x_key: str | None, y_key: str | None, value_range: ValueRange | None
) -> Source:
    from jessl.data.sources.arrays import open_arrays
    from jessl.data.sources.band_files import BandFilesSource, is_pattern
    from jessl.data.sources.bands import BandSource, parse_choice
    from jessl.data.sources.shard_manifest import packed_bands
    from jessl.data.sources.shards import ShardSource

    choice = parse_choice(text)
    if is_pattern(choice.path):
        return BandFilesSource(choice)
    path = Path(choice.path).expanduser()
    if path.suffix.lower() in (".npz", ".npy") and path.is_file():
        files: Source = open_arrays(
            path, x_key=x_key, y_key=y_key, value_range=value_range, keep_bits=True
        )
    else:
        files = _open_path(choice.path, x_key, y_key, value_range)
    packed = packed_bands(path) if isinstance(files, ShardSource) and path.is_dir() else None
    return BandSource(files, choice, packed)


def _open_path(
    text: str, x_key: str | None, y_key: str | None, value_range: ValueRange | None
) -> Source:
    from jessl.data.sources import arrays, folder, shards

    path = Path(text).expanduser()
    if shards.is_pattern(text) and not path.exists():
        return shards.ShardSource(shards.expand(str(path)), name=text)
    if not path.exists():
        raise ValueError(f"data: no file or folder {escape_control(text)}; allowed: {_ALLOWED}")
    if path.is_dir():
        tars = shards.tars_in(path)
        if tars and not folder.images_in(path):
            source = shards.ShardSource(tars, name=text)
            source.notes += shards.left_out_beside(path, source.name)
            return source
        return folder.FolderSource(path, name=text)
    if path.suffix.lower() in (".npz", ".npy"):
        return arrays.open_arrays(path, x_key=x_key, y_key=y_key, value_range=value_range)
    if shards.is_tar(path):
        return shards.ShardSource([path], name=text)
    raise ValueError(
        f"data: cannot tell what the file {escape_control(text)} is; allowed: {_ALLOWED}"
    )
