"""Fake run and study folders in the form of real ones, for the tests of the report.

A test compares their forms with those of a study that the demo wrote.

Run as a program with a folder to write a study and a run to look at.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from helpers.report_records import TEST, VERSIONS, D, N, judged_record, probe_record, risk_records
from helpers.report_scores import OTHER_SCORES, other_score, rotation, view_retrieval
from jessl import records
from jessl.config import Pretrain
from jessl.core.files import write_json
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record

VALUES = {"vicreg": [0.5, 1.0, 4.0, 16.0], "simclr": [0.05, 0.1, 0.2, 0.5]}
LOG_STEPS = 12
PARAMETERS = {"vicreg": "cov", "simclr": "temperature"}
# RankMe and accuracy at each value; simclr's largest temperature loses rank
RANKS = {"vicreg": [21.4, 30.2, 41.7, 44.9], "simclr": [35.1, 38.9, 36.0, 24.3]}
ACCURACIES = {"vicreg": [0.921, 0.948, 0.967, 0.963], "simclr": [0.941, 0.958, 0.951, 0.917]}


def write_study(folder: Path, *, labels: bool = True, risk: bool = True) -> Path:
    """A study of 2 methods x 4 values x 2 seeds with curves, spectra, risk and pictures."""
    groups = []
    for method, values in VALUES.items():
        runs = []
        for place, value in enumerate(values):
            for seed in (0, 1):
                name = f"{method}-{PARAMETERS[method]}{value:g}-s{seed}"
                runs.append({"name": name, "value": value, "seed": seed})
                write_run(
                    folder / "runs" / name,
                    method=method,
                    place=place,
                    seed=seed,
                    labels=labels,
                    risk=False,
                    in_study=True,
                )
        ranks = [_over(folder, runs, v, "rankme/projector")[0] for v in values]
        scores = [_over(folder, runs, v, "accuracy/logistic")[0] for v in values]
        top = max(range(len(values)), key=lambda i: ranks[i] or 0.0)
        known = [s for s in scores if s is not None]
        picked = max(
            (r for r in runs if r["value"] == values[top]),
            key=lambda r: _last(folder, r["name"], "rankme/projector") or 0.0,
        )["name"]
        if labels and risk:
            # as in a demo, only the error of the chosen runs is taken apart
            error = 1 - (_last(folder, picked, "accuracy/logistic") or 0.0)
            records.append(
                folder / "runs" / picked, risk_records(picked, error, random.Random(picked))
            )
        groups.append(
            {
                "method": method,
                "parameter": PARAMETERS[method],
                "runs": runs,
                "configs": [
                    {
                        "value": value,
                        "rankme": ranks[i],
                        "rankme_sd": _over(folder, runs, value, "rankme/projector")[1],
                        "accuracy": scores[i],
                        "accuracy_sd": _over(folder, runs, value, "accuracy/logistic")[1],
                    }
                    for i, value in enumerate(values)
                ],
                "chosen": values[top],
                "chosen_run": picked,
                "verdict": f"RankMe picked {PARAMETERS[method]} {values[top]:g} of four values.",
            }
        )
        if known:
            best = max(known)
            groups[-1] |= {
                "best": values[scores.index(best)],
                "regret": best - known[top],
                "random_regret": best - sum(known) / len(known),
                "seed_sd": 0.003,
            }
    write_json(
        folder / "study.json",
        {
            "name": "digits-demo",
            "title": "Choosing hyperparameters of two methods without a label",
            "data": {
                "name": "digits",
                "n_train": N,
                "n_test": TEST,
                "image": "8x8 grey",
                "classes": 10,
            },
            "criterion": "rankme/projector",
            "seeds": [0, 1],
            "groups": groups,
            **({"baselines": {"untrained encoder": 0.80, "raw pixels": 0.93}} if labels else {}),
            "chosen_run": groups[0]["chosen_run"],
            "findings": [
                "RankMe chose configurations within 0.4 points of the best, without a label; "
                "choosing at random would have lost 1.7 points.",
                "Within vicreg the score orders the runs almost as their accuracy does.",
                "Probe generalization is the largest part of the error left.",
            ],
            "seconds": 210.3,
            "hardware": "2 cores, 8 GB memory, no GPU",
            "versions": VERSIONS,
            "command": "jessl demo",
        },
    )
    picture(folder / "views.png", 10, 4)
    picture(folder / "neighbours.png", 6, 7)
    return folder


def write_run(
    folder: Path,
    *,
    method: str = "vicreg",
    place: int = 2,
    seed: int = 0,
    labels: bool = True,
    risk: bool = True,
    merged: bool = True,
    in_study: bool = False,
    steps: int = 660,
) -> Path:
    """One run with every record that a training, a judgement and a reveal leave behind.

    Runs of a study hold nothing out; a run alone does, and is probed during training.
    """
    noise = random.Random(f"{method} {place} {seed}")
    write_json(folder / "config.json", _config(folder, method, place, seed, steps, in_study))
    rank = RANKS[method][place] + noise.gauss(0, 0.5)
    split = PRETRAIN_SAMPLE if in_study else HELD_OUT
    found = _training(folder.name, method, place, noise, steps, split, labels, rank)
    end: dict[str, Any] = {
        "split": "pretrain",
        "step": steps,
        "epoch": 60,
        "seconds": 12.5,
        "versions": VERSIONS,
    }
    for layer, factor in (("projector", 1.0), ("backbone", 0.55)):
        value = rank * factor
        singular = [
            80 * math.exp(-((k / value) ** 1.2)) + (1e-6 if k < 60 else 0) for k in range(D)
        ]
        extra: dict[str, Any] = {"n": N, "d": D, "debiased": value * 1.006, "warnings": []}
        extra["params"] = {
            "eps": 1e-7,
            "source": "Garrido et al. 2023",
            "jackknife": 20,
            "seed": 0,
        }
        if layer == "projector" and rank > 44:
            extra["warnings"] = ["the rank is near its cap (64 dimensions)"]
        found += [
            Record(
                run=folder.name,
                name=f"spectrum/{layer}",
                value=singular,
                extra={"n": N},
                **end,
            ),
            Record(
                run=folder.name,
                name=f"rankme/{layer}",
                value=value,
                sd=0.3,
                low=value - 0.63,
                high=value + 0.63,
                extra=extra,
                **end,
            ),
            *(other_score(folder.name, name, layer, value, extra, end) for name in OTHER_SCORES),
        ]
    found += [view_retrieval(folder.name, 0.2, end), rotation(folder.name, 0.6, end)]
    if labels:
        accuracy = ACCURACIES[method][place] + noise.gauss(0, 0.003)
        found += [
            judged_record(
                folder.name, "accuracy/logistic", accuracy, 0.018, **probe_record("logistic")
            ),
            judged_record(
                folder.name, "accuracy/knn", accuracy - 0.012, 0.021, **probe_record("knn")
            ),
        ]
        if risk:
            found += risk_records(folder.name, 1 - accuracy, noise, merged)
    records.append(folder, found)
    return folder


def picture(path: Path, columns: int, rows: int, side: int = 32) -> None:
    """A grid of drawings that stands for a picture of views or neighbours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (columns * (side + 4), rows * (side + 4)), 255)
    draw = ImageDraw.Draw(image)
    noise = random.Random(path.name)
    for row in range(rows):
        for column in range(columns):
            x, y = column * (side + 4), row * (side + 4)
            draw.rectangle((x, y, x + side, y + side), fill=20)
            a, b = noise.randint(4, 12), noise.randint(4, 12)
            draw.ellipse((x + a, y + b, x + side - b, y + side - a), outline=240, width=3)
    image.save(path)


