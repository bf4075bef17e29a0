"""The file of a map: what is written comes back, and a stranger's file does no harm."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.embeddings import Embeddings
from jessl.extraction.image_map import image_map, label_colours
from jessl.maps.colours import (
    Classes,
    Values,
    classes_of,
    clusters_of,
    groups_of,
    outlierness_of,
)
from jessl.maps.embedding_map import MOST_IMAGES, read_map, shown_rows
from jessl.report.pages.embedding_map import map_blocks


@pytest.fixture
def written(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 6, 6, 3)).astype(np.uint8)
    from jessl.data import open_source

    z = Embeddings(
        rng.standard_normal((40, 5)), np.arange(40) % 3 - 1, meta={"classes": ["a", "b"]}
    )
    values = np.arange(40.0)
    values[7] = np.nan
    drawn = image_map(z, open_source(images), [*label_colours(z), Values("value", values)])
    assert drawn is not None
    drawn.write(tmp_path / "map.json")
    return tmp_path / "map.json"


def test_a_map_comes_back_from_its_file(written: Path) -> None:
    drawn = read_map(written)
    assert list(drawn.names) == [str(k) for k in range(40)]
    label, value, cluster = drawn.colours
    assert isinstance(label, Classes)
    assert isinstance(value, Values)
    assert isinstance(cluster, Classes)
    assert [None if c < 0 else label.names[c] for c in label.codes[:4]] == [None, "a", "b", None]
    np.testing.assert_array_equal(value.values[:3], [0, 1, 2])
    assert np.isnan(value.values[7])
    assert cluster.name == "cluster"
    (layout,) = drawn.layouts
    assert layout.xy.min() >= 0
    assert np.ptp(layout.xy, axis=0).max() == pytest.approx(65535, abs=1)
    assert drawn.thumbnails is not None
    (sheet,) = drawn.thumbnails.sheets
    picture = Image.open(io.BytesIO(base64.b64decode(sheet.partition(",")[2])))
    assert picture.size == (32 * drawn.thumbnails.side_px, 2 * drawn.thumbnails.side_px)


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.update(format="other"),
        lambda held: held.update(layouts=[]),
        lambda held: held["layouts"][0].update(xy="AAAA"),
        lambda held: held["layouts"][0].update(xy="not base64!"),
        lambda held: held["colours"][0].update(classes=[]),
        lambda held: held.update(names="abc"),
        lambda held: held.update(images=None),
        lambda held: held["thumbnails"].update(sheets=["https://example.org/x.jpg"]),
        lambda held: held["thumbnails"].update(sheets=['data:image/jpeg;base64,"></script>']),
        lambda held: held["thumbnails"].update(side={}),
        lambda held: held["thumbnails"].update(side=float("inf")),
        lambda held: held["thumbnails"].update(across=0),
        lambda held: held["thumbnails"].update(sheets=[]),
        lambda held: held.update(images=-1),
        lambda held: held.pop("colours"),
    ],
)
def test_other_files_are_refused_in_one_line(written: Path, change: object) -> None:
    held = json.loads(written.read_text())
    change(held)  # type: ignore[operator]
    written.write_text(json.dumps(held))
    with pytest.raises(ValueError, match=r"^map\.json: expected a map of embeddings") as caught:
        read_map(written)
    assert "\n" not in str(caught.value)


def test_bytes_of_names_that_are_no_text_come_back(written: Path) -> None:
    held = json.loads(written.read_text())
    held["names"][0] = "caf\udce9.png"
    written.write_text(json.dumps(held))
    drawn = read_map(written)
    drawn.write(written)
    assert read_map(written).names[0] == "caf\udce9.png"
    (block,) = map_blocks(drawn)
    str(block.data).encode()  # type: ignore[union-attr]


def test_names_cannot_end_the_data_of_the_page(written: Path) -> None:
    held = json.loads(written.read_text())
    held["names"][0] = "</script><script>alert(1)</script>"
    written.write_text(json.dumps(held))
    (block,) = map_blocks(read_map(written))
    assert "<" not in block.data  # type: ignore[union-attr]
    assert json.loads(str(block.data))["names"][0] == held["names"][0]  # type: ignore[union-attr]
    assert map_blocks(None) == []


def test_unreadable_images_are_grey_and_a_map_needs_no_images() -> None:
    z = Embeddings(np.eye(4))
    drawn = image_map(z, None)
    assert drawn is not None
    assert drawn.thumbnails is None
    assert image_map(Embeddings(np.ones((4, 2))), None) is None


def test_many_images_are_drawn_at_random_after_those_that_matter() -> None:
    first = np.array([3, 29_999])
    rows = shown_rows(30_000, 0, first)
    assert len(rows) == MOST_IMAGES
    assert np.isin(first, rows).all()
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, shown_rows(30_000, 0, first))
    np.testing.assert_array_equal(shown_rows(5, 0), np.arange(5))


def test_colours_of_classes_groups_clusters_and_outliers() -> None:
    many = classes_of("label", [f"c{k}" for k in range(40)] + ["c3"])
    assert len(many.names) == 32
    assert many.names[0] == "c3"
    assert many.names[-1] == "9 others"
    assert many.codes.max() == 31
    grouped = groups_of("duplicates", 5, [np.array([1, 4])])
    assert grouped.codes.tolist() == [-1, 0, -1, -1, 0]
    rng = np.random.default_rng(0)
    rows = np.repeat(np.eye(3), (9, 6, 3), axis=0) + 0.01 * rng.standard_normal((18, 3))
    clusters = clusters_of(rows, 0)
    assert clusters.names[0] == "cluster 1"
    assert len(clusters.names) <= 10
    rows[0] = (-1, -1, -1)
    assert outlierness_of(rows).values.argmax() == 0
