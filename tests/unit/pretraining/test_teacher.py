"""The teacher of a distillation: what it sees, what is kept, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import run_code
from helpers.run_samples import losses, same_weights, small_config
from jessl import Embeddings, Pretrain, Run, embed, open_source, pretrain
from jessl.core.interruption import Stopped
from jessl.encoders import build_encoder
from jessl.pretraining import teacher as teachers

DISTILL = {"objective": "distill", "epochs": 2, "evaluate_epochs": 0, "online_probes": False}


@pytest.fixture(scope="module")
def teacher(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "teacher"
    config = small_config(stripes, out, objective="simclr", epochs=1, evaluate_epochs=0, seed=5)
    return pretrain(config, quiet=True)


@pytest.fixture(scope="module")
def distilled(stripes: Path, teacher: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs") / "distilled"
    return pretrain(small_config(stripes, out, teacher=str(teacher.path), **DISTILL), quiet=True)


def test_the_features_are_those_of_the_plain_images(
    stripes: Path, teacher: Run, distilled: Run
) -> None:
    kept = Embeddings.load(distilled.path / "teacher")
    np.testing.assert_array_equal(kept.features, embed(teacher, stripes).features)
    resolved = distilled.resolved_config()
    assert resolved.objective_options["teacher_dim"] == kept.features.shape[1]
    assert re.fullmatch("[0-9a-f]{64}", str(resolved.teacher_sha256))
    assert kept.meta["key"].startswith(str(resolved.teacher_sha256))
    cosines = [r.value for r in distilled.records() if r.name == "loss/target_cosine"]
    assert cosines
    assert all(-1 <= c <= 1 for c in cosines)


def test_features_that_are_given_train_as_their_encoder_does(
    stripes: Path, teacher: Run, distilled: Run, tmp_path: Path
) -> None:
    embed(teacher, stripes, out=tmp_path / "features")
    config = small_config(stripes, tmp_path / "run", teacher=str(tmp_path / "features"), **DISTILL)
    run = pretrain(config, quiet=True)
    assert losses(run) == losses(distilled)
    same_weights(run, distilled)
    assert not (run.path / "teacher").exists()


def test_targets_are_centred_and_follow_the_ids(stripes: Path) -> None:
    source = open_source(stripes)
    order = np.random.default_rng(0).permutation(96)[:95]  # one image cannot be read
    features = np.random.default_rng(1).normal(3, 1, (95, 4)).astype(np.float32)
    given = Embeddings(features, ids=source.ids[order])
    targets = teachers._align(given, source, refuse_missing=False)
    assert len(targets) == 96
    expected = features - features.mean(axis=0)
    np.testing.assert_allclose(targets[order], expected, atol=1e-5)
    with pytest.raises(ValueError, match="features of all 96 training images, got none of 1, such"):
        teachers._align(given, source, refuse_missing=True)


_KILLED = """
import json, os, signal, sys
from jessl import Pretrain, pretrain
from jessl.extraction.part_folder import PartFolder
from jessl.training.step import Trainer
config, where = json.loads(sys.argv[1]), sys.argv[2]
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "features":
    import jessl.extraction.embed_to_folder as module
    module.PART_ROWS = 0  # in parts, as if there were many images
    write = PartFolder.write
    def write_and_die(self, number, *rest):
        write(self, number, *rest)
        if number == 0:
            die()
    PartFolder.write = write_and_die
else:
    Trainer.take_step = die
import jessl.pretraining.teacher as teacher
teacher._BATCH_SIZE = 48
pretrain(Pretrain(**config), quiet=True)
"""


@pytest.mark.parametrize("where", ["features", "steps"])
def test_killed_and_resumed_is_the_same(
    stripes: Path, teacher: Run, distilled: Run, tmp_path: Path, where: str
) -> None:
    path = tmp_path / "teacher"  # the same weights elsewhere, so that they can go
    shutil.copytree(teacher.path, path)
    config = small_config(stripes, tmp_path / "run", teacher=str(path), **DISTILL)
    killed = run_code(_KILLED, json.dumps(config.as_json()), where)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if where == "steps":
        shutil.rmtree(path)  # the features are complete: the teacher is not opened again
        run = pretrain(Pretrain(data=str(stripes), out=str(tmp_path / "run"), resume=True),
                       quiet=True)  # fmt: skip
    else:
        assert not (tmp_path / "run" / "config.json").exists()
        run = pretrain(config, quiet=True)
    assert losses(run) == losses(distilled)
    same_weights(run, distilled)


def test_other_weights_than_the_run_began_with_are_refused(
    stripes: Path, teacher: Run, distilled: Run, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    shutil.copytree(distilled.path, path)
    records = path / "records.jsonl"
    records.write_text(
        "".join(x for x in records.read_text().splitlines(True) if '"split": "train"' in x)
    )
    shutil.rmtree(path / "teacher")
    config = json.loads((path / "config.json").read_text())
    config["chosen"]["config"]["teacher_sha256"] = "0" * 64
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="expected the weights that the run began with"):
        pretrain(Pretrain(data=str(stripes), out=str(path), resume=True), quiet=True)


def test_stopped_while_the_features_are_computed(
    stripes: Path, teacher: Run, tmp_path: Path
) -> None:
    config = small_config(stripes, tmp_path / "run", teacher=str(teacher.path), **DISTILL)
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: True)


def test_mistakes_are_named(
    stripes: Path, teacher: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(message: str, **changes: object) -> None:
        config = small_config(stripes, tmp_path / "run", **{**DISTILL, **changes})
        with pytest.raises(ValueError, match=message) as refusal:
            pretrain(config, quiet=True)
        assert "\n" not in str(refusal.value)

    run = str(teacher.path)
    refused("teacher: expected an encoder for objective distill .*, got none")
    refused("expected none for objective vicreg", objective="vicreg", teacher=run)
    refused("teacher: unknown timm model 'resnet1'; did you mean", teacher="timm:resnet1")
    refused("teacher: smallconv has no published weights", teacher="smallconv:4")
    refused(
        "teacher_dim: expected the 32 features of",
        teacher=run,
        objective_options={"teacher_dim": 7},
    )
    grey = build_encoder("smallconv:4", size=8, normalisation=((0.5,), (0.2,)))
    monkeypatch.setattr(teachers, "open_encoder", lambda _: (grey, None, {}))
    refused("teacher: expected an encoder of images with 3 channels, got grey with 1",
            teacher="grey")  # fmt: skip
