"""select: per method, by the final RankMe, with doubts told."""

from __future__ import annotations

from pathlib import Path

import pytest

from jessl import Pretrain, Run, select
from jessl.records import Record, append


def _run(
    folder: Path,
    method: str,
    rank: float,
    *,
    sd: float = 0.1,
    n: int = 100,
    d: int = 8,
    warnings: tuple[str, ...] = (),
) -> Run:
    run = Run(folder)
    config = Pretrain(data="digits", objective=method)
    run.write_config(config, config, {"dim": d, "data_fingerprint": f"{n}"})
    for layer, value in (("projector", rank), ("backbone", 20 - rank)):
        append(
            folder,
            [
                Record(
                    run=run.name,
                    name=f"rankme/{layer}",
                    value=value,
                    sd=sd,
                    split="pretrain",
                    extra={"n": n, "d": d, "warnings": list(warnings)},
                )
            ],
        )
    return run


def test_each_method_has_its_own_best(tmp_path: Path) -> None:
    for name, method, rank in (("a", "vicreg", 5.0), ("b", "vicreg", 7.0), ("c", "simclr", 3.0)):
        _run(tmp_path / name, method, rank)
    found = select([tmp_path])
    assert found.chosen == {"simclr": str(tmp_path / "c"), "vicreg": str(tmp_path / "b")}
    assert [c.run for c in found.ranking] == ["c", "b", "a"]
    assert [c.chosen for c in found.ranking] == [True, True, False]
    assert found.warnings == ()
    by_backbone = select([tmp_path / "a", tmp_path / "b"], by="rankme_backbone")
    assert by_backbone.chosen == {"vicreg": str(tmp_path / "a")}


def test_doubts_are_told(tmp_path: Path) -> None:
    _run(tmp_path / "a", "vicreg", 5.0, sd=0.5)
    _run(tmp_path / "b", "vicreg", 5.5, sd=0.5, n=50, d=16)
    told = "\n".join(select([tmp_path]).warnings)
    assert "differ in n (50 to 100)" in told
    assert "differ in d (8 to 16)" in told
    assert "trained on different images" in told
    assert "within two standard deviations (0.50 apart" in told


def test_what_holds_of_every_run_is_told_once(tmp_path: Path) -> None:
    _run(tmp_path / "a", "vicreg", 5.0, warnings=("the loss drives it", "only of a"))
    _run(tmp_path / "b", "vicreg", 9.0, warnings=("the loss drives it",))
    assert select([tmp_path]).warnings == ("vicreg: the loss drives it",)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a run"):
        select([tmp_path / "nothing"])
    with pytest.raises(ValueError, match="at least one run"):
        select([])
    run = Run(tmp_path / "unfinished")
    run.write_config(Pretrain(data="x"), Pretrain(data="x"), {})
    with pytest.raises(ValueError, match="no training was finished"):
        select([run])
    _run(tmp_path / "a", "vicreg", 5.0)
    found = select([tmp_path, tmp_path / "a"])
    assert [c.run for c in found.ranking] == ["a"]
    assert "left out, not finished" in found.warnings[0]
    with pytest.raises(ValueError, match="unknown by 'rankm'; did you mean 'rankme'"):
        select([run], by="rankm")
