"""The verb: what it returns and writes, given labels, and one line for every mistake."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import jessl
from jessl.core.log import SILENT, Log
from jessl.data import open_source

N = 120


@pytest.fixture(scope="module")
def pool() -> jessl.Embeddings:
    rng = np.random.default_rng(0)
    y = np.arange(N) % 3
    x = 3 * np.eye(16)[y] + 0.4 * rng.standard_normal((N, 16))
    x[118] = x[4] + 1e-4
    x[119] = -5 * np.eye(16)[9]
    return jessl.Embeddings(x, names=[f"{k}.png" for k in range(N)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_labels(path: Path, labels: dict[str, str]) -> Path:
    path.write_text("path,label\n" + "".join(f"{k},{v}\n" for k, v in labels.items()))
    return path


def test_the_folder_holds_what_is_to_be_done(pool: jessl.Embeddings, tmp_path: Path) -> None:
    few = write_labels(tmp_path / "few.csv", {f"{k}.png": "abc"[k % 3] for k in range(30)})
    calls: list[tuple[int, int]] = []
    result = jessl.curate(
        pool, budget=4, labels=few, out=tmp_path / "out", progress=lambda *c: calls.append(c)
    )
    first = rows_of(tmp_path / "out" / "label_first.csv")
    assert [row["label"] for row in first[:4]] == [""] * 4
    assert [row["order"] for row in first[:5]] == ["1", "2", "3", "4", ""]
    # the labels that were given stand below, so that the file is complete when it is filled in
    assert {row["path"]: row["label"] for row in first[4:]} == {
        f"{k}.png": "abc"[k % 3] for k in range(30)
    }
    assert [row["name"] for row in rows_of(tmp_path / "out" / "duplicates.csv")] == [
        "4.png",
        "118.png",
    ]
    assert rows_of(tmp_path / "out" / "outliers.csv")[0]["name"] == "119.png"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary == result.as_json()
    assert summary["labelled"] == 30
    assert "4 images to label first (medoids), 1 near-duplicate in 1 group" in result.sentence()
    assert calls[-1] == (2 * N, 2 * N) or calls[-1][0] <= calls[-1][1]
    # copies of labelled images are not worth a label
    assert not {"4.png", "118.png"} & {row["path"] for row in first[:4]}


def test_a_file_that_is_filled_in_labels_the_images(pool: jessl.Embeddings, tmp_path: Path) -> None:
    names = [f"={k}.png" for k in range(N)]
    odd = jessl.Embeddings(pool.features, names=names)
    jessl.curate(odd, budget=6, out=tmp_path / "out")
    text = (tmp_path / "out" / "label_first.csv").read_text()
    assert "'=" in text  # no spreadsheet runs the names
    filled = tmp_path / "filled.csv"
    filled.write_text(text.replace(",,", ",cat,"))
    result = jessl.curate(odd, labels=filled)
    assert result.as_json()["labelled"] == 6


def test_labels_of_the_embeddings_are_checked(pool: jessl.Embeddings) -> None:
    labels = np.arange(N) % 3
    labels[10] = 0
    labels[119] = -1
    z = jessl.Embeddings(pool.features, labels, meta={"classes": ["a", "b", "c"]})
    result = jessl.curate(z)
    assert result.label_first is None
    assert result.label_errors.rows.tolist() == [10]
    assert result.labels.classes[result.label_errors.suggested[0]] == "b"


def test_images_add_their_faults(pool: jessl.Embeddings, tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 255, (N, 8, 8, 3)).astype(np.uint8)
    x[11] = 7
    z = jessl.Embeddings(pool.features)
    result = jessl.curate(z, data=open_source(x), out=tmp_path / "out", workers=1)
    assert rows_of(tmp_path / "out" / "image_faults.csv") == [
        {"name": "11", "fault": "constant", "value": "0"}
    ]
    assert result.image_faults is not None


def test_more_copies_than_needed_are_left_out_with_a_warning() -> None:
    x = np.random.default_rng(2).standard_normal((40, 8)).repeat(2, axis=0)
    lines: list[str] = []
    result = jessl.curate(jessl.Embeddings(x), budget=60, log=Log(lines.append))
    assert result.label_first is not None
    assert len(result.label_first.rows) == 40
    assert lines == [f"warning: {result.warnings[0]}"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": N + 1}, r"budget: expected at most 120 \(120 images\), got 121"),
        ({"budget": 0}, "budget: expected a whole number of at least 1, got 0"),
        ({"budget": 3, "method": "coverag"}, "unknown method 'coverag'; did you mean 'coverage'"),
        ({"method": "coverage"}, "method: expected a budget beside it"),
        ({"data": np.zeros((5, 4, 4, 3), np.uint8)}, "data: 115 of 120 rows .* '5.png'"),
    ],
)
def test_mistakes_are_one_line(
    pool: jessl.Embeddings, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        jessl.curate(pool, log=SILENT, **options)
    assert "\n" not in str(error.value)


def test_labels_of_unknown_images_are_counted_and_named(
    pool: jessl.Embeddings, tmp_path: Path
) -> None:
    few = write_labels(tmp_path / "few.csv", {"0.png": "a", "x.png": "b", "y.png": "b"})
    with pytest.raises(ValueError, match=r"2 of 3 images are not in .*, the first is 'x.png'"):
        jessl.curate(pool, labels=few)
    result = jessl.curate(pool, labels=few, allow_missing=True)
    assert result.as_json()["labelled"] == 1


def test_nothing_is_replaced(pool: jessl.Embeddings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out: .* exists"):
        jessl.curate(pool, out=tmp_path)


def test_a_budget_above_the_images_without_a_label(pool: jessl.Embeddings) -> None:
    z = jessl.Embeddings(pool.features, np.r_[np.zeros(100, int), np.full(20, -1)])
    with pytest.raises(ValueError, match=r"at most 20 \(20 of 120 without a label\), got 21"):
        jessl.curate(z, budget=21)


def test_rows_of_a_subset_without_names_are_called_by_their_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.integers(0, 255, (60, 8, 8)).astype(np.uint8))
    ids = np.arange(60)[20:]
    z = jessl.Embeddings(rng.normal(size=(40, 4)).astype(np.float32), ids=ids)
    for data in (None, tmp_path / "x.npy"):
        result = jessl.curate(z, budget=3, data=data, workers=1)
        chosen = result.label_first
        assert chosen is not None
        assert [result.names[row] for row in chosen.rows] == [str(ids[row]) for row in chosen.rows]


def test_several_rows_of_an_image_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    z = jessl.Embeddings(x, ids=np.arange(20) // 2)
    with pytest.raises(ValueError, match="one row an image, got 20 rows of 10 images"):
        jessl.curate(z, budget=3)


def test_another_array_of_as_many_rows_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("x.npy", "other.npy"):
        np.save(tmp_path / name, rng.integers(0, 255, (40, 8, 8)).astype(np.uint8))
    source = open_source(tmp_path / "x.npy")
    meta = {"data": source.name, "data_checksum": source.fingerprint()}
    z = jessl.Embeddings(rng.normal(size=(40, 4)).astype(np.float32), meta=meta)
    assert not jessl.curate(z, data=tmp_path / "x.npy", workers=1).warnings
    [warning] = jessl.curate(z, data=tmp_path / "other.npy", workers=1, log=SILENT).warnings
    assert "rows are matched with" in warning
    assert "other.npy by their number" in warning
