"""Trainings of a claim: tuned on validation images, measured once, continued after a kill."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from jessl.claims import contrasts, run, units
from jessl.claims.claim import Claim, parse_claim
from jessl.claims.experiments import Experiment, load_experiment
from jessl.claims.rows import read_rows

TABLE = {
    "sentence": "Training helps",
    "paper": "ours",
    "place": "here",
    "comparison": "trained minus untrained",
    "source": "experiment",
    "experiment": "tiny",
    "contrasts": [
        {"arm": "simclr", "against": "untrained", "rule": "more", "smallest": 1},
        {"arm": "simclr", "against": "pixels", "smallest": 1, "measures": ["linear"]},
    ],
}


@pytest.fixture(scope="module")
def claim() -> Claim:
    return parse_claim("tiny", TABLE)


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> Experiment:
    whole = load_experiment("small_simclr")
    tiny = dataclasses.replace(
        whole,
        name="tiny",
        base={**whole.base, "encoder": "smallconv:4", "epochs": 1, "batch_size": 16, "size": 16},
        data={"cifar10": whole.data["cifar10"]},
        arms={"simclr": {"objective": "simclr"}},
        settings={"simclr": ({"lr": 1e-3}, {"lr": 1e-2})},
        seeds=(0, 1, 2),
        draws=2,
        shots=2,
    )

    def load(name: str, *, quick: bool = False) -> Experiment:
        return dataclasses.replace(tiny, seeds=tiny.seeds[:2]) if quick else tiny

    monkeypatch.setattr(run, "load_experiment", load)
    return tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, n in (("train", 60), ("test", 30)):
        y = np.arange(n) % 2
        x = rng.integers(0, 120, (n, 8, 8, 3)) + 120 * y[:, None, None, None]
        np.savez(folder / f"cifar10-{split}.npz", x=x.astype(np.uint8), y=y)
    return folder


def _measured(monkeypatch: pytest.MonkeyPatch, *, fail_after: int | None = None) -> list[str]:
    """Replace training and probes by numbers of the seed; the names of what was measured."""
    keys: list[str] = []

    def measure(unit, experiment, images, folder, stop) -> None:
        if fail_after is not None and len(keys) == fail_after:
            raise KeyboardInterrupt
        keys.append(unit.key)
        rng = np.random.default_rng(unit.seed)
        chance = 0.9 if unit.arm == "simclr" else 0.5
        correct = {
            name: (rng.random(200) < chance).astype(np.float32) for name in ("linear", "2-shot")
        }
        np.savez(folder / units.CORRECT, **correct)
        accuracy = {"linear": dict(unit.fields).get("lr", 0.0)}
        result = {"accuracy": accuracy, "seconds": 1.0, "seed": unit.seed}
        (folder / units.RESULT).write_text(json.dumps(result))

    monkeypatch.setattr(units, "measure", measure)
    return keys


def test_a_killed_call_continues_where_it_was(
    claim: Claim, experiment: Experiment, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folders = {"records": tmp_path / "rows", "work": tmp_path / "work", "data": data}
    with monkeypatch.context() as patch:
        first = _measured(patch, fail_after=4)
        with pytest.raises(KeyboardInterrupt):
            run.run_claim(claim, **folders)
    assert not (tmp_path / "rows").exists()
    second = _measured(monkeypatch)
    row = run.run_claim(claim, **folders)
    # two settings, three seeds of the better one, three untrained nets, pixels once
    assert len(first) == 4
    assert len({*first, *second}) == len(first) + len(second) == 2 + 3 + 3 + 1
    assert row.outcome == "holds"
    assert row.parts[0].name == "simclr minus untrained, cifar10, linear"
    assert row.seconds == 9.0
    assert any("chosen: lr 0.01" in note for note in row.notes)
    assert read_rows(tmp_path / "rows")["tiny"] == row
    assert "**holds**" in (tmp_path / "rows" / "tiny.md").read_text()
    third = _measured(monkeypatch)
    run.run_claim(claim, **folders)
    assert third == []


def test_the_small_size_has_fewer_seeds_and_their_trainings_are_kept(
    claim: Claim, experiment: Experiment, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folders = {"records": tmp_path / "rows", "work": tmp_path / "work", "data": data}
    quick = _measured(monkeypatch)
    row = run.run_claim(claim, quick=True, **folders)
    # two settings, two seeds of the better one, two untrained nets, pixels once
    assert len(quick) == 2 + 2 + 2 + 1
    assert row.parts[0].n.startswith("2 seeds")
    whole = _measured(monkeypatch)
    row = run.run_claim(claim, **folders)
    assert len(whole) == 2
    assert row.parts[0].n.startswith("3 seeds")
    # the row of the full size stays
    small = run.run_claim(claim, quick=True, **folders)
    assert small.scale == "quick"
    assert read_rows(tmp_path / "rows")["tiny"] == row
    assert read_rows(tmp_path / "work" / run.SMALL_ROWS)["tiny"] == small
    named = load_experiment("small_simclr")
    few = load_experiment("small_simclr", quick=True)
    assert few.seeds == named.seeds[:3]
    assert few.seeds != named.seeds


def test_the_gain_of_a_perceptron_is_paired_by_image(
    experiment: Experiment, tmp_path: Path
) -> None:
    with_mlp = dataclasses.replace(experiment, mlp={"hidden": "8"})
    table = {
        **TABLE,
        "contrasts": [
            {
                "arm": "simclr",
                "against": "untrained",
                "rule": "more",
                "smallest": 1,
                "measures": ["mlp gain"],
            }
        ],
    }
    for arm in ("simclr", "untrained"):
        tuning = with_mlp.tuning_units("cifar10", arm)
        setting = {"lr": 1e-2} if tuning else {}
        for unit in [*tuning, *with_mlp.final_units("cifar10", arm, setting)]:
            folder = tmp_path / unit.key
            folder.mkdir()
            # of all images the perceptron gets a fifth more with simclr, a tenth more without
            counts = (30, 50) if arm == "simclr" else (20, 30)
            linear, mlp = ((np.arange(100) < n).astype(np.float32) for n in counts)
            np.savez(folder / units.CORRECT, **{"linear": linear, "MLP": mlp, "2-shot": linear})
            result = {"accuracy": {"linear": dict(unit.fields).get("lr", 0.0)}, "seconds": 1.0}
            (folder / units.RESULT).write_text(json.dumps(result))
    parts, _, missing = contrasts.contrast_parts(
        parse_claim("gain", table), with_mlp, tmp_path, True
    )
    assert not missing
    assert parts[0].name == "simclr minus untrained, cifar10, MLP minus linear"
    assert parts[0].effect == pytest.approx(10)


def test_test_images_are_classified_by_final_units_only(
    experiment: Experiment, data: Path, tmp_path: Path
) -> None:
    images = units.open_images(experiment.data["cifar10"], data, experiment.validation_share)
    assert (len(images.fit), len(images.validation), len(images.test)) == (48, 12, 30)
    assert not set(images.fit.ids) & set(images.validation.ids)
    tuned, *_ = experiment.tuning_units("cifar10", "simclr")
    units.run_units([tuned], experiment, {"cifar10": images}, tmp_path)
    result = json.loads((tmp_path / tuned.key / units.RESULT).read_text())
    assert set(result["accuracy"]) == {"linear"}
    assert not (tmp_path / tuned.key / units.CORRECT).exists()
    assert not (tmp_path / tuned.key / "run").exists()
    untrained = experiment.final_units("cifar10", "untrained", {})[0]
    units.run_units([untrained], experiment, {"cifar10": images}, tmp_path)
    with np.load(tmp_path / untrained.key / units.CORRECT) as held:
        assert {name: held[name].shape for name in held} == {"linear": (30,), "2-shot": (30,)}
    with_mlp = dataclasses.replace(
        experiment, name="mlp", mlp={"hidden": "8", "weight_decay": 1.0, "epochs": 1}
    )
    other = dataclasses.replace(untrained, experiment="mlp")
    units.run_units([other], with_mlp, {"cifar10": images}, tmp_path)
    folder = tmp_path / other.key
    with np.load(folder / units.CORRECT) as held:
        assert set(held) == {"linear", "2-shot", "MLP"}
    assert not contrasts.arm_is_done(experiment, "cifar10", "simclr", tmp_path)


def test_the_same_budget_and_other_seeds(experiment: Experiment) -> None:
    whole = load_experiment("small_simclr")
    assert {len(settings) for settings in whole.settings.values()} == {4}
    assert whole.tuning_seed not in whole.seeds
    assert len(whole.seeds) >= 3
    # a change of the training is another unit, the name of its arm is not
    one = whole.tuning_units("cifar10", "batch-128")[0]
    assert one.key == dataclasses.replace(one, arm="other").key
    assert one.key != dataclasses.replace(one, seed=1).key


def test_a_data_set_without_a_source_asks_for_the_folder(tmp_path: Path) -> None:
    solar = load_experiment("small_simclr").data["solar"]
    with pytest.raises(ValueError, match=r"--data: expected a folder with solar-train\.npz"):
        units.open_images(solar, tmp_path, 0.2)
