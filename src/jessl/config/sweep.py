"""Options of `jessl.sweep`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from jessl.config.pretrain import Pretrain


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A study: many pretrainings that differ in some fields, and how one is chosen without labels.

    The unit of work is one setting (a value of every field in `space`) with one seed.

    Attributes:
        base: everything that the runs share; its `out`, `resume` and `seed` are the study's.
        space: field -> what it may be: a list of values, in order, or a range
            {"low": 1e-4, "high": 1e-1, "log": True} (of a whole-number field also "step"). A field
            is one of `Pretrain`, or "objective_options.NAME", "view_options.NAME".
        sampler: "grid" (all combinations of lists), "each" (one field at a time, the others as in
            `base`: the sweeps of the RankMe paper), "random" or "tpe" (Bergstra et al. 2011, by
            Optuna); None: grid where the space is made of lists, else random.
        trials: how many settings; None: all of grid and each, 20 of random and tpe.
        seeds: of the weights, order and views, a run each.
        by: the score that chooses, NAME or NAME/LAYER, such as rankme, rankme/backbone,
            lidar/projector; the projector is the layer of scores without one.
        scores: more scores to take of every run, for comparison.
        test: SRC of labelled images. Every run is probed on them at its end, fitted on the
            labelled images of `base.data`; this chooses nothing.
        decompose: with `test`, also the components of the error of every run, so that `jessl zoo`
            can say which fields go with which.
        prune: stop runs that fall behind, by the score alone (successive halving).
        grace_epochs: epochs before any run is stopped: ranks say little in the first ones; None: a
            quarter of the epochs.
        keep_share: of the runs of one method that reached a rung, how many go on, in (0, 1).
        sampler_seed: of random and tpe, and of the order of the runs where runs are stopped.
    """

    base: Pretrain
    space: dict[str, Any]
    sampler: str | None = None
    trials: int | None = None
    seeds: tuple[int, ...] = (0, 1)
    by: str = "rankme"
    scores: tuple[str, ...] = ()
    test: str | None = None
    decompose: bool = False
    prune: bool = False
    grace_epochs: int | None = None
    keep_share: float = 0.5
    sampler_seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return {**asdict(self), "seeds": list(self.seeds), "scores": list(self.scores)}
