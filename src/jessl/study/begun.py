"""A study that was begun: its plan, its folder and its storage, as a worker has them."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jessl.config import Pretrain, Sweep
from jessl.data import Source, open_source, unlabelled
from jessl.encoders import seeded
from jessl.files import read_json, write_json
from jessl.objectives import build_objective
from jessl.pretraining import plan as choices
from jessl.study import halving, space
from jessl.study.lease import Watch, this_worker
from jessl.study.ledger import Ended, Ledger, Unit
from jessl.study.planning import Plan, in_order, plan, same_study, sweep_from
from jessl.study.storage import Storage, open_storage
from jessl.training.devices import pick_device

FILE, RUNS = "sweep.json", "runs"
_PLAN, _DATA = "plan", "data"
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
        plan: what is to be done.
        storage, ledger: who does what.
        lease_seconds: silence after which a worker counts as gone.
        threads: that decode for a run, where the base leaves that open.
    """

    folder: Path
    plan: Plan
    storage: Storage
    ledger: Ledger
    lease_seconds: float
    threads: int | None = None

    @functools.cached_property
    def source(self) -> Source:
        """The images, with their labels where they have some."""
        base = self.plan.asked.base
        return open_source(base.data, labels=base.labels, x_key=base.x_key, y_key=base.y_key)

    @functools.cached_property
    def images(self) -> Source:
        """What a run is trained on: without labels, unless a method of the study needs them."""
        base = self.plan.asked.base
        entry = self.plan.space.get("objective")
        methods = entry.values if isinstance(entry, space.Listed) else (base.objective,)
        with seeded(0):
            using = [build_objective(str(m), _TRIED_DIM).uses_labels for m in methods]
        return self.source if any(using) else unlabelled(self.source)

    @functools.cached_property
    def test(self) -> Source | None:
        """The labelled images of the closing check."""
        test = self.plan.asked.test
        return None if test is None else open_source(test)

    def units(self) -> list[Unit]:
        """The units known so far, in the order of work."""
        settings: Sequence[space.Params] = self.plan.settings
        if self.plan.sampler == "tpe":
            settings = self.ledger.settings(self.plan.trials)
        units = [Unit(params, seed) for params in settings for seed in self.plan.asked.seeds]
        return in_order(units, self.plan.asked)

    def wants(self, unit: Unit) -> bool:
        """Whether it is a unit of the study."""
        return unit.name in {u.name for u in self.units()}

    def count(self) -> int:
        """How many units there are to be."""
        return self.plan.trials * len(self.plan.asked.seeds)

    def complete(self) -> None:
        """Have a trial for every unit."""
        self.ledger.complete(self.units())

    def ask(self) -> Unit | None:
        """A new setting where the sampler makes them on the way and some are still to come."""
        if self.plan.sampler != "tpe":
            return None
        for _ in range(_DRAWS):  # of lists, a setting can come again
            if len(self.ledger.settings(self.plan.trials)) >= self.plan.trials:
                return None
            if (unit := self.ledger.ask(self.plan.asked.seeds[0])) is not None:
                return unit
        # of a space of lists that is nearly used up: what is left, in order
        tried = {space.key(params) for params in self.ledger.settings(self.plan.trials)}
        rest = [p for p in space.grid(self.plan.space) if space.key(p) not in tried]
        self.ledger.complete([Unit(rest[0], self.plan.asked.seeds[0])])
        return self.ledger.claim()

    def ended(self) -> list[Ended]:
        """The units that ended."""
        return self.ledger.ended(self.units())

    def all_ended(self) -> bool:
        """Whether there is nothing left to do, for anybody."""
        return len(self.ended()) >= self.count()

    def config(self, unit: Unit) -> Pretrain:
        """The pretraining of a unit, in its folder."""
        out = self.folder / RUNS / self.name(unit)
        config = space.configured(self.plan.asked.base, unit.params, unit.seed, str(out))
        return config if config.workers else replace(config, workers=self.threads)

    def name(self, unit: Unit) -> str:
        """The name of a unit's folder."""
        return space.named(unit.params, unit.seed)

    def rungs(self, unit: Unit) -> list[int]:
        """Epochs after which the run of a unit is compared; none where no run is stopped."""
        if not self.plan.asked.prune:
            return []
        config = self.config(unit)
        chosen = choices.choose(config, self.images, pick_device(config.device))
        assert chosen.epochs is not None
        every = chosen.evaluate_epochs or chosen.epochs
        grace = self.plan.asked.grace_epochs or max(1, chosen.epochs // 4)
        return halving.rungs(chosen.epochs, grace, self.plan.asked.keep_share, every)

    def others_at(self, epoch: int, unit: Unit) -> list[float]:
        """Merits after an epoch of the other runs of the unit's method."""
        mine = self.method(unit)
        of_method = {u.name for u in self.units() if self.method(u) == mine} - {unit.name}
        standing = self.ledger.standing()
        return [standing[n][epoch] for n in of_method if epoch in standing.get(n, {})]

    def method(self, unit: Unit) -> str:
        """The objective of a unit."""
        return str(unit.params.get("objective", self.plan.asked.base.objective))


def begin(
    folder: str | Path,
    asked: Sweep | None = None,
    *,
    storage: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
) -> Study:
    """Begin a study in a folder, or join one.

    Args:
        folder: of the study; machines that share it share the runs.
        asked: the study; None: the one in the folder.
        storage: as `open_storage`.
        lease_seconds: silence after which a worker counts as gone, above 0.

    Raises:
        ValueError: for a study that cannot be, a folder that holds something else, another study
            in the folder or in the storage, other images than it was begun with, and a storage
            that cannot be reached.
    """
    folder = Path(folder)
    if lease_seconds <= 0:
        raise ValueError(f"lease_seconds must be above 0, got {lease_seconds:g}")
    stored = _stored(folder)
    if asked is None:
        asked = stored_sweep(folder)
    made = plan(asked)
    asked = replace(asked, sampler=made.sampler)  # left out or given, it is the same study
    now = json.loads(json.dumps(asked.as_json()))  # as it comes back from a file
    if stored is not None:
        same_study(stored, now, str(folder))
    _try(made)
    folder.mkdir(parents=True, exist_ok=True)
    opened = open_storage(storage, folder)
    study = _optunas(opened, folder.resolve().name, made)
    _agree(opened, study, now)
    if stored != now:
        write_json(folder / FILE, now)
    books = Ledger(study, opened, this_worker(), Watch(lease_seconds), made.distributions)
    begun = Study(folder, made, opened, books, lease_seconds)
    _same_images(opened, study, begun)
    return begun


def _stored(folder: Path) -> dict[str, Any] | None:
    if folder.is_file():
        raise ValueError(f"out {folder} is a file; give the folder of a study, or a new one")
    if (folder / FILE).is_file():
        found: dict[str, Any] = read_json(folder / FILE)
        return found
    if folder.is_dir() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise ValueError(f"out {folder} is not empty and holds no study; give a new folder")
    return None


def stored_sweep(folder: str | Path) -> Sweep:
    """The study that a folder holds, as it was asked for.

    Raises:
        ValueError: for a folder that holds none.
    """
    stored = _stored(Path(folder))
    if stored is None:
        raise ValueError(f"{folder} holds no study: it has no {FILE}")
    try:
        fields = {k: v for k, v in stored.items() if k not in ("base", "space")}
        return sweep_from(fields, Pretrain.from_json(stored["base"]), stored["space"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{Path(folder) / FILE} is no study of jessl: {error!r}") from None


def _try(made: Plan) -> None:
    """Refuse at once a value that no training takes, rather than in the middle of the study."""
    from jessl.views.presets import is_file, preset

    base = made.asked.base
    for params in [*made.settings, *({n: v} for n, v in _corners(made.space))]:
        config = space.configured(base, params, 0, "")
        choices.check(config)
        with seeded(0):
            build_objective(config.objective, _TRIED_DIM, config.objective_options)
        if not is_file(config.views):
            preset(config.views, config.size or 32, config.view_options)


def _corners(entries: space.Space) -> list[tuple[str, space.Value]]:
    """Both ends of every range, and all listed values."""
    return [
        (name, value)
        for name, entry in entries.items()
        for value in (entry.values if isinstance(entry, space.Listed) else (entry.low, entry.high))
    ]


def _optunas(opened: Storage, name: str, made: Plan) -> Any:
    """Optuna's study of this name, made where there is none."""
    import optuna

    with opened.guard():
        study = optuna.create_study(
            storage=opened.held, study_name=name, direction="maximize", load_if_exists=True
        )
    # a worker that joins must not draw what the first one drew
    seed = made.asked.sampler_seed + len(study.get_trials(deepcopy=False))
    # running trials count as bad ones: workers that draw at the same time keep apart
    study.sampler = optuna.samplers.TPESampler(
        n_startup_trials=_STARTUP, seed=seed, constant_liar=True
    )
    return study


def _agree(opened: Storage, study: Any, now: dict[str, Any]) -> None:
    """Keep the plan in the storage; refuse another one."""
    with opened.guard():
        stored = study.user_attrs.get(_PLAN)
        if stored is not None:
            same_study(stored, now, f"storage {opened.shown}")
        if stored != now:
            study.set_user_attr(_PLAN, now)


def _same_images(opened: Storage, study: Any, begun: Study) -> None:
    now = begun.images.fingerprint()
    with opened.guard():
        then = study.user_attrs.get(_DATA, now)
        if then != now:
            raise ValueError(
                f"data: {begun.source.name} holds other images than the study was begun with; "
                "runs on other images cannot be compared"
            )
        study.set_user_attr(_DATA, now)
