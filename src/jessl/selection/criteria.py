"""Criteria: a score at a layer, or the loss; which way is better, and its value of a run."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import numpy as np

from jessl.core.validation import check_choice, unknown_name
from jessl.embeddings import Embeddings
from jessl.records import Record
from jessl.runs import Run
from jessl.scores import SCORES, score
from jessl.scores.registry import OF_VIEWS, parse_score

LOSS = "loss"
# where the paper takes RankMe
_LAYER = "projector"
_LAYERS = re.compile(r"backbone|projector(\.[1-9]\d*)?")
# scores without a direction of which a value is best (facts: alpha-ReQ is good near 1)
_TARGETS = {"alpha_req": 1.0}
# scores that count directions: a plateau of one says that there is enough of them, and RankMe's
# rule for plateaus holds; of any other score a plateau says nothing about which end to take
RANKS = frozenset(
    {
        *("rankme", "effective_rank", "normalized_rank", "lidar", "nesum", "stable_rank"),
        *("participation_ratio", "numerical_rank", "matrix_entropy"),
    }
)
LOSS_LIMIT = (
    "a training loss compares runs only where the loss is the same: not between values of its own "
    "weights, temperatures, views or batch sizes"
)


@dataclass(frozen=True)
class Criterion:
    """What runs are compared by.

    Attributes:
        text: its whole name: "rankme/projector", "alpha_req:first=5:last=50/backbone", "loss".
        score: the score with its options, or "loss".
        layer: "projector", "projector.1", "backbone"; None for the loss.
    """

    text: str
    score: str
    layer: str | None

    @property
    def name(self) -> str:
        """The score without its options."""
        return self.score.partition(":")[0]

    @property
    def is_rank(self) -> bool:
        """Whether it counts directions, so that the paper's rule for plateaus holds."""
        return self.name in RANKS

    @property
    def higher_is_better(self) -> bool | None:
        """The direction; None where a value in between is best."""
        return False if self.score == LOSS else SCORES[self.name].higher_is_better

    def merit(self, value: float) -> float:
        """The value so that larger is better: v, -v, or -|v - 1| for alpha_req; NaN stays NaN."""
        if self.higher_is_better is None:
            return -abs(value - _TARGETS[self.name])
        return value if self.higher_is_better else -value


@dataclass(frozen=True)
class CriterionValue:
    """A criterion's value of one run.

    Attributes:
        value: as published; NaN where it is not defined.
        sd: over samples of images (block jackknife), None where unknown. Not over trainings.
        debiased: of infinitely many images, None where no correction is known.
        n, d: rows and features that it was taken on; None for the loss.
        warnings: what makes it doubtful.
        params: its conventions.
    """

    value: float
    sd: float | None = None
    debiased: float | None = None
    n: int | None = None
    d: int | None = None
    warnings: tuple[str, ...] = ()
    params: dict[str, Any] | None = None


def criterion(text: str, argument: str = "by") -> Criterion:
    """Read "SCORE", "SCORE/LAYER", "SCORE:OPTION=VALUE/LAYER" or "loss".

    Without a layer it is the projector, where RankMe is published. "loss" is the last loss of the
    training, lower is better.

    Raises:
        ValueError: for an unknown score, option or layer (with the nearest), a layer of the loss,
            and for scores without an agreed direction (twonn).
    """
    if not isinstance(text, str):
        raise ValueError(f"{argument}: the name of a score wanted, {text!r} came")
    before, slash, layer = text.partition("/")
    name = before.partition(":")[0]
    if before == LOSS:
        if slash:
            raise ValueError(f"{argument}: the loss has no layer, got {text!r}")
        return Criterion(LOSS, LOSS, None)
    if name not in SCORES:
        raise ValueError(_unknown(argument, text))
    parse_score(before)
    layer = layer if slash else _LAYER
    if not _LAYERS.fullmatch(layer):
        known = ("backbone", "projector", "projector.1", "projector.2")
        raise ValueError(unknown_name(f"layer in {argument} {text!r}:", layer, known))
    if SCORES[name].higher_is_better is None and name not in _TARGETS:
        raise ValueError(
            f"{argument}: {name} cannot choose, since its sources disagree on which way is better"
        )
    return Criterion(f"{before}/{layer}", before, layer)