def _config(
    folder: Path, method: str, place: int, seed: int, steps: int, in_study: bool
) -> dict[str, Any]:
    """config.json: what was asked for, what was decided, what was found out."""
    asked = Pretrain(
        data="digits",
        objective=method,
        objective_options={PARAMETERS[method]: VALUES[method][place]},
        epochs=60,
        seed=seed,
        out=str(folder),
        holdout=0 if in_study else None,
    ).as_json()
    decided = {
        "encoder": "smallconv:32",
        "size": 16,
        "batch_size": 128,
        "lr": 0.0005,
        "weight_decay": 0.01,
        "warmup_epochs": 6.0,
        "holdout": 0 if in_study else 179,
        "evaluate_epochs": 6,
        "checkpoint_epochs": 6,
        "log_steps": LOG_STEPS,
        "compute_dtype": "float32",
        "fused_optimizer": False,
        "torch_threads": None,
        "teacher_sha256": None,
        "mean": None,
        "std": None,
    }
    facts = {
        "dim": 256,
        "n_images": N,
        "n_train": N,
        "n_sample": N if in_study else 179,
        "held_out": not in_study,
        "steps_per_epoch": steps // 60,
        "total_steps": steps,
        "parameters": 390_000,
        "data_fingerprint": "0123456789abcdef",
        "device": "cpu",
        "torch_threads": 2,
        "versions": VERSIONS,
    }
    return {**asked, "chosen": {"config": {**asked, **decided}, **facts}}


