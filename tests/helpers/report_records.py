"""Records with labels in the form of real ones, for the tests of the report."""

from __future__ import annotations

import random
from typing import Any

from jessl.records import Record

N, D, TEST = 1437, 64, 360
VERSIONS = "jessl 0.1.0, torch 2.15.0"


def judged_record(name: str, what: str, value: float, room: float, **extra: Any) -> Record:
    return Record(
        run=name,
        name=what,
        value=value,
        low=value - room,
        high=value + room * 0.8,
        split="test",
        extra=extra,
        versions=VERSIONS,
    )


def probe_record(kind: str) -> dict[str, Any]:
    """What is told of the probe behind an accuracy."""
    params = {
        "kind": kind,
        **({"C": 1.0} if kind == "logistic" else {"k": 20, "temperature": 0.07}),
        "tuned_on": "3-fold cross-validation of train" if kind == "logistic" else None,
        "converged": True,
        "standardised": "mean and standard deviation of the training rows"
        if kind == "logistic"
        else "rows to length 1",
        "interval": "Wilson, over test rows",
        "train_rows": N,
        "test_rows": TEST,
        "classes": 10,
        "seed": 0,
    }
    on = {"train": "0f3a", "test": "9c41"}
    return {"n": TEST, "layer": "backbone", "params": params, **on}


def risk_records(
    name: str, total: float, noise: random.Random, merged: bool = True
) -> list[Record]:
    parts = {
        "approximation": 0.0 if merged else 0.004,
        "usability": 0.3 * total,
        "probe_generalization": 0.9 * total + noise.gauss(0, 0.002),
    }
    # the rest is negative: the components sum exactly to the total
    parts["encoder_generalization"] = total - sum(parts.values())
    told = {
        "merged": merged,
        "train": "0f3a",
        "test": "9c41",
        "order": "published",
        "params": {
            "probe": "logistic",
            "C": 1.0,
            "regularisation": "chosen once on train by cross-validation, used in every risk",
            "tuning_curve": {"C": [0.1, 1.0, 10.0], "error": [0.05, 0.04, 0.045]},
            "standardised": "mean and standard deviation of the training rows",
            "converged": True,
            "estimator": "crossfit",
            "folds": 5,
            "n_sub": None,
            "seed": 0,
            "interval": "percentiles of 2000 paired resamples of items, probes fixed",
            "train_rows": N,
            "test_rows": TEST,
        },
    }
    found = [
        judged_record(name, f"risk/{k}", v, 0.25 * abs(v) + 0.004, **told) for k, v in parts.items()
    ]
    return [*found, judged_record(name, "risk/total", total, 0.018, **told)]
