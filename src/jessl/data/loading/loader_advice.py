"""Advice from the measurements of a loader, in plain sentences; pure functions of the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jessl.data.loading.measure import Stages

# a smaller gain is not worth the disk space of the packed images
_WORTH_PACKING = 1.2
# share of the time from which on a stage is mentioned
_LARGE_SHARE = 0.4


def loader_advice(
    stages: Stages,
    packed: tuple[Stages, Stages] | None,
    rates: Mapping[int, float],
    *,
    short_side: int,
    need: float | None = None,
    shares_cores: bool = False,
) -> list[str]:
    """Sentences on where the time goes, what packing would gain, and whether the loader keeps up.

    Args:
        stages: costs of the images as they are.
        packed: costs of a few images as they are, and packed; None where packing changes nothing.
        rates: images per second of the loader, by number of threads.
        short_side: pixels of the packed images that were measured.
        need: images per second that the training consumes; None: unknown.
        shares_cores: whether training and loader run on the same cores.
    """
    lines = [_where(stages)]
    gain = packing_gain(packed)
    if gain >= _WORTH_PACKING:
        lines.append(
            f"jessl pack SRC OUT --short-side {short_side} would make an image about {gain:.1f}x "
            "faster; small crops become coarser"
        )
    elif stages.read_ms / stages.total_ms >= _LARGE_SHARE:
        lines.append(
            "a faster disk, or jessl pack to shards, which are read in one sweep, would help most"
        )
    if need is not None:
        lines.append(_fed(rates, need, gain))
    if need is not None and shares_cores:
        lines.append(
            "training and loader share these cores: the two rates hold for each alone, not at once"
        )
    return lines


def packing_gain(packed: tuple[Stages, Stages] | None) -> float:
    """How many times faster an image loads when packed; 1 where that was not measured."""
    return 1.0 if packed is None else packed[0].total_ms / packed[1].total_ms


def threads_that_feed(rates: Mapping[int, float], need: float) -> int | None:
    """The smallest measured number of threads that reaches `need` images per second."""
    return next((n for n in sorted(rates) if rates[n] >= need), None)


def _where(stages: Stages) -> str:
    parts = {
        "reading": stages.read_ms,
        "decoding": stages.decode_ms,
        "views": stages.views_ms,
    }
    (first, most), *rest = sorted(parts.items(), key=lambda part: -part[1])
    others = ", ".join(f"{name} {ms / stages.total_ms:.0%}" for name, ms in rest if ms > 0)
    verb = "take" if first == "views" else "takes"
    after = f" ({others})" if others else ""
    return f"{first} {verb} {most / stages.total_ms:.0%} of a core's time for an image{after}"


def _fed(rates: Mapping[int, float], need: float, gain: float) -> str:
    enough = threads_that_feed(rates, need)
    if enough is not None:
        threads = "1 thread feeds" if enough == 1 else f"{enough} threads feed"
        return f"{threads} this training ({rates[enough]:,.0f} images/s, {need:,.0f} needed)"
    most = max(rates, key=lambda n: rates[n])
    threads = "1 thread gives" if most == 1 else f"{most} threads give"
    rate = f"{threads} {rates[most]:,.0f} of the {need:,.0f} images/s that this training needs"
    if gain >= _WORTH_PACKING and rates[most] * gain >= need:
        return f"{rate}; packed, they would do"
    return f"{rate}: the device waits {1 - rates[most] / need:.0%} of the time"
