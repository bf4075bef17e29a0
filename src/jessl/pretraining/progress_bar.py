"""What a person sees of a training: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time

from jessl.core.log import log
from jessl.core.progress import TerminalBar, duration
from jessl.training.loop import Progress

# share of the run between two lines where there is no terminal
_LINE_SHARE = 0.1


class TrainingProgressBar(TerminalBar):
    """Progress of a training on standard error: loss, images/s, time left, RankMe."""

    def __init__(self, total_steps: int, *, start: int, quiet: bool) -> None:
        super().__init__("training", total_steps, done=start, quiet=quiet)
        self._total = total_steps
        self._start = start
        self._quiet = quiet
        self._rankme: float | None = None
        self._told = start / total_steps
        self._since = time.perf_counter()

    def judged(self, numbers: dict[str, float]) -> None:
        """Show a new RankMe from now on."""
        self._rankme = numbers.get("rankme/projector")

    def update(self, progress: Progress) -> None:
        """Show where the training is."""
        if self._quiet:
            return
        text = f"loss {progress.loss:.4g}  {progress.images_per_second:,.0f} images/s"
        if self._rankme is not None:
            text += f"  RankMe {self._rankme:.1f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.step, text=text)
            return
        share = progress.step / self._total
        if share - self._told >= _LINE_SHARE or progress.step == self._total:
            self._told = share
            spent = time.perf_counter() - self._since
            left = spent / max(1, progress.step - self._start) * (self._total - progress.step)
            log.info(f"  epoch {progress.epoch:6.1f}  {share:4.0%}  {text}  {duration(left)} left")
