"""Criteria: a score at a layer, or the loss; its direction, and its value for a run."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jessl.core.extensions import is_outside
from jessl.core.validation import unknown_name
from jessl.embeddings import Embeddings
from jessl.records import Record
from jessl.runs import Run
from jessl.schema import LAYER_PATTERN
from jessl.scores import score
from jessl.scores.registry import (
    EXTENSIONS,
    find_score,
    is_of_views,
    parse_score,
    split_options,
)
from jessl.views.recipe_key import recipe_key

LOSS = "loss"
# the layer of RankMe in the paper
_LAYER = "projector"
_LAYERS = re.compile(LAYER_PATTERN)
# scores without a direction whose best value is known (alpha-ReQ is good near 1)
_TARGETS = {"alpha_req": 1.0}
# scores that count directions: on a plateau there are enough of them, and RankMe's rule for
# plateaus holds; for any other score a plateau does not determine which end to take
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
    """A criterion by which runs are compared.

    Attributes:
        text: its full name: "rankme/projector", "alpha_req:first=5:last=50/backbone", "loss".
        score: the score with its options, or "loss".
        layer: "projector", "projector.1", "backbone"; None for the loss.
    """

    text: str
    score: str
    layer: str | None

    @property
    def name(self) -> str:
        """The score without its options."""
        return split_options(self.score)[0]

    @property
    def is_rank(self) -> bool:
        """Whether it counts directions, so that the paper's rule for plateaus holds."""
        return self.name in RANKS

    @property
    def is_of_views(self) -> bool:
        """Whether it needs several views of each image."""
        return self.score != LOSS and is_of_views(self.name)

    @property
    def higher_is_better(self) -> bool | None:
        """The direction; None where a value in between is best."""
        return False if self.score == LOSS else find_score(self.name).higher_is_better

    def utility(self, value: float) -> float:
        """The value with its sign such that larger is better: v, -v, or -|v - 1| for alpha_req.

        NaN stays NaN.
        """
        if self.higher_is_better is None:
            return -abs(value - _TARGETS[self.name])
        return value if self.higher_is_better else -value


@dataclass(frozen=True)
class CriterionValue:
    """The value of a criterion for one run.

    Attributes:
        value: as published; NaN where it is not defined.
        sd: over samples of images (block jackknife), not over trainings; None where unknown.
        debiased: corrected to infinitely many images, None where no correction is known.
        n, d: rows and features that it was computed from; None for the loss.
        warnings: reasons to doubt it.
        params: its conventions.
    """

    value: float
    sd: float | None = None
    debiased: float | None = None
    n: int | None = None
    d: int | None = None
    warnings: tuple[str, ...] = ()
    params: dict[str, Any] | None = None

    @property
    def recipe(self) -> str:
        """The recipe of the views that a score of views was taken of; "" where unknown."""
        return str((self.params or {}).get("recipe", ""))


def parse_criterion(text: str, argument: str = "by") -> Criterion:
    """Read "SCORE", "SCORE/LAYER", "SCORE:OPTION=VALUE/LAYER" or "loss".

    The default layer is the projector, where RankMe is published. "loss" is the last loss of the
    training; lower is better.

    Raises:
        ValueError: for an unknown score, option or layer (with the nearest), a layer of the loss,
            and for scores without an agreed direction (twonn).
    """
    if not isinstance(text, str):
        raise ValueError(f"{argument}: expected the name of a score, got {text!r}")
    before, slash, layer = text.partition("/")
    name = split_options(before)[0]
    if before == LOSS:
        if slash:
            raise ValueError(f"{argument}: the loss has no layer, got {text!r}")
        return Criterion(LOSS, LOSS, None)
    if not is_outside(name) and name not in EXTENSIONS.names():
        raise ValueError(_unknown(argument, text))
    parse_score(before)
    layer = layer if slash else _LAYER
    if not _LAYERS.fullmatch(layer):
        known = ("backbone", "projector", "projector.1", "projector.2")
        raise ValueError(unknown_name(f"layer in {argument} {text!r}:", layer, known))
    if find_score(name).higher_is_better is None and name not in _TARGETS:
        raise ValueError(
            f"{argument}: {name} cannot choose, since its sources disagree on which way is better"
        )
    return Criterion(f"{before}/{layer}", before, layer)


