"""A killed embedding goes on from its finished parts, and its files are those of an undisturbed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import jessl
from jessl.cli.main import main
from jessl.core.interruption import Stopped
from jessl.core.progress import Rate
from jessl.extraction import embed_to_folder
from jessl.extraction.part_folder import PARTS

BATCH, IMAGES = 4, 42


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """42 images with labels, of which 5 cannot be read: a batch of four of them, and one."""
    rng = np.random.default_rng(0)
    for i in range(IMAGES):
        folder = tmp_path / "photos" / f"class{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{i:02d}.png")
    files = sorted((tmp_path / "photos").glob("*/*.png"))
    for place in (8, 9, 10, 11, 21):
        files[place].write_bytes(b"no image")
    return tmp_path / "photos"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_to_folder, "PART_ROWS", 8)
    monkeypatch.setattr(embed_to_folder, "_LEAST_PARTS", 1)


def embedded(photos: Path, out: Path | None, **options: Any) -> Any:
    options = {"batch_size": BATCH, "workers": 1, "device": "cpu", **options}
    return jessl.embed("smallconv:4", photos, out=out, init="random", size=8, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("options", [{}, {"views": "simclr", "n_views": 2}])
def test_parts_make_the_files_of_one_piece(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    in_memory = embedded(photos, None, **options)
    embedded(photos, tmp_path / "at-once", **options)
    monkeypatch.setattr(embed_to_folder, "PART_ROWS", 8)
    progress: list[tuple[int, int]] = []
    mapped = embedded(photos, tmp_path / "parts", **options, progress=lambda *a: progress.append(a))
    assert files(tmp_path / "parts") == files(tmp_path / "at-once")
    np.testing.assert_array_equal(mapped.features, in_memory.features)
    np.testing.assert_array_equal(mapped.labels, in_memory.labels)
    np.testing.assert_array_equal(mapped.ids, in_memory.ids)
    assert mapped.meta == in_memory.meta
    assert len(mapped.meta["unreadable"]) == 5
    assert progress[0] == (0, IMAGES)
    assert progress[-1] == (IMAGES, IMAGES)


@pytest.mark.usefixtures("small_parts")
def test_a_stopped_one_continues(photos: Path, tmp_path: Path) -> None:
    out, calls = tmp_path / "out", []

    def stop() -> bool:
        calls.append(1)
        return len(calls) > 7

    with pytest.raises(Stopped):
        embedded(photos, out, stop=stop)
    assert len(list((out / PARTS).glob("0*"))) == 3
    progress: list[tuple[int, int]] = []
    embedded(photos, out, progress=lambda *a: progress.append(a))
    assert progress[0] == (24, IMAGES)
    embedded(photos, tmp_path / "undisturbed")
    assert files(out) == files(tmp_path / "undisturbed")


@pytest.mark.usefixtures("small_parts")
def test_parts_of_other_weights_or_damaged_are_not_used(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(out: Path) -> None:
        calls: list[int] = []
        with pytest.raises(Stopped):
            embedded(photos, out, stop=lambda: calls.append(1) or len(calls) > 7)

    stopped(tmp_path / "other")
    embedded(photos, tmp_path / "other", seed=1)
    assert "other images, weights or options" in capsys.readouterr().err
    embedded(photos, tmp_path / "seed1", seed=1)
    assert files(tmp_path / "other") == files(tmp_path / "seed1")

    out = tmp_path / "damaged"
    stopped(out)
    part = out / PARTS / "000000001" / "backbone.npy"
    part.write_bytes(part.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match="the same command computes it again"):
        embedded(photos, out)
    embedded(photos, out)
    embedded(photos, tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


@pytest.mark.usefixtures("small_parts")
def test_what_others_put_there_stays(photos: Path, tmp_path: Path) -> None:
    strange = tmp_path / "out" / PARTS
    strange.mkdir(parents=True)
    (strange / "diary.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"diary\.txt is not of an unfinished jessl embed"):
        embedded(photos, tmp_path / "out")
    args = ["embed", "smallconv:4", "--data", str(photos), "--init", "random"]
    assert main([*args, "--out", str(tmp_path / "out")]) == 2
    assert (strange / "diary.txt").read_text() == "mine"


@pytest.mark.usefixtures("small_parts")
def test_no_readable_image_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    for file in photos.glob("*/*.png"):
        file.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"not one image of .* can be read; first .*00\.png"):
        embedded(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_rate_counts_what_was_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 12.0])
    monkeypatch.setattr("jessl.core.progress.time.monotonic", lambda: next(now))
    rate = Rate()
    assert rate.text("images") == "starting"
    rate.update(1000, 5000)
    assert rate.text("images") == "1,000/5,000 images"
    rate.update(2000)
    assert rate.text("images") == "2,000/5,000 images, 500 a second, 6 s left"
