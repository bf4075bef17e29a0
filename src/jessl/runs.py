"""Runs: what a pretraining leaves behind, a folder.

config.json      what the user asked for, and under "chosen" what came of it
records.jsonl    what was measured (jessl.records)
checkpoints/     step-000000120/model.safetensors and state.pt
embeddings/      backbone/ and projector/ of the training images, for judging without labels
views.json       the recipe of the views, which `--views` reads
views.png        what the encoder saw
neighbours.png   which images it finds alike
report.html      all of it to look at
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jessl import records
from jessl.config import Pretrain
from jessl.core.files import read_json, write_json

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
            raise ValueError(f"{path} is not a run: {what}")
        return cls(path)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.resolve().name

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    @property
    def views(self) -> Path:
        """Where the recipe of the views is."""
        return self.path / "views.json"

    def embeddings(self, layer: str) -> Path:
        """Where the embeddings of the training images at "backbone" or "projector" are."""
        return self.path / "embeddings" / layer

    def asked(self) -> Pretrain:
        """The configuration as the user gave it."""
        stored = _object(self.path / CONFIG)
        stored.pop("chosen", None)
        return Pretrain.from_json(stored)

    def chosen(self) -> Pretrain:
        """The configuration with everything decided."""
        return Pretrain.from_json(self._chosen()["config"])

    def facts(self) -> dict[str, Any]:
        """What was found out before the training: dim, images, steps_per_epoch, data checksum."""
        return {k: v for k, v in self._chosen().items() if k != "config"}

    def write_config(self, asked: Pretrain, chosen: Pretrain, facts: dict[str, Any]) -> None:
        """Write config.json."""
        stored = {**asked.as_json(), "chosen": {"config": chosen.as_json(), **facts}}
        write_json(self.path / CONFIG, stored)

    def records(self) -> list[records.Record]:
        """All records in the order of writing."""
        return records.read(self.path)

    def finished(self) -> bool:
        """Whether training and judgement are done (their last record is there)."""
        return any(r.split == "pretrain" and r.name == "rankme/backbone" for r in self.records())

    def _chosen(self) -> dict[str, Any]:
        chosen = _object(self.path / CONFIG).get("chosen")
        if not isinstance(chosen, dict) or "config" not in chosen:
            raise ValueError(f"{self.path / CONFIG} lacks what was chosen: not a run of jessl")
        return chosen


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object: not a run of jessl")
    return found


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run."""
    return (Path(path) / CONFIG).is_file()