def _unknown(argument: str, text: str) -> str:
    """The error for an unknown name; a text that ends with a layer is compared with such names."""
    names = [*EXTENSIONS.names(), LOSS]
    if text.endswith(("projector", "backbone")):
        names = [f"{name}/{layer}" for name in names[:-1] for layer in ("projector", "backbone")]
    return unknown_name(argument, text, names)


def final_record(run: Run, name: str) -> Record | None:
    """The last record `name` of the final evaluation on the pretraining images, or None."""
    return latest_record(run.records(), "pretrain", name)


def record_value(record: Record) -> float:
    """The value of a record; NaN where it is not finite (JSON holds none) or a list."""
    value = record.value
    return float(value) if isinstance(value, int | float) else math.nan


def latest_record(records: Sequence[Record], split: str, name: str) -> Record | None:
    """The latest record of a name on a split, or None."""
    return next((r for r in reversed(records) if (r.split, r.name) == (split, name)), None)


def criterion_value(
    run: Run, criterion: Criterion, records: Sequence[Record] | None = None
) -> CriterionValue | None:
    """The value of a criterion for a finished run; None where the run is not finished.

    It is read from the final records where the training computed it. Otherwise it is computed from
    the run's embeddings of its training images, and not recorded. Scores of views use the folder
    embeddings/views/LAYER of the run.

    Args:
        run: a run folder.
        criterion: what to evaluate.
        records: the records of the run, if they were read already.

    Raises:
        ValueError: where the embeddings are missing, with the command that makes them.
    """
    records = run.records() if records is None else records
    if latest_record(records, "pretrain", "rankme/backbone") is None:
        return None
    if criterion.layer is None:
        loss = latest_record(records, "train", LOSS)
        return CriterionValue(
            math.nan if loss is None else record_value(loss), warnings=(LOSS_LIMIT,)
        )
    record = latest_record(records, "pretrain", criterion.text)
    if record is not None:
        return CriterionValue(
            value=record_value(record),
            sd=record.sd,
            debiased=record.extra.get("debiased"),
            n=record.extra.get("n"),
            d=record.extra.get("d"),
            warnings=tuple(record.extra.get("warnings", ())),
            params=record.extra.get("params"),
        )
    return _computed(run, criterion, criterion.layer)


def _computed(run: Run, criterion: Criterion, layer: str) -> CriterionValue:
    views = criterion.is_of_views
    path = run.embeddings(f"views/{layer}" if views else layer)
    if not path.is_dir():
        more = " --views simclr" if views else ""
        raise ValueError(
            f"{criterion.text}: run {run.path} has no embeddings for it; make them with: "
            f"jessl embed {run.path} --data {run.config().data} --layers {layer}{more} --out {path}"
        )
    try:
        value = value_of_embeddings(Embeddings.load(path), criterion)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return dataclasses.replace(value, warnings=(*criterion_limits(run, criterion), *value.warnings))


def value_of_embeddings(z: Embeddings, criterion: Criterion) -> CriterionValue:
    """The value of a criterion for embeddings; NaN where a feature is not finite.

    Raises:
        ValueError: where the embeddings lack what the score needs.
    """
    bad = int((~np.isfinite(z.features).all(axis=1)).sum())
    if bad:
        return CriterionValue(
            math.nan, n=z.n, d=z.d, warnings=(f"{bad} of {z.n} rows are not finite",)
        )
    result = score(z, criterion.score)[criterion.score]
    recipe = z.meta.get("views") if criterion.is_of_views else None
    params = result.params | ({"recipe": recipe_key(recipe)} if isinstance(recipe, dict) else {})
    return CriterionValue(
        value=result.value,
        sd=result.sd,
        debiased=result.debiased,
        n=result.n,
        d=result.d,
        warnings=result.warnings,
        params=params,
    )


def criterion_limits(run: Run, criterion: Criterion) -> list[str]:
    """The warnings of the final evaluation about ranks at the projector."""
    if not criterion.is_rank or criterion.layer == "backbone":
        return []
    # both import torch, which reading records does not need
    from jessl.objectives import OBJECTIVES, objective_class
    from jessl.pretraining.evaluate import rank_limits

    name = run.config().objective
    config = OBJECTIVES.find_if_known(name)
    if config is None:
        return [f"objective {name} is not installed here: whether its loss drives the rank is open"]
    return rank_limits(objective_class(config))
