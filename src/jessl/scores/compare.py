"""Order several encoders by their scores, or refuse to with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jessl.scores.result import ScoreResult

# keys of the provenance that have to agree for an order to mean something, and their names
_MUST_AGREE = (("layer", "layer"), ("data_checksum", "images"), ("views", "recipe of views"))


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        order: score -> names of the embeddings, best first. It holds only scores that have a
            direction, and is empty where the embeddings cannot be compared.
        reasons: why they cannot be compared, one sentence each; with `force` they are ordered
            nevertheless.
        warnings: why the order may mean less than it seems to.
    """

    order: dict[str, tuple[str, ...]]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]


def compare(
    results: Mapping[str, Mapping[str, ScoreResult]],
    metas: Mapping[str, Mapping[str, object]],
    *,
    force: bool = False,
) -> Comparison:
    """Order embeddings, score by score.

    The rank of n rows of d features depends on n and on d themselves (RankMe, appendix G), so
    embeddings that differ in them are not ordered. Nor are embeddings of different layers,
    images or views, where their provenance records these.

    Args:
        results: name of the embeddings -> score -> result, the same scores for each.
        metas: name of the embeddings -> provenance.
        force: order them nevertheless.
    """
    reasons = []
    names = list(next(iter(results.values()), {}))
    for attribute, label in (("n", "rows"), ("d", "features")):
        # score by score: some use only part of the rows, scores of views count images
        by_score = (
            sorted({getattr(s[name], attribute) for s in results.values()}) for name in names
        )
        values = next((differing for differing in by_score if len(differing) > 1), [])
        if values:
            reasons.append(
                f"they differ in {attribute} ({label}: {', '.join(map(str, values))}), which "
                "changes a score by itself"
            )
    for key, label in _MUST_AGREE:
        recorded = {repr(meta[key]) for meta in metas.values() if meta.get(key) is not None}
        if len(recorded) > 1:
            reasons.append(f"they are not of the same {label}")
    warnings = []
    methods = {str(meta["objective"]) for meta in metas.values() if meta.get("objective")}
    if len(methods) > 1:
        warnings.append(
            f"trained by different methods ({', '.join(sorted(methods))}): ranks should be "
            "compared within one method (Garrido et al. 2023, section 3)"
        )
    order: dict[str, tuple[str, ...]] = {}
    if len(results) > 1 and (force or not reasons):
        for name in names:
            by_path = {path: scores[name] for path, scores in results.items()}
            higher_is_better = next(iter(by_path.values())).higher_is_better
            if higher_is_better is None:
                continue
            sign = -1 if higher_is_better else 1
            keys = {path: _sort_key(sign, result.value) for path, result in by_path.items()}
            ranked = sorted(by_path, key=keys.__getitem__)
            order[name] = tuple(ranked)
            if by_path[ranked[0]].warnings and len(by_path) > 1:
                warnings.append(f"{name}: {ranked[0]}, the first, has warnings of its own")
            warnings += _closeness_warnings(name, [(path, by_path[path]) for path in ranked[:2]])
    return Comparison(order, tuple(reasons), tuple(warnings))


def _sort_key(sign: int, value: float) -> tuple[bool, float]:
    """Best first, undefined values last."""
    return math.isnan(value), 0.0 if math.isnan(value) else sign * value


def _closeness_warnings(name: str, best_two: list[tuple[str, ScoreResult]]) -> list[str]:
    """A warning where the number of images does not separate the first two."""
    (a, first), (b, second) = best_two
    if first.sd is None or second.sd is None:
        return []
    difference = abs(first.value - second.value)
    spread = math.hypot(first.sd, second.sd)
    if difference >= 2 * spread:
        return []
    return [
        f"{name}: {a} and {b} are within two standard deviations ({difference:.3g} apart, sd "
        f"{spread:.2g})"
    ]
