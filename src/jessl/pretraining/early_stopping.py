"""Early stopping: a training ends when its criterion no longer rises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jessl.core.log import Log
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record
from jessl.schema import CLASSIFIER_ACCURACY, VIEW_RETRIEVAL

_TITLES = {
    VIEW_RETRIEVAL: "view retrieval",
    CLASSIFIER_ACCURACY: "the accuracy of the classifier",
}


class EarlyStopping:
    """Counts evaluations without a higher criterion: view retrieval, or accuracy with labels.

    The weights at the end are kept, not those of the best evaluation: within `patience` the
    difference is one of noise, and `jessl select RUN --checkpoints --by view_retrieval/backbone`
    chooses among the checkpoints on disk. A value that is not finite is not higher.

    Example:
        early = EarlyStopping(3, run.records(), log)
        early.update(epoch, {"view_retrieval/backbone": 0.21})
        early.enough()

    Args:
        patience: evaluations in a row; None: never enough.
        past: records of the run that is resumed.
        log: gets one line when it is enough.
        criterion: record of the criterion, the larger the better.
    """

    def __init__(
        self,
        patience: int | None,
        past: Sequence[Record],
        log: Log,
        criterion: str = VIEW_RETRIEVAL,
    ) -> None:
        self._patience = patience
        self._log = log
        self._criterion = criterion
        self._best: tuple[float, float] | None = None  # value, epoch
        self._since = 0
        for record in past:
            # the value before the first step, at epoch 0, is one to be exceeded as well
            if record.name == criterion and record.split in (HELD_OUT, PRETRAIN_SAMPLE):
                self._count(record.epoch or 0.0, record.value)

    def update(self, epoch: float, scores: Mapping[str, float]) -> None:
        """Count an evaluation."""
        if self._patience is None or self._criterion not in scores:
            return
        self._count(epoch, scores[self._criterion])
        if self.enough() and self._best is not None:
            value, best_epoch = self._best
            title = _TITLES[self._criterion]
            self._log.info(
                f"stopped early after epoch {epoch:g}: {title} has not risen for "
                f"{self._since} evaluations; it was {value:.3f} after epoch {best_epoch:g}"
            )

    def enough(self) -> bool:
        """Whether the training is to end."""
        return self._patience is not None and self._since >= self._patience

    def _count(self, epoch: float, value: object) -> None:
        number = float(value) if isinstance(value, int | float) else math.nan
        if math.isfinite(number) and (self._best is None or number > self._best[0]):
            self._best, self._since = (number, epoch), 0
        else:
            self._since += 1
