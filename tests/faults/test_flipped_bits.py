"""One flipped bit in each file that jessl writes: refused with its name, or reported and repaired.

docs/reliability.md has the same table.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jessl
from helpers.run_samples import SMALL, labelled_images, small_config
from jessl import Embeddings, pretrain, records
from jessl.data import open_source
from jessl.data.packing.pack import pack
from jessl.data.sources.shard_index import INDEX
from jessl.extraction.open_encoder import open_encoder
from jessl.sweeps.study_state import begin
from jessl.training import checkpoint

STEP = "run/checkpoints/step-000000003"
CHANGED = r"changed since it was written \(SHA-256 differs\)"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    x = labelled_images(folder)
    (folder / "photos").mkdir()
    for i, image in enumerate(x[:6]):
        Image.fromarray(image).resize((64, 64)).save(folder / "photos" / f"{i}.jpg")
    pack(folder / "photos", folder / "packed", workers=1)
    config = small_config(folder / "images.npz", folder / "run", epochs=1, size=8, batch_size=8)
    pretrain(config, quiet=True)
    base = {**SMALL, "epochs": 1, "batch_size": 8, "data": str(folder / "images.npz")}
    study = jessl.Sweep(base=jessl.Pretrain(**base), space={"lr": [0.1]}, seeds=(0,))  # type: ignore[arg-type]
    jessl.sweep(study, folder / "study")
    return folder


def _flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)


def _embeddings(folder: Path) -> object:
    return Embeddings.load(folder / "run/embeddings/backbone")


def _shards(folder: Path) -> object:
    return open_source(folder / "packed")


def _checkpoint(folder: Path) -> object:
    return checkpoint.load(folder / STEP)


def _init(folder: Path) -> object:
    return open_encoder("smallconv:4", init=folder / "run", size=8)


@pytest.mark.parametrize(
    ("file", "share", "use", "message"),
    [
        ("packed/shard-000000.tar", 0.3, _shards, "shard-000000.tar is not the shard that was"),
        ("packed/manifest.json", 0.5, _shards, r"manifest\.json"),
        ("run/embeddings/backbone/features.npy", 0.5, _embeddings, rf"features\.npy: {CHANGED}"),
        ("run/embeddings/backbone/labels.npy", 0.9, _embeddings, rf"labels\.npy: {CHANGED}"),
        ("run/embeddings/backbone/ids.npy", 0.9, _embeddings, rf"ids\.npy: {CHANGED}"),
        ("run/embeddings/backbone/meta.json", 0.5, _embeddings, r"meta\.json"),
        (f"{STEP}/model.safetensors", 0.8, _checkpoint, rf"model\.safetensors: {CHANGED}"),
        (f"{STEP}/model.safetensors", 0.8, _init, rf"model\.safetensors: {CHANGED}"),
        (f"{STEP}/state.pt", 0.5, _checkpoint, rf"state\.pt: {CHANGED}"),
        (f"{STEP}/checksums.json", 0.5, _checkpoint, "cannot read checkpoint"),
    ],
)
def test_a_flipped_bit_is_refused_by_name(
    sound: Path,
    tmp_path: Path,
    file: str,
    share: float,
    use: Callable[[Path], object],
    message: str,
) -> None:
    folder = tmp_path / "s"
    shutil.copytree(sound, folder)
    use(folder)
    _flip(folder / file, share)
    with pytest.raises(ValueError, match=message) as caught:
        use(folder)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_an_index_costs_the_index_alone(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound / "packed", tmp_path / "packed")
    before = open_source(tmp_path / "packed")
    noted = 0
    for share in np.linspace(0, 1, 60, endpoint=False):
        shutil.copyfile(sound / "packed" / INDEX, tmp_path / "packed" / INDEX)
        _flip(tmp_path / "packed" / INDEX, share)
        source = open_source(tmp_path / "packed")
        if source.notes:
            assert "the headers were read instead" in source.notes[0]
            noted += 1
        else:  # the bit was of no array
            assert [source.key(i) for i in range(6)] == [before.key(i) for i in range(6)]
            assert source.ids.tolist() == before.ids.tolist()
        assert all(np.array_equal(source.read(i), before.read(i)) for i in range(len(before)))
    assert noted > 20
    _flip(tmp_path / "packed" / INDEX, 0.5)
    # the shards are still compared with the manifest
    _flip(tmp_path / "packed" / "shard-000000.tar", 0.3)
    with pytest.raises(ValueError, match="is not the shard that was packed"):
        open_source(tmp_path / "packed")


def test_a_flipped_bit_in_records_costs_its_line(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(sound / "run" / records.FILE, tmp_path / records.FILE)
    whole = records.read(sound / "run")
    _flip(tmp_path / records.FILE, 0.5)
    assert len(records.read(tmp_path)) == len(whole) - 1
    assert f"1 of {len(whole)} lines are incomplete or changed" in capsys.readouterr().err


def test_a_flipped_bit_in_a_study_is_refused_or_one_value(sound: Path, tmp_path: Path) -> None:
    """SQLite has no checksums: the structure of the file is checked, single values are not."""
    outcomes = {"refused": 0, "read": 0}
    for share in np.linspace(0, 1, 25, endpoint=False):
        folder = tmp_path / f"{share}"
        shutil.copytree(sound / "study", folder)
        _flip(folder / "study.db", share)
        reason = ""
        try:
            assert len(begin(folder).ended()) <= 1
        except ValueError as error:
            reason = str(error)
        assert "\n" not in reason
        outcomes["refused" if reason else "read"] += 1
    assert outcomes["refused"]  # the first byte at least
