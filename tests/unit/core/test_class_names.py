"""Labels of two sets are matched by class name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jessl.core.class_names import LabelledSet, MatchedLabels, match_labels, parse_class_names


def _match(
    train: list[int], train_names: list[str] | None, test: list[int], test_names: list[str] | None
) -> MatchedLabels:
    return match_labels(
        LabelledSet("train", np.array(train), train_names),
        LabelledSet("test", np.array(test), test_names),
    )


def test_names_on_both_sides() -> None:
    found = _match([0, 1, 2], ["ant", "bee", "cat"], [0, 1, 2, -1], ["bee", "cat", "dog"])
    assert found.labels.tolist() == [1, 2, 3, -1]
    assert found.names == {0: "ant", 1: "bee", 2: "cat", 3: "dog"}
    assert found.absent == ("dog",)
    # a name that train lists and does not use is a class that train lacks
    found = _match([0, 1], ["ant", "bee", "cat"], [0, 1], ["bee", "cat"])
    assert found.labels[0] == 1
    assert found.labels[1] >= 2
    assert found.absent == ("cat",)
    # accents in either form of Unicode
    assert _match([0, 1], ["cafe\u0301", "x"], [0], ["caf\u00e9"]).labels.tolist() == [0]


def test_equal_names_and_no_names_keep_their_numbers() -> None:
    names = ["ant", "bee", "bee"]
    assert _match([0, 2], names, [2, 5, -1], names).labels.tolist() == [2, 5, -1]
    found = _match([3, 9], None, [9, 4], None)
    assert found.labels.tolist() == [9, 4]
    assert found.absent == ("4",)


def test_numbers_against_numbers_as_names() -> None:
    folders = sorted(str(k) for k in range(12))  # "0", "1", "10", "11", "2", ...
    labels = list(range(12))
    found = _match(labels, None, labels, folders)
    assert found.labels.tolist() == [int(name) for name in folders]
    found = _match(labels, folders, labels, None)
    assert found.labels.tolist() == [folders.index(str(k)) for k in labels]
    # one side may lack classes
    assert _match(labels, None, [0, 1], ["10", "3"]).labels.tolist() == [10, 3]
    found = _match([0, 1], None, labels, folders)
    assert found.labels.tolist() == [int(name) for name in folders]
    assert set(found.absent) == {str(k) for k in range(2, 12)}
    assert _match([0, 1], ["10", "3"], [3, 5, 10], None).absent == ("5",)


@pytest.mark.parametrize(
    ("train", "train_names", "test", "test_names", "message"),
    [
        ([0, 1], ["ant", "bee"], [0, 1], None, "test: expected class names as train has"),
        ([0, 1], None, [0, 1], ["ant", "bee"], "train: expected class names as test has"),
        # 0 .. 2 against "1" .. "3": a shift by one would go unnoticed
        ([0, 1, 2], None, [0, 1, 2], ["1", "2", "3"], "train: expected class names"),
        ([0, 1], ["00", "01"], [0, 1], None, "test: expected class names"),
        ([0, 1], ["ant", "bee"], [0], ["cat"], "test: expected classes of train"),
        ([0, 1, 2], ["ant", "bee", "bee"], [0], ["bee"], "train: .* differ, got 'bee'"),
        ([0, 5], ["ant", "bee"], [0], ["bee"], "train: expected a name for every label"),
    ],
)
def test_what_cannot_be_matched_is_refused(
    train: list[int],
    train_names: list[str] | None,
    test: list[int],
    test_names: list[str] | None,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        _match(train, train_names, test, test_names)


def test_names_that_a_user_gives(tmp_path: Path) -> None:
    assert parse_class_names("ant, bee,cat") == ("ant", "bee", "cat")
    file = tmp_path / "names.txt"
    file.write_text("ant\nbee, a bee\n\n", encoding="utf-8")
    assert parse_class_names(file) == parse_class_names(str(file)) == ("ant", "bee, a bee")
    for value, message in (
        ("ant,ant", "'ant' twice"),
        ("ant,,cat", "none for 1"),
        ("nothing-there.txt", "expected a file or names a,b,c"),
        (["ant"], "at least two"),
        (3, "got int"),
    ):
        with pytest.raises(ValueError, match=f"class_names: .*{message}"):
            parse_class_names(value)  # type: ignore[arg-type]
    file.write_bytes(b"\xff\xfe\n")
    with pytest.raises(ValueError, match=r"names.txt is not UTF-8"):
        parse_class_names(file)
