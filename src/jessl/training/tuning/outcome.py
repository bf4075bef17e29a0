"""What a search for the fastest way to compute a step decided, for people and for config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from jessl.training.tuning.speed import Speed


@dataclass(frozen=True)
class Attempt:
    """One candidate.

    Attributes:
        settings: as text.
        outcome: "taken", "not faster", or why it did not count.
        gain: times the speed of the best before it; None: not timed.
        images_per_second: of its steps.
        cosine: of its gradient with that of the plain step.
        loss_error: relative.
    """

    settings: str
    outcome: str
    gain: float | None = None
    images_per_second: float | None = None
    cosine: float | None = None
    loss_error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The outcome of a search.

    Attributes:
        speed: what was chosen.
        plain: what the search began with.
        images_per_second: of the chosen settings, without waiting for data.
        gain: times the speed of the plain settings.
        attempts: every candidate, in order.
        reasons: why settings were not tried.
        batch_size: images of a process in the steps that were timed.
        seconds: that the search took.
    """

    speed: Speed
    plain: Speed
    images_per_second: float
    gain: float
    attempts: tuple[Attempt, ...] = ()
    reasons: tuple[str, ...] = ()
    batch_size: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = f"{self.images_per_second:,.0f} images/s"
        reasons = "".join(f"; {reason}" for reason in self.reasons)
        if self.speed != self.plain:
            return f"{self.speed}: {rate}, {self.gain:.2g} times {self.plain}{reasons}"
        timed = [f"{a.settings} {a.gain:.2f} times" for a in self.attempts if a.gain is not None]
        others = f" ({', '.join(timed)})" if timed else ""
        return f"{self.speed} is fastest here: {rate}{others}{reasons}"

    def as_json(self, instruction_sets: str) -> Mapping[str, object]:
        """Values that JSON holds.

        Args:
            instruction_sets: of the processor that was measured.
        """
        return {
            "summary": str(self),
            "speed": asdict(self.speed),
            "plain": asdict(self.plain),
            "images_per_second": self.images_per_second,
            "gain": self.gain,
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "batch_size": self.batch_size,
            "seconds": self.seconds,
            "instruction_sets": instruction_sets,
        }
