"""The sweeps on which label-free criteria are tried: what is trained, and which half of the trial.

A sweep varies one hyperparameter of one method on one data set around that method's base; its
`default` is what a user gets who sets nothing. Development sweeps choose a criterion. Confirmation
sweeps are trained after the choice is frozen in frozen.toml, where the choice should break.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

Value = float | int | str

# images to train on, epochs, options of the views
DATA: dict[str, dict[str, object]] = {
    "cifar10": {"images": 5_000, "epochs": 10, "view_options": {}},
    # clothes have a left and a right; garments are grey
    "fashion": {"images": 5_000, "epochs": 8, "view_options": {"flip": 0}},
    "solar": {"images": 2_000, "epochs": 20, "view_options": {}},
    # CIFAR-10 with small squares of a colour drawn for each image: every crop shows one
    "tagged": {"images": 5_000, "epochs": 10, "view_options": {}},
}
RATES = (2e-4, 6e-4, 2e-3, 6e-3, 2e-2)
DECAYS = (0.0, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Sweep:
    """One hyperparameter of one method on one data set.

    Attributes:
        data, method: which.
        field: of the configuration; "objective_options.cov" is inside a dict.
        values: the settings, all of them in the same order as the hyperparameter.
        default: the value of a user who sets nothing; one of `values`.
        split: "development", "confirmation", or "across" for networks that are not to be compared.
        base: fields of the configuration that differ from the method's base.
    """

    data: str
    method: str
    field: str
    values: tuple[Value, ...]
    default: Value
    split: str
    base: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Such as "cifar10/simclr/lr", with what else is unusual."""
        more = "".join(f",{k.rpartition('.')[2]}={v}" for k, v in self.base.items())
        return f"{self.data}/{self.method}/{self.field.rpartition('.')[2]}{more}"


def _development() -> list[Sweep]:
    made = []
    for data in ("cifar10", "fashion"):
        for method, fields in (
            (
                "vicreg",
                {
                    "objective_options.cov": ((0.01, 0.1, 1.0, 10.0, 100.0), 1.0),
                    "objective_options.inv": ((1.0, 5.0, 25.0, 50.0, 100.0), 25.0),
                    "lr": (RATES, 2e-3),
                    "weight_decay": (DECAYS, 1e-2),
                },
            ),
            (
                "simclr",
                {
                    "objective_options.temperature": ((0.05, 0.1, 0.2, 0.5, 2.0), 0.2),
                    "lr": (RATES, 2e-3),
                    "weight_decay": (DECAYS, 1e-2),
                },
            ),
        ):
            made += [
                Sweep(data, method, name, values, default, "development")
                for name, (values, default) in fields.items()
            ]
    return made


