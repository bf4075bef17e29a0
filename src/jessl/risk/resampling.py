"""Resampled risks: over items, choices of hyperparameters and few-shot draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.probes.base import evaluate
from jessl.probes.bootstrap import RESAMPLES, Resampled
from jessl.probes.labelled import LabelledRows, check_comparable, labelled_rows
from jessl.probes.tuning import row_risks
from jessl.risk.terms import RiskTerms, Values

Samples = dict[str, NDArray[np.float64]]


class SupervisedTwin:
    """The supervised encoder: its training risk item by item, and its risk on test.

    Its items are paired with those of train where ids and labels are equal.
    """

    def __init__(
        self,
        terms: RiskTerms,
        twins: Mapping[str, Embeddings],
        own: LabelledRows,
        by: str,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        pair = twins["supervised_train"], twins["supervised_test"]
        twin_train = labelled_rows("supervised train", pair[0], class_names)
        twin_test = labelled_rows("supervised test", pair[1], class_names)
        check_comparable(pair[0], pair[1], "supervised test")
        twin_train, _ = twin_train.matched_to(own)
        twin_test, _ = twin_test.matched_to(own)
        if len(np.unique(twin_train.y)) < 2:
            raise ValueError("supervised train: expected at least two classes, got one")
        fitted = terms.fit(twin_train)
        self.values = row_risks(evaluate(fitted, twin_train.x, twin_train.y), by)
        self.test_risk = float(row_risks(evaluate(fitted, twin_test.x, twin_test.y), by).mean())
        same = np.array_equal(twin_train.ids, own.ids)
        self.paired = same and np.array_equal(twin_train.y, own.y)
        self.units = twin_train.units
        self.warnings = []
        if not np.array_equal(np.unique(twin_train.y), np.unique(own.y)):
            raise ValueError("supervised train: expected the classes of train, got others")
        if same and not self.paired:
            self.warnings.append("the supervised twin has other labels on the same images")


def resampled(
    terms: RiskTerms,
    train: LabelledRows,
    test: LabelledRows,
    twin: SupervisedTwin | None,
    seed: int,
) -> tuple[dict[str, float], Samples, float]:
    """Every risk, its resamples, and the optimism of the choice.

    The items of one set are drawn together, so that risks on the same items stay paired. Each
    resample chooses the hyperparameters that are best on its training items, as the train error
    depends on that choice more than on the items. Few-shot draws are resampled in addition.

    The held-out risk of the chosen candidate is the smallest of several, and therefore too small.
    The resamples estimate this optimism (at least 0): the risk on all items of the candidate that
    is best on a resample, minus its risk on the resample (Efron 1983). It is added to the risk.
    """
    rng = np.random.default_rng([seed, 3])
    groups = [(terms.on_train, train.units), (terms.on_test, test.units)]
    if twin is not None:
        alone = {"supervised_train_train": twin.values}
        if twin.paired:
            groups[0] = (terms.on_train | alone, train.units)
        else:
            groups.append((alone, twin.units))
    criterion = terms.choices.get("criterion", [])
    best: NDArray[np.intp] | None = None
    optimism = 0.0
    every = np.arange(RESAMPLES)
    risks: dict[str, float] = {}
    samples: Samples = {}
    for values, units in groups:
        columns = dict(values)
        chosen = {name: terms.choices[name] for name in values if name in terms.choices}
        if values is groups[0][0]:
            chosen["criterion"] = criterion
        for name, each in chosen.items():
            columns |= {f"{name} {k}": items for k, items in enumerate(each)}
        drawn = Resampled(columns, rng, units)
        if values is groups[0][0] and criterion:
            best = np.stack([drawn[f"criterion {k}"] for k in range(len(criterion))]).argmin(axis=0)
            optimism = _optimism(criterion, units, seed)
        for name, items in values.items():
            risks[name] = float(np.nanmean(items))
            samples[name] = drawn[name]
            if name in chosen and best is not None:
                rates = np.stack([drawn[f"{name} {k}"] for k in range(len(chosen[name]))])
                samples[name] = rates[best, every]
    for name in ("part_rest", "all_part_rest"):
        if name in terms.choices:
            risks[name] += optimism
            samples[name] = samples[name] + optimism
    if terms.draws:
        count = len(next(iter(terms.draws.values())))
        # both risks share the draws; the factor corrects the bootstrap's small spread for few draws
        weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
        widen = np.sqrt(count / max(1, count - 1))
        for name, means in terms.draws.items():
            samples[name] = samples[name] + widen * (weights @ means - means.mean())
    return risks, samples, optimism


def _optimism(criterion: list[Values], units: NDArray[np.int64] | None, seed: int) -> float:
    """With its own resamples, so that it does not depend on what else is resampled."""
    columns = {str(k): items for k, items in enumerate(criterion)}
    drawn = Resampled(columns, np.random.default_rng([seed, 8]), units)
    rates = np.stack([drawn[name] for name in columns])
    best = rates.argmin(axis=0)
    whole = np.array([float(items.mean()) for items in criterion])
    return max(0.0, float((whole[best] - rates[best, np.arange(RESAMPLES)]).mean()))


def warnings_of_resampling(
    terms: RiskTerms, train: LabelledRows, test: LabelledRows, twin: SupervisedTwin | None
) -> tuple[list[str], bool]:
    """Warnings about the components, and whether none of them may be called dominant."""
    warnings, weak = [], False
    sizes = np.unique(train.y, return_counts=True)[1]
    small = sizes[sizes < _FEW_OF_A_CLASS]
    if small.sum() > _SHARE_OF_SMALL * sizes.sum() and not terms.draws:
        weak = True
        warnings.append(
            f"{len(small)} of {len(sizes)} classes have fewer than {_FEW_OF_A_CLASS} training "
            "rows: holding one out changes the probe, and probe generalization comes out too large"
        )
    independent = len(test.y) if test.units is None else len(np.unique(test.units))
    if independent < _FEW_TESTS:
        weak = True
        what = "rows" if test.units is None else "groups"
        warnings.append(
            f"test has {independent} {what}: intervals that depend on it are too narrow"
        )
    if twin is not None:
        warnings += twin.warnings
    return warnings, weak


# with fewer rows of a class, holding one out changes its share by a fifth or more
_FEW_OF_A_CLASS = 5
_SHARE_OF_SMALL = 0.1
_FEW_TESTS = 10
