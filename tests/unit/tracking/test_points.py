"""Names and values that loggers get of records."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from helpers.tracked_runs import add_whole, new_run
from jessl.records import FILE
from jessl.schema import metric_name
from jessl.tracking.points import PointReader
from jessl.tracking.tail import RecordTail


@pytest.mark.parametrize(
    ("record", "split", "name"),
    [
        ("loss", "train", "train/loss"),
        ("loss/invariance", "train", "train/loss_invariance"),
        ("learning_rate", "train", "train/lr"),
        ("spread/projector.1", "train", "train/spread_projector.1"),
        ("rankme/projector", "heldout", "score/rankme_projector"),
        ("view_retrieval/backbone", "pretrain_sample", "score/view_retrieval_backbone"),
        ("accuracy/knn", "heldout", "probe/knn"),
        ("accuracy/online_top1/backbone", "heldout", "probe/online_top1_backbone"),
        ("rankme/backbone", "pretrain", "final/rankme_backbone"),
        ("alpha_req:first=5/backbone", "pretrain", "final/alpha_req_first_5_backbone"),
        ("risk/usability", "test", "test/risk_usability"),
    ],
)
def test_records_have_one_name_in_all_loggers(record: str, split: str, name: str) -> None:
    assert metric_name(record, split) == name


def test_points_are_the_numbers_of_the_records_in_their_order(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    add_whole(run)
    points = PointReader().points(RecordTail(run.path).read())
    assert [p.name for p in points[-2:]] == ["final/rankme_backbone", "test/accuracy_logistic"]
    assert [p.value for p in points if p.name == "train/loss"] == [1 / 2, 1 / 4, 1 / 6, 1 / 8]
    assert all(math.isnan(p.value) for p in points if p.name == "probe/knn")
    # what belongs to no step comes after the last one
    assert (points[-1].step, points[-1].epoch, points[-1].seconds) == (8, 2.0, None)
    assert not any("spectrum" in p.name for p in points)


def test_a_tail_reads_each_record_once_and_only_whole_lines(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    tail = RecordTail(run.path)
    assert tail.read() == []
    add_whole(run)
    content = (run.path / FILE).read_bytes()
    (run.path / FILE).write_bytes(content[:-20])
    assert len(tail.read()) == content.count(b"\n") - 1
    (run.path / FILE).write_bytes(content + b"damaged\n")
    assert [r.name for r in tail.read()] == ["accuracy/logistic"]
    assert tail.read() == []
