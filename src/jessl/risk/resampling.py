"""How the risks of the path spread: items, choices of hyperparameters and draws, taken anew."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from jessl.embeddings import Embeddings
from jessl.probes.bootstrap import RESAMPLES, Resampled
from jessl.probes.kinds import judge
from jessl.probes.labelled import Labelled, comparable, labelled_rows
from jessl.probes.tuning import values_of
from jessl.risk.terms import Terms

Samples = dict[str, NDArray[np.float64]]


class Twin:
    """The supervised encoder: its training risk item by item, and its risk on test."""

    def __init__(
        self, terms: Terms, pair: tuple[Embeddings, Embeddings], train: Embeddings, by: str
    ) -> None:
        one, two = labelled_rows("supervised train", pair[0]), labelled_rows(
            "supervised test", pair[1]
        )  # fmt: skip
        comparable(pair[0], pair[1], "supervised test")
        if len(np.unique(one.y)) < 2:
            raise ValueError("supervised train: needs at least two classes")
        fitted = terms.fit(one)
        self.values = values_of(judge(fitted, one.x, one.y), by)
        self.test_risk = float(values_of(judge(fitted, two.x, two.y), by).mean())
        self.paired = np.array_equal(one.ids, train.labelled().ids)
        self.units = one.units


def resampled(
    terms: Terms, train: Labelled, test: Labelled, twin: Twin | None, seed: int
) -> tuple[dict[str, float], Samples]:
    """Every risk, and its resamples around it.

    The items of one set are drawn together, so that risks on the same items stay paired. In each
    resample the hyperparameters are those that are best on its training items: the train error
    hangs on that choice more than on the items. Few-shot draws are drawn anew on top.
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
        for name, items in values.items():
            risks[name] = float(np.nanmean(items))
            samples[name] = drawn[name]
            if name in chosen and best is not None:
                rates = np.stack([drawn[f"{name} {k}"] for k in range(len(chosen[name]))])
                taken = rates[best, np.arange(RESAMPLES)]
                # the least of several is too small on the items it was chosen by
                samples[name] = taken - taken.mean() + risks[name]
    if terms.draws:
        count = len(next(iter(terms.draws.values())))
        # a draw has its part in both risks; few draws spread too little by the bootstrap's nature
        weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
        widen = np.sqrt(count / max(1, count - 1))
        for name, means in terms.draws.items():
            samples[name] = samples[name] + widen * (weights @ means - means.mean())
    return risks, samples
