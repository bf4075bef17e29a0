"""Several encoders beside each other: in order, or not, with the reasons why not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jessl.scores.result import ScoreResult

# what of the provenance has to agree for an order to mean something, and how it is called
_SAME = (("layer", "layer"), ("data_checksum", "images"), ("views", "recipe of views"))


@dataclass(frozen=True)
class Comparison:
    """The answer of `compare`.

    Attributes:
        order: score -> embeddings, best first; only scores that have a direction, and none at all
            where the embeddings cannot be compared.
        reasons: why they cannot, one sentence each; with `force` they are in order all the same.
        warnings: why the order may mean less than it seems.
    """

    order: dict[str, tuple[str, ...]]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def compare(
    results: Mapping[str, Mapping[str, ScoreResult]],
    metas: Mapping[str, Mapping[str, Any]],
    *,
    force: bool = False,
) -> Comparison:
    """Put embeddings in order, score by score.

    The rank of n rows of d features moves with n and with d by itself (RankMe, appendix G), so
    embeddings that differ in them are not ordered; nor are those of another layer, of other images
    or of other views, where their provenance says so.

    Args:
        results: embeddings -> score -> result, the same scores for each.
        metas: embeddings -> provenance.
        force: order them all the same.
    """
    reasons = []
    names = list(next(iter(results.values()), {}))
    for what, told in (("n", "rows"), ("d", "features")):
        # score by score: some use part of the rows only, scores of views count images
        unlike = (sorted({getattr(s[name], what) for s in results.values()}) for name in names)
        values = next((found for found in unlike if len(found) > 1), [])
        if values:
            reasons.append(
                f"they differ in {what} ({told}: {', '.join(map(str, values))}), which moves a "
                "score by itself"
            )
    for key, told in _SAME:
        found_here = {repr(meta[key]) for meta in metas.values() if meta.get(key) is not None}
        if len(found_here) > 1:
            reasons.append(f"they are not of the same {told}")
    warnings = []
    methods = {str(meta["objective"]) for meta in metas.values() if meta.get("objective")}
    if len(methods) > 1:
        warnings.append(
            f"trained by different methods ({', '.join(sorted(methods))}): ranks are to be "
            "compared within one (Garrido et al. 2023, section 3)"
        )
    order: dict[str, tuple[str, ...]] = {}
    if len(results) > 1 and (force or not reasons):
        for name in names:
            found = {path: scores[name] for path, scores in results.items()}
            first = next(iter(found.values()))
            if first.higher_is_better is None:
                continue
            sign = -1 if first.higher_is_better else 1
            ranked = sorted(found, key=lambda p: _key(sign, found[p].value))
            order[name] = tuple(ranked)
            if found[ranked[0]].warnings and len(found) > 1:
                warnings.append(f"{name}: {ranked[0]}, the first, has warnings of its own")
            warnings += _close(name, [(p, found[p]) for p in ranked[:2]])
    return Comparison(order, tuple(reasons), tuple(warnings))


def _key(sign: int, value: float) -> tuple[bool, float]:
    """Best first, what is not defined last."""
    return math.isnan(value), 0.0 if math.isnan(value) else sign * value


def _close(name: str, two: list[tuple[str, ScoreResult]]) -> list[str]:
    """Whether the first two are too near each other for the images at hand."""
    (a, first), (b, second) = two
    if first.sd is None or second.sd is None:
        return []
    apart = abs(first.value - second.value)
    spread = math.hypot(first.sd, second.sd)
    if apart >= 2 * spread:
        return []
    return [
        f"{name}: {a} and {b} are within two standard deviations ({apart:.3g} apart, sd "
        f"{spread:.2g})"
    ]
