"""Evaluation of encoders with labels: the same folds and probes for all, with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
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
# one row out of so many is held out for the parts of the error where there are no test images
_PARTS = 4
# up to so many training rows the probe is logistic, above it ridge, which is ten times faster
_LOGISTIC_ROWS = 5_000
# below these numbers a decomposition reflects the split, not the encoder
_CLASS_ROWS, _TEST_ROWS = 5, 20
# more labels than so many times those at hand are no plan
_MOST_TIMES = 100


@dataclass(frozen=True)
class LabelledResults:
    """The results of one encoder with labels.

    Attributes:
        probe: fitted on all labelled training rows; without test images cross-validated with the
            same folds for every encoder, so that each label is used.
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
            "folds": self.probe.params.get("cross_validated"),
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


def labelled_parts(z: Embeddings, test: Embeddings | None) -> tuple[Embeddings, Embeddings | None]:
    """Labelled rows to fit on and to test on; without test images None, and all rows for both.

    Raises:
        ValueError: for fewer than two classes with an image, without test images with two.
    """
    labelled = z.labelled()
    each = 2 if test is None else 1
    counts = np.array([], np.int64)
    if labelled.labels is not None:
        counts = np.unique(labelled.labels, return_counts=True)[1]
    if (counts >= each).sum() < 2:
        images = f"{each} labelled image{'' if each == 1 else 's'}"
        raise ValueError(f"expected {images} of each of two classes, got {labelled.n} labels")
    if test is None:
        units = split.inseparable_units(labelled.ids, labelled.groups)
        if units is not None and len(np.unique(units)) < 2:
            raise ValueError("expected at least two groups of labelled images, got one")
        return labelled, None
    labelled_test = test.labelled()
    if not labelled_test.n:
        raise ValueError("test: none of its images has a label")
    return labelled, labelled_test


def held_out_quarter(labelled: Embeddings, seed: int) -> tuple[Embeddings, Embeddings] | None:
    """(train, test) for the parts of the error: a quarter of every class, groups whole.

    None where nothing is held out, or one class is left to fit on.
    """
    assert labelled.labels is not None
    units = split.inseparable_units(labelled.ids, labelled.groups)
    independent = labelled.n if units is None else len(np.unique(units))
    if independent < _PARTS:
        return None
    part = split.assign_folds(labelled.labels, _PARTS, seed, units)
    train, held_out = labelled.subset(part != 0), labelled.subset(part == 0)
    assert train.labels is not None
    return (train, held_out) if held_out.n and len(np.unique(train.labels)) >= 2 else None


def plan_evaluation(
    train: Embeddings, test: Embeddings | None, shots: Sequence[int], seed: int
) -> EvaluationPlan:
    """Decide what can be measured with the labels at hand."""
    assert train.labels is not None
    _, counts = np.unique(train.labels, return_counts=True)
    least = int(counts.min())
    requested = tuple(sorted({check_int("shots", k, 1) for k in shots})) or SHOTS
    # without test images a draw is tested on the images that it leaves
    used = tuple(k for k in requested if k <= (least if test is not None else least - 1))
    notes = []
    if used != requested:
        dropped = " and ".join(str(k) for k in requested if k not in used)
        notes.append(
            f"{dropped} shots are left out: the smallest class has {least} labelled image"
            + ("" if least == 1 else "s")
        )
    parts = (train, test) if test is not None else held_out_quarter(train, seed)
    fit = _smallest_class(train if parts is None else parts[0])
    tests = 0 if parts is None else parts[1].n
    decomposed = int((counts >= 2).sum()) >= 2 and fit >= _CLASS_ROWS and tests >= _TEST_ROWS
    if not decomposed:
        notes.append(
            f"the error is not decomposed: that needs {_CLASS_ROWS} images of each class to fit on "
            f"and {_TEST_ROWS} to test on, there are {fit} and {tests}"
        )
    if test is None:
        notes.append(
            f"there are no test images, so each of the {train.n:,} labelled images is predicted by "
            "a probe that was fitted and tuned without it, with the same folds for every encoder"
            + ("; the parts of the error hold out a quarter" if decomposed else "")
        )
    kind = "logistic" if train.n <= _LOGISTIC_ROWS else "ridge"
    return EvaluationPlan(kind, used, decomposed, tuple(notes))


def _smallest_class(rows: Embeddings) -> int:
    assert rows.labels is not None
    return int(np.unique(rows.labels, return_counts=True)[1].min())


def evaluate_encoder(
    train: Embeddings,
    test: Embeddings | None,
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
    parts = (train, test) if test is not None else held_out_quarter(train, seed)
    if plan.decomposed and parts is not None:
        risk = decompose(*parts, probe=plan.kind, seed=seed, duplicates=False)
    progress(steps, steps)
    fitted = full.params["train_rows"] if test is None else train.n
    return LabelledResults(full, tuple(few), risk, fitted, len(full.correct))


def labels_to_settle(difference: Mapping[str, float], labels: int) -> int | None:
    """How many more labels would make the interval of a difference exclude 0, if it stays.

    The width of an interval falls with the square root of the number of labels. Two digits.

    Example:
        >>> labels_to_settle({"value": 0.03, "low": -0.01, "high": 0.07}, 90)
        70

    Returns:
        None where the difference is 0, or beyond a hundred times as many labels.
    """
    value, half = difference["value"], difference["value"] - difference["low"]
    if value <= 0 or half <= value:
        return None
    more = labels * ((half / value) ** 2 - 1)
    if more > _MOST_TIMES * labels:
        return None
    digits = max(0, math.floor(math.log10(more)) - 1) if more >= 1 else 0
    return max(1, int(round(more, -digits)))


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
