"""Runs: the folders that pretrainings write.

config.json      the configuration that the user gave, and under "chosen" the resolved one
records.jsonl    all measurements (jessl.records)
checkpoints/     step-000000120/model.safetensors and state.pt
start/           of a run with --init: the weights that it began with, as a checkpoint
embeddings/      backbone/ and projector/ of the training images, which the scores are taken of
views.json       the recipe of the views, which `--views` reads
views.png        a few views that the encoder was trained on
neighbours.png   a few images and the most similar ones by the encoder
map.json         the map of a sample of the images by the encoder
report.html      all of it as a page
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessl import records
from jessl.config import EXPORT_DESCRIPTION, Pretrain, ResolvedPretrain
from jessl.core.deprecation import RenamedMember, renamed_arguments
from jessl.core.files import contained, read_json, write_json

CONFIG = "config.json"


@dataclass(frozen=True)
class Run:
    """A run folder; nothing is read before it is asked for.

    Attributes:
        path: the folder.
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run in a folder.

        Raises:
            ValueError: when the folder holds none.
        """
        path = Path(path)
        if not is_run(path):
            what = "there is no such folder" if not path.exists() else f"it has no {CONFIG}"
            if (path / EXPORT_DESCRIPTION).is_file():
                what = "it is an export of an encoder"
            raise ValueError(f"{path} is not a run: {what}")
        return cls(path)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are; ValueError for a link out of the run."""
        return contained(self.path, "checkpoints")

    @property
    def views(self) -> Path:
        """Where the recipe of the views is; ValueError for a link out of the run."""
        return contained(self.path, "views.json")

    def embeddings(self, layer: str) -> Path:
        """Where the embeddings of the training images at "backbone" or "projector" are.

        Raises:
            ValueError: for a link out of the run.
        """
        return contained(self.path, "embeddings", layer)

    def config(self) -> Pretrain:
        """The configuration as the user gave it."""
        stored = _read_object(contained(self.path, CONFIG))
        stored.pop("chosen", None)
        return Pretrain.from_json(stored)

    def resolved_config(self) -> ResolvedPretrain:
        """The configuration with every value decided."""
        return ResolvedPretrain.from_json(self._resolved()["config"])

    def facts(self) -> dict[str, Any]:
        """What was known before the training: dim, images, steps_per_epoch, data checksum."""
        return {k: v for k, v in self._resolved().items() if k != "config"}

    @renamed_arguments(asked="config", chosen="resolved")
    def write_config(
        self, config: Pretrain, resolved: ResolvedPretrain, facts: Mapping[str, object]
    ) -> None:
        """Write config.json."""
        stored = {**config.as_json(), "chosen": {"config": resolved.as_json(), **facts}}
        write_json(self.path / CONFIG, stored)

    def records(self) -> list[records.Record]:
        """All records in the order of writing."""
        return records.read(self.path)

    def finished(self) -> bool:
        """Whether training and evaluation are done (their last record is there)."""
        return any(r.split == "pretrain" and r.name == "rankme/backbone" for r in self.records())

    def _resolved(self) -> dict[str, Any]:
        resolved = _read_object(contained(self.path, CONFIG)).get("chosen")
        if not isinstance(resolved, dict) or "config" not in resolved:
            raise ValueError(f"{self.path / CONFIG} lacks what was chosen: not a run of jessl")
        return resolved

    asked = RenamedMember("config")
    chosen = RenamedMember("resolved_config")


def _read_object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object: not a run of jessl")
    return value


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run."""
    # folders for timm and transformers have a config.json too
    return (Path(path) / CONFIG).is_file() and not (Path(path) / EXPORT_DESCRIPTION).is_file()
