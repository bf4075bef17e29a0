"""The conclusion of a run: helped, worse, neither, or not to be judged."""

from __future__ import annotations

import math

import pytest

from jessl.conclusion import run_conclusion
from jessl.records import Record
from jessl.schema import ADAPTATION, VIEW_RETRIEVAL


def retrieval(value: float, low: float | None, high: float | None, **extra: object) -> Record:
    held = {"n": 1200, "params": {"distractors": 500}, "untrained": 0.04, **extra}
    return Record(
        run="r", name=VIEW_RETRIEVAL, split="pretrain", value=value, low=low, high=high, extra=held
    )


@pytest.mark.parametrize(
    ("value", "low", "high", "helped", "text"),
    [
        (
            0.17,
            0.13,
            0.21,
            True,
            "the training helped: its features find another view of an image among 500 other "
            "images in 17 % (13 to 21) of cases, before the training in 4.0 %",
        ),
        (0.02, 0.01, 0.03, False, "the training made the encoder worse: "),
        (0.05, 0.03, 0.07, None, "no gain by the training can be seen: "),
        (0.17, None, None, None, "its features find"),
    ],
)
def test_against_the_untrained_encoder(
    value: float, low: float | None, high: float | None, helped: bool | None, text: str
) -> None:
    conclusion = run_conclusion([retrieval(0.9, 0.8, 1.0), retrieval(value, low, high)])
    assert conclusion is not None
    assert conclusion.helped is helped
    assert conclusion.text.startswith(text)


def test_few_images_are_not_judged_and_other_records_say_nothing() -> None:
    few = run_conclusion([retrieval(0.5, 0.4, 0.6, n=30)])
    assert few is not None
    assert few.text == "cannot be judged: 30 images are too few to compare views of them"
    fewer = run_conclusion([retrieval(0.5, 0.4, 0.6, n=180)])
    assert fewer is not None
    assert "among 179 other images" in fewer.text
    assert run_conclusion([]) is None
    assert run_conclusion([retrieval(math.nan, None, None)]) is None
    assert run_conclusion([Record(run="r", name="loss", value=1.0)]) is None
    # a stranger's record
    assert run_conclusion([retrieval(0.5, 0.4, 0.6, params="x", n="y")]) is None


@pytest.mark.parametrize(
    ("conclusion", "helped"),
    [("better", True), ("worse", False), ("cannot be distinguished", None)],
)
def test_a_run_that_began_with_weights_is_compared_with_these(
    conclusion: str, helped: bool | None
) -> None:
    judged = Record(
        run="r",
        name=ADAPTATION,
        value=0.0,
        extra={"text": "better by .1", "conclusion": conclusion},
    )
    conclusion = run_conclusion([retrieval(0.17, 0.13, 0.21), judged])
    assert conclusion is not None
    assert (conclusion.text, conclusion.helped) == ("better by .1", helped)
