"""Packing that is refused, killed, stopped, or out of room; nothing whole is lost."""

from __future__ import annotations

import errno
import io
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.commands import run_code
from jessl.cli.main import main
from jessl.core.files import locked
from jessl.core.interruption import Stopped
from jessl.core.progress import ProgressBar
from jessl.data import open_source
from jessl.data.packing import pack as packing
from jessl.data.packing.pack import pack
from jessl.data.packing.shard_writer import ShardFile
from jessl.data.sources.shard_checksums import VERIFIED

N = 30
OPTIONS = {"shard_mb": 0.02, "workers": 2}


def encoded(side: int) -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A file of images of which a shard of 20 kB takes four or so."""
    images = np.random.default_rng(1).integers(0, 256, (N, 30, 30, 3), dtype=np.uint8)
    np.savez(tmp_path / "in.npz", x=images, y=np.arange(N) % 3)
    return tmp_path / "in.npz"


def files(out: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in out.iterdir()
        if path.is_file() and path.name != VERIFIED
    }


def whole(data: Path) -> dict[str, bytes]:
    """What a packing leaves that nothing has interrupted."""
    pack(data, data.parent / "whole", **OPTIONS)  # type: ignore[arg-type]
    return files(data.parent / "whole")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shards": {}}, "shards: expected list, got {}"),
        ({"shards": [[]]}, r"shards\[0\]: expected an object, got list"),
        ({"version": None}, "version: expected int, got None"),
        ({"index": {"file": 1}}, "index.file: expected str, got 1"),
        ({"images": 29}, "changed since it was written"),
    ],
)
def test_a_damaged_manifest_is_named(
    data: Path, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    whole(data)
    path = tmp_path / "whole" / "manifest.json"
    stored = json.loads(path.read_text()) | change
    if "images" not in change:
        del stored["manifest_sha256"]  # as in those of earlier releases
    path.write_text(json.dumps(stored))
    for use in (
        lambda: pack(data, tmp_path / "whole", **OPTIONS),  # type: ignore[arg-type]
        lambda: open_source(tmp_path / "whole"),
    ):
        with pytest.raises(ValueError, match=rf"manifest\.json: {reason}") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_disk_that_is_full_after_the_first_shard(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard is in its place and its index is not: the folder is still ours."""
    out = tmp_path / "out"

    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(packing, "write_index", full)
        with pytest.raises(OSError, match="No space left"):
            pack(data, out, **OPTIONS)  # type: ignore[arg-type]
    assert [path.name for path in out.glob("*.tar")] == ["shard-000000.tar"]
    pack(data, out, **OPTIONS)  # type: ignore[arg-type]
    assert files(out) == whole(data)


def test_killed_in_the_middle_of_a_shard(data: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from jessl.data.packing.pack import pack\n"
        "def die(done, total):\n"
        "    if done == 16:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "pack(sys.argv[1], sys.argv[2], shard_mb=0.02, workers=2, progress=die)\n"
    )
    out = tmp_path / "out"
    done = run_code(code, str(data), str(out))
    assert done.returncode == -signal.SIGKILL
    before = sorted(path.name for path in out.glob("*.tar"))
    assert before == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"][: len(before)]
    assert before
    assert [*out.glob(".*.part")]
    assert not (out / "manifest.json").exists()
    assert "unfinished packing" in open_source(out).notes[0]
    times = {name: (out / name).stat().st_mtime_ns for name in before}
    result = pack(data, out, **OPTIONS)  # type: ignore[arg-type]
    assert result.resumed == len(before)
    assert {name: (out / name).stat().st_mtime_ns for name in before} == times
    assert files(out) == whole(data)
    assert not [*out.glob(".*.part"), *out.glob(".packing")]
    assert open_source(out).notes == ()


