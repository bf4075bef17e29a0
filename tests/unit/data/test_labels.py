"""Labels from CSV files: what matches, what is missing, what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.data import Source, Subset, open_source
from jessl.data.labels import check_same_classes, labels_from_csv, with_class_names


@pytest.fixture
def photos(tmp_path: Path) -> Source:
    file = io.BytesIO()
    Image.new("L", (3, 2)).save(file, "PNG")
    for name in ("x/a.png", "x/b, c.png", "y/d.png", "y/é.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())
    return open_source(tmp_path / "photos")


def labels(source: Source) -> list[int] | None:
    return None if source.labels is None else source.labels.tolist()


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_labels_replace_those_of_the_folders(photos: Source, tmp_path: Path) -> None:
    assert photos.classes == ("x", "y")
    absolute = tmp_path / "photos" / "y" / "d.png"
    text = f'path,label\n./x/a.png,dog\n"x/b, c.png",cat\n{absolute},dog\n'
    source = labels_from_csv(photos, written(tmp_path, text))
    assert source.classes == ("cat", "dog")
    assert labels(source) == [1, 0, 1, -1]
    assert source.notes == ()
    assert photos.classes == ("x", "y")
    np.testing.assert_array_equal(source.ids, photos.ids)
    assert source.fingerprint() != photos.fingerprint()
    again = open_source(tmp_path / "photos", labels=tmp_path / "labels.csv")
    assert (again.classes, again.fingerprint()) == (source.classes, source.fingerprint())


def test_byte_order_mark_line_ends_other_columns_and_empty_cells(
    photos: Source, tmp_path: Path
) -> None:
    text = "\ufeffpath,group,label\r\ny/é.png,1,b\r\n\r\nx/a.png,2,\r\ny/d.png,3, a \r\n"
    source = labels_from_csv(photos, written(tmp_path, text))
    assert source.classes == ("a", "b")
    assert labels(source) == [-1, -1, 0, 1]


def test_integers_are_sorted_as_numbers(tmp_path: Path) -> None:
    rows = open_source(np.zeros((6, 2, 2), dtype=np.uint8))
    text = "path,label\n0,10\n1,9\n2,-1\n4,9\n5,100\n"
    source = labels_from_csv(rows, written(tmp_path, text))
    assert source.classes == ("9", "10", "100")
    assert labels(source) == [1, 0, -1, -1, 0, 2]
    source = labels_from_csv(rows, written(tmp_path, text + "3,none\n"))
    assert source.classes == ("-1", "10", "100", "9", "none")


def test_a_subset_is_labelled_by_the_names_of_its_source(tmp_path: Path) -> None:
    rows = Subset(open_source(np.zeros((6, 2, 2), dtype=np.uint8)), [5, 2])
    source = labels_from_csv(rows, written(tmp_path, "path,label\n2,a\n5,b\n0,a\n"))
    assert labels(source) == [1, 0]
    assert source.notes == (f"{tmp_path / 'labels.csv'}: 1 path not in array, the first is '0'",)


def test_unknown_paths_are_counted(photos: Source, tmp_path: Path) -> None:
    text = "path,label\nx/gone.png,a\nx/a.png,a\n../z.png,b\n"
    source = labels_from_csv(photos, written(tmp_path, text))
    assert "2 paths not in" in source.notes[0]
    assert source.notes[0].endswith("the first is 'x/gone.png'")
    assert source.classes == ("a",)
    text = "path,label\na.png,a\nd.png,b\n"
    with pytest.raises(ValueError, match=r"none of its 2 paths .*'a\.png'.* like 'x/a\.png'"):
        labels_from_csv(photos, written(tmp_path, text))


def test_repeated_rows(photos: Source, tmp_path: Path) -> None:
    text = "path,label\nx/a.png,a\nx/a.png,\n./x/a.png,a\n"
    assert labels(labels_from_csv(photos, written(tmp_path, text))) == [0, -1, -1, -1]
    with pytest.raises(ValueError, match=r"'x/a\.png' has .* 'a' in line 2 and 'b' in line 5"):
        labels_from_csv(photos, written(tmp_path, text + "x/a.png,b\n"))


def test_a_folder_is_no_file_of_labels(photos: Source, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a CSV file .* got the folder .* class folders"):
        labels_from_csv(photos, tmp_path)


def test_no_label_at_all(photos: Source, tmp_path: Path) -> None:
    source = labels_from_csv(photos, written(tmp_path, "path,label\nx/a.png,\n"))
    assert (source.labels, source.classes) == (None, None)
    assert "all labels are empty" in source.notes[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "header with the columns path and label, once each, .* got nothing"),
        ("x/a.png,cat\n", "header .* got x/a.png, cat"),
        ("path,label,label\n", "once each"),
        ("path,label\n", "no row below the header"),
        ("path,label\nx/b, c.png,cat\n", "line 2 has 3 cells, the header 2; .* double quotes"),
        ("path,label\n,cat\n", "line 2 has no path"),
        ('path,label\n"x/a.png,cat\n', "line 2"),
        (b"path,label\nx/a.png,caf\xe9\n", "not UTF-8"),
    ],
)
def test_what_is_refused(photos: Source, tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        labels_from_csv(photos, written(tmp_path, text))
    assert "labels.csv" in str(caught.value)


def test_missing_file(photos: Source, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"labels: no file .*gone\.csv"):
        labels_from_csv(photos, tmp_path / "gone.csv")


def test_classes_of_two_sources_are_matched_by_name() -> None:
    x = np.zeros((3, 4, 4, 3), np.uint8)
    named = open_source((x, np.array(["ant", "bee", "cat"])))
    fewer = open_source((x, np.array(["bee", "cat", "bee"])))
    numbers = open_source((x, np.array([0, 1, 2])))
    check_same_classes(named, fewer)
    check_same_classes(fewer, named)
    for one, two, argument in ((named, numbers, "test"), (numbers, named, "train")):
        with pytest.raises(ValueError, match=rf"{argument}: expected class names .*--class-names"):
            check_same_classes(one, two)
        one, two = with_class_names("ant,bee,cat", train=one, test=two)
        assert one.classes == two.classes == ("ant", "bee", "cat")
        check_same_classes(one, two)
    digits = open_source((x, np.array(["1", "10", "2"])))
    check_same_classes(digits, open_source((x, np.array([10, 2, 1]))))
    with pytest.raises(ValueError, match="test: expected classes of train"):
        check_same_classes(named, open_source((x, np.array(["x", "y", "z"]))))
    with pytest.raises(ValueError, match=r"every label of test \(0 to 2\), got 2"):
        with_class_names("ant,bee", train=named, test=numbers)
    with pytest.raises(ValueError, match="got class names in data"):
        with_class_names("ant,bee", data=named)
    with pytest.raises(ValueError, match="have no labels"):
        with_class_names("ant,bee", data=open_source(x))
