"""A study's plan: what cannot be, what follows from a file, and whether it is the same study."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from jessl import Pretrain
from jessl.config import Sweep
from jessl.sweeps.coordination import Unit
from jessl.sweeps.manifest import check_same
from jessl.sweeps.plan import in_order, plan_sweep, read_toml, sweep_from
from jessl.sweeps.space import key

BASE = Pretrain(data="digits", epochs=2)
LISTS = {"lr": [0.1, 0.2], "epochs": [1, 2, 3]}
RANGES = {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "epochs": {"low": 1, "high": 500}}


def _asked(space: Any = None, **fields: Any) -> Sweep:
    return Sweep(base=BASE, space=LISTS if space is None else space, **fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"space": {}}, "space: expected at least one field"),
        ({"sampler": "gird"}, "unknown sampler 'gird'; did you mean 'grid'"),
        ({"space": RANGES, "sampler": "grid"}, "sampler grid needs lists of values; lr is a range"),
        ({"space": RANGES, "sampler": "each"}, "sampler each needs lists of values; lr is a range"),
        ({"trials": 0}, "trials: expected at least 1, got 0"),
        ({"seeds": ()}, "seeds: expected different numbers from 0 on"),
        ({"seeds": (1, 1)}, "seeds: expected different numbers from 0 on"),
        ({"seeds": (0, -1)}, "seeds: expected a whole number of at least 0, got -1"),
        ({"seeds": (0.5,)}, "seeds: expected a whole number of at least 0, got 0.5"),
        ({"seeds": (True,)}, "seeds: expected a whole number of at least 0, got True"),
        ({"keep_share": 0.0}, r"keep_share: expected a number in \(0, 1\), got 0"),
        ({"keep_share": 1.0}, "keep_share: expected a number in"),
        ({"keep_share": math.nan}, "keep_share: expected a number in .* got nan"),
        ({"grace_epochs": 0}, "grace_epochs: expected at least 1, got 0"),
        ({"by": "rankem"}, "did you mean 'rankme'"),
        ({"by": "rankme/projectr"}, "did you mean 'projector'"),
        ({"scores": ("lidar", "alpha")}, "'alpha'"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_one_line(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        plan_sweep(_asked(**fields))
    assert "\n" not in str(caught.value)


def test_lists_make_a_grid_and_ranges_a_random_search() -> None:
    found = plan_sweep(_asked())
    assert (found.sampler, found.trials, len(found.settings)) == ("grid", 6, 6)
    drawn = plan_sweep(_asked(RANGES))
    assert (drawn.sampler, drawn.trials, len(drawn.settings)) == ("random", 20, 20)
    assert [s["lr"] for s in plan_sweep(_asked(trials=4)).settings] == [0.1, 0.1, 0.1, 0.2]
    assert plan_sweep(_asked(sampler="each", trials=2)).trials == 2
    assert plan_sweep(_asked(trials=100)).trials == 6


@pytest.mark.parametrize("space", [RANGES, {**RANGES, "objective": ["vicreg", "simclr"]}, LISTS])
def test_a_longer_random_search_begins_with_the_shorter_one(space: Any) -> None:
    def keys(trials: int, seed: int = 0) -> list[str]:
        asked = _asked(space, sampler="random", trials=trials, sampler_seed=seed)
        return [key(s) for s in plan_sweep(asked).settings]

    long = keys(40)
    for trials in (1, 3, 17):
        assert keys(trials) == long[:trials]
    assert len(set(long)) == len(long) == (6 if space is LISTS else 40)
    assert keys(40, seed=1) != long


def test_ranges_are_kept_to() -> None:
    space = {
        "lr": {"low": 0.01, "high": 1.0, "log": True},
        "epochs": {"low": 2, "high": 10, "step": 4},
        "objective_options.cov": {"low": 1, "high": 3},
        "weight_decay": {"low": 0, "high": 1, "step": 0.25},
    }
    found = plan_sweep(_asked(space, trials=60)).settings
    assert {s["epochs"] for s in found} == {2, 6, 10}
    assert {s["objective_options.cov"] for s in found} == {1, 2, 3}
    assert all(type(s["epochs"]) is int for s in found)
    assert {s["weight_decay"] for s in found} == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all(0.01 <= s["lr"] <= 1 for s in found)  # type: ignore[operator]
    assert 15 < sum(s["lr"] < 0.1 for s in found) < 45  # type: ignore[operator]


def test_tpe_has_its_settings_to_come() -> None:
    assert plan_sweep(_asked(RANGES, sampler="tpe")).trials == 20
    found = plan_sweep(_asked(LISTS, sampler="tpe", trials=50))
    assert (found.trials, found.settings) == (6, ())


def test_units_are_shuffled_where_runs_are_stopped_and_the_same_way_each_time() -> None:
    units = [Unit({"lr": 0.1 * k}, seed) for k in range(10) for seed in (0, 1)]
    assert in_order(units, _asked()) == units
    found = in_order(units, _asked(prune=True))
    assert found != units
    assert found == in_order(list(reversed(units)), _asked(prune=True))
    assert sorted(u.name for u in found) == sorted(u.name for u in units)
    assert found != in_order(units, _asked(prune=True, sampler_seed=1))


def _json(asked: Sweep) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(asked.as_json()))
    return found


@pytest.mark.parametrize(
    "asked",
    [
        _asked(),
        _asked(RANGES, sampler="tpe", trials=3, seeds=(4, 2), by="nesum/backbone", prune=True),
        _asked({"lr": (0.1, None)}, scores=("lidar", "loss"), test="digits", sampler_seed=3),
        _asked(sampler="each", keep_share=0.25, grace_epochs=2),
    ],
)
def test_a_study_comes_back_from_json(asked: Sweep) -> None:
    stored = _json(asked)
    fields = {k: v for k, v in stored.items() if k not in ("base", "space")}
    back = sweep_from(fields, Pretrain.from_json(stored["base"]), stored["space"])
    assert _json(back) == stored
    assert plan_sweep(back).settings == plan_sweep(asked).settings
    assert {f.name for f in dataclasses.fields(Sweep)} == stored.keys()
    check_same(stored, _json(back), "here")


@pytest.mark.parametrize(
    "grown",
    [
        {"seeds": (1, 0, 2)},
        {"trials": 4},
        {"test": "digits"},
        {"base": dataclasses.replace(BASE, data="elsewhere", device="cpu", workers=3)},
    ],
)
def test_a_study_may_grow_and_move(grown: dict[str, Any]) -> None:
    asked = _asked()
    check_same(_json(asked), _json(dataclasses.replace(asked, **grown)), "here")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seeds": (0,)}, r"seeds \[0, 1\]: it can grow, and not shrink to \[0\]"),
        ({"by": "lidar"}, "another by: 'view_retrieval/backbone', now 'lidar'"),
        ({"prune": True}, "another prune: False, now True"),
        ({"keep_share": 0.25}, "another keep_share: 0.5, now 0.25"),
        ({"sampler": "random"}, "another sampler: None, now 'random'"),
        ({"sampler_seed": 1}, "another sampler_seed: 0, now 1"),
        ({"space": {**LISTS, "lr": [0.1]}}, r"another space.lr: \[0.1, 0.2\], now \[0.1\]"),
        ({"space": {"lr": [0.1, 0.2]}}, r"another space.epochs: \[1, 2, 3\], now None"),
        ({"base": dataclasses.replace(BASE, epochs=9)}, "another base.epochs: 2, now 9"),
        ({"base": dataclasses.replace(BASE, x_key="x")}, "another base.x_key: None, now 'x'"),
        (
            {"by": "lidar", "base": dataclasses.replace(BASE, epochs=9, lr=1.0)},
            "another base.epochs: 2, now 9",  # the first in the order of the alphabet
        ),
    ],
)
def test_another_study_is_refused_naming_what_differs(changed: dict[str, Any], told: str) -> None:
    asked = _asked()
    with pytest.raises(ValueError, match=f"the study in here .*{told}") as caught:
        check_same(_json(asked), _json(dataclasses.replace(asked, **changed)), "in here")
    assert "\n" not in str(caught.value)


GOOD = """
[base]
data = "digits"
epochs = 2
[base.objective_options]
cov = 2
[space]
lr = [0.1, 0.2]
weight_decay = {low = 1e-4, high = 1e-1, log = true}
"objective_options.inv" = [1, 10]
[study]
seeds = 3
sampler = "random"
trials = 5
scores = ["lidar"]
keep_share = 0.25
"""


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(GOOD)
    found = read_toml(path, None)
    assert found.base == Pretrain(data="digits", epochs=2, objective_options={"cov": 2})
    assert (found.seeds, found.sampler, found.trials) == ((0, 1, 2), "random", 5)
    assert (found.scores, found.keep_share) == (("lidar",), 0.25)
    assert len(plan_sweep(found).settings) == 5
    assert read_toml(path, "other").base.data == "other"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[base", "is not TOML"),
        ("a = \xff", "is not TOML"),
        ("[spce]\nlr = [1]", "unknown table of .* 'spce'; did you mean 'space'"),
        ("base = 3", r"expected base to be a table, written \[base\]"),
        ("[[study]]\nseeds = 3", r"expected study to be a table, written \[study\]"),
        ("[space]\nlr = [0.1]", r"\[base\] lacks data; give it there, or --data SRC"),
        ('[base]\ndata = "x"\nepohcs = 3', "'epohcs'; did you mean 'epochs'"),
        ('[base]\ndata = "x"\nepochs = "3"', "epochs .* got '3'"),
        ('[base]\ndata = "x"\nepochs = 1979-05-27', "epochs .* got datetime.date"),
        ('[base]\ndata = "x"\n[study]\nsedes = 3', "unknown field of the study 'sedes'"),
        ('[base]\ndata = "x"\n[study]\nspace = 3', "unknown field of the study 'space'"),
        ('[base]\ndata = "x"\n[study]\nseeds = 0', "seeds: expected their number"),
        ('[base]\ndata = "x"\n[study]\nseeds = true', "seeds: expected their number"),
        ('[base]\ndata = "x"\n[study]\nseeds = 1.5', "seeds: expected their number"),
        ('[base]\ndata = "x"\n[study]\nseeds = [0, "1"]', "seeds: expected their number"),
        ('[base]\ndata = "x"\n[study]\nscores = "lidar"', "scores: expected a list of names"),
        ('[base]\ndata = "x"\n[study]\nscores = [1]', "scores: expected a list of names"),
        (
            '[base]\ndata = "x"\n[study]\nkeep_share = nan',
            "keep_share of the study: expected",
        ),
        ('[base]\ndata = "x"\n[study]\nprune = 1', "prune of the study: expected bool, got 1"),
        ('[base]\ndata = "x"\n[study]\ntrials = 2.0', "trials of the study: expected int"),
        ('[base]\ndata = "x"\n[space]', "space: expected at least one field"),
        ('[base]\ndata = "x"\n[space]\nlr = [1979-05-27]', "lr: expected .* got datetime.date"),
    ],
)
def test_every_mistake_in_a_file_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=told) as caught:
        plan_sweep(read_toml(path, None))
    assert "\n" not in str(caught.value)
