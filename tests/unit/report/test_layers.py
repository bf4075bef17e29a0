"""The report's probes of the layers of a run, and the spread of its representations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from helpers.report_page import Page, page
from helpers.report_samples import write_run, write_study
from jessl import records
from jessl.core.files import write_json
from jessl.records import HELD_OUT, PRETRAIN_SAMPLE, Record

EVIL = "<script>alert(1)</script>"
# top-1 at the first and the last judgement, and top-5 at the last; as records are written
PROBED = {
    "backbone": (0.101, 0.652, 0.911),
    "projector.1": (0.202, 0.703, 0.922),
    "projector.2": (0.203, 0.604, 0.933),
    "projector": (0.104, 0.405, 0.844),
}


def probed(
    folder: Path,
    told: dict[str, tuple[float, float, float]] | None = None,
    *,
    split: str = HELD_OUT,
    top5: bool = True,
    **place: Any,
) -> Path:
    """Records of the layers' probes at two judgements are added to a run."""
    found = []
    for layer, (first, last, five) in (PROBED if told is None else told).items():
        values = [(f"accuracy/online_top1/{layer}", first, last)]
        values += [(f"accuracy/online_top5/{layer}", 0.5, five)] if top5 else []
        for name, early, late in values:
            found += [
                Record(
                    run=folder.name,
                    name=name,
                    value=value,
                    step=step,
                    split=split,
                    **({"epoch": step / 11} | place),
                )
                for value, step in ((early, 11), (late, 22))
            ]
    records.append(folder, found)
    return folder


def bare(folder: Path) -> Path:
    """A run that tells what it was and nothing else."""
    write_json(folder / "config.json", {"objective": "vicreg"})
    return folder


def section(found: Page) -> str:
    """The text from the section's heading on; the name stands among the contents as well."""
    return found.text.split("Layer by layer")[2]


def rects(found: Page, kind: str) -> list[float]:
    """Widths of the bars whose class ends so, px."""
    return [
        float(a["width"] or 0)
        for name, a in found.elements
        if name == "rect" and str(a.get("class")).endswith(kind)
    ]


def test_the_last_judgement_of_every_layer_in_order(tmp_path: Path) -> None:
    shuffled = {k: PROBED[k] for k in ("projector", "projector.2", "backbone", "projector.1")}
    found = page(probed(write_run(tmp_path / "alone", merged=False), shuffled))
    assert found.sections()[:3] == ["risk", "training", "layers"]
    said = section(found)
    places = [
        said.index(f"{layer}{value}")
        for layer, value in zip(PROBED, ("65.2 %", "★ 70.3 %", "60.4 %", "40.5 %"), strict=True)
    ]
    assert places == sorted(places)
    for value in ("91.1 %", "92.2 %", "93.3 %", "84.4 %"):
        assert value in said
    assert said.count("★ ") == 1 + 1  # the bar and the caption
    assert "accuracy, held-out images, epoch 2" in said
    assert "50.0 %" not in said  # the judgement before
    assert "In this run the end of the projector is 29.8 points below projector.1." in said
    assert "The accuracy of the layers during training comes from held-out images." in said
    assert "linear accuracy among the training curves differs" in said
    bars, outlines = rects(found, "fill"), rects(found, "edge")
    for drawn, column in ((bars, 1), (outlines, 2)):
        assert [w / bars[0] for w in drawn] == pytest.approx(
            [values[column] / 0.652 for values in PROBED.values()], abs=0.01
        )


def test_a_line_for_every_layer_over_training(tmp_path: Path) -> None:
    found = page(probed(bare(tmp_path / "alone")))
    assert "top-1 accuracy, held-out images, %" in found.text
    lines = [
        (a["data-run"], next_a["d"])
        for (name, a), (_, next_a) in pairwise(found.elements)
        if name == "g" and a.get("class") == "series hot"
    ]
    assert [layer for layer, _ in lines] == list(PROBED)
    # the lines end in the order of the accuracies; y grows downwards
    ends = {layer: float(str(d).split()[-1]) for layer, d in lines}
    assert sorted(ends, key=lambda layer: ends[layer]) == [
        "projector.1",
        "backbone",
        "projector.2",
        "projector",
    ]
    assert found.count("svg", **{"aria-label": "top-1 accuracy, held-out images, %, 4 layers"}) == 1
    # every layer has one colour, in both pictures
    paint = {
        str(a["class"]).split()[0]
        for _, a in found.elements
        if str(a.get("class")).startswith("r") and str(a.get("class"))[1].isdigit()
    }
    assert paint == {"r0", "r2", "r5", "r7"}


def test_more_than_nine_layers_go_by_number(tmp_path: Path) -> None:
    told = {f"projector.{k}": (0.1, 0.5 + k / 100, 0.9) for k in range(1, 12)}
    found = page(probed(bare(tmp_path / "alone"), told))
    named = [a["data-run"] for n, a in found.elements if n == "g" and a.get("class") == "hot"]
    assert named == list(told)
    # the rows need more room than the panel beside has
    heights = {float(a["height"] or 0) for name, a in found.elements if name == "svg"}
    assert max(heights) == pytest.approx(46 + 11 * 24 + 46)


