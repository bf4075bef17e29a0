"""Progress of a training: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from jessl.core.log import log
from jessl.core.progress import ProgressBar, duration
from jessl.training.loop import Progress

# share of the run between two lines where there is no terminal
_LINE_SHARE = 0.1


class TrainingProgressBar:
    """Progress of a training on standard error: loss, images/s, time left, RankMe."""

    def __init__(self, total_steps: int, *, start: int, quiet: bool) -> None:
        self._bar = ProgressBar("training", total_steps, done=start, quiet=quiet)
        self._total = total_steps
        self._start = start
        self._quiet = quiet
        self._rankme: float | None = None
        self._logged_share = start / total_steps
        self._start_time = time.perf_counter()

    def show_scores(self, scores: dict[str, float]) -> None:
        """Show the RankMe of the latest evaluation from now on."""
        self._rankme = scores.get("rankme/projector")

    def update(self, progress: Progress) -> None:
        """Show where the training is."""
        if self._quiet:
            return
        text = f"loss {progress.loss:.4g}  {progress.images_per_second:,.0f} images/s"
        if self._rankme is not None:
            text += f"  RankMe {self._rankme:.1f}"
        if self._bar.visible:
            self._bar.update(progress.step, text=text)
            return
        share = progress.step / self._total
        if share - self._logged_share >= _LINE_SHARE or progress.step == self._total:
            self._logged_share = share
            spent = time.perf_counter() - self._start_time
            left = spent / max(1, progress.step - self._start) * (self._total - progress.step)
            log.info(f"  epoch {progress.epoch:6.1f}  {share:4.0%}  {text}  {duration(left)} left")

    def __enter__(self) -> Self:
        self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.__exit__(kind, error, trace)
