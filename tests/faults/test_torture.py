"""The quick part of the torture: a few damaged files of each kind, a few kills (`make torture`
does the rest)."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.torture import fuzz, kills, samples
from helpers.torture.targets import IMAGES, TARGETS, Target

# reading is quick for these: all others are left to `make torture`
QUICK = ("features.npy", "features.npz", "features.safetensors", "meta.json", "images.npz",
         "shard.tar", "index.npz", "views.json", "views.toml")  # fmt: skip
SEED = 20


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("torture")
    fuzz.build(folder, QUICK)
    return folder


def test_damaged_files_are_read_or_refused_in_one_line(work: Path) -> None:
    cases = [(name, i) for name in (*IMAGES, *QUICK) for i in range(20 if name in IMAGES else 5)]
    results = list(fuzz.run(work, cases, SEED))
    assert [(r.target, r.number) for r in results] == cases
    assert [r for r in results if r.outcome == fuzz.FAULT] == []
    # damage that no reader notices, or that none bears, would test nothing
    assert {r.outcome for r in results} == {fuzz.READ, fuzz.REFUSED}


def test_damage_repeats(work: Path) -> None:
    for name in ("jpg", "features.npz"):
        assert fuzz.damaged(work, name, 3, SEED) == fuzz.damaged(work, name, 3, SEED)
        assert fuzz.damaged(work, name, 3, SEED) != fuzz.damaged(work, name, 4, SEED)


def _reader(kind: str) -> object:
    def use(folder: Path) -> None:
        if kind == "crash":
            raise TypeError("'NoneType' is not a number")
        if kind == "stranger":
            (folder.parent / fuzz.STRANGERS[0]).unlink()
        if kind == "change":
            (folder / "x.ppm").write_bytes(b"")

    return use


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("crash", "TypeError: 'NoneType' is not a number"),
        ("stranger", "touched .holiday.jpg.part"),
        ("change", "changed x.ppm"),
    ],
)
def test_the_oracle_sees_faults(
    kind: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = Target("ppm", "x.ppm", TARGETS["ppm"].mutate, _reader(kind))  # type: ignore[arg-type]
    monkeypatch.setitem(TARGETS, "ppm", spoilt)
    case = fuzz.one(tmp_path, tmp_path, "ppm", 0, SEED)
    assert case.outcome == fuzz.FAULT
    assert detail in case.detail


def test_samples_are_sound(work: Path, tmp_path: Path) -> None:
    for kind in IMAGES:
        for data in samples.images(kind):
            (tmp_path / f"x.{kind}").write_bytes(data)
            TARGETS[kind].use(tmp_path)
    for name in QUICK:
        TARGETS[name].use(work / "sound" / TARGETS[name].builder)


def test_killed_packings_go_on(tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    kills.prepare(inputs)
    undisturbed = kills.reference("pack", inputs, tmp_path)
    assert undisturbed.operations > 20
    for number in range(4):
        trial = kills.trial("pack", number, inputs, tmp_path, undisturbed, SEED)
        assert trial.fault == "", trial
        assert trial.way == kills.WAYS[number]


def test_differences_are_seen() -> None:
    want = {"runs": {"a": {"weights": "1", "records": ["x", "y"]}}}
    assert kills.difference(want, want) == ""
    assert "/runs/a/weights: 1 and 2" in kills.difference(
        want, {"runs": {"a": {"weights": "2", "records": ["x", "y"]}}}
    )
    doubled = {"runs": {"a": {"weights": "1", "records": ["x", "x", "y"]}}}
    assert "2 and 3 entries" in kills.difference(want, doubled)


def test_trials_are_divided_by_weight() -> None:
    trials = kills.plan(200)
    assert len(set(trials)) == 200
    counts = {job: sum(name == job for name, _ in trials) for job in kills.JOBS}
    assert counts["pretrain"] > counts["sweep"] > counts["demo"] > 0
    assert kills.plan(10, ["pack"]) == [("pack", i) for i in range(10)]
