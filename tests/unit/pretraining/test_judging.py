"""The expected time of a run: the images that its evaluations embed, and what is learnt of it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.run_samples import small_config
from jessl import pretrain
from jessl.config import ResolvedPretrain
from jessl.extraction import extract as extraction
from jessl.pretraining import announcement, progress_bar
from jessl.pretraining.announcement import shorter_options
from jessl.pretraining.build import Parts
from jessl.pretraining.judging import Judging, JudgingTime, count_judging
from jessl.pretraining.progress_bar import TrainingProgressBar


@pytest.mark.parametrize("evaluate_epochs", [0, 1, 2])
def test_all_images_that_are_embedded_are_counted(
    evaluate_epochs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded = np.zeros(2, int)  # as they are, and as views
    counted: list[Judging] = []
    real = extraction.extract_batches

    def counting(job: extraction.ExtractionJob) -> Generator[Any, None, None]:
        for batch in real(job):
            embedded[int(job.views is not None)] += len(batch.indices)
            yield batch

    def count(parts: Parts, settings: ResolvedPretrain) -> JudgingTime:
        counted.append(count_judging(parts, settings))
        return JudgingTime()

    monkeypatch.setattr(extraction, "extract_batches", counting)
    monkeypatch.setattr(announcement, "time_judging", count)
    pretrain(
        small_config(
            "digits", tmp_path / "run", epochs=3, evaluate_epochs=evaluate_epochs, batch_size=256
        )
    )
    [judging] = counted
    assert judging.evaluations == {0: 0, 1: 3, 2: 2}[evaluate_epochs]
    expected = [
        getattr(judging.untrained, kind)
        + judging.evaluations * getattr(judging.online, kind)
        + getattr(judging.final, kind)
        for kind in ("plain", "views")
    ]
    assert embedded.tolist() == expected


def test_the_announcement_says_how_much_is_judging(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    time = JudgingTime(untrained=2, online=3, final=10, evaluations=4)
    monkeypatch.setattr(announcement, "time_judging", lambda *_: time)
    monkeypatch.setattr(announcement, "seconds_per_step", lambda *_: 0.0)
    pretrain(small_config(stripes, tmp_path / "run", epochs=1))
    printed = capsys.readouterr().err
    assert "time      about 24 s, 24 s of it for judging" in printed
    assert "shorter" not in printed


def test_the_time_left_follows_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress_bar.time, "perf_counter", lambda: now[0])
    judging = JudgingTime(untrained=1, online=2, final=10, evaluations=3)
    bar = TrainingProgressBar(100, start=0, quiet=True, judging=judging)
    now[0] += 3
    bar.add_evaluation(3, untrained=True)  # three times as long as expected
    now[0] += 20
    assert bar.seconds_left(25) == pytest.approx(20 / 25 * 75 + 3 * (3 * 2 + 10))
    now[0] += 3
    bar.add_evaluation(3)
    # 6 s instead of 3 s so far
    assert bar.seconds_left(25) == pytest.approx(60 + 2 * (2 * 2 + 10))


@pytest.mark.parametrize("size", [48, 224])
def test_shorter_options_are_computed(size: int) -> None:
    settings = ResolvedPretrain.__new__(ResolvedPretrain)
    for name, value in {"epochs": 100, "size": size, "start_size": None}.items():
        object.__setattr__(settings, name, value)
    judging = JudgingTime(untrained=100, online=10, final=500, evaluations=100)
    text = shorter_options(settings, "resnet50", 100, 9_000, judging)
    # (3,600 - 600) / 100 s an epoch
    assert text.startswith("--epochs 30 (about 1 h 00 min), ")
    assert ("--size 112 (down to about 44 min 10 s), " in text) == (size == 224)
    assert text.endswith("an encoder smaller than resnet50")
    assert shorter_options(settings, "resnet50", 100, 1_000, judging) == ""
