"""An experiment as data: arms that are tuned alike, the images, and the trainings that follow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jessl.recipes
from jessl.config import Pretrain
from jessl.core.files import read_toml
from jessl.core.validation import check_choice

FOLDER = Path(jessl.recipes.__file__).with_name("claims") / "experiments"
# encoders that nothing trains
UNTRAINED, PIXELS = "untrained", "pixels"
BASELINES = (UNTRAINED, PIXELS)
TUNE, FINAL = "tune", "final"
# of the files of a unit; units of another version are trained again
VERSION = 1

Fields = dict[str, Any]


@dataclass(frozen=True)
class DataSet:
    """Images of an experiment.

    Attributes:
        name: NAME-train.npz and NAME-test.npz in the folder of the user, else `train` and `test`.
        train, test: SRC, None where only the user's files will do.
        train_images, test_images: at most so many are used, chosen by their ids.
        fields: fields of `Pretrain` on these images, which replace those of the base.
        flip: whether a mirrored image is as good as the image.
    """

    name: str
    train: str | None
    test: str | None
    train_images: int
    test_images: int
    fields: Fields
    flip: bool


@dataclass(frozen=True)
class ArmUnit:
    """One training, or one untrained encoder, and what is measured of it.

    Attributes:
        experiment, data, arm: names.
        fields: of `Pretrain`, with "objective_options.NAME" for those inside a dict.
        seed: of weights, order and views.
        role: "tune" (validation images are classified) or "final" (test images).
    """

    experiment: str
    data: str
    arm: str
    fields: tuple[tuple[str, object], ...]
    seed: int
    role: str

    @property
    def key(self) -> str:
        """The name of the folder; it depends on the training only, not on the name of the arm."""
        arm = self.arm if self.arm in BASELINES else ""
        words = json.dumps([VERSION, self.experiment, self.data, arm, self.fields, self.seed])
        return f"{self.data}-{self.role}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Experiment:
    """Arms, their settings, the images, seeds and probes.

    Attributes:
        name: of the file.
        base: fields of `Pretrain` of all arms.
        data: by name; quick_data: the names of `jessl claims run --quick`.
        arms: arm -> fields; settings: arm -> the fields of each setting that is tried.
        seeds: of the final trainings, of the small size where `quick` was asked for; tuning_seed:
            of the trainings that are compared.
        validation_share: of the training images, on which settings are compared.
        shots, draws: of the few-shot probe.
        mlp: options of a perceptron probe beside the others; None: there is none.
    """

    name: str
    base: Fields
    data: dict[str, DataSet]
    quick_data: tuple[str, ...]
    arms: dict[str, Fields]
    settings: dict[str, tuple[Fields, ...]]
    seeds: tuple[int, ...]
    tuning_seed: int
    validation_share: float
    shots: int
    draws: int
    mlp: Fields | None

    @property
    def budget(self) -> str:
        """The tuning of every arm, in words."""
        counts = sorted({len(settings) for settings in self.settings.values()})
        return (
            f"{' or '.join(map(str, counts))} settings an arm, one seed, by linear accuracy on "
            f"{100 * self.validation_share:g} % of the training images"
        )

    def tuning_units(self, data: str, arm: str) -> list[ArmUnit]:
        """A training for each setting of an arm; none for the baselines."""
        return [
            self._unit(data, arm, setting, self.tuning_seed, TUNE)
            for setting in self.settings.get(arm, ())
        ]

    def final_units(self, data: str, arm: str, setting: Fields) -> list[ArmUnit]:
        """A training for each seed with the setting that was chosen; pixels have no seed."""
        seeds = self.seeds[:1] if arm == PIXELS else self.seeds
        return [self._unit(data, arm, setting, seed, FINAL) for seed in seeds]

    def _unit(self, data: str, arm: str, setting: Fields, seed: int, role: str) -> ArmUnit:
        images = self.data[data]
        if arm in BASELINES:
            fields: Fields = {"encoder": self.base["encoder"]} if arm == UNTRAINED else {}
        else:
            fields = {**self.base, **images.fields, **self.arms[arm], **setting}
            if not images.flip and fields["views"] != "gaussian_noise":
                fields["view_options.flip"] = 0
        return ArmUnit(self.name, data, arm, tuple(sorted(fields.items())), seed, role)


def load_experiment(name: str, folder: Path = FOLDER, *, quick: bool = False) -> Experiment:
    """The experiment of a file of recipes/claims/experiments, with fewer seeds if it is `quick`.

    Raises:
        ValueError: for an unknown name, with the nearest ones, and for a file that is damaged.
    """
    check_choice("experiment", name, experiment_names(folder))
    table = read_toml(folder / f"{name}.toml")
    seeds = table["seeds"][: table["quick_seeds"] if quick else None]
    return Experiment(
        name=name,
        base=table["base"],
        data={k: _data_set(k, v) for k, v in table["data"].items()},
        quick_data=tuple(table["quick_data"]),
        arms={
            arm: {"objective": v["objective"], **v.get("fields", {})}
            for arm, v in table["arms"].items()
        },
        settings={arm: tuple(v["settings"]) for arm, v in table["arms"].items()},
        seeds=tuple(seeds),
        tuning_seed=table["tuning_seed"],
        validation_share=table["validation_share"],
        shots=table["shots"],
        draws=table["draws"],
        mlp=table.get("mlp"),
    )


def experiment_names(folder: Path = FOLDER) -> list[str]:
    """All experiments."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def configuration(fields: Iterable[tuple[str, object]], data: str, out: str, seed: int) -> Pretrain:
    """The training of a unit as `jessl.pretrain` takes it."""
    nested: dict[str, Any] = {"view_options": {}, "objective_options": {}}
    for name, value in fields:
        part, _, option = name.partition(".")
        if option:
            nested[part][option] = value
        else:
            nested[part] = value
    return Pretrain(
        data=data,
        out=out,
        resume=True,
        seed=seed,
        tune=False,
        workers=1,
        device="cpu",
        # 12 % less CPU time for smallconv on AVX2, equal up to rounding
        channels_last=True,
        evaluate_epochs=0,
        online_probes=False,
        log=("none",),
        keep_checkpoints=1,
        **nested,
    )


def _data_set(name: str, table: Mapping[str, Any]) -> DataSet:
    return DataSet(
        name=name,
        train=table.get("train"),
        test=table.get("test"),
        train_images=table["train_images"],
        test_images=table["test_images"],
        fields=dict(table.get("fields", {})),
        flip=table.get("flip", True),
    )