@lru_cache
def _records(folder: Path) -> list[Record]:
    """Of a run that is written already: reading it again for each value takes seconds."""
    return records.read(folder)


def _last(folder: Path, name: str, what: str) -> float | None:
    """The final value of a run."""
    found = [
        float(record.value)
        for record in _records(folder / "runs" / name)
        if record.name == what
        and record.split in ("pretrain", "test")
        and isinstance(record.value, float)
    ]
    return found[-1] if found else None


def _over(
    folder: Path, runs: list[dict[str, Any]], value: float, name: str
) -> tuple[float | None, float | None]:
    """Mean and standard deviation over the seeds of one value; None without records."""
    every = [_last(folder, run["name"], name) for run in runs if run["value"] == value]
    found = [number for number in every if number is not None]
    return (statistics.mean(found), statistics.stdev(found)) if found else (None, None)


def _training(
    name: str,
    method: str,
    place: int,
    noise: random.Random,
    steps: int,
    split: str,
    labels: bool,
    rank: float,
) -> list[Record]:
    found = []
    for step in range(1, steps + 1, LOG_STEPS):
        done = step / steps
        parts = {
            "invariance": 6 * math.exp(-4 * done) + 3 + noise.gauss(0, 0.15),
            "variance": 14 * math.exp(-6 * done) + 8 + noise.gauss(0, 0.15),
            "covariance": (2 + place) * (0.4 + done) + noise.gauss(0, 0.1),
        }
        # simclr has a single term, and no record of its parts
        told = {f"loss/{k}": v for k, v in parts.items() if method == "vicreg"} | {
            "loss": sum(parts.values()),
            "spread/projector": 0.4 + 0.3 * done,
            "spread/backbone": 0.3 + 0.2 * done,
            "learning_rate": 5e-4 * min(10 * done, (1 + math.cos(math.pi * done)) / 2),
            "images_per_second": 9000 + noise.gauss(0, 300),
        }
        found += [
            Record(
                run=name,
                name=k,
                value=v,
                step=step,
                epoch=60 * done,
                seconds=12.5 * done,
                versions=VERSIONS,
            )
            for k, v in told.items()
        ]
    for judged in range(11):
        done = judged / 10
        told = {
            "rankme/projector": 9 + (rank - 9) * (1 - math.exp(-4 * done)) + noise.gauss(0, 0.4),
            "rankme/backbone": 6 + 14 * (1 - math.exp(-3 * done)),
            "view_retrieval/backbone": 0.04 + 0.16 * (1 - math.exp(-3 * done)),
        }
        for layer in ("projector", "backbone"):
            told |= {
                f"{k}/{layer}": told[f"rankme/{layer}"] * OTHER_SCORES[k] for k in OTHER_SCORES
            }
        # the runs of a study are probed after the choice only
        if labels and split == HELD_OUT:
            told |= {
                "accuracy/linear": 0.8 + 0.15 * (1 - math.exp(-4 * done)),
                "accuracy/knn": 0.78 + 0.15 * (1 - math.exp(-4 * done)),
            }
        found += [
            Record(
                run=name,
                name=k,
                value=v,
                step=int(steps * done),
                epoch=60 * done,
                split=split,
                seconds=12.5 * done,
                versions=VERSIONS,
            )
            for k, v in told.items()
        ]
    return found


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_study(target / "study")
    write_run(target / "run", merged=False)
    picture(target / "run" / "views.png", 10, 4)
