"""L-BFGS for several smooth convex functions at once.

scipy's L-BFGS-B minimises a single function, and its handling of bounds takes longer than a pass
over a few thousand rows. Here all functions take their steps together, each with its own step
size, so that one pass over the data serves all of them; converged functions leave the passes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# (points [k, n], indices of functions [k]) -> (values [k], gradients [k, n])
Evaluate = Callable[[Floats, NDArray[np.intp]], tuple[Floats, Floats]]

HISTORY = 12
# share of the predicted descent that a step must reach (Armijo)
_DESCENT = 1e-4
_MOST_TRIES = 12


def minimise(
    evaluate: Evaluate,
    start: Floats,
    *,
    most_iterations: int,
    least_slope: float,
    least_gain: float,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Minima of the functions.

    Nocedal and Wright, Numerical Optimization, algorithm 7.4, with backtracking: the curvature
    of convex functions is positive along every step.

    Args:
        evaluate: values and gradients of some of the functions, each at its own point.
        start: [functions, n].
        most_iterations: after this many a function counts as not converged.
        least_slope: a function has converged when no entry of its gradient exceeds this,
        least_gain: or when a step lowers it by less than this share of max(value, .01), or when no
            step lowers it at all, at the limit of the arithmetic.

    Memory: 2 x 12 points of each function, float64.

    Returns:
        (points [functions, n], bool [functions]: done before the last iteration).
    """
    x = start.copy()
    every = np.arange(len(x))
    value, slope = evaluate(x, every)
    done = np.abs(slope).max(axis=1) <= least_slope
    steps = np.zeros((HISTORY, *x.shape))
    turns = np.zeros((HISTORY, *x.shape))
    # 1 / (step . turn), 0 where there is no step so far
    inverse = np.zeros((HISTORY, len(x)))
    for iteration in range(most_iterations):
        at = every[~done]
        if not len(at):
            break
        # newest first
        order = [(iteration - 1 - k) % HISTORY for k in range(min(iteration, HISTORY))]
        # all functions active: views of the history, not copies
        some: slice | NDArray[np.intp] = slice(None) if len(at) == len(x) else at
        direction = -_two_loop_recursion(
            slope[at], [(steps[k, some], turns[k, some], inverse[k, some]) for k in order]
        )
        descent = (direction * slope[at]).sum(axis=1)
        # rounding may make a direction point uphill
        uphill = descent >= 0
        direction[uphill] = -slope[at][uphill]
        descent[uphill] = -(slope[at][uphill] ** 2).sum(axis=1)
        moved, new_value, new_slope = _line_search(evaluate, at, x, value, direction, descent)
        gain = value[at] - new_value
        place = iteration % HISTORY
        steps[place, at] = moved - x[at]
        turns[place, at] = new_slope - slope[at]
        along = (steps[place, at] * turns[place, at]).sum(axis=1)
        square = (turns[place, at] ** 2).sum(axis=1)
        inverse[place, at] = np.where(along > 1e-12 * square, 1 / np.where(along, along, 1), 0)
        x[at], value[at], slope[at] = moved, new_value, new_slope
        flat = np.abs(new_slope).max(axis=1) <= least_slope
        done[at] = flat | (gain <= least_gain * np.maximum(np.abs(new_value), 0.01))
    return x, done


def _two_loop_recursion(slope: Floats, history: list[tuple[Floats, Floats, Floats]]) -> Floats:
    """The inverse curvature of the last steps applied to the gradients [k, n]."""
    q = slope.copy()
    weights = []
    for step, turn, inverse in history:
        weight = inverse * (step * q).sum(axis=1)
        q -= weight[:, None] * turn
        weights.append(weight)
    if history:
        step, turn, inverse = history[0]
        square = (turn**2).sum(axis=1)
        usable = (inverse > 0) & (square > 0)
        scale = np.where(usable, 1 / np.where(usable, inverse * square, 1.0), 1.0)
        q *= scale[:, None]
    for (step, turn, inverse), weight in zip(reversed(history), reversed(weights), strict=True):
        q += (weight - inverse * (turn * q).sum(axis=1))[:, None] * step
    return q


def _line_search(
    evaluate: Evaluate,
    at: NDArray[np.intp],
    x: Floats,
    value: Floats,
    direction: Floats,
    descent: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Points with enough descent along the directions; the old point where there is none."""
    length = np.ones(len(at))
    moved, new_value = x[at].copy(), value[at].copy()
    new_slope = np.zeros_like(moved)
    open_ = np.arange(len(at))
    for _ in range(_MOST_TRIES):
        tried = x[at[open_]] + length[open_, None] * direction[open_]
        values, slopes = evaluate(tried, at[open_])
        enough = values <= value[at[open_]] + _DESCENT * length[open_] * descent[open_]
        good = open_[enough]
        moved[good], new_value[good], new_slope[good] = (
            tried[enough],
            values[enough],
            slopes[enough],
        )
        left, missed = open_[~enough], values[~enough]
        if not len(left):
            return moved, new_value, new_slope
        # the minimum of the parabola through value, slope and the value that was too large
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = missed - value[at[left]] - length[left] * descent[left]
            best = -descent[left] * length[left] ** 2 / (2 * rise)
        best = np.where(np.isfinite(best), best, 0.1 * length[left])
        length[left] = np.clip(best, 0.1 * length[left], 0.5 * length[left])
        open_ = left
    _, slopes = evaluate(x[at[open_]], at[open_])
    new_slope[open_] = slopes
    return moved, new_value, new_slope
