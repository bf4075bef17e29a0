"""How commands read what their arguments name: images, embeddings, lists by commas."""

from __future__ import annotations

from collections.abc import Mapping
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


def load_embeddings(path: str) -> Embeddings:
    """Embeddings, memory-mapped where their features are large."""
    from jessl.embeddings import Embeddings

    file = Path(path)
    features = file / "features.npy" if file.is_dir() else file
    large = features.is_file() and features.stat().st_size > _LARGE_BYTES
    return Embeddings.load(file, mmap=large)


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