def _confirmation() -> list[Sweep]:
    far = (6e-4, 2e-3, 6e-3, 2e-2, 6e-2)
    decays = (1e-2, 1e-1, 1.0, 3.0, 10.0)
    crops = (0.02, 0.08, 0.2, 0.5, 0.9)
    temperatures = (0.05, 0.1, 0.2, 0.5, 2.0)
    jitter = (0.0, 0.25, 0.5, 1.0, 2.0)
    # 16 times the time of a step of smallconv:16
    resnet = {"encoder": "resnet_cifar:20", "epochs": 4}
    # the 16,384 of the paper take ten times as long
    few_classes: dict[str, object] = {"objective_options.classes": 512}
    # 16 patches, 64 features, 6 blocks
    vit = {"encoder": "timm:test_vit", "size": 64, "lr": 2e-3}
    rows: list[tuple[str, str, str, tuple[Value, ...], Value, dict[str, object]]] = [
        # rates up to divergence, and weight decay up to collapse
        ("cifar10", "barlow_twins", "lr", far, 2e-3, {}),
        ("cifar10", "byol", "lr", far, 2e-3, {}),
        ("cifar10", "swav", "lr", far, 2e-3, {}),
        ("cifar10", "dissl", "lr", far, 2e-3, few_classes),
        ("fashion", "cissl", "lr", far, 2e-3, {}),
        ("solar", "simclr", "lr", far, 2e-3, {}),
        ("solar", "vicreg", "lr", far, 2e-3, {}),
        ("cifar10", "vicreg", "weight_decay", decays, 1e-2, {"lr": 6e-3}),
        ("cifar10", "byol", "weight_decay", decays, 1e-2, {}),
        # views vary
        ("cifar10", "simclr", "view_options.min_scale", crops, 0.08, {}),
        ("cifar10", "vicreg", "view_options.min_scale", crops, 0.08, {}),
        ("cifar10", "simclr", "view_options.strength", jitter, 0.5, {}),
        ("fashion", "byol", "view_options.min_scale", crops, 0.08, {}),
        ("solar", "vicreg", "view_options.min_scale", crops, 0.08, {}),
        # heads and batches
        (
            "cifar10",
            "simclr",
            "objective_options.projector",
            ("linear", "128-32", "512-128", "2048-128", "2048-2048"),
            "512-128",
            {},
        ),
        ("cifar10", "vicreg", "batch_size", (32, 64, 128, 256, 512), 128, {}),
        # weights, momenta and temperatures of the methods
        (
            "cifar10",
            "barlow_twins",
            "objective_options.lambd",
            (5e-4, 2e-3, 5e-3, 2e-2, 1e-1),
            5e-3,
            {},
        ),
        (
            "solar",
            "barlow_twins",
            "objective_options.lambd",
            (5e-4, 2e-3, 5e-3, 2e-2, 1e-1),
            5e-3,
            {},
        ),
        ("cifar10", "byol", "ema_start", (0.0, 0.9, 0.97, 0.99, 0.999), 0.99, {}),
        (
            "fashion",
            "dino",
            "objective_options.teacher_temperature",
            (0.02, 0.04, 0.06, 0.08, 0.1),
            0.04,
            {},
        ),
        (
            "fashion",
            "dino",
            "objective_options.student_temperature",
            (0.05, 0.1, 0.2, 0.4, 0.8),
            0.1,
            {},
        ),
        ("cifar10", "swav", "objective_options.epsilon", (0.01, 0.03, 0.05, 0.1, 0.3), 0.05, {}),
        (
            "cifar10",
            "cissl",
            "objective_options.temperature",
            (0.02, 0.07, 0.2, 0.5, 2.0),
            0.07,
            {},
        ),
        ("cifar10", "dissl", "objective_options.beta", (0.1, 0.4, 0.8, 1.6, 3.2), 0.8, few_classes),
        # a shortcut
        ("tagged", "simclr", "objective_options.temperature", temperatures, 0.2, {}),
        ("tagged", "vicreg", "objective_options.cov", (0.01, 0.1, 1.0, 10.0, 100.0), 1.0, {}),
        ("tagged", "simclr", "view_options.min_scale", crops, 0.08, {}),
        # five times the epochs
        (
            "fashion",
            "simclr",
            "objective_options.temperature",
            temperatures,
            0.2,
            {"epochs": 40},
        ),
        # other encoders
        ("cifar10", "simclr", "objective_options.temperature", temperatures, 0.2, vit),
        ("cifar10", "simclr", "lr", far, 2e-3, resnet),
        ("cifar10", "vicreg", "objective_options.cov", (0.01, 0.1, 1.0, 10.0, 100.0), 1.0, resnet),
    ]
    return [Sweep(a, b, c, d, e, "confirmation", f) for a, b, c, d, e, f in rows]


# not one hyperparameter but other networks: no label-free score is made to put these in order
_ACROSS = Sweep(
    "cifar10",
    "simclr",
    "encoder",
    ("smallconv:8", "smallconv:16", "smallconv:32"),
    "smallconv:16",
    "across",
)
SWEEPS = (*_development(), *_confirmation(), _ACROSS)


@dataclass(frozen=True)
class Unit:
    """One training: a configuration and its seed; sweeps that meet in their base share it."""

    data: str
    fields: tuple[tuple[str, Value], ...]
    seed: int

    @property
    def key(self) -> str:
        """A name that depends on nothing but the training."""
        words = json.dumps([self.data, self.fields, self.seed])
        return f"{self.data}-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def unit(sweep: Sweep, value: Value, seed: int) -> Unit:
    """The training of a value of a sweep."""
    data = DATA[sweep.data]
    fields: dict[str, Value] = {
        "objective": sweep.method,
        "encoder": "smallconv:16",
        "epochs": data["epochs"],
        "batch_size": 128,
        "lr": 2e-3,
        "weight_decay": 1e-2,
        **{f"view_options.{k}": v for k, v in data["view_options"].items()},
        **sweep.base,
        sweep.field: value,
    }
    return Unit(sweep.data, tuple(sorted(fields.items())), seed)


def units(sweeps: list[Sweep], seeds: int) -> list[Unit]:
    """The trainings of sweeps, one seed of all before the next, none twice."""
    each = (unit(s, value, seed) for seed in range(seeds) for s in sweeps for value in s.values)
    return list(dict.fromkeys(each))
