"""Ties, and the paper's rule for plateaus along an ordered hyperparameter."""

from __future__ import annotations

from collections.abc import Sequence


def limit(df: float, settings: int) -> float:
    """How many standard deviations of a difference the best may be above one that is tied with it.

    The quantile of Student's t at .975; of more than three settings the one at which, by
    Bonferroni's bound, the truly best is within reach of the apparent one in 95 % of all cases:
    the largest of many noisy numbers is too large by more than one difference tells.

    Args:
        df: degrees of freedom of the noise.
        settings: how many are compared.
    """
    from scipy.stats import t

    beyond = min(0.025, 0.05 / max(1, settings - 1))
    return float(t.ppf(1 - beyond, df))


def ties(
    merits: Sequence[float], variances: Sequence[float], df: float | None
) -> tuple[int, list[bool]]:
    """(index of the best, whether each is tied with it).

    A setting is tied where its merit is below the best by less than
    limit(df, settings) * sqrt(v_best + v). A variance that is unknown is taken to be the largest
    known one: what nobody measured is no reason to tell settings apart. NaN merits never are tied;
    without noise (df None) only equals.

    Args:
        merits: larger is better; at least one is a number.
        variances: of the merits; NaN where unknown.
        df: degrees of freedom of the variances.
    """
    sound = [k for k, merit in enumerate(merits) if merit == merit]
    best = max(sound, key=lambda k: merits[k])
    reach = 0.0 if df is None else limit(df, len(sound))
    largest = max((variances[k] for k in sound if variances[k] == variances[k]), default=0.0)
    spread = [largest if v != v else v for v in variances]

    def tied(k: int) -> bool:
        if k not in sound:
            return False
        apart = merits[best] - merits[k]
        if apart == 0:
            return True
        return df is not None and apart < reach * (spread[best] + spread[k]) ** 0.5

    return best, [tied(k) for k in range(len(merits))]


def on_plateau(
    axis: str, positions: Sequence[float], tied: Sequence[bool], best: int
) -> tuple[int, str]:
    """(index to take, the rule in words) along one hyperparameter, in rising order.

    The plateau is the run of neighbours around the best that are tied with it. One that reaches the
    largest value swept is taken at its smallest (the first value that reaches it), one that reaches
    the smallest value swept at its largest, one inside at the best itself (Garrido et al. 2023,
    caption of figure 4). One that is everything says nothing: the best.

    Args:
        axis: name of the hyperparameter.
        positions: its values, rising.
        tied: whether each is tied with the best.
        best: index of the best.
    """
    end = len(positions) - 1
    first = last = best
    while first > 0 and tied[first - 1]:
        first -= 1
    while last < end and tied[last + 1]:
        last += 1
    span = f"{axis} {positions[first]:g} to {positions[last]:g}"
    if first == last:
        return best, "the highest value"
    if (first, last) == (0, end):
        return best, f"all of {span} is one plateau, nothing tells them apart: the highest value"
    if last == end:
        return first, f"plateau of {span}, up to the largest swept: the first value that reaches it"
    if first == 0:
        return last, f"plateau of {span}, down to the smallest swept: its largest value"
    return best, f"plateau of {span}, inside of what was swept: the highest value"
