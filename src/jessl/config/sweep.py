"""Options of `jessl.sweep`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jessl.config.pretrain import Pretrain


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A study: many pretrainings that differ in some fields, and how one is chosen without labels.

    The unit of work is one setting (a value of every field in `space`) with one seed.

    Example:
        base = jessl.Pretrain(data="photos", epochs=100)
        study = jessl.Sweep(base=base, space={"lr": [0.1, 0.3, 1.0]}, seeds=(0, 1, 2))
        jessl.sweep(study, "studies/lr")

    Attributes:
        base: everything that the runs share; the study sets its `out`, `resume` and `seed`.
        space: field -> its candidates: a list of values, in order, or a range
            {"low": 1e-4, "high": 1e-1, "log": True} (for a whole-number field also "step"). A field
            is one of `Pretrain`, or "objective_options.NAME", "view_options.NAME".
        sampler: "grid" (all combinations of lists), "each" (one field at a time, the others as in
            `base`: the sweeps of the RankMe paper), "random" or "tpe" (Bergstra et al. 2011, by
            Optuna); None: grid where the space consists of lists, else random.
        trials: number of settings; None: all of grid and each, 20 of random and tpe.
        seeds: random seeds of the weights, order and views; each setting has one run per seed.
        by: the score that chooses, NAME or NAME/LAYER, such as view_retrieval/backbone, rankme,
            lidar/projector, by default at the projector; or panel, where view retrieval, cross-view
            reliability and the rotation probe vote (see `Select`; tpe and prune go by view
            retrieval).
        scores: more scores to compute for every run, for comparison.
        score_views: recipe of the views for scores of views, the same for all runs: simclr, coarse,
            disjoint, grayscale or another preset; None: simclr. What is recorded during training,
            which prune reads, is always under simclr.
        test: SRC of labelled images. A probe of every finished run, fitted on the labelled images
            of `base.data`, is tested on them; this does not affect the choice.
        class_names: names of the labels 0, 1, ... of `base.data` or `test`, whichever has numbers
            only: a,b,c or a text file with a name on each line.
        decompose: with `test`, also compute the components of the error of every run, for
            `jessl zoo`.
        prune: stop runs that fall behind, by the score alone (successive halving).
        grace_epochs: epochs before any run is stopped, since early ranks say little; None: a
            quarter of the epochs.
        keep_share: share of the runs of one method that continue at each comparison, in (0, 1).
        sampler_seed: seed of the samplers random and tpe, and of the order of the runs where runs
            are stopped.
    """

    base: Pretrain
    space: dict[str, object]
    sampler: str | None = None
    trials: int | None = None
    seeds: tuple[int, ...] = (0, 1)
    by: str = "view_retrieval/backbone"
    scores: tuple[str, ...] = ()
    score_views: str | None = None
    test: str | None = None
    class_names: str | None = None
    decompose: bool = False
    prune: bool = False
    grace_epochs: int | None = None
    keep_share: float = 0.5
    sampler_seed: int = 0

    def as_json(self) -> dict[str, object]:
        """All fields as values that JSON holds."""
        return {**asdict(self), "seeds": list(self.seeds), "scores": list(self.scores)}
