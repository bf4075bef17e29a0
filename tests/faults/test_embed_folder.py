"""`jessl embed` called again: after a kill, after a full disk, beside another one, when it is done;
and what it says of a damaged checkpoint."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from helpers.commands import run_code
from helpers.run_samples import labelled_images, small_config
from jessl import Embeddings, Run, pretrain
from jessl.cli import main
from jessl.core.files import locked
from jessl.training import checkpoint

LAYERS = ("backbone", "projector")
# ends the command at the n-th sync, or refuses it as a full disk does; n of the first argument
DISTURBED = """
import errno, os, signal, sys
number, kind, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
sync, count = os.fsync, 0
def disturbed(handle):
    global count
    count += 1
    if count == number and kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if count >= number and kind == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sync(handle)
os.fsync = disturbed
from jessl.cli import main
sys.exit(main(words))
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    labelled_images(folder)
    config = small_config(folder / "images.npz", folder / "run", epochs=2, size=8, batch_size=8)
    pretrain(config, quiet=True)
    return folder


def _words(inputs: Path, out: Path, *layers: str) -> list[str]:
    data = str(inputs / "images.npz")
    return ["embed", str(inputs / "run"), "--data", data, "--out", str(out), "--layers", *layers]


def _entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# of two layers some 14 syncs: of files and folders, of the whole, and of the folder around it
@pytest.mark.parametrize(("kind", "number"), [("kill", 2), ("kill", 9), ("full", 1), ("full", 5)])
def test_an_interrupted_embed_is_called_again(
    inputs: Path, tmp_path: Path, kind: str, number: int
) -> None:
    words = _words(inputs, tmp_path / "z", *LAYERS)
    done = run_code(DISTURBED, str(number), kind, *words)
    if kind == "kill":
        assert done.returncode == -signal.SIGKILL
    else:
        assert done.returncode == 2
        assert done.stderr.strip().splitlines()[-1].endswith("z: No space left on device")
    assert main(words) == 0
    assert _entries(tmp_path) == ["z"]
    assert _entries(tmp_path / "z") == list(LAYERS)
    for layer in LAYERS:
        assert len(Embeddings.load(tmp_path / "z" / layer)) == 24


@pytest.mark.parametrize("layers", [LAYERS[:1], LAYERS])
def test_a_complete_result_is_named_as_one(
    inputs: Path, tmp_path: Path, layers: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    words = _words(inputs, tmp_path / "z", *layers)
    assert main(words) == 0
    capsys.readouterr()
    assert main(words) == 2
    line = capsys.readouterr().err.strip()
    assert "holds complete embeddings already (24 rows" in line
    assert "\n" not in line
    if len(layers) == 1:
        return
    (tmp_path / "z" / "projector" / "ids.npy").write_bytes(b"")  # not whole: it is not called so
    assert main(words) == 2
    assert "expected a new or an empty folder" in capsys.readouterr().err


def test_two_embeds_into_one_folder(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "z"):
        assert main(_words(inputs, tmp_path / "z", *LAYERS)) == 2
    line = capsys.readouterr().err.strip()
    assert line.endswith("z; wait for it or stop it")
    assert "\n" not in line


def test_older_weights_are_taken_with_a_note(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(inputs / "run", tmp_path / "run")
    (_, older), (_, newest) = checkpoint.steps(Run.open(tmp_path / "run").checkpoints)[-2:]
    file = newest / checkpoint.MODEL
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    words = ["embed", str(tmp_path / "run"), "--data", str(inputs / "images.npz")]
    assert main([*words, "--out", str(tmp_path / "z")]) == 0
    note = capsys.readouterr().err.strip().splitlines()[-1]
    reason = f"cannot read checkpoint {file}: changed since it was written (SHA-256 differs)"
    step = int(older.name.removeprefix("step-"))
    assert note == f"note: {reason}; the weights of step {step} are taken"
    meta = Embeddings.load(tmp_path / "z").meta
    assert meta["weights"] == f"run run, step {step}"
    assert meta["damaged_checkpoints"] == [reason]
    # a checkpoint that was named itself is not replaced by another one
    words = [
        "embed",
        str(newest),
        "--data",
        str(inputs / "images.npz"),
        "--out",
        str(tmp_path / "y"),
    ]
    assert main(words) == 2
    assert "changed since it was written" in capsys.readouterr().err
    assert not (tmp_path / "y").exists()


def test_weights_of_another_run_that_changed_are_refused(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(inputs / "run", tmp_path / "run")
    _, newest = checkpoint.steps(Run.open(tmp_path / "run").checkpoints)[-1]
    data = bytearray((newest / checkpoint.MODEL).read_bytes())
    data[-3] ^= 4
    (newest / checkpoint.MODEL).write_bytes(data)
    words = ["embed", "smallconv:4", "--init", str(tmp_path / "run"), "--size", "8"]
    assert main([*words, "--data", str(inputs / "images.npz"), "--out", str(tmp_path / "z")]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith(
            f"cannot read weights from {newest / checkpoint.MODEL}: changed since it was written "
            "(SHA-256 differs)"
        )
    )
    assert os.listdir(tmp_path) == ["run"]
