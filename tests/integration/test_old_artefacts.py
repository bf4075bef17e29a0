"""What an older jessl left on disk is opened by this one, by public names alone.

The folder artefacts was written by jessl at commit faa8470 (its pictures, pages, locks and the
weights of the study's runs are left out); paths in it are relative to it.
"""

from __future__ import annotations

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import jessl
from jessl.cli import main
from jessl.core.log import Log
from jessl.views import presets

ARTEFACTS = Path(__file__).parent / "artefacts"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the artefacts, which is the working directory."""
    folder = tmp_path / "artefacts"
    shutil.copytree(ARTEFACTS, folder)
    monkeypatch.chdir(folder)
    return folder


def files(folder: str, pattern: str = "*") -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(Path(folder).rglob(pattern)) if p.is_file()}


def embedded(path: str, layer: str) -> jessl.Embeddings:
    found = jessl.embed(path, "digits.npz", layers=(layer,), workers=1)
    assert isinstance(found, jessl.Embeddings)
    return found


def test_a_finished_run_says_so_and_stays_as_it_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = jessl.Run.open("run")
    assert run.finished()
    before = files("run", "*.safetensors") | files("run", "*.jsonl")
    again = jessl.pretrain(replace(run.config(), resume=True))
    assert "run is finished: nothing to resume" in capsys.readouterr().err
    assert again.path == run.path
    assert files("run", "*.safetensors") | files("run", "*.jsonl") == before


def test_configuration_and_records_of_a_run(here: Path) -> None:
    run = jessl.Run.open("run")
    chosen, facts = run.resolved_config(), run.facts()
    assert (chosen.objective, chosen.encoder, chosen.size) == ("simclr", "smallconv:1", 8)
    assert chosen.objective_options == {"projector": "8"}
    assert (facts["dim"], facts["total_steps"]) == (8, 8)
    assert facts["data_fingerprint"] == "32b78139904cce97"
    records = run.records()
    assert len(records) == 52
    [final] = [r for r in records if (r.split, r.name) == ("pretrain", "rankme/projector")]
    assert (final.value, final.sd) == (
        pytest.approx(2.62945482087008),
        pytest.approx(0.06890843942008414),
    )


def test_the_weights_of_a_run_give_its_embeddings(here: Path) -> None:
    run = jessl.Run.open("run")
    for layer in ("backbone", "projector"):
        kept = jessl.Embeddings.load(run.embeddings(layer))
        for path in ("run", "run/checkpoints/step-000000008"):
            found = embedded(path, layer)
            np.testing.assert_allclose(found.features, kept.features, rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(found.ids, kept.ids)
            np.testing.assert_array_equal(found.labels, kept.labels)  # type: ignore[arg-type]
    chosen = jessl.select_checkpoints(run, by="rankme", workers=1)
    assert (chosen.chosen, chosen.rule) == (
        "run/checkpoints/step-000000008",
        "epoch 2 is the best",
    )
    assert chosen.checkpoints[0].value == pytest.approx(2.62945482087008)


def test_a_stopped_run_goes_on_to_the_same_end(here: Path) -> None:
    """The same training as that of run, stopped after 6 of its 8 steps."""
    stopped = jessl.Run.open("stopped")
    assert not stopped.finished()
    jessl.pretrain(replace(stopped.config(), resume=True), quiet=True)
    assert stopped.finished()
    for layer in ("backbone", "projector"):
        whole = jessl.Embeddings.load(jessl.Run.open("run").embeddings(layer))
        found = jessl.Embeddings.load(stopped.embeddings(layer))
        np.testing.assert_allclose(found.features, whole.features, rtol=1e-3, atol=1e-4)


def test_a_new_run_begins_with_the_weights_of_an_old_one(here: Path) -> None:
    """Without a learning rate they stay."""
    old = jessl.Run.open("run").config()
    jessl.pretrain(replace(old, out="next", init="run", epochs=1, lr=0.0), quiet=True)
    before, after = (
        load_file(next(Path(run, "checkpoints").glob("step-*/model.safetensors")))
        for run in ("run", "next")
    )
    names = [k for k in before if k.startswith("encoder.") and k.endswith("weight")]
    assert names
    for name in names:
        np.testing.assert_array_equal(after[name], before[name])


def test_embeddings(here: Path) -> None:
    train, test = (jessl.Embeddings.load(f"embeddings/{name}") for name in ("train", "test"))
    assert (train.n, test.n, train.d) == (60, 30, 6)
    assert train.meta == {
        "classes": ["cat", "dog", "eel"],
        "layer": "backbone",
        "encoder": "none",
    }
    assert train.labels is not None
    assert train.groups is not None
    assert train.labels[:4].tolist() == [0, 1, 2, 0]
    assert train.ids[:3].tolist() == [1000, 1001, 1002]
    assert train.groups[:4].tolist() == [0, 0, 0, 1]
    assert train.checksum().startswith("b2464f11e2a26933")
    assert jessl.probe(train, test, kind="ridge").error == pytest.approx(11 / 30)


def test_embeddings_of_views(here: Path) -> None:
    z = jessl.Embeddings.load("embeddings/views")
    assert (z.n, z.d, len(np.unique(z.ids))) == (144, 8, 48)
    found = jessl.score(z, ("lidar", "alignment"))
    assert found["lidar"].value == pytest.approx(6.567965231727753, rel=1e-6)
    assert found["alignment"].value == pytest.approx(0.07852406554807138, rel=1e-6)


def test_the_state_of_a_spectrum(here: Path) -> None:
    packed = Path("spectrum.safetensors.gz").read_bytes()
    Path("spectrum.safetensors").write_bytes(gzip.decompress(packed))
    state = jessl.Spectrum.load("spectrum.safetensors")
    assert (state.n, state.counts.tolist()) == (90, [26, 34, 30])
    assert state.rankme() == pytest.approx(5.932081316901885)


def test_packed_shards(here: Path) -> None:
    source = jessl.open_source("shards")
    assert (len(source), source.classes) == (4, ("cat", "dog"))
    assert np.asarray(source.labels).tolist() == [0, 0, 1, 1]
    assert np.asarray(source.ids)[:2].tolist() == [7983480940272155929, 9082137006165132788]
    assert source.fingerprint() == "135b89b2fd8f75d8"
    image = source.read(0)
    assert image.shape == (12, 18, 3)
    assert image[::6, ::6, 0].tolist() == [[121, 243, 210], [79, 69, 104]]


def test_recipes_of_views(here: Path) -> None:
    own = presets.load("views.toml")
    assert [(v.size, v.apart_from) for v in own.recipes] == [(16, None), (8, 0)]
    assert own.recipes[1].noise_sigma == (0.05, 0.1)
    batch = next(iter(jessl.Loader("digits.npz", own, 4, workers=1)))
    assert [tuple(v.shape) for v in batch.views] == [(4, 3, 16, 16), (4, 3, 8, 8)]
    of_run = presets.load("run/views.json")
    assert [(v.size, v.jitter, v.gray) for v in of_run.recipes] == [(8, 0.8, 0.2)] * 2


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("plateau.csv", "d"),
        ("study", "study/runs/temperature5-s0"),
        ("study/table.csv", "temperature5-s0"),
    ],
)
def test_a_choice_among_old_runs_and_tables(here: Path, asked: str, chosen: str) -> None:
    found = jessl.select(asked)
    assert found.chosen == {"simclr": chosen}
    if asked == "plateau.csv":
        choice = found.groups[0].choices[0]
        assert "first value that reaches it" in choice.rule
        assert choice.regret is not None
        assert choice.regret.regret == pytest.approx(0.1)
    else:
        means = [setting.mean for setting in found.groups[0].settings]
        assert means == [pytest.approx(3.2108673544519686), pytest.approx(2.5615851775730745)]


@pytest.mark.parametrize("study", ["study", "journal"])
def test_a_finished_study_has_nothing_more_to_do(here: Path, study: str) -> None:
    """Of both storages; the runs of the journal are those of the other study."""
    if study == "journal":
        shutil.copytree("study/runs", "journal/runs")
    before = files(f"{study}/runs")
    lines: list[str] = []
    told = jessl.sweep(None, study, log=Log(lines.append))
    assert "2 runs, 2 of them ended before" in lines[0]
    assert len(lines) == 1
    assert {k: v for k, v in files(f"{study}/runs").items() if k in before} == before
    assert (told["outcomes"], told["chosen_run"]) == ({"finished": 2}, "temperature5-s0")
    run = told["runs"]["temperature0.1-s0"]
    assert run["params"] == {"objective_options.temperature": 0.1}


def test_pages_and_tables_of_old_folders(here: Path) -> None:
    for folder, word in (("run", "simclr"), ("study", "temperature")):
        page = jessl.write_report(folder).read_text(encoding="utf-8")
        assert "<html" in page
        assert word in page
    old = Path("study/table.csv").read_text().splitlines()
    assert main(["report", "study", "--table", "new.csv"]) == 0
    new = Path("new.csv").read_text().splitlines()
    assert set(old[0].split(",")) <= set(new[0].split(","))
    assert len(new) == len(old) == 3


def test_the_json_of_a_decomposition(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = ["--train", "embeddings/train", "--test", "embeddings/test"]
    assert main(["decompose", *pair, "--probe", "ridge", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    old = json.loads(Path("decomposition.json").read_text())
    assert found.keys() - {"conclusion", "next"} == old.keys()
    assert old["risk"]["value"] == pytest.approx(11 / 30)
    for name in ("usability", "probe_generalization", "encoder_generalization", "risk"):
        assert found[name] == pytest.approx(old[name], abs=1e-9)
