"""`demo`, `sweep` and `select` take the same run from the same table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jessl import Pretrain, Run, select, sweep
from jessl.cli.main import main
from jessl.core.log import SILENT
from jessl.demo import demo
from jessl.recipes.studies import digits_sweep
from jessl.records import Record, append
from jessl.report import write_table
from jessl.sweeps import worker

# what a pretraining decides where the study leaves it open
DECIDED = {
    "encoder": "smallconv",
    "size": 8,
    "epochs": 1,
    "batch_size": 8,
    "holdout": 0,
    "lr": 0.1,
    "weight_decay": 0.0,
    "warmup_epochs": 0.0,
    "channels_last": False,
    "compile": False,
    "evaluate_epochs": 1,
    "checkpoint_epochs": 1,
    "log_steps": 1,
}
VALUES = {"cov": (0.01, 1.0, 10.0, 100.0), "temperature": (0.05, 0.15, 0.5, 2.0)}
# RankMe at the four values, half the distance between the two seeds, and the place of the choice
Table = tuple[tuple[float, float, float, float], float, int]
TABLES: dict[str, tuple[Table, Table]] = {  # of VICReg and of SimCLR
    "plateaus up to the largest value and down to the smallest": (
        ((10, 40, 60, 60.5), 0.5, 2),
        ((60.5, 60, 40, 10), 0.5, 1),
    ),
    "a plateau inside, and one that is everything": (
        ((10, 60, 60.5, 20), 0.5, 2),
        ((60, 60.2, 60.5, 60.1), 3.0, 2),
    ),
    "equal values": (((10, 60, 60, 60), 0.0, 1), ((60, 60, 60, 60), 0.0, 0)),
    "a single peak, and seeds that differ by more than values": (
        ((10, 60, 40, 20), 0.5, 1),
        ((10, 40, 60, 60.5), 15.0, 3),
    ),
}


def _trains(tables: tuple[Table, Table]) -> Callable[..., None]:
    """A training that takes no time and ends with the RankMe of its setting."""

    def pretrain(config: Pretrain, **_: object) -> None:
        (option, value), *_ = config.objective_options.items()
        place = VALUES[option].index(value)
        ranks, spread, _ = tables[0 if option == "cov" else 1]
        run = Run(Path(str(config.out)))
        decided = {k: v for k, v in DECIDED.items() if getattr(config, k) is None}
        resolved = dataclasses.replace(config, **decided)
        run.write_config(config, resolved, {"dim": 64, "data_fingerprint": "images"})
        rank = float(ranks[place] + (spread if config.seed else -spread))
        for layer in ("projector", "backbone"):
            end = {"value": rank, "sd": 0.1, "extra": {"n": 400, "d": 64}, "split": "pretrain"}
            append(run.path, [Record(run=run.name, name=f"rankme/{layer}", **end)])
        end |= {"value": rank / 1000, "sd": 1e-4}
        append(run.path, [Record(run=run.name, name="view_retrieval/backbone", **end)])

    return pretrain


@pytest.mark.parametrize("table", TABLES)
def test_demo_sweep_and_select_take_the_same_run(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = TABLES[table]
    monkeypatch.setattr(worker, "pretrain", _trains(tables))
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x)
    data = str(tmp_path / "x.npz")

    of_demo = demo(data, out=tmp_path / "demo", epochs=1, workers=1, log=SILENT)
    study = digits_sweep(data)
    of_sweep = sweep(study, tmp_path / "sweep", log=SILENT)
    csv = write_table(tmp_path / "sweep", tmp_path / "table.csv")
    of_runs, of_table = select(tmp_path / "demo" / "runs"), select(csv)

    runs = {g["method"]: g["chosen_run"] for g in of_demo["groups"]}
    assert runs == {g.method: g.chosen_run for g in of_sweep.groups}
    assert runs == {method: Path(path).name for method, path in of_runs.chosen.items()}
    assert runs == of_table.chosen
    # view retrieval chooses the best value, RankMe the first one that reaches the plateau
    chosen = {g["parameter"]: g["chosen"] for g in of_demo["groups"]}
    ranks = {"cov": tables[0][0], "temperature": tables[1][0]}
    assert chosen == {name: VALUES[name][r.index(max(r))] for name, r in ranks.items()}
    by_rank = select(tmp_path / "demo" / "runs", by="rankme")
    assert by_rank.chosen == {
        method: str(tmp_path / "demo" / "runs" / Path(path).name)
        for method, path in select(csv, by="rankme").chosen.items()
    }
    places = {"vicreg": ("cov", tables[0][2]), "simclr": ("temperature", tables[1][2])}
    for group in by_rank.groups:
        name, place = places[group.name]
        fields = next(s.fields for s in group.settings if s.chosen)
        assert fields == {f"objective_options.{name}": VALUES[name][place]}
    # the command line continues both studies and keeps the choice
    assert main(["sweep", str(tmp_path / "sweep"), "--json"]) == 0
    assert main(["report", str(tmp_path / "demo")]) == 0
