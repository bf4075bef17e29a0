"""Files that `jessl score` is given: one line each, with the file's name."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jessl.cli.main import main
from jessl.embeddings import Embeddings


def _good(n: int = 60) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 6)).astype(np.float32)


def _lying(path: Path) -> None:
    """A .npy whose head tells a negative number of rows."""
    np.save(path, _good())
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(60, 6)", b"(-6, 6)"))


def _eight_bits(path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"z": torch.zeros(4, 3).to(torch.float8_e4m3fn)}, path)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("neg.npy", _lying, "neg.npy"),
        (
            "fp8.safetensors",
            _eight_bits,
            "z: expected F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL, got F8_E4M3",
        ),
        ("tiny.npy", lambda p: np.save(p, np.full((9, 2), 1e-200)), "beyond what float32 holds"),
        ("huge.npy", lambda p: np.save(p, np.full((9, 2), 1e200)), "beyond what float32 holds"),
        ("object.npy", lambda p: np.save(p, np.array([{}], object)), "object.npy"),
    ],
)
def test_one_line(name, make, said, tmp_path: Path, capsys) -> None:
    make(tmp_path / name)
    assert main(["score", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert name in err


def test_ids_of_truth_values_are_numbers(tmp_path: Path, capsys) -> None:
    np.savez(tmp_path / "b.npz", z=_good(2), ids=np.array([True, False]))
    assert main(["score", str(tmp_path / "b.npz"), "--json"]) == 0
    capsys.readouterr()


def test_a_run_is_not_its_embeddings(finished, capsys) -> None:
    assert main(["score", str(finished.path)]) == 2
    assert f"{finished.path / 'embeddings' / 'backbone'}" in capsys.readouterr().err


def test_a_mistake_in_the_names_comes_before_any_file(tmp_path: Path, capsys) -> None:
    assert main(["score", str(tmp_path / "none.npy"), "--scores", "rankme, twon"]) == 2
    err = capsys.readouterr().err
    assert "did you mean 'twonn'" in err
    assert "none.npy" not in err


def test_all_goes_without_views_where_they_differ(tmp_path: Path, capsys) -> None:
    Embeddings(_good(5), ids=[0, 0, 0, 1, 1]).save(tmp_path / "e")
    assert main(["score", str(tmp_path / "e"), "--scores", "all", "--jackknife", "0"]) == 0
    out, err = capsys.readouterr()
    assert "rankme" in out
    assert "lidar" not in out
    assert "scores of views are left out (alignment, " in err


@pytest.mark.skipif(os.name == "nt", reason="names and closed streams as on POSIX")
@pytest.mark.parametrize("how", ["ascii", "closed"])
def test_whatever_the_output_is(how: str, tmp_path: Path) -> None:
    path = tmp_path / "ünï☃.npy"
    np.save(path, _good())
    command = [sys.executable, "-m", "jessl.cli", "score", str(path), "--json"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    if how == "closed":
        line = " ".join(f"'{word}'" for word in command)
        done = subprocess.run(f"{line} >&-", shell=True, env=env, capture_output=True, text=True)
    else:
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert str(path) in json.loads(done.stdout)["embeddings"]
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_numpy_s_short_write_is_a_full_disk(tmp_path: Path, monkeypatch) -> None:
    def short(*_args: object, **_options: object) -> None:
        raise OSError("12800 requested and 10208 written")

    monkeypatch.setattr(np, "save", short)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        Embeddings(_good()).save(tmp_path / "e")
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []
