"""pretrain: from images to a judged run folder; every mistake named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.commands import run_code
from helpers.run_samples import losses, same_weights, small_config, weights
from jessl import Embeddings, Pretrain, Run, build_encoder, embed, open_source, pretrain, rankme
from jessl.pretraining.build import build
from jessl.pretraining.defaults import resolve


def test_a_run_holds_all_that_it_promises(finished: Run) -> None:
    names = {p.name for p in finished.path.iterdir()}
    assert {"config.json", "records.jsonl", "checkpoints", "embeddings"} <= names
    assert {"views.png", "neighbours.png"} <= names
    for layer in ("backbone", "projector"):
        z = Embeddings.load(finished.embeddings(layer))
        record = next(
            r for r in finished.records() if r.split == "pretrain" and r.name == f"rankme/{layer}"
        )
        assert record.value == pytest.approx(rankme(z), rel=1e-9)
        assert (record.step, record.epoch) == (18, 3)
        assert record.sd is not None
        assert record.sd > 0
        assert record.extra["n"] == 96
    assert finished.finished()
    online = {r.name for r in finished.records() if r.split == "pretrain_sample"}
    assert {"rankme/projector", "rankme/backbone", "accuracy/linear", "accuracy/knn"} <= online
    assert len(losses(finished)) == 3 * 6


def test_embedding_by_the_run_gives_what_the_run_kept(finished: Run, stripes: Path) -> None:
    found = embed(finished.path, stripes, layers=("backbone", "projector"))
    assert isinstance(found, dict)
    for layer, z in found.items():
        kept = Embeddings.load(finished.embeddings(layer))
        np.testing.assert_allclose(z.features, kept.features, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(z.ids, kept.ids)
        assert z.labels is not None
        assert z.meta["encoder"] == "smallconv:4"


def test_init_continues_from_the_weights_of_a_run(
    finished: Run, stripes: Path, tmp_path: Path
) -> None:
    config = small_config(stripes, tmp_path / "next", init=str(finished.path), epochs=1, lr=0.0)
    new = weights(pretrain(config, quiet=True))
    old = weights(finished)
    encoder = [k for k in old if k.startswith("encoder.") and k.endswith("weight")]
    assert encoder
    assert all(torch.equal(new[k], old[k]) for k in encoder)


def test_dropout_draws_from_the_seed_and_leaves_the_caller_alone(
    stripes: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    changes = {"encoder": "torchvision:mobilenet_v3_small", "epochs": 1, "batch_size": 48}
    changes |= {"evaluate_epochs": 0, "online_probes": False}
    runs = [
        pretrain(small_config(stripes, tmp_path / name, **changes), quiet=quiet)
        for name, quiet in (("a", True), ("b", False))
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert losses(runs[0]) == losses(runs[1])
    same_weights(*runs)


def test_held_out_images_are_not_trained_on() -> None:
    source = open_source("digits")
    cpu = torch.device("cpu")
    parts = build(resolve(Pretrain(data="digits"), source, cpu), source, cpu)
    train, sample = set(parts.train.ids.tolist()), set(parts.sample.ids.tolist())
    assert parts.held_out
    assert (len(train), len(sample)) == (1618, 179)
    assert not train & sample
    few = resolve(Pretrain(data="digits", holdout=0), source, cpu)
    assert set(build(few, source, cpu).train.ids.tolist()) == train | sample


@pytest.mark.parametrize("training", [True, False])
def test_embedding_leaves_an_encoder_as_it_was(stripes: Path, training: bool) -> None:
    encoder = build_encoder("smallconv:4", size=8).train(training)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    one, two = embed(encoder, stripes), embed(encoder, stripes, batch_size=7)
    assert isinstance(one, Embeddings)
    assert isinstance(two, Embeddings)
    assert encoder.training is training
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    np.testing.assert_allclose(one.features, two.features, rtol=1e-5, atol=1e-6)


def test_photographs_without_labels(photos: Path, tmp_path: Path) -> None:
    config = small_config(photos, tmp_path / "run", size=32, epochs=1, batch_size=32)
    run = pretrain(config, quiet=True)
    z = embed(run, photos)
    assert isinstance(z, Embeddings)
    assert (z.n, z.d, z.labels) == (160, 32, None)
    assert not any(r.name.startswith("accuracy") for r in run.records())


def test_a_corrupt_image_is_left_out_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(24):
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    (folder / "7.png").write_bytes(b"\x89PNG broken")
    run = pretrain(small_config(folder, tmp_path / "run", epochs=1, batch_size=8))
    said = capsys.readouterr().err
    assert "1 images cannot be read" in said
    assert "7.png" in said
    assert len(Embeddings.load(run.embeddings("backbone"))) == 23
    record = next(r for r in run.records() if r.name == "unreadable")
    assert record.value == 1


def test_a_run_among_its_images_is_refused(tmp_path: Path) -> None:
    for k in range(8):
        Image.new("RGB", (8, 8), (k, k, k)).save(tmp_path / f"{k}.png")
    with pytest.raises(ValueError, match="lies in the folder of the images"):
        pretrain(small_config(tmp_path, tmp_path / "runs" / "a"), quiet=True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "vicregg"}, "unknown objective 'vicregg'; did you mean 'vicreg'"),
        ({"objective_options": {"covv": 1}}, "did you mean 'cov'"),
        ({"encoder": "smalconv"}, "unknown encoder 'smalconv'; did you mean 'smallconv'"),
        ({"encoder": "resnet18"}, "write timm:resnet18"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'; did you mean 'adamw'"),
        ({"views": "simclrr"}, "did you mean 'simclr'"),
        ({"batch_size": 97}, "batch_size 97 is more than the 96 images"),
        ({"batch_size": 1}, "batch_size: expected at least 2"),
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        ({"size": 4}, "size: expected at least 8"),
        ({"lr": float("inf")}, "lr: expected at least 0 and finite, got inf"),
        ({"weight_decay": float("nan")}, "weight_decay: expected at least 0 and finite, got nan"),
        ({"seed": 2**70}, "seed: expected at least 0 and finite"),
        ({"holdout": 95}, "training needs at least 2 images"),
        ({"device": "cuda:7"}, "expected one of . GPUs that torch sees"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"init": "nowhere.pt"}, "no weights at nowhere.pt"),
        ({"ema_start": 2.0}, r"ema_start: expected a number in \[0, 1\]"),
        ({"stem": "tiny"}, "unknown stem 'tiny'"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    stripes: Path, tmp_path: Path, changes: dict, said: str
) -> None:
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=said):
        pretrain(small_config(stripes, out, **changes), quiet=True)
    assert not (out / "config.json").exists()


def test_an_output_that_holds_something_is_refused(
    finished: Run, stripes: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        pretrain(small_config(stripes, finished.path), quiet=True)
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match="a folder with other things in it"):
        pretrain(small_config(stripes, tmp_path), quiet=True)
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_a_full_disk_is_one_line_and_loses_nothing(stripes: Path, tmp_path: Path) -> None:
    """A file size limit stands in for the full disk: writes beyond it fail in the same place."""
    out = tmp_path / "run"
    code = "import sys; from jessl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    limited = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " + (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000)); "
    )
    command = [
        "pretrain", "--data", str(stripes), "--out", str(out), "--encoder",
        "smallconv:16", "--size", "8", "--epochs", "2", "--batch-size", "16",
    ]  # fmt: skip
    done = run_code(limited + code, *command)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("jessl pretrain: error:")
    assert not list((out / "checkpoints").glob("step-*"))
    again = run_code(code, *command, "--resume")
    assert again.returncode == 0, again.stderr
    assert Run.open(out).finished()