def test_few_classes_have_no_top5(tmp_path: Path) -> None:
    found = page(probed(write_run(tmp_path / "alone"), top5=False))
    said = section(found)
    assert "★ 70.3 %" in said
    assert "top-5" not in found.text
    assert rects(found, "edge") == []
    assert len(rects(found, "fill")) == len(PROBED)


def test_equals_are_all_marked_and_an_end_that_is_best_is_said(tmp_path: Path) -> None:
    told = {"backbone": (0.1, 0.75, 0.9), "projector": (0.1, 0.75, 0.9)}
    said = section(page(probed(bare(tmp_path / "alone"), told)))
    assert said.count("★ 75.0 %") == 2
    assert "the end of the projector is not below any layer" in said


def test_one_layer_alone_is_compared_with_none(tmp_path: Path) -> None:
    said = section(page(probed(bare(tmp_path / "alone"), {"backbone": (0.1, 0.75, 0.9)})))
    assert "★ 75.0 %" in said
    assert "In this run" not in said


def test_a_sample_that_was_trained_on_is_said(tmp_path: Path) -> None:
    found = page(probed(write_run(tmp_path / "alone", in_study=True), split=PRETRAIN_SAMPLE))
    said = section(found)
    assert "accuracy, training images, epoch 2" in said
    assert "the images that the accuracy of the layers during training comes from" in said
    assert "the images of the sample and their labels included" in said
    assert "fitted anew" not in said
    # no accuracy has a panel in the section of the training
    assert "the images that view retrieval and RankMe during training come from" in found.text


def test_what_was_held_out_counts_where_both_were_judged(tmp_path: Path) -> None:
    folder = probed(bare(tmp_path / "alone"), {"backbone": (0.1, 0.99, 1.0)}, split=PRETRAIN_SAMPLE)
    said = section(page(probed(folder)))
    assert "★ 70.3 %" in said
    assert "99.0 %" not in said


def test_numbers_that_are_missing_at_the_end_are_dashes(tmp_path: Path) -> None:
    folder = probed(bare(tmp_path / "alone"), {"backbone": (0.1, 0.5, 0.9)}, epoch=None)
    name = "accuracy/online_top1/projector"
    records.append(
        folder,
        [
            Record(run="alone", name=name, value=0.3, step=11, split=HELD_OUT),
            Record(run="alone", name=name, value=float("nan"), step=22, split=HELD_OUT),
        ],
    )
    said = section(page(folder))
    assert "accuracy, held-out images, step 22" in said
    assert "projector––" in said
    assert "In this run" not in said


def test_without_probes_there_is_no_section(tmp_path: Path) -> None:
    plain = page(write_run(tmp_path / "labels"))
    assert "layers" not in plain.sections()
    assert "Layer by layer: no probes of the layers were recorded." in plain.text
    # a run without labels cannot have any, and says nothing of it
    assert "Layer by layer" not in page(write_run(tmp_path / "none", labels=False)).text
    empty = probed(write_run(tmp_path / "nan"), {"backbone": (float("nan"),) * 3})
    assert "layers" not in page(empty).sections()


def test_studies_stay_as_they_are(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    before = page(folder)
    run = next((folder / "runs").iterdir())
    probed(run, split=PRETRAIN_SAMPLE)
    after = page(folder)
    assert after.sections() == before.sections()
    assert after.text == before.text
    assert "Layer by layer" not in after.text
    assert "spread, projector" not in after.text


def test_names_of_layers_stay_text(tmp_path: Path) -> None:
    names = (EVIL, "\"'><b>&", "projector.²", "projector.", "")
    told = {name: (0.1, 0.2 + k / 10, 0.9) for k, name in enumerate(names)}
    folder = probed(bare(tmp_path / "alone"), told)
    found = page(folder)
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert html.count("<script") == 1
    assert found.count("b") == 0
    named = [a["data-run"] for n, a in found.elements if n == "g" and a.get("class") == "hot"]
    assert sorted(map(str, named)) == sorted(names)
    tips = [str(a["data-tip"]) for _, a in found.elements if a.get("data-tip")]
    assert f"{EVIL}: top-1 20.0 %, top-5 90.0 %" in tips


def test_the_spread_of_both_layers_is_a_panel_of_the_training(tmp_path: Path) -> None:
    found = page(write_run(tmp_path / "alone"))
    training = found.text.split("Over training")[2].split("Singular values")[0]
    assert training.index("spread, projector") < training.index("spread, backbone")
    assert "0 where all images have one direction (collapse)" in training
    # from zero, so that a collapse is seen as one: the axis begins below it
    scales = [
        str(a["data-y"]).split()
        for (name, a), (_, svg) in pairwise(found.elements)
        if name == "div" and str(svg.get("aria-label")).startswith("spread, ")
    ]
    assert len(scales) == 2
    assert all(kind == "lin" and float(low) <= 0 for kind, low, *_ in scales)
    assert "Spread" not in page(probed(bare(tmp_path / "other"))).text
