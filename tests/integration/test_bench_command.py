"""jessl bench loader: numbers, a verdict in words, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.cli.main import main
from jessl.data import UnreadableImage, open_source
from jessl.data.loading.loader_advice import loader_advice
from jessl.data.loading.measure import Stages, measure_stages, thread_counts
from jessl.views import View, Views, presets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    out = tmp_path_factory.mktemp("bench")
    for k in range(12):
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(out / f"{k}.jpg")
    (out / "torn.jpg").write_bytes((out / "0.jpg").read_bytes()[:200])
    return out


def test_bench_of_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["bench", "loader", "--data", str(folder), "--size", "16", "--batch-size", "4"]
    args += ["--seconds", "0.02", "--threads", "2", "--encoder", "smallconv:2"]
    assert main([*args, "--json"]) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    stages = answer["stages"]
    assert stages["images"] == 12
    assert stages["unreadable"] == 1
    assert min(stages["read_ms"], stages["decode_ms"], stages["views_ms"]) > 0
    assert stages["file_kb"] > 1
    assert (stages["height_px"], stages["width_px"]) == (48, 64)
    assert answer["packed"]["short_side"] == 32
    assert answer["packed"]["after"]["height_px"] == 32
    assert [row["threads"] for row in answer["loader"]] == [1, 2]
    assert all(row["images_per_second"] > 0 for row in answer["loader"])
    training = answer["training"]
    assert answer["needs"] == training["images_per_second"] > 0
    assert training["gain"] == pytest.approx(
        training["images_per_second"] / training["plain_images_per_second"]
    )
    assert training["attempts"][0]["settings"] == "float32, channels-last"
    assert training["options"].startswith("--precision float32 --")
    assert "% of a core's time" in answer["verdict"][0]
    assert "share these cores" in answer["verdict"][-1]
    assert "with 2 threads" in err


def test_bench_shows_the_plain_and_the_tuned_steps(
    stripes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["bench", "loader", "--data", str(stripes), "--seconds", "0.02", "--threads", "1"]
    assert main([*args, "--encoder", "smallconv:2", "--images", "8", "--batch-size", "4"]) == 0
    out, _ = capsys.readouterr()
    assert "plain: float32 " in out
    assert "tuned: float32" in out
    assert "--precision float32" in out


def test_bench_of_arrays_is_told_for_people(
    stripes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["bench", "loader", "--data", str(stripes), "--seconds", "0.02", "--threads", "1"]
    assert main([*args, "--needs", "1", "--images", "8"]) == 0
    out, _ = capsys.readouterr()
    assert out.splitlines()[0].split() == [
        "ms",
        "an",
        "image",
        "read",
        "decode",
        "views",
        "sum",
        "kB",
        "a",
        "file",
    ]
    assert "pack" not in out
    assert "1 thread feeds this training" in out


def test_images_may_be_broken_where_the_measurement_begins(folder: Path, tmp_path: Path) -> None:
    torn, whole = (folder / "torn.jpg").read_bytes(), (folder / "0.jpg").read_bytes()
    for k in range(16):
        (tmp_path / f"{k:02d}.jpg").write_bytes(torn)
    views = presets.simclr(16)
    with pytest.raises(UnreadableImage, match=r"00\.jpg"):
        measure_stages(open_source(tmp_path), views)
    (tmp_path / "16.jpg").write_bytes(whole)
    gray = np.zeros((48, 64), np.uint8)
    Image.fromarray(gray).save(tmp_path / "17.png")
    stages = measure_stages(open_source(tmp_path), views)
    assert (stages.images, stages.unreadable) == (2, 16)
    assert stages.views_ms > 0


def test_views_of_a_file_keep_their_sizes(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.json"
    presets.save(Views((View(size=24), View(size=16))), path)
    args = ["bench", "loader", "--data", str(stripes), "--views", str(path), "--images", "8"]
    args += ["--seconds", "0.02", "--threads", "1", "--json"]
    for size, found in (([], 24), (["--size", "12"], 12)):
        assert main([*args, *size]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["size"], answer["views"]) == (found, 2)


def test_bench_says_in_one_line_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    for args, said in (
        (["saddle", "--data", "digits"], "loader"),
        (
            ["loader", "--data", "digits", "--seconds", "0"],
            "seconds: expected a number above 0, got 0",
        ),
        (
            ["loader", "--data", "digits", "--needs", "1", "--encoder", "smallconv"],
            "expected one",
        ),
    ):
        assert main(["bench", *args]) == 2
        _, err = capsys.readouterr()
        assert said in err
        assert len(err.splitlines()) == 1


def _stages(read: float, decode: float, views: float) -> Stages:
    return Stages(
        read_ms=read,
        decode_ms=decode,
        views_ms=views,
        images=9,
        unreadable=0,
        file_kb=100,
        height_px=375,
        width_px=500,
    )


def test_the_verdict_follows_from_the_numbers() -> None:
    slow, fast = _stages(0.2, 1.2, 0.6), _stages(0.2, 0.3, 0.3)
    rates = {1: 450.0, 2: 900.0, 4: 1500.0}
    lines = loader_advice(slow, (slow, fast), rates, short_side=256, need=1300)
    assert lines[0] == "decoding takes 60% of a core's time for an image (views 30%, reading 10%)"
    assert "--short-side 256 would make an image about 2.5x faster" in lines[1]
    assert lines[2] == "4 threads feed this training (1,500 images/s, 1,300 needed)"
    assert (
        "packed, they would do"
        in loader_advice(slow, (slow, fast), rates, short_side=256, need=3000)[2]
    )
    starved = loader_advice(slow, (slow, slow), rates, short_side=256, need=3000)
    assert starved[-1].endswith("the device waits 50% of the time")
    disk = loader_advice(_stages(3, 1, 1), None, rates, short_side=256)
    assert "a faster disk" in disk[1]
    assert loader_advice(_stages(0, 0, 1), None, rates, short_side=256) == [
        "views take 100% of a core's time for an image"
    ]


def test_thread_counts_end_at_the_most() -> None:
    assert thread_counts(1) == [1]
    assert thread_counts(2) == [1, 2]
    assert thread_counts(6) == [1, 2, 4, 6]
    assert thread_counts(8) == [1, 2, 4, 8]
