"""What happens between the steps of a training: records, evaluations, checkpoints, progress."""

from __future__ import annotations

import time
from collections.abc import Callable

from jessl import records
from jessl.config import ResolvedPretrain
from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.core.process_group import any_rank, is_rank_zero, rank_zero
from jessl.core.progress import ProgressBar, ProgressCallback
from jessl.pretraining.build import Parts
from jessl.pretraining.early_stopping import EarlyStopping
from jessl.pretraining.evaluate import evaluate_online
from jessl.pretraining.evaluate_views import evaluate_views
from jessl.pretraining.judging import JudgingTime
from jessl.pretraining.progress_bar import TrainingProgressBar
from jessl.pretraining.run_folder import RunFolder
from jessl.records import Record
from jessl.schema import CLASSIFIER_ACCURACY, VIEW_RETRIEVAL
from jessl.training.collapse import detect_collapse
from jessl.training.loop import Progress, train


class TrainingMonitor:
    """Trains to the end, and records, evaluates and saves on the way.

    Args:
        folder: where records and checkpoints go.
        parts: what is trained.
        settings: how often to log, evaluate and save.
        log: gets a warning when the training collapses, once.
        on_evaluation: called by rank zero with (epochs done, scores) after every evaluation.
        quiet: show no progress.
        judging: the expected seconds of the evaluations, for the time left.
    """

    def __init__(
        self,
        folder: RunFolder,
        parts: Parts,
        settings: ResolvedPretrain,
        log: Log,
        on_evaluation: Callable[[int, dict[str, float]], None],
        *,
        quiet: bool,
        judging: JudgingTime,
    ) -> None:
        self._folder = folder
        self._parts = parts
        self._settings = settings
        self._log = log
        self._on_evaluation = on_evaluation
        self._versions = records.versions()
        self._collapsed = False
        self._saved_at = time.monotonic()
        # rank zero alone has records
        past = folder.run.records() if is_rank_zero() and settings.patience else []
        criterion = CLASSIFIER_ACCURACY if parts.objective.classifies else VIEW_RETRIEVAL
        self._early = EarlyStopping(settings.patience, past, log, criterion)
        self._quiet = quiet or not is_rank_zero()
        self._bar = TrainingProgressBar(
            parts.trainer.total_steps,
            start=parts.trainer.step,
            quiet=self._quiet,
            judging=judging,
        )

    def train(self, stop: Callable[[], bool]) -> None:
        """Train from where the trainer is to the last epoch.

        Raises:
            Stopped: when `stop` returned True; the state is saved.
        """
        trainer = self._parts.trainer
        if trainer.step >= trainer.total_steps or any_rank(self._early.enough(), False)[0]:
            return
        if trainer.step == 0 and self._settings.evaluate_epochs:
            since = time.perf_counter()
            with ProgressBar(
                "judging the untrained encoder", quiet=self._quiet, unit="images"
            ) as bar:
                scores = self._evaluate_views(bar.update)
            self._bar.add_evaluation(time.perf_counter() - since, untrained=True)
            self._record_untrained(scores)
        with self._bar:
            done = train(
                trainer,
                self._parts.loader,
                epochs=self._settings.epochs,
                log_steps=self._settings.log_steps,
                on_log=self.record_progress,
                on_epoch=self.end_epoch,
                checkpoint_due=self.checkpoint_due,
                on_checkpoint=self.save,
                stop=stop,
                enough=self._early.enough,
            )
        if not done:
            raise Stopped(
                f"stopped at step {trainer.step}; the state is saved in {self._folder.path}"
            )

    @rank_zero
    def record_progress(self, progress: Progress) -> None:
        """Record the means of the last steps, and show them."""
        values = {
            "loss": progress.loss,
            **{f"loss/{k}": v for k, v in progress.parts.items()},
            **{f"spread/{k}": v for k, v in progress.spread.items()},
            "learning_rate": progress.learning_rate,
            "images_per_second": progress.images_per_second,
        }
        self._append(values, progress.step, progress.epoch, progress.seconds, "train")
        self._bar.update(progress)
        self._warn_once(detect_collapse(progress.spread, {}))

    def end_epoch(self, epoch: int) -> None:
        """Evaluate and save after the epochs that are due, and after the last."""
        every = self._settings.evaluate_epochs
        last = epoch == self._settings.epochs
        if every and (epoch % every == 0 or last):
            self.evaluate(epoch)
        if epoch % self._settings.checkpoint_epochs == 0 or last:
            self.save()

    def evaluate(self, epoch: int) -> None:
        """Take the scores of the fixed sample."""
        since = time.perf_counter()
        encoder, objective = self._parts.evaluated
        scores = evaluate_online(
            encoder,
            objective,
            self._parts.sample,
            workers=self._settings.workers,
            probes=self._parts.probes,
        )
        scores |= self._evaluate_views()
        self._bar.add_evaluation(time.perf_counter() - since)
        self._record_scores(epoch, scores)

    def _evaluate_views(self, progress: ProgressCallback | None = None) -> dict[str, float]:
        encoder, _ = self._parts.evaluated
        return evaluate_views(
            encoder, self._parts.sample, workers=self._settings.workers, progress=progress
        )

    @rank_zero
    def _record_untrained(self, scores: dict[str, float]) -> None:
        """What the score is before the first step: a trained encoder has to be above it."""
        self._append(scores, 0, 0, 0.0, self._sample_split)
        self._early.update(0, scores)

    @property
    def _sample_split(self) -> str:
        return records.HELD_OUT if self._parts.held_out else records.PRETRAIN_SAMPLE

    @rank_zero
    def _record_scores(self, epoch: int, scores: dict[str, float]) -> None:
        trainer = self._parts.trainer
        self._append(scores, trainer.step, epoch, trainer.seconds, self._sample_split)
        self._bar.show_scores(scores)
        ranks = {k.removeprefix("rankme/"): v for k, v in scores.items() if k[:7] == "rankme/"}
        self._warn_once(detect_collapse({}, ranks))
        self._early.update(epoch, scores)
        self._on_evaluation(epoch, scores)

    def checkpoint_due(self) -> bool:
        """Whether the last checkpoint is older than the user wants."""
        return time.monotonic() - self._saved_at > self._settings.checkpoint_seconds

    def save(self) -> None:
        """Write a checkpoint."""
        self._folder.save_checkpoint(self._parts, self._settings.keep_checkpoints)
        self._saved_at = time.monotonic()

    def _warn_once(self, warning: str | None) -> None:
        if warning is not None and not self._collapsed:
            self._collapsed = True
            self._log.warning(warning)

    def _append(
        self, values: dict[str, float], step: int, epoch: float, seconds: float, split: str
    ) -> None:
        records.append(
            self._folder.path,
            [
                Record(
                    run=self._folder.run.name,
                    step=step,
                    epoch=epoch,
                    split=split,
                    name=name,
                    value=value,
                    seconds=seconds,
                    versions=self._versions,
                )
                for name, value in values.items()
            ],
        )
