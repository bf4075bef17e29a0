"""An open study: its plan, its folder, its images and its storage, as a worker has them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna

from jessl.config import Pretrain, Sweep
from jessl.core.devices import pick_device
from jessl.core.files import contained
from jessl.core.leftovers import remove_leftovers
from jessl.core.processes import process_name
from jessl.core.random import seeded
from jessl.data import Source, open_source, unlabelled
from jessl.data.labels import check_same_classes, with_class_names
from jessl.data.options import open_configured
from jessl.objectives import build_objective
from jessl.pretraining import defaults
from jessl.sweeps import coordination, manifest, pruning, space
from jessl.sweeps.coordination import Ended, Ledger, Unit
from jessl.sweeps.leases import Watch
from jessl.sweeps.plan import SweepPlan, in_order, plan_sweep
from jessl.sweeps.storage import Storage, open_storage, readable

# the images of a study, and labelled ones of the closing check where there are some
Sources = tuple[Source, Source | None]
RUNS = "runs"
LEASE_SECONDS = 60.0
# settings that TPE draws at random before it models any
_STARTUP = 10
# of a setting that was not tried before
_DRAWS = 20
# width of the representations that an objective is tried on: any will do
_TRIED_DIM = 16


@dataclass
class Study:
    """A study as one worker sees it.

    Attributes:
        folder: holds sweep.json and the runs.
        plan: the settings, and how one is chosen.
        source: the images, with their labels where they have some; images: the same for training,
            without labels unless a method of the study needs them; test: labelled ones of the
            closing check.
        storage, ledger: which unit belongs to which worker.
        lease_seconds: silence after which a worker counts as gone.
        threads: that decode for a run, where the base leaves that open.
    """

    folder: Path
    plan: SweepPlan
    source: Source
    images: Source
    test: Source | None
    storage: Storage
    ledger: Ledger
    lease_seconds: float
    threads: int | None = None

    def units(self) -> list[Unit]:
        """The units known so far, in the order of work."""
        settings: Sequence[space.Params] = self.plan.settings
        if self.plan.sampler == "tpe":
            settings = self.ledger.settings(self.plan.trials)
        units = [Unit(params, seed) for params in settings for seed in self.plan.config.seeds]
        return in_order(units, self.plan.config)

    def count(self) -> int:
        """How many units there are to be."""
        return self.plan.trials * len(self.plan.config.seeds)

    def next_unit(self) -> tuple[Unit | None, list[Unit]]:
        """(a unit for this worker, or None where others work on all that is left; units whose
        workers turned out to be gone)."""
        self.ledger.refresh()
        lost = self.ledger.release_lost()
        if lost:
            self.ledger.refresh()
        units = self.units()
        self.ledger.enqueue(units)
        unit = self.ledger.claim(units)
        if unit is None and self.plan.sampler == "tpe" and self._draw():
            unit = self.ledger.claim(self.units())
        self.ledger.refresh()
        return unit, lost

    def _draw(self) -> bool:
        """Have the sampler add a new setting, where some are still to come."""
        for _ in range(_DRAWS):  # of lists, a setting can come again
            if len(self.ledger.settings(self.plan.trials)) >= self.plan.trials:
                return False
            if self.ledger.draw(self.plan.config.seeds[0]):
                return True
        # a space that is nearly used up: what is left, in order
        tried = {space.key(params) for params in self.ledger.settings(self.plan.trials)}
        rest = (p for p in space.combinations(self.plan.space) if space.key(p) not in tried)
        self.ledger.refresh()
        self.ledger.enqueue([Unit(next(rest), self.plan.config.seeds[0])])
        return True

    def ended(self) -> list[Ended]:
        """The units that ended."""
        return self.ledger.ended(self.units())

    def all_ended(self) -> bool:
        """Whether there is nothing left to do for any worker."""
        self.ledger.refresh()
        return len(self.ended()) >= self.count()

    def config(self, unit: Unit) -> Pretrain:
        """The pretraining of a unit, in its folder."""
        out = contained(self.folder, RUNS, self.name(unit))
        config = space.configured(self.plan.config.base, unit.params, unit.seed, str(out))
        return config if config.workers else replace(config, workers=self.threads)

    def name(self, unit: Unit) -> str:
        """The name of a unit's folder."""
        return space.named(unit.params, unit.seed)

    def rungs(self, unit: Unit) -> list[int]:
        """Epochs after which the run of a unit is compared; none where no run is stopped."""
        if not self.plan.config.prune:
            return []
        config = self.config(unit)
        chosen = defaults.resolve(config, self.images, pick_device(config.device))
        every = chosen.evaluate_epochs or chosen.epochs
        grace = self.plan.config.grace_epochs or max(1, chosen.epochs // 4)
        return pruning.rungs(chosen.epochs, grace, self.plan.config.keep_share, every)

    def others_at(self, epoch: int, unit: Unit) -> list[float]:
        """Merits after an epoch of the other runs of the unit's method."""
        mine = self.method(unit)
        of_method = {u.name for u in self.units() if self.method(u) == mine} - {unit.name}
        merits = self.ledger.merits()
        return [merits[n][epoch] for n in of_method if epoch in merits.get(n, {})]

    def method(self, unit: Unit) -> str:
        """The objective of a unit."""
        return str(unit.params.get("objective", self.plan.config.base.objective))


def begin(
    folder: str | Path,
    config: Sweep | None = None,
    *,
    storage: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
    sources: Callable[[], Sources] | None = None,
) -> Study:
    """Begin a study in a folder, or join one.

    Args:
        folder: of the study; machines that share it share the runs.
        config: the study; None: the one in the folder.
        storage: as `open_storage`.
        lease_seconds: silence after which a worker counts as gone, above 0.
        sources: opens the images, and labelled ones of the closing check or None, in place of the
            `data` and `test` of the study.

    Raises:
        ValueError: for an impossible study, a folder that holds something else, another study in
            the folder or in the storage, other images than it was begun with, and a storage that
            cannot be reached.
    """
    folder = Path(folder)
    if not 0 < lease_seconds < math.inf:
        raise ValueError(f"lease_seconds: expected a number above 0, got {lease_seconds:g}")
    stored = manifest.read(folder)
    url = manifest.address(folder, stored, storage)
    plan = plan_sweep(manifest.stored_sweep(folder) if config is None else config)
    # a sampler left out or given is the same; as it comes back from a file
    now = json.loads(json.dumps(replace(plan.config, sampler=plan.sampler).as_json()))
    if stored is not None:
        before = {**stored.plan, "sampler": stored.plan.get("sampler") or plan.sampler}
        manifest.check_same(before, now, f"in {folder}")
    _check_values(plan)
    source, images, test = _open_images(plan, sources)
    folder.mkdir(parents=True, exist_ok=True)
    opened = open_storage(url, folder)
    with readable(opened.shown):
        study = _optuna_study(opened, folder.resolve().name, plan)
        manifest.agree(opened, study, now, images.fingerprint())
        _check_trials(study)
    manifest.write(folder, stored, now, None if url is None else opened.shown)
    remove_leftovers(folder)
    ledger = Ledger(study, opened, process_name(), Watch(lease_seconds), plan.distributions)
    return Study(folder, plan, source, images, test, opened, ledger, lease_seconds)


def _open_images(
    plan: SweepPlan, sources: Callable[[], Sources] | None
) -> tuple[Source, Source, Source | None]:
    """(the images of a study, the same for training, labelled ones to test on)."""
    base = plan.config.base
    if sources is not None:
        source, test = sources()
    else:
        source, test = open_configured(base), None
        if plan.config.test is not None:
            test = open_source(plan.config.test, bits=base.bits, value_range=base.value_range)
    with seeded(0):
        using = [build_objective(m, _TRIED_DIM).uses_labels for m in _methods(plan)]
    if test is not None:
        source, test = with_class_names(plan.config.class_names, data=source, test=test)
        check_same_classes(source, test)
    return source, source if any(using) else unlabelled(source), test


def _methods(plan: SweepPlan) -> tuple[str, ...]:
    entry = plan.space.get("objective")
    if isinstance(entry, space.Listed):
        return tuple(map(str, entry.values))
    return (plan.config.base.objective,)


def _check_values(plan: SweepPlan) -> None:
    """Refuse at once a value that no training takes, rather than in the middle of the study."""
    from jessl.views.presets import is_file, preset

    for params in [*plan.settings, *_corners(plan)]:
        config = space.configured(plan.config.base, params, 0, "")
        defaults.check_config(config)
        try:
            with seeded(0):
                build_objective(config.objective, _TRIED_DIM, config.objective_options)
        except ValueError as error:
            if "objective" not in plan.space:
                raise
            raise ValueError(
                f"{error}; options of one method need a study of that method alone, or a grid"
            ) from None
        if not is_file(config.views):
            preset(config.views, config.size or 32, config.view_options)


def _corners(plan: SweepPlan) -> list[space.Params]:
    """Both ends of every range, and all listed values; of a grid, options with their methods."""
    corners: list[space.Params] = []
    settings = plan.settings if plan.sampler == "grid" else ()
    methods = {str(p["objective"]): None for p in settings if "objective" in p}
    for name, entry in plan.space.items():
        ends = entry.values if isinstance(entry, space.Listed) else (entry.low, entry.high)
        own = next((m for m in methods if space.has_option(m, name)), None)
        of_method: space.Params = {} if own is None else {"objective": own}
        corners += [{**of_method, name: value} for value in ends]
    return corners


def _check_trials(study: optuna.Study) -> None:
    """Read every trial once: entries of other types are refused before any work."""
    for trial in study.get_trials(deepcopy=False):
        coordination.check_trial(trial)


def _optuna_study(opened: Storage, name: str, plan: SweepPlan) -> optuna.Study:
    """Optuna's study of this name, made where there is none."""
    with opened.guard():
        study = optuna.create_study(
            storage=opened.backend, study_name=name, direction="maximize", load_if_exists=True
        )
    # a worker that joins must not draw what the first one drew
    seed = plan.config.sampler_seed + len(study.get_trials(deepcopy=False))
    # running trials count as bad ones: workers that draw at the same time keep apart
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=_STARTUP, seed=seed, constant_liar=True
    )
    return study
