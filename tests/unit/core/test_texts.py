import numpy as np
import pytest

from jessl.core.texts import Texts

WORDS = ["a.png", "", "Küche/ü.jpg", "x" * 300, "\udcff odd"]


def test_texts_behave_as_a_sequence_of_str():
    texts = Texts.of(WORDS)
    assert list(texts) == WORDS
    assert (len(texts), texts[-1], texts[2]) == (5, WORDS[-1], WORDS[2])
    assert list(texts[1:4]) == WORDS[1:4]
    assert list(texts[::-1]) == WORDS[::-1]
    assert WORDS[3] in texts
    assert list(Texts.joined([texts, Texts.of([]), texts])) == WORDS * 2
    assert texts == Texts.of(WORDS)
    assert texts != Texts.of(WORDS[1:])
    with pytest.raises(IndexError):
        texts[5]


def test_rows_are_taken_in_any_order_and_number():
    texts = Texts.of(f"image-{i}.png" for i in range(70_000))
    rows = np.random.default_rng(0).integers(0, 70_000, 140_001)
    taken = texts.take(rows)
    assert list(taken) == [f"image-{i}.png" for i in rows]
    assert list(texts.take(np.array([], int))) == []


@pytest.mark.parametrize(
    ("blob", "ends"),
    [
        (np.zeros(3, np.uint8), np.array([0, 2])),
        (np.zeros(3, np.uint8), np.array([0, 5, 3])),
        (np.zeros(3, np.uint8), np.array([1, 3])),
        (np.zeros(3, np.int8), np.array([0, 3])),
        (np.zeros(0, np.uint8), np.array([], np.int64)),
        (np.zeros(3, np.uint8), np.array([0.0, 3.0])),
    ],
)
def test_damaged_arrays_are_refused(blob, ends):
    with pytest.raises(ValueError, match="texts names are damaged"):
        Texts.of_arrays(blob, ends, "names")
