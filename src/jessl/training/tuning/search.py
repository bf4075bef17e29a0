"""A small greedy search for the fastest way to compute a step.

One setting after the other is tried on top of the best so far. A candidate counts only where its
loss and gradient agree with the plain ones (`agreement`), and where the median of its interleaved
steps is shorter by `LEAST_GAIN`: ties keep the plain setting and its bits.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

import torch

from jessl.core import collectives
from jessl.core.process_group import on_rank_zero
from jessl.training.step import Trainer
from jessl.training.tuning.agreement import Sample, compare
from jessl.training.tuning.candidates import SearchSpace
from jessl.training.tuning.outcome import Attempt, Tuning
from jessl.training.tuning.speed import OptimizerFactory, Speed
from jessl.training.tuning.trial import TimedBatch, Trial, interleave, start_trial

LEAST_GAIN = 1.05
_MOST_ROUNDS = 9
# steps that a candidate takes at least: the first one, one to warm up, three rounds of two
_LEAST_STEPS = 8
# what torch.compile is assumed to gain before it is measured, and how many times the gain must
# repay the compilation of the trial and of the run
_ASSUMED_GAIN = 0.08
# what it is assumed to take: seconds, and seconds for each module of the encoder
_COMPILE_SECONDS = 40.0
_SECONDS_PER_MODULE = 0.5

Batches = Callable[[], Generator[TimedBatch, None, None]]


@dataclass(kw_only=True)
class Search:
    """The search on one trainer.

    All processes take the same steps; the first one's clock decides.

    Args:
        trainer: left untouched.
        space: what may be tried.
        batch: that all candidates compute on.
        optimizer: makes the optimizer of a candidate.
        batches: an iterator over batches as the loader makes them, of the size of `batch`; for
            threads, which loader and network share. None: threads are left alone.
        seconds: for all but compilation.
        remaining_seconds: of the training, as plain as it is.
        share: of the training's batch that `batch` is.
        on_compile: called before torch.compile is tried, with the seconds that it may take.
    """

    trainer: Trainer
    space: SearchSpace
    batch: TimedBatch
    optimizer: OptimizerFactory
    batches: Batches | None
    seconds: float
    remaining_seconds: float
    share: float = 1.0
    on_compile: Callable[[float], None] = lambda _seconds: None

    def run(self) -> Tuning:
        """Search. Errors of the plain step are raised; a candidate that fails is left out."""
        self._since = time.perf_counter()
        self._compile_seconds = 0.0
        self._attempts: list[Attempt] = []
        self._best = self._plain = start_trial(
            self.trainer, self.space.plain, self.batch, self.optimizer
        )
        self._reference = self._best.first_step()
        self._best.times = [self._best.step()[0] for _ in range(3)][1:]
        self._gain = 1.0
        for stage in (self.space.memory_formats, self.space.precisions):
            self._try_all(stage(self._best.speed), self._compare_steps)
        self._try_all(self._worthwhile_optimizers(), self._compare_updates)
        if self.batches is not None:
            self._try_all(self.space.threads(self._best.speed), self._compare_loops)
        self._try_all(self._worthwhile_compilation(), self._compare_compiled)
        return Tuning(
            speed=self._best.speed,
            plain=self.space.plain,
            images_per_second=self._rate(self._best),
            gain=self._gain,
            attempts=tuple(self._attempts),
            reasons=self.space.reasons,
            batch_size=len(self.batch),
            seconds=time.perf_counter() - self._since,
        )

    def _rate(self, trial: Trial) -> float:
        """Images a second of all processes together."""
        return collectives.world() * len(self.batch) / statistics.median(trial.times)

    def _try_all(self, candidates: Iterable[Speed], faster: Callable[[Trial], float]) -> None:
        for speed in candidates:
            if not on_rank_zero(self._has_time_for, speed):
                self._attempts.append(Attempt(str(speed), "not tried: no time left"))
                continue
            try:
                self._try(speed, faster)
            except (RuntimeError, ValueError) as error:  # out of memory is a RuntimeError
                reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
                self._attempts.append(Attempt(str(speed), f"failed: {reason}"))
                if self.trainer.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _has_time_for(self, speed: Speed) -> bool:
        spent = time.perf_counter() - self._since - self._compile_seconds
        needed = _LEAST_STEPS * statistics.median(self._best.times)
        return speed.compile or spent + needed <= self.seconds

    def _try(self, speed: Speed, faster: Callable[[Trial], float]) -> None:
        trial = start_trial(self.trainer, speed, self.batch, self.optimizer)
        if speed.compile:
            self._compile(trial)
        agreement = compare(self._reference, trial.first_step())
        reduced = {speed.precision, self.space.plain.precision} != {"float32"}
        agrees = agreement.holds(reduced=reduced) and self._updates_agree(trial, reduced=reduced)
        if not on_rank_zero(lambda: agrees):
            self._attempts.append(Attempt(str(speed), f"disagrees with the plain: {agreement}"))
            return
        trial.step()
        gain = faster(trial)
        taken = on_rank_zero(lambda: gain >= LEAST_GAIN and self._repays(speed, gain))
        self._attempts.append(
            Attempt(
                str(speed),
                "taken" if taken else "not faster",
                gain=gain,
                images_per_second=self._rate(trial),
                cosine=agreement.cosine,
                loss_error=agreement.loss_error,
            )
        )
        if taken:
            self._best, self._gain = trial, self._gain * gain

    def _updates_agree(self, trial: Trial, *, reduced: bool) -> bool:
        """Whether the fused update of the weights is the plain one, where it is on trial."""
        if trial.speed.fused_optimizer == self._best.speed.fused_optimizer:
            return True
        updates = [self._update(fused) for fused in (False, True)]
        return compare(*updates).holds(reduced=reduced)

    def _update(self, fused: bool) -> Sample:
        """What an optimizer adds to the weights for the gradients of the plain step."""
        trainer = start_trial(self.trainer, self.space.plain, self.batch, self.optimizer).trainer
        optimizer = self.optimizer([trainer.encoder, trainer.objective], fused)
        parameters = [*trainer.encoder.parameters(), *trainer.objective.parameters()]
        before = [p.detach().clone() for p in parameters]
        for p, gradient in zip(parameters, self._reference.gradients, strict=True):
            p.grad = None if gradient is None else gradient.to(p)
        optimizer.step()
        return Sample(
            0.0,
            tuple(
                (p.detach() - b).float().cpu().contiguous()
                for p, b in zip(parameters, before, strict=True)
            ),
        )

    # how many times faster a candidate is

    def _compare_steps(self, trial: Trial) -> float:
        until = self._since + self._compile_seconds + self.seconds
        return self._interleave(trial, until)

    def _compare_updates(self, trial: Trial) -> float:
        """The gain in steps of whole batches: an update takes as long for few images as for all."""
        return 1 / (1 - self.share * (1 - 1 / self._compare_steps(trial)))

    def _compare_compiled(self, trial: Trial) -> float:
        return self._interleave(trial, time.perf_counter() + self.seconds)

    def _interleave(self, trial: Trial, until: float) -> float:
        return interleave(self._best, trial, most_rounds=_MOST_ROUNDS, until=until)

    def _compare_loops(self, trial: Trial) -> float:
        """Steps together with the loader, in blocks of three of which the first is not counted."""
        assert self.batches is not None
        batches = self.batches()
        times: dict[int, list[float]] = {id(self._best): [], id(trial): []}
        next(batches)  # starts the loader
        for one in (self._best, trial, self._best, trial):
            for k in range(3):
                since = time.perf_counter()
                one.step(next(batches))
                if k:
                    times[id(one)].append(time.perf_counter() - since)
        batches.close()
        trial.times += times[id(trial)]
        return statistics.median(times[id(self._best)]) / statistics.median(times[id(trial)])

    # candidates that can pay at all

    def _worthwhile_optimizers(self) -> Iterator[Speed]:
        """Those of the space, where the update takes a part of the step worth saving."""
        candidates = list(self.space.optimizers(self._best.speed))
        if not candidates:
            return
        if on_rank_zero(self._update_is_slow):
            yield from candidates

    def _update_is_slow(self) -> bool:
        times = []
        for _ in range(3):
            since = time.perf_counter()
            self._best.trainer.optimizer.step()
            if self.trainer.device.type == "cuda":
                torch.cuda.synchronize(self.trainer.device)
            times.append(time.perf_counter() - since)
        step = statistics.median(self._best.times) / self.share
        return statistics.median(times) > (1 - 1 / LEAST_GAIN) * step

    def _worthwhile_compilation(self) -> Iterator[Speed]:
        """torch.compile, where the gain to expect repays compiling twice."""
        modules = sum(1 for _ in self.trainer.encoder.modules())
        expected = _COMPILE_SECONDS + _SECONDS_PER_MODULE * modules
        remaining = self.remaining_seconds / self._gain
        for speed in self.space.compiled(self._best.speed):
            if on_rank_zero(lambda: remaining * _ASSUMED_GAIN > 2 * expected):
                self.on_compile(expected)
                yield speed
            else:
                self._attempts.append(Attempt(str(speed), "not tried: the run is too short"))

    def _compile(self, trial: Trial) -> None:
        since = time.perf_counter()
        try:
            notes = trial.trainer.compile(self.batch.views)
            if notes:
                raise RuntimeError(notes[0])
            trial.step()  # compiles what the first call did not
        finally:
            self._compile_seconds += time.perf_counter() - since

    def _repays(self, speed: Speed, gain: float) -> bool:
        """Whether the rest of the training gains more than compiling once more takes."""
        if not speed.compile:
            return True
        saved = self.remaining_seconds / self._gain * (1 - 1 / gain)
        return saved > self._compile_seconds
