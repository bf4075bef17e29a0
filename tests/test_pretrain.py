"""pretrain: from images to a judged run folder, and on again after anything that can happen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file

from jessl import Embeddings, Pretrain, Run, embed, pretrain, rankme
from jessl.pretraining import Stopped
from jessl.training import checkpoint

SMALL = {
    "encoder": "smallconv:4",
    "size": 8,
    "epochs": 3,
    "batch_size": 16,
    "log_steps": 1,
    "view_options": {"flip": 0.0},
    "workers": 1,
}


def _config(data: Path | str, out: Path, **changes: object) -> Pretrain:
    return Pretrain(**{"data": str(data), "out": str(out), **SMALL, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 labelled images of two kinds: stripes across and stripes down, with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % 2
    stripes = np.tile(np.array([0, 160], np.uint8), (8, 4))
    x = np.stack([stripes if k else stripes.T for k in y]) + rng.integers(
        0, 96, (96, 8, 8), dtype=np.uint8
    )
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, x=x, y=y)
    return path


def _losses(run: Run) -> list[tuple[int | None, object]]:
    return [(r.step, r.value) for r in run.records() if r.name == "loss"]


def _weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.steps(run.checkpoints)[-1][1] / checkpoint.MODEL)


def _same_weights(a: Run, b: Run) -> None:
    one, two = _weights(a), _weights(b)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.fixture(scope="module")
def finished(arrays: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretrain(_config(arrays, tmp_path_factory.mktemp("runs") / "whole"), quiet=True)


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
        assert record.sd is not None
        assert record.sd > 0
        assert record.extra["n"] == 96
    assert finished.finished()
    online = {r.name for r in finished.records() if r.split == "pretrain_sample"}
    assert {"rankme/projector", "rankme/backbone", "accuracy/linear", "accuracy/knn"} <= online
    assert len(_losses(finished)) == 3 * 6


def test_embedding_by_the_run_gives_what_the_run_kept(finished: Run, arrays: Path) -> None:
    found = embed(finished.path, arrays, layers=("backbone", "projector"))
    assert isinstance(found, dict)
    for layer, z in found.items():
        kept = Embeddings.load(finished.embeddings(layer))
        np.testing.assert_allclose(z.features, kept.features, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(z.ids, kept.ids)
        assert z.labels is not None
        assert z.meta["encoder"] == "smallconv:4"


@pytest.mark.parametrize("objective", ["vicreg", "byol"])
def test_stopped_and_resumed_is_bit_for_bit_the_same(
    arrays: Path, tmp_path: Path, objective: str
) -> None:
    whole = pretrain(_config(arrays, tmp_path / "whole", objective=objective), quiet=True)
    config = _config(arrays, tmp_path / "parts", objective=objective)
    calls = iter([False, False, True])
    with pytest.raises(Stopped, match="stopped at step 3; the state is saved"):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    calls = iter([False] * 5 + [True])
    resumed = Pretrain(data=str(arrays), out=str(tmp_path / "parts"), resume=True)
    with pytest.raises(Stopped):
        pretrain(resumed, quiet=True, stop=lambda: next(calls))
    parts = pretrain(resumed, quiet=True)
    assert _losses(parts) == _losses(whole)
    _same_weights(parts, whole)


_KILLED = """
import os, signal, sys
from jessl import Pretrain, pretrain
from jessl.training import loop
data, out, resume = sys.argv[1:]
step = loop.Trainer.take_step
def dying(self, views):
    terms = step(self, views)
    if self.step == 9:  # in the middle of the second epoch of six steps
        os.kill(os.getpid(), signal.SIGKILL)
    return terms
if not int(resume):
    loop.Trainer.take_step = dying
config = Pretrain(data=data, out=out, resume=bool(int(resume)), encoder="smallconv:4", size=8,
                  epochs=3, batch_size=16, log_steps=1, view_options={"flip": 0.0}, workers=1,
                  checkpoint_seconds=0.0)