def _unknown(argument: str, text: str) -> str:
    """The line of an unknown name; what ends like a layer is near to names with one."""
    names = [*SCORES, LOSS]
    if text.endswith(("projector", "backbone")):
        names = [f"{name}/{layer}" for name in SCORES for layer in ("projector", "backbone")]
    return unknown_name(argument, text, names)


def final_record(run: Run, name: str) -> Record | None:
    """The last record `name` of the judgement on the pretraining images, None without."""
    return last(run.records(), "pretrain", name)


def number(record: Record) -> float:
    """The value of a record; NaN where it is not finite (JSON holds none) or a list."""
    value = record.value
    return float(value) if isinstance(value, int | float) else math.nan


def last(records: Sequence[Record], split: str, name: str) -> Record | None:
    """The latest record of a name on a split, None without one."""
    return next((r for r in reversed(records) if (r.split, r.name) == (split, name)), None)


def criterion_values(
    run: Run, criterion: Criterion, records: Sequence[Record] | None = None
) -> CriterionValue | None:
    """The criterion's value of a finished run; None where the run is not finished.

    The final records have it where the training itself took it; else it is computed from the
    run's embeddings of its training images, and written nowhere. Scores of views take the folder
    embeddings/views/LAYER of the run.

    Args:
        run: a run folder.
        criterion: what of it.
        records: its records, where they were read already.

    Raises:
        ValueError: saying how the embeddings are made, where they are missing.
    """
    records = run.records() if records is None else records
    if last(records, "pretrain", "rankme/backbone") is None:
        return None
    if criterion.layer is None:
        loss = last(records, "train", LOSS)
        return CriterionValue(math.nan if loss is None else number(loss), warnings=(LOSS_LIMIT,))
    record = last(records, "pretrain", criterion.text)
    if record is not None:
        return CriterionValue(
            value=number(record),
            sd=record.sd,
            debiased=record.extra.get("debiased"),
            n=record.extra.get("n"),
            d=record.extra.get("d"),
            warnings=tuple(record.extra.get("warnings", ())),
            params=record.extra.get("params"),
        )
    return _computed(run, criterion, criterion.layer)


def _computed(run: Run, criterion: Criterion, layer: str) -> CriterionValue:
    views = criterion.name in OF_VIEWS
    path = run.embeddings(f"views/{layer}" if views else layer)
    if not path.is_dir():
        more = " --views simclr" if views else ""
        raise ValueError(
            f"{criterion.text}: run {run.path} keeps no embeddings for it; make them: jessl embed "
            f"{run.path} --data {run.config().data} --layers {layer}{more} --out {path}"
        )
    try:
        found = criterion_value_of(Embeddings.load(path), criterion)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return dataclasses.replace(found, warnings=(*limits(run, criterion), *found.warnings))


def criterion_value_of(z: Embeddings, criterion: Criterion) -> CriterionValue:
    """The criterion of embeddings; NaN where a feature is not finite.

    Raises:
        ValueError: where the score needs what the embeddings have not.
    """
    bad = int((~np.isfinite(z.features).all(axis=1)).sum())
    if bad:
        return CriterionValue(
            math.nan, n=z.n, d=z.d, warnings=(f"{bad} of {z.n} rows are not finite",)
        )
    result = score(z, criterion.score)[criterion.score]
    return CriterionValue(
        value=result.value,
        sd=result.sd,
        debiased=result.debiased,
        n=result.n,
        d=result.d,
        warnings=result.warnings,
        params=result.params,
    )


def limits(run: Run, criterion: Criterion) -> list[str]:
    """What the judgement at the end of a training says of ranks at the projector."""
    if not criterion.is_rank or criterion.layer == "backbone":
        return []
    # torch comes with both, and records need none
    from jessl.objectives import CONFIGS
    from jessl.pretraining.evaluate import limits_of

    # both facts are of the class: no heads need be built to know them
    config = CONFIGS[check_choice("objective", run.config().objective, CONFIGS)]
    method: Any = get_type_hints(config.build)["return"]
    return limits_of(method)
