"""Evaluation of encoders with labels: one split and the same probes for all, with intervals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_int
from jessl.embeddings import Embeddings
from jessl.probes import split
from jessl.probes.fewshot import DRAWS, few_shot
from jessl.probes.probe import probe
from jessl.probes.result import FewShot, ProbeResult
from jessl.risk.decomposition import decompose
from jessl.risk.result import RiskDecomposition
from jessl.schema import COMPONENT_NAMES

SHOTS = (3, 5, 30)
# one row out of so many is for the test where there are no test images
_PARTS = 4
# up to so many training rows the probe is logistic, above it ridge, which is ten times faster
_LOGISTIC_ROWS = 5_000
# below these numbers a decomposition reflects the split, not the encoder
_CLASS_ROWS, _TEST_ROWS = 5, 20


@dataclass(frozen=True)
class LabelledResults:
    """The results of one encoder with labels.

    Attributes:
        probe: fitted on all labelled training rows.
        few_shot: on a few rows of each class.
        risk: where the error comes from; None where there are too few rows.
        train_rows, test_rows: how many have a label.
    """

    probe: ProbeResult
    few_shot: tuple[FewShot, ...]
    risk: RiskDecomposition | None
    train_rows: int
    test_rows: int

    def as_json(self) -> dict[str, object]:
        """The values for the table: numbers with their intervals, and the protocol."""
        risk = self.risk
        return {
            "error": _estimate(self.probe.error, self.probe.low, self.probe.high),
            "balanced_accuracy": self.probe.balanced_accuracy,
            "train_rows": self.train_rows,
            "test_rows": self.test_rows,
            "params": _plain(self.probe.params),
            "few_shot": [
                {
                    "shots": few.shots,
                    **_estimate(few.error.value, few.error.low, few.error.high),
                    "sd": few.sd,
                    "draws": len(few.errors),
                }
                for few in self.few_shot
            ],
            "risk": None
            if risk is None
            else {
                "merged": risk.merged,
                "dominant": risk.dominant,
                **{
                    name: _estimate(one.value, one.low, one.high)
                    for name in (*COMPONENT_NAMES, "risk")
                    for one in (getattr(risk, name),)
                },
            },
        }


@dataclass(frozen=True)
class EvaluationPlan:
    """How labels are used, the same for every encoder.

    Attributes:
        kind: of the probe.
        shots: images per class of few-shot probes.
        decomposed: whether the error is decomposed.
        notes: what is left out, and the reason.
    """

    kind: str
    shots: tuple[int, ...]
    decomposed: bool
    notes: tuple[str, ...]


def train_test_split(
    z: Embeddings, test: Embeddings | None, seed: int
) -> tuple[Embeddings, Embeddings]:
    """Labelled rows to fit on and to test on.

    Without test images a quarter of every class is held out, the same images for every encoder;
    a group stays on one side.

    Raises:
        ValueError: for fewer than two classes or fewer than eight labelled rows, or fewer than
            four groups.
    """
    labelled = z.labelled()
    least = 2 * _PARTS if test is None else 2
    if labelled.labels is None or labelled.n < least or len(np.unique(labelled.labels)) < 2:
        raise ValueError(f"needs {least} labelled images of two classes, got {labelled.n}")
    if test is not None:
        labelled_test = test.labelled()
        if not labelled_test.n:
            raise ValueError("test: none of its images has a label")
        return labelled, labelled_test
    units = split.inseparable_units(labelled.ids, labelled.groups)
    part = split.assign_folds(labelled.labels, _PARTS, seed, units)
    train, held_out = labelled.subset(part != 0), labelled.subset(part == 0)
    assert train.labels is not None
    if not held_out.n or len(np.unique(train.labels)) < 2:
        raise ValueError("the groups leave no test images, or only one class to fit on")
    return train, held_out


def plan_evaluation(train: Embeddings, test: Embeddings, shots: Sequence[int]) -> EvaluationPlan:
    """Decide what can be measured with the labels at hand."""
    assert train.labels is not None
    _, counts = np.unique(train.labels, return_counts=True)
    least = int(counts.min())
    requested = tuple(sorted({check_int("shots", k, 1) for k in shots})) or SHOTS
    used = tuple(k for k in requested if k <= least)
    notes = []
    if used != requested:
        dropped = " and ".join(str(k) for k in requested if k not in used)
        notes.append(
            f"{dropped} shots are left out: the smallest class has {least} labelled images to fit "
            "on"
        )
    decomposed = int((counts >= 2).sum()) >= 2 and least >= _CLASS_ROWS and test.n >= _TEST_ROWS
    if not decomposed:
        notes.append(
            f"the error is not decomposed: that needs {_CLASS_ROWS} images of each class to fit on "
            f"and {_TEST_ROWS} to test on, there are {least} and {test.n}"
        )
    kind = "logistic" if train.n <= _LOGISTIC_ROWS else "ridge"
    return EvaluationPlan(kind, used, decomposed, tuple(notes))


def evaluate_encoder(
    train: Embeddings,
    test: Embeddings,
    plan: EvaluationPlan,
    *,
    seed: int,
    progress: ProgressCallback,
) -> LabelledResults:
    """Fit and test the probes of one encoder.

    Raises:
        ValueError: where a probe cannot be fitted.
    """
    steps = 2 + len(plan.shots) * DRAWS
    progress(0, steps)
    full = probe(train, test, kind=plan.kind, seed=seed)
    progress(1, steps)
    few: list[FewShot] = []
    if plan.shots:
        few = few_shot(
            train,
            test,
            shots=plan.shots,
            kind=plan.kind,
            seed=seed,
            duplicates=False,
            progress=lambda done, _all: progress(1 + done, steps),
        )
    risk = None
    if plan.decomposed:
        risk = decompose(train, test, probe=plan.kind, seed=seed, duplicates=False)
    progress(steps, steps)
    return LabelledResults(full, tuple(few), risk, train.n, test.n)


def differences_to_best(
    results: dict[str, LabelledResults], seed: int
) -> tuple[str, dict[str, dict[str, float]]]:
    """The encoder with the lowest error, and the paired difference of every encoder to it.

    Of equal errors the first is the best. Encoders that were tested on other rows are left out.
    """
    best = min(results, key=lambda name: results[name].probe.error)
    differences = {}
    for name, result in results.items():
        if np.array_equal(result.probe.ids, results[best].probe.ids):
            d = result.probe.minus(results[best].probe, seed=seed)
            differences[name] = _estimate(d.value, d.low, d.high)
    return best, differences


def _estimate(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": float(value), "low": float(low), "high": float(high)}


def _plain(params: dict[str, object]) -> dict[str, object]:
    """Parameters as JSON values; None for what is not finite."""
    plain: dict[str, object] = json.loads(
        json.dumps(params, default=str), parse_constant=lambda _: None
    )
    return plain
