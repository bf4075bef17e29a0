"""Studies by name: which fields of a pretraining are worth a sweep, and over which values.

Every function in `__all__` takes SRC and gives a `Sweep`; its docstring is the promise, as that of
a recipe. `jessl sweep NAME --data SRC` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jessl.config import Pretrain, Sweep
from jessl.core.validation import check_choice

__all__ = [
    "digits_sweep",
    "digits_sweep_quick",
    "rankme_simclr",
    "rankme_vicreg",
    "small_simclr_sweep",
    "small_vicreg_sweep",
]

# both wide enough to hold what is far too small and far too large
_RATES = [2e-4, 6e-4, 2e-3, 6e-3, 2e-2]
_DECAYS = [0.0, 1e-3, 1e-2, 1e-1, 1.0]


def digits_sweep(data: str) -> Sweep:
    """VICReg's covariance weight and SimCLR's temperature on small images and a CPU: 8 settings.

    Paper: Garrido et al. 2023, arXiv 2210.02885: weights and temperatures from far too small to
        far too large, as in its figures; the values are ours.
    Expected: benchmarks/records/2026-11-22-demo.md.
    Time: 16 runs, three minutes on two cores. `jessl demo` is this study with baselines, a closing
        check and a report.
    Command: jessl sweep digits_sweep --data digits --jobs 2
    """
    return _digits(data, [0.01, 1.0, 10.0, 100.0], [0.05, 0.15, 0.5, 2.0], epochs=16)


def digits_sweep_quick(data: str) -> Sweep:
    """The same with two values of each and fewer epochs, as `jessl demo --quick`.

    Paper: as `digits_sweep`.
    Time: 8 runs, half a minute on two cores.
    Command: jessl sweep digits_sweep_quick --data digits --jobs 2
    """
    return _digits(data, [0.01, 1.0], [0.15, 2.0], epochs=8)


def _digits(data: str, covs: list[float], temperatures: list[float], epochs: int) -> Sweep:
    base = Pretrain(
        data=data,
        encoder="smallconv:16",
        size=16,
        view_options={"flip": 0},  # digits and letters are not what they are when flipped
        epochs=epochs,
        batch_size=256,
        lr=2e-3,
        holdout=0,
        evaluate_epochs=max(1, epochs // 6),
        checkpoint_epochs=max(1, epochs // 2),
        keep_checkpoints=1,
        workers=1,
        device="cpu",
    )
    space = {
        "objective": ["vicreg", "simclr"],
        "objective_options.cov": covs,
        "objective_options.temperature": temperatures,
    }
    return Sweep(base=base, space=space, sampler="grid", scores=("rankme",))


def small_vicreg_sweep(data: str) -> Sweep:
    """VICReg on small images and a CPU, one hyperparameter at a time: 17 settings, two seeds.

    Paper: Garrido et al. 2023, table 1 (which fields are swept); the values are ours.
    Expected: benchmarks/records/2026-11-22-selection.md.
    Time: 34 runs of a minute on two cores.
    Command: jessl sweep small_vicreg_sweep --data SRC --jobs 2
    """
    return _small(
        data,
        "vicreg",
        {
            "objective_options.cov": [0.01, 0.1, 1.0, 10.0, 100.0],
            "objective_options.inv": [1.0, 5.0, 25.0, 50.0, 100.0],
        },
    )


def small_simclr_sweep(data: str) -> Sweep:
    """SimCLR on small images and a CPU, one hyperparameter at a time: 13 settings, two seeds.

    Paper: Garrido et al. 2023, table 1 (which fields are swept); the values are ours.
    Expected: benchmarks/records/2026-11-22-selection.md.
    Time: 26 runs of a minute on two cores.
    Command: jessl sweep small_simclr_sweep --data SRC --jobs 2
    """
    return _small(data, "simclr", {"objective_options.temperature": [0.05, 0.1, 0.2, 0.5, 2.0]})


def _small(data: str, objective: str, own: Mapping[str, Any]) -> Sweep:
    base = Pretrain(
        data=data,
        objective=objective,
        encoder="smallconv:16",
        epochs=20,
        batch_size=256,
        lr=2e-3,
        weight_decay=1e-2,
        evaluate_epochs=1,
        keep_checkpoints=1,
    )
    space = {**own, "lr": _RATES, "weight_decay": _DECAYS}
    return Sweep(base=base, space=space, sampler="each")


def rankme_vicreg(data: str) -> Sweep:
    """VICReg's sweeps of the RankMe paper, on a GPU: covariance, invariance, rate, weight decay.

    Paper: Garrido et al. 2023, arXiv 2210.02885, table 1 and section 4.1: ResNet-50, projector
        8192-8192-2048, 100 epochs of ImageNet, LARS, batch 2,048.
    Source: the paper names the fields; the values around VICReg's own (Bardes et al. 2022) are
        ours, as are the seeds: the paper has one run of each.
    Expected: top-1 of the choice .678, .679, .682, .678, against .682, .682, .686, .680 of the
        best run (published); nothing measured here.
    Hardware: 19 settings of about 14 hours on 8 GPUs, by the paper's setting; not measured.
    Command: jessl sweep rankme_vicreg --data SRC --slurm
    """
    return _large(
        data,
        "vicreg",
        {
            "objective_options.cov": [0.01, 0.1, 0.3, 1.0, 3.0, 10.0],
            "objective_options.inv": [1.0, 5.0, 10.0, 25.0, 50.0, 100.0],
        },
        {"lr": [0.4, 0.8, 1.6, 3.2, 6.4], "weight_decay": [1e-7, 1e-6, 1e-5, 1e-4, 1e-3]},
    )


def rankme_simclr(data: str) -> Sweep:
    """SimCLR's sweeps of the RankMe paper, on a GPU: temperature, rate, weight decay.

    Paper: Garrido et al. 2023, arXiv 2210.02885, table 1 and section 4.1, as `rankme_vicreg`.
    Source: the paper names the fields; the values around SimCLR's own (Chen et al. 2020) are ours.
    Expected: top-1 of the choice .671, .680, .683, against .685, .685, .683 of the best run
        (published); nothing measured here.
    Hardware: 15 settings of about 14 hours on 8 GPUs, by the paper's setting; not measured.
    Command: jessl sweep rankme_simclr --data SRC --slurm
    """
    return _large(
        data,
        "simclr",
        {"objective_options.temperature": [0.05, 0.1, 0.15, 0.25, 0.5, 1.0]},
        {"lr": [0.3, 0.6, 1.2, 2.4, 4.8], "weight_decay": [1e-7, 1e-6, 1e-5, 1e-4, 1e-3]},
        temperature=0.15,
    )


def _large(
    data: str, objective: str, own: Mapping[str, Any], rest: dict[str, Any], **options: float
) -> Sweep:
    base = Pretrain(
        data=data,
        objective=objective,
        objective_options={"projector": "8192-8192-2048", **options},
        encoder="torchvision:resnet50",
        size=224,
        views="byol",
        epochs=100,
        batch_size=2_048,
        optimizer="lars",
        lr=rest["lr"][2],
        weight_decay=1e-6,
        keep_checkpoints=1,
    )
    return Sweep(base=base, space={**own, **rest}, sampler="each", seeds=(0,), by="rankme")


STUDIES = {name: globals()[name] for name in __all__}
NAMES: tuple[str, ...] = tuple(__all__)


def named(name: str, data: str) -> Sweep:
    """The study `name` of the images `data` (SRC).

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    study: Sweep = STUDIES[check_choice("study", name, NAMES)](data)
    return study
