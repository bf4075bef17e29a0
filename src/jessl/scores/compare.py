"""Order several encoders by their scores, or refuse to with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from jessl.core.notebook import with_interval
from jessl.schema import score_title
from jessl.scores.base import SpectralScore
from jessl.scores.registry import parse_score
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


def conclude(results: Mapping[str, Mapping[str, ScoreResult]], comparison: Comparison) -> str:
    """What the first score says of the embeddings, in one sentence without a full stop.

    Example:
        >>> conclude({"z": score(z)}, Comparison({}, (), ()))  # doctest: +SKIP
        'RankMe of z is 46.9 (46.54 to 47.26), of 128 features; ...'
    """
    name = next(iter(next(iter(results.values()))))
    title = score_title(name)
    few = {path: scores[name] for path, scores in results.items() if _too_few(name, scores[name])}
    if few:
        path, one = next(iter(few.items()))
        return (
            f"{title} of {path} cannot be judged: n = {one.n:,} is below 2 d = {2 * one.d:,}; "
            "embed more images"
        )
    if name in comparison.order:
        first, *others = comparison.order[name]
        best = results[first][name]
        text = f"{first} has the best {title}: {_number(best)}"
        if others:
            text += f", then {others[0]} with {_number(results[others[0]][name])}"
            close = _closeness_warnings(name, [(p, results[p][name]) for p in (first, others[0])])
            if close:
                text += "; the two cannot be distinguished"
        return text
    if len(results) > 1:
        reason = next(iter(comparison.reasons), f"no value of {title} is better than another")
        return f"These embeddings are not ranked: {reason}"
    [(path, scores)] = results.items()
    return (
        f"{title} of {path} is {_number(scores[name])}, of {scores[name].d:,} features; one number "
        "alone is neither good nor bad: compare encoders on the same images"
    )


def _too_few(name: str, result: ScoreResult) -> bool:
    """Whether a score of the spectrum comes from fewer than 2 d rows."""
    return isinstance(parse_score(name).score, SpectralScore) and result.n < 2 * result.d


def _number(result: ScoreResult) -> str:
    best = result.value if result.debiased is None else result.debiased
    return with_interval(best, result.low, result.high)


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
