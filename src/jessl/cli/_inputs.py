"""How commands read what their arguments name: images, embeddings, lists by commas."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jessl.data import Source
    from jessl.data.options import NamesData
    from jessl.embeddings import Embeddings

# features above this size stay on disk
_LARGE_BYTES = 2**31


def open_images(options: NamesData) -> Source:
    """The images that a command names; notes on them are printed on standard error."""
    from jessl.core.log import is_first_process, log
    from jessl.data.options import open_configured

    source = open_configured(options)
    for note in source.notes if is_first_process() else ():
        log.note(note)
    return source


def describe_labels(source: Source) -> str:
    """The labels that a source has, in words: `10 classes in its labels, which ...`."""
    if source.labels is None:
        return "no labels"
    known = int((source.labels >= 0).sum())
    count = len(set(source.labels[source.labels >= 0].tolist()))
    classes = f"{count} class{'' if count == 1 else 'es'}"
    names = [] if source.classes is None else [str(name) for name in source.classes[:3]]
    first = f" ({', '.join(names)}{', ...' if count > len(names) else ''})" if names else ""
    of = "" if known == len(source) else f" of {known:,} images"
    return f"labels{of}: {classes}{first}"


@dataclass(frozen=True, kw_only=True)
class ReadsEmbeddings:
    """Options of the commands that read embeddings.

    Attributes:
        features_columns: columns of the features in .csv and .parquet files, as names apart by
            commas, FIRST:LAST or PREFIX*; in .npz and .safetensors files the name of the array.
        label_column: their column, or array, of the labels.
        name_column: their column, or array, of the names of the images.
    """

    features_columns: str | None = None
    label_column: str | None = None
    name_column: str | None = None

    def load_embeddings(self, path: str, *, mmap: bool | None = None) -> Embeddings:
        """Embeddings; mmap None: memory-mapped where their features are large."""
        from jessl.embeddings import Embeddings

        mmap = _is_large(path) if mmap is None else mmap
        columns = {
            name: getattr(self, name)
            for name in ReadsEmbeddings.__annotations__
            if not Path(path).is_dir()
        }
        return Embeddings.load(path, mmap=mmap, **columns)


def _is_large(path: str) -> bool:
    file = Path(path)
    features = file / "features.npy" if file.is_dir() else file
    return features.is_file() and features.stat().st_size > _LARGE_BYTES


def comma_separated(text: str) -> list[str]:
    """The names in "rankme, alpha_req"."""
    return [name.strip() for name in text.split(",") if name.strip()]


def submits(slurm: bool, slurm_options: Mapping[str, object]) -> bool:
    """Whether a command submits a job instead of doing its work here.

    Raises:
        ValueError: for options of a job without --slurm, and in processes of torchrun.
    """
    from jessl.core.log import several_processes

    if slurm and several_processes():
        raise ValueError("slurm: each process of torchrun would submit a job; run it alone")
    if slurm_options and not slurm:
        raise ValueError("slurm_options are read with --slurm only; add it, or leave them out")
    return slurm


def data_options(
    data: str, x_key: str | None, bits: int | None, value_range: Sequence[float] | None
) -> str:
    """The options of a command that reads the same images in the same way."""
    words: list[object] = ["--data", data]
    if x_key is not None:
        words += ["--x-key", x_key]
    if bits is not None:
        words += ["--bits", bits]
    if value_range is not None:
        words += ["--range", *value_range]
    return shlex.join(map(str, words))