@pytest.mark.parametrize("when", range(1, N + 1, 4))
def test_stopped_and_gone_on_with(when: int, data: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out", []
    with pytest.raises(Stopped, match=f"{when} of {N} images"):
        pack(
            data,
            out,
            progress=lambda done, total: told.append((done, total)),
            stop=lambda: told[-1][0] == when,
            **OPTIONS,  # type: ignore[arg-type]
        )
    assert told == [(i, N) for i in range(1, when + 1)]
    pack(data, out, **OPTIONS)  # type: ignore[arg-type]
    assert files(out) == whole(data)


def test_a_terminated_command_says_how_to_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def terminated(_: ProgressBar, done: int, total: int) -> None:
        if done == 9:
            signal.raise_signal(signal.SIGTERM)

    args = ["pack", str(data), str(tmp_path / "out"), "--shard-mb", "0.02"]
    with monkeypatch.context() as patch:
        patch.setattr(ProgressBar, "update", terminated)
        assert main(args) == 75
    said = capsys.readouterr().err.splitlines()[-1]
    assert "stopped at 9 of 30 images; whole shards so far: 2; the same command continues" in said
    assert main(args) == 0
    assert files(tmp_path / "out") == whole(data)


def test_full_disk(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, room = tmp_path / "out", [50_000]
    write = ShardFile._write

    def cramped(self: ShardFile, piece: bytes) -> None:
        room[0] -= len(piece)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, piece)

    args = ["pack", str(data), str(out), "--shard-mb", "0.02"]
    with monkeypatch.context() as patch:
        patch.setattr(ShardFile, "_write", cramped)
        assert main(args) == 2
    said = capsys.readouterr().err
    assert said == f"jessl pack: error: {out}/shard-000002.tar: No space left on device\n"
    assert len([*out.glob("*.tar")]) == 2
    assert main([*args, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 2
    assert files(out) == whole(data)


def test_a_lost_shard_is_made_again_until_all_is_whole(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stopped):
        pack(data, out, stop=lambda: len([*out.glob("*.tar")]) == 3, **OPTIONS)  # type: ignore[arg-type]
    (out / "shard-000001.tar").unlink()
    (out / ".packing" / "shard-000002.tar.npz").write_bytes(b"damaged")
    assert pack(data, out, **OPTIONS).resumed == 1  # type: ignore[arg-type]
    assert files(out) == whole(data)
    (out / "shard-000001.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"shard-000001\.tar is missing or not as it was written"):
        pack(data, out, **OPTIONS)  # type: ignore[arg-type]


def test_folders_that_are_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack(data, out)
    before = files(out)
    assert pack(data, out).resumed == 1
    with pytest.raises(ValueError, match=r"another way \(quality None there, 80 here\)"):
        pack(data, out, quality=80)
    with pytest.raises(ValueError, match=r"other data \(30 images of .*in\.npz; got 2 of array"):
        pack(np.zeros((2, 8, 8), np.uint8), out)
    assert files(out) == before
    with pytest.raises(ValueError, match="is not empty, and holds no packing"):
        pack(data, tmp_path)
    with pytest.raises(ValueError, match="expected a folder, got the file"):
        pack(data, data)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text("[]")
    with pytest.raises(ValueError, match="is not of a packing"):
        pack(data, tmp_path / "foreign")


def test_one_writer(data: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(ValueError, match="another process is writing"),
    ):
        pack(data, tmp_path / "out")


def test_no_image_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"not one image of .*; the first: a\.png: corrupt"):
        pack(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"quality": 0}, "quality: expected a whole number from 1 to 100, got 0"),
        ({"quality": True}, "quality"),
        ({"short_side": 0}, "short_side: expected a whole number of at least 1, got 0"),
        (
            {"short_side": 8, "long_side": 9},
            "short_side, long_side: expected at most one, got 8 and 9",
        ),
        ({"subsampling": "4:1:1"}, "unknown subsampling '4:1:1'"),
        ({"shard_mb": 0}, "shard_mb: expected a number above 0"),
        ({"workers": 0}, "workers: expected a whole number of at least 1"),
        ({"shuffle": -1}, "shuffle: expected a seed"),
    ],
)
def test_options_that_are_refused(options: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        pack(np.zeros((2, 8, 8), np.uint8), tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.jpg").write_bytes(encoded(64))
    (tmp_path / "in" / "2.png").write_bytes(b"broken")
    args = ["pack", str(tmp_path / "in"), str(tmp_path / "out"), "--short-side", "32"]
    assert main([*args, "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (answer["images"], answer["resized"], answer["resumed"]) == (1, 1, 0)
    assert "left out, cannot be read: 2.png" in said.err
    assert main(args) == 0
    said = capsys.readouterr()
    assert "packed already" in said.out
    assert "1 images in 1 shard" in said.out
    assert main([*args[:-1], "33"]) == 2
    said = capsys.readouterr()
    assert "short-side 32 there, 33 here" in said.err
    assert said.err.count("\n") == 1
