"""Probes and decompositions match labels by class name, in both directions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from jessl.cli._output import print_warnings
from jessl.embeddings import Embeddings
from jessl.probes import few_shot, probe
from jessl.risk import decompose

_CLASSES = 12
_FOLDERS = sorted(str(k) for k in range(_CLASSES))


def _sets(each: int, seed: int) -> dict[str, Embeddings]:
    """The same rows with labels as numbers, and as the positions of folders "0", "1", "10", ..."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(_CLASSES), each)
    z = 6 * np.eye(_CLASSES)[y] + rng.normal(size=(len(y), _CLASSES))
    ids = np.arange(len(y)) + 10_000 * seed
    place = np.array([_FOLDERS.index(str(k)) for k in y])
    return {
        "numbers": Embeddings(z, y, ids),
        "folders": Embeddings(z, place, ids, {"classes": _FOLDERS}),
    }


_TRAIN, _TEST = _sets(8, 1), _sets(5, 2)
_DIRECTIONS = [("numbers", "folders"), ("folders", "numbers")]


@pytest.mark.parametrize(("one", "two"), _DIRECTIONS)
@pytest.mark.parametrize("kind", ["ridge", "knn", "logistic"])
def test_folders_against_numbers(kind: str, one: str, two: str) -> None:
    right = probe(_TRAIN[one], _TEST[one], kind=kind).error
    assert right < 0.2
    assert probe(_TRAIN[one], _TEST[two], kind=kind).error == pytest.approx(right, abs=0.02)
    with pytest.raises(ValueError, match="class_names: expected a set whose labels have no names"):
        probe(_TRAIN["folders"], _TEST["folders"], kind=kind, class_names=_FOLDERS)


@pytest.mark.parametrize(("one", "two"), _DIRECTIONS)
def test_few_shot_and_decomposition(one: str, two: str) -> None:
    few = [few_shot(_TRAIN[one], _TEST[k], shots=(3,), kind="ridge", draws=2) for k in (one, two)]
    assert few[0][0].error.value == pytest.approx(few[1][0].error.value, abs=0.02)
    risks = [decompose(_TRAIN[one], _TEST[k], probe="ridge").risk.value for k in (one, two)]
    assert risks[0] == pytest.approx(risks[1], abs=0.02)
    twin = (_TRAIN[two], _TEST[two])
    matched = decompose(_TRAIN[one], _TEST[one], supervised=twin, probe="ridge")
    assert matched.params["supervised_paired"]
    assert matched.params["supervised_test_risk"] == pytest.approx(risks[0], abs=0.02)


@pytest.mark.parametrize("measure", [probe, decompose])
def test_names_against_numbers_need_names(measure: Callable[..., object]) -> None:
    names = [f"class {name}" for name in "abcdefghijkl"]
    named = Embeddings(
        _TRAIN["numbers"].features, _TRAIN["numbers"].labels, meta={"classes": names}
    )
    test = _TEST["numbers"]
    with pytest.raises(ValueError, match=r"test: expected class names .*--class-names"):
        measure(named, test)
    with pytest.raises(ValueError, match=r"every label of test \(0 to 11\), got 2"):
        measure(named, test, class_names="class a,class b")
    measure(named, test, class_names=names)


def test_a_class_that_one_side_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    z, y = _TRAIN["numbers"].features, _TRAIN["numbers"].labels
    assert y is not None
    names = [f"class_{k:02d}" for k in range(_CLASSES)]
    whole = Embeddings(z, y, meta={"classes": names})
    part = Embeddings(z[y > 0], y[y > 0] - 1, meta={"classes": names[1:]})
    assert probe(whole, part, kind="knn").error < 0.1
    result = probe(part, whole, kind="knn")
    assert result.error == pytest.approx(8 / 96, abs=0.03)
    assert result.params["unseen_class_names"] == ["class_00"]
    assert result.params["unseen_test_rows"] == 8
    assert {c["name"]: c["error"] for c in result.per_class.values()}["class_00"] == 1
    [few] = few_shot(part, whole, shots=(3,), kind="ridge", draws=2)
    assert few.params["unseen_class_names"] == ["class_00"]
    assert decompose(part, whole, probe="ridge").params["unseen_class_names"] == ["class_00"]
    print_warnings(result.params)
    assert "(1, the first is class_00); they count as errors" in capsys.readouterr().err


def test_a_class_with_few_images_is_called_by_its_name() -> None:
    z = np.random.default_rng(0).normal(size=(7, 3))
    data = Embeddings(z, [0, 0, 0, 0, 1, 1, -1], meta={"classes": ["cat", "dog"]})
    for measure in (probe, decompose):
        with pytest.raises(ValueError, match=r"at most 2 images per class \(dog\), got 3"):
            measure(data, data, shots=3)


def test_rows_without_labels_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    z = np.random.default_rng(0).normal(size=(60, 3))
    train = Embeddings(z, np.arange(60) % 3 - 1)
    test = Embeddings(z[:24], np.arange(24) % 3 - 1)
    [few] = few_shot(train, test, shots=(3,), kind="ridge", draws=2)
    for params in (
        probe(train, test, kind="ridge").params,
        decompose(train, test, probe="ridge").params,
        few.params,
    ):
        print_warnings(params)
        text = "note: 20 train and 8 test rows have no label (-1) and are left out"
        assert text in capsys.readouterr().err
        assert (params["unlabelled_train_rows"], params["unlabelled_test_rows"]) == (20, 8)


def test_names_of_the_meta_data_that_are_no_list() -> None:
    z = np.random.default_rng(0).normal(size=(8, 3))
    odd = Embeddings(z, np.arange(8) % 2, meta={"classes": {"cat": 0}})
    with pytest.raises(ValueError, match="test: expected a list of names"):
        probe(Embeddings(z, np.arange(8) % 2), odd)
