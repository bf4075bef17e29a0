"""Progress of a training: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from jessl.core.log import log
from jessl.core.progress import ProgressBar, duration
from jessl.pretraining.judging import JudgingTime
from jessl.training.loop import Progress

# share of the run between two lines where there is no terminal
_LINE_SHARE = 0.1


class TrainingProgressBar:
    """Progress of a training on standard error: loss, images/s, time left, RankMe."""

    def __init__(self, total_steps: int, *, start: int, quiet: bool, judging: JudgingTime) -> None:
        self._bar = ProgressBar("training", total_steps, done=start, quiet=quiet, estimate=False)
        self._judging = judging
        self._evaluations = 0
        self._measured = self._expected = 0.0
        self._total = total_steps
        self._start = start
        self._quiet = quiet
        self._rankme: float | None = None
        self._logged_share = start / total_steps
        self._start_time = time.perf_counter()

    def show_scores(self, scores: dict[str, float]) -> None:
        """Show the RankMe of the latest evaluation from now on."""
        self._rankme = scores.get("rankme/projector")

    def add_evaluation(self, seconds: float, *, untrained: bool = False) -> None:
        """Learn from an evaluation that is over what those to come will take."""
        self._measured += seconds
        self._expected += self._judging.untrained if untrained else self._judging.online
        self._evaluations += not untrained

    def seconds_left(self, step: int) -> float:
        """By the measured seconds of the steps and of the evaluations that are over."""
        training = time.perf_counter() - self._start_time - self._measured
        steps = training / max(1, step - self._start) * (self._total - step)
        to_come = self._judging.evaluations - self._evaluations
        judging = max(0, to_come) * self._judging.online + self._judging.final
        return steps + judging * (self._measured / self._expected if self._expected else 1.0)

    def update(self, progress: Progress) -> None:
        """Show where the training is."""
        if self._quiet:
            return
        text = f"loss {progress.loss:.4g}  {progress.images_per_second:,.0f} images/s"
        if self._rankme is not None:
            text += f"  RankMe {self._rankme:.1f}"
        text += f"  {duration(self.seconds_left(progress.step))} left"
        if self._bar.visible:
            self._bar.update(progress.step, text=text)
            return
        share = progress.step / self._total
        if share - self._logged_share >= _LINE_SHARE or progress.step == self._total:
            self._logged_share = share
            log.info(f"  epoch {progress.epoch:6.1f}  {share:4.0%}  {text}")

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
