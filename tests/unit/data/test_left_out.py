"""What sources leave out is counted and named: members of tars, files beside them; links; texts."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.source_samples import tar
from jessl.data import open_source

IMAGE = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8)


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, "PNG")
    return file.getvalue()


def test_dotted_names_in_a_tar_are_counted_with_the_reason(tmp_path: Path) -> None:
    dotted = {"a.b.c.png": png(), "a.b.c.cls": b"0", "d.1.png": png(), "e.png": png()}
    source = open_source(tar(tmp_path / "x.tar", dotted))
    assert len(source) == 1
    [note] = source.notes
    assert (
        "2 samples without an image, the first is a; 2 of their members have further dots" in note
    )
    assert "ends at the first, as in a.b.c.png: rename" in note
    with pytest.raises(ValueError, match=r"no image in .* as in a\.b\.c\.png"):
        open_source(tar(tmp_path / "y.tar", {"a.b.c.png": png(), "a.b.c.cls": b"0"}))


def test_further_images_of_a_sample_are_counted(tmp_path: Path) -> None:
    members = {"a.png": png(), "a.seg.png": png(), "a.cls": b"0", "b.png": png(), "b.jpg": png()}
    source = open_source(tar(tmp_path / "x.tar", members))
    assert len(source) == 2
    [note] = source.notes
    assert "2 further images in samples that have one are left out" in note
    assert "the first is a.seg.png" in note


def test_tars_beside_images_and_files_beside_tars(tmp_path: Path) -> None:
    tar(tmp_path / "d" / "x.tar", {"a.png": png(), "b.png": png()})
    (tmp_path / "d" / "sub").mkdir()
    (tmp_path / "d" / "stats.json").write_text("{}")
    [note] = open_source(tmp_path / "d").notes
    assert "2 files or folders are left out beside the tar shards; the first is stats.json" in note
    (tmp_path / "d" / "c.png").write_bytes(png())
    source = open_source(tmp_path / "d")
    assert len(source) == 1
    [note] = source.notes
    assert "2 files are left out" in note
    assert "tar shards are read where no image is beside them" in note


def test_absolute_paths_through_links(tmp_path: Path) -> None:
    for folder in ("real/cats", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "0.png").write_bytes(png())
        (tmp_path / folder / "1.png").write_bytes(png())
    (tmp_path / "real" / "inside").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to("real")
    rows = {
        "real/cats/0.png": "cat",
        "link/cats/1.png": "cat",
        "elsewhere/0.png": "dog",
        "real/inside/1.png": "dog",
    }
    table = tmp_path / "labels.csv"
    table.write_text("path,label\n" + "".join(f"{tmp_path / k},{v}\n" for k, v in rows.items()))
    for root in ("real", "link"):
        source = open_source(tmp_path / root, labels=table)
        assert source.classes == ("cat", "dog")
        assert source.labels is not None
        named = {source.key(i): source.classes[k] for i, k in enumerate(source.labels)}
        assert named == {
            "cats/0.png": "cat",
            "cats/1.png": "cat",
            "inside/0.png": "dog",
            "inside/1.png": "dog",
        }
    table.write_text(f"path,label\n{os.path.abspath(os.sep)}nowhere/0.png,cat\n")
    with pytest.raises(ValueError, match=r"none of its 1 path is in"):
        open_source(tmp_path / "link", labels=table)


def test_one_colour_image_as_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", IMAGE)
    [note] = open_source(tmp_path / "one.npy").notes
    assert "[24, 30, 3] is read as 24 grey images of 30 x 3 pixels" in note
    assert "one colour image is [1, 24, 30, 3]" in note
    assert open_source(IMAGE[None]).notes == ()


class Items:
    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_texts_of_a_data_set_are_class_names() -> None:
    labels = ["dog", "cat", "dog", None, "cat", ""]
    source = open_source(Items([{"image": IMAGE, "label": label} for label in labels]))
    assert "texts become class names" in source.notes[0]
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0, 1, -1, 0, -1]
    assert source.classes == ("cat", "dog")
    captions = open_source(Items([(IMAGE, f"picture {i}") for i in range(6)]))
    assert captions.labels is None
    assert captions.classes is None
    assert "6 texts, 6 of them different, are captions and no labels" in captions.notes[-1]
    mixed = open_source(Items([(IMAGE, "a"), (IMAGE, 1)] * 3))
    assert any("expected integers or texts, got int, str" in note for note in mixed.notes)


def test_items_that_are_files(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    items = [
        {"image": {"bytes": png(), "path": None}, "label": 0},
        {"image": {"bytes": None, "path": str(tmp_path / "a.png")}, "label": 1},
        {"image": png(), "label": 0},
    ]
    source = open_source(Items(items))
    for i in range(3):
        assert np.array_equal(source.read(i), IMAGE)
        assert source.encoded(i) == png()
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 0]