pretrain(config, quiet=True)
"""


def test_killed_in_an_epoch_and_resumed_is_bit_for_bit_the_same(
    arrays: Path, tmp_path: Path, finished: Run
) -> None:
    def process(resume: int) -> int:
        code = [sys.executable, "-c", _KILLED, str(arrays), str(tmp_path / "run"), str(resume)]
        return subprocess.run(code, capture_output=True).returncode

    assert process(0) == -signal.SIGKILL
    run = Run.open(tmp_path / "run")
    assert not run.finished()
    assert checkpoint.steps(run.checkpoints)[-1][0] == 8
    assert process(1) == 0
    assert _losses(run) == _losses(finished)
    _same_weights(run, finished)


def test_sigterm_saves_and_exits_with_75(arrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable, "-m", "jessl.cli", "pretrain", "--data", str(arrays), "--out", str(out),
        "--encoder", "smallconv:4", "--size", "8", "--epochs", "100000", "--batch-size", "16",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "records.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "go on with --resume" in said
    assert "Traceback" not in said
    assert checkpoint.steps(out / "checkpoints")


def test_resuming_a_finished_run_changes_nothing(finished: Run, arrays: Path) -> None:
    before = (finished.path / "records.jsonl").read_bytes()
    again = pretrain(Pretrain(data=str(arrays), out=str(finished.path), resume=True), quiet=True)
    assert again.path == finished.path
    assert (finished.path / "records.jsonl").read_bytes() == before


def test_a_damaged_last_checkpoint_costs_only_its_steps(arrays: Path, tmp_path: Path) -> None:
    config = _config(arrays, tmp_path / "run")
    calls = iter([False] * 7 + [True])
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    run = Run.open(tmp_path / "run")
    (checkpoint.steps(run.checkpoints)[-1][1] / checkpoint.MODEL).write_bytes(b"torn")
    resumed = pretrain(
        Pretrain(data=str(arrays), out=str(tmp_path / "run"), resume=True), quiet=True
    )
    whole = pretrain(_config(arrays, tmp_path / "whole"), quiet=True)
    assert _losses(resumed) == _losses(whole)
    _same_weights(resumed, whole)


def test_init_continues_from_the_weights_of_a_run(
    finished: Run, arrays: Path, tmp_path: Path
) -> None:
    config = _config(arrays, tmp_path / "next", init=str(finished.path), epochs=1, lr=0.0)
    new = _weights(pretrain(config, quiet=True))
    old = _weights(finished)
    encoder = [k for k in old if k.startswith("encoder.") and k.endswith("weight")]
    assert encoder
    assert all(torch.equal(new[k], old[k]) for k in encoder)


def test_resuming_keeps_what_was_asked_to_be_kept(arrays: Path, tmp_path: Path) -> None:
    config = _config(arrays, tmp_path / "run", keep_checkpoints=0, init=None)
    calls = iter([False] * 10 + [True])
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    (tmp_path / "run" / "views.png").unlink()
    (tmp_path / "run" / "checkpoints" / ".step-000000099.x.part").mkdir()
    run = pretrain(Pretrain(data=str(arrays), out=config.out, resume=True), quiet=True)
    assert [s for s, _ in checkpoint.steps(run.checkpoints)] == [6, 11, 12, 18]
    assert (run.path / "views.png").exists()
    assert not list(run.checkpoints.glob(".*"))


def test_resuming_does_not_need_the_first_weights_again(
    finished: Run, arrays: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first.safetensors"
    first.write_bytes(
        (checkpoint.steps(finished.checkpoints)[-1][1] / checkpoint.MODEL).read_bytes()
    )
    calls = iter([False, True])
    with pytest.raises(Stopped):
        pretrain(
            _config(arrays, tmp_path / "run", init=str(first)),
            quiet=True,
            stop=lambda: next(calls),
        )
    first.unlink()
    resumed = Pretrain(data=str(arrays), out=str(tmp_path / "run"), resume=True)
    assert pretrain(resumed, quiet=True).finished()


def test_dropout_draws_from_the_seed_and_leaves_the_caller_alone(
    arrays: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    changes = {"encoder": "torchvision:mobilenet_v3_small", "epochs": 1, "batch_size": 48}
    runs = [
        pretrain(_config(arrays, tmp_path / name, **changes), quiet=quiet)
        for name, quiet in (("a", True), ("b", False))
    ]
    assert torch.equal(before, torch.get_rng_state())
    assert _losses(runs[0]) == _losses(runs[1])
    _same_weights(*runs)


def test_stopped_while_judging_goes_on_with_judging(arrays: Path, tmp_path: Path) -> None:
    config = _config(arrays, tmp_path / "run", epochs=1)
    calls = iter([False] * 5 + [True])  # five questions in the one epoch of six steps
    with pytest.raises(Stopped, match="while judging"):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    run = Run.open(tmp_path / "run")
    assert not run.finished()
    assert pretrain(Pretrain(data=str(arrays), out=config.out, resume=True), quiet=True).finished()
    names = [r.name for r in run.records() if r.split == "pretrain"]
    assert len(names) == len(set(names))


def test_photographs_without_labels(photos: Path, tmp_path: Path) -> None:
    config = _config(photos, tmp_path / "run", size=32, epochs=1, batch_size=32)
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
    run = pretrain(_config(folder, tmp_path / "run", epochs=1, batch_size=8))
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
        pretrain(_config(tmp_path, tmp_path / "runs" / "a"), quiet=True)
    assert not (tmp_path / "runs").exists()


def test_data_that_moved_resumes(arrays: Path, tmp_path: Path, finished: Run) -> None:
    config = _config(arrays, tmp_path / "run")
    calls = iter([False, True])
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))
    moved = tmp_path / "elsewhere.npz"
    shutil.copy(arrays, moved)
    run = pretrain(Pretrain(data=str(moved), out=config.out, resume=True), quiet=True)
    _same_weights(run, finished)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds no JSON object"),
        ('{"data": "x", "epochs": "many"}', "field epochs of config.json must be"),
        ('{"data": "x", "epohcs": 1}', "did you mean 'epochs'"),
        ("{}", "lacks"),
        ('{"data": "x"', "is not JSON"),
    ],
)
def test_a_damaged_config_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=said):
        pretrain(Pretrain(data="digits", out=str(tmp_path), resume=True), quiet=True)


def test_two_writers_of_one_run_are_kept_apart(finished: Run, arrays: Path) -> None:
    with (
        FileLock(finished.path / ".lock"),
        pytest.raises(ValueError, match="another process is writing"),
    ):
        pretrain(Pretrain(data=str(arrays), out=str(finished.path), resume=True), quiet=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"encoder": "smallconv:8"}, "cannot resume .* with encoder 'smallconv:8'"),
        ({"objective": "simclr"}, "cannot resume .* with objective 'simclr'"),
        ({"epochs": 7}, "cannot resume .* with epochs 7: the run has 3"),
    ],
)
def test_a_run_resumes_with_its_own_settings(
    finished: Run, arrays: Path, changes: dict, said: str
) -> None:
    config = Pretrain(data=str(arrays), out=str(finished.path), resume=True, **changes)
    with pytest.raises(ValueError, match=said):
        pretrain(config, quiet=True)


def test_other_images_do_not_resume(finished: Run, arrays: Path, tmp_path: Path) -> None:
    moved = json.loads((finished.path / "config.json").read_text())
    other = tmp_path / "run"
    other.mkdir()
    moved["chosen"]["data_fingerprint"] = "0" * 16
    (other / "config.json").write_text(json.dumps(moved))
    with pytest.raises(ValueError, match="holds other images or labels"):
        pretrain(Pretrain(data=str(arrays), out=str(other), resume=True), quiet=True)


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
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"size": 4}, "size must be at least 8"),
        ({"lr": float("inf")}, "lr must be at least 0 and finite, got inf"),
        ({"weight_decay": float("nan")}, "weight_decay must be at least 0 and finite, got nan"),
        ({"seed": 2**70}, "seed must be at least 0 and finite"),
        ({"holdout": 95}, "training needs at least 2 images"),
        ({"device": "cuda:7"}, "torch sees 0 GPUs|torch sees . GPUs"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"init": "nowhere.pt"}, "no weights at nowhere.pt"),
        ({"ema_start": 2.0}, r"ema_start must be in \[0, 1\]"),
        ({"stem": "tiny"}, "unknown stem 'tiny'"),
    ],
)
def test_mistakes_are_named_and_leave_nothing(
    arrays: Path, tmp_path: Path, changes: dict, said: str
) -> None:
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=said):
        pretrain(_config(arrays, out, **changes), quiet=True)
    assert not (out / "config.json").exists()


def test_an_output_that_holds_something_is_refused(
    finished: Run, arrays: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="holds a run already; add --resume"):
        pretrain(_config(arrays, finished.path), quiet=True)
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match="a folder with other things in it"):
        pretrain(_config(arrays, tmp_path), quiet=True)
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_a_full_disk_is_one_line_and_loses_nothing(arrays: Path, tmp_path: Path) -> None:
    """A file size limit stands in for the full disk: writes beyond it fail in the same place."""
    out = tmp_path / "run"
    limited = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); " + (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000)); "
        "import sys; from jessl.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [
        sys.executable, "-c", limited, "pretrain", "--data", str(arrays), "--out", str(out),
        "--encoder", "smallconv:16", "--size", "8", "--epochs", "2", "--batch-size", "16",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("jessl pretrain: error:")
    assert not list((out / "checkpoints").glob("step-*"))
    command[2] = "import sys; from jessl.cli import main; sys.exit(main(sys.argv[1:]))"
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert Run.open(out).finished()
