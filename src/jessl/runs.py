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
from jessl.conclusion import run_conclusion
from jessl.config import EXPORT_DESCRIPTION, Pretrain, ResolvedPretrain
from jessl.core.deprecation import RenamedMember, renamed_arguments
from jessl.core.files import contained, read_json, write_json
from jessl.core.notebook import WARNING, Described, percent, with_interval
from jessl.schema import VIEW_RETRIEVAL, score_title

CONFIG = "config.json"


@dataclass(frozen=True)
class Run(Described):
    """A run folder; nothing is read before it is asked for.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def conclusion(self) -> str:
        """Whether the training helped, or how far it is; in one sentence without a full stop."""
        try:
            measured = self.records()
            judged = run_conclusion(measured) if _is_finished(measured) else None
            text = _state(self, measured) if judged is None else judged.text
        except (OSError, ValueError) as error:
            text = f"cannot be read: {error}"
        return f"{self.name}: {text}"

    def describe(self) -> list[tuple[str, str]]:
        """Folder, data, encoder, objective, scores, and the next line of code.

        Scores are those of the last evaluation.
        """
        try:
            config, measured = self.resolved_config(), self.records()
            state = _state(self, measured)
        except (OSError, ValueError) as error:
            return [("folder", str(self.path)), (WARNING, str(error))]
        rows = [
            ("folder", str(self.path)),
            ("data", config.data),
            ("encoder", config.encoder),
            ("objective", f"{config.objective}, views by {config.views}"),
            ("state", state),
        ]
        newest = {r.name: r for r in measured if _is_score(r)}  # the last of a name
        rows += [(_score_name(r), _score_text(r)) for r in newest.values()]
        return [*rows, ("next", _next_line(self, config, _is_finished(measured)))]

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
        return _is_finished(self.records())

    def _resolved(self) -> dict[str, Any]:
        resolved = _read_object(contained(self.path, CONFIG)).get("chosen")
        if not isinstance(resolved, dict) or "config" not in resolved:
            raise ValueError(f"{self.path / CONFIG} lacks what was chosen: not a run of jessl")
        return resolved

    asked = RenamedMember("config")
    chosen = RenamedMember("resolved_config")


def _is_finished(measured: list[records.Record]) -> bool:
    return any(r.split == "pretrain" and r.name == "rankme/backbone" for r in measured)


def _state(run: Run, measured: list[records.Record]) -> str:
    if _is_finished(measured):
        return "finished"
    steps = [r.step for r in measured if r.step is not None]
    total = run.facts().get("total_steps")
    if not steps or not isinstance(total, int):
        return "not trained yet"
    return f"trained for {max(steps):,} of {total:,} steps"


def _is_score(record: records.Record) -> bool:
    score = record.name == VIEW_RETRIEVAL or record.name.startswith("rankme/")
    return score and record.split != records.PRETRAIN_SAMPLE and isinstance(record.value, float)


def _score_name(record: records.Record) -> str:
    score, _, layer = record.name.partition("/")
    return f"{score_title(score)}, {layer}" if layer else score_title(score)


def _score_text(record: records.Record) -> str:
    assert isinstance(record.value, float)
    if record.name == VIEW_RETRIEVAL:
        return percent(record.value, record.low, record.high)
    return with_interval(record.value, record.low, record.high)


def _next_line(run: Run, config: ResolvedPretrain, finished: bool) -> str:
    path = str(run.path)
    if finished:
        return f"jessl.embed(jessl.Run.open({path!r}), {config.data!r})"
    return f"jessl.pretrain(jessl.Pretrain(data={config.data!r}, out={path!r}, resume=True))"


def _read_object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object: not a run of jessl")
    return value


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run."""
    # folders for timm and transformers have a config.json too
    return (Path(path) / CONFIG).is_file() and not (Path(path) / EXPORT_DESCRIPTION).is_file()
