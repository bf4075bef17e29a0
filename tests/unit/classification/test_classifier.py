"""The estimator: scikit-learn's own checks, Embeddings, files, and what it announces."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import jessl
from jessl.classification.classifier import EmbeddingClassifier
from jessl.embeddings import Embeddings

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
NAMES = [f"class {k}" for k in range(10)]


def drawn(shots: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of some images of each class, and all others."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([rng.permutation(np.flatnonzero(k == Y))[:shots] for k in range(10)])
    return rows, np.setdiff1d(np.arange(len(Y)), rows)


@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn_pass() -> None:
    results = check_estimator(EmbeddingClassifier(), on_fail=None, on_skip=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert not failed
    assert len(results) > 40


def test_it_announces_what_comes_true_on_digits() -> None:
    train, test = drawn(20)
    classifier = jessl.fit_classifier(X[train], Y[train], max_error=0.1)
    expected = classifier.expected_accuracy_
    accuracy = classifier.score(X[test], Y[test])
    assert expected.low < accuracy < expected.high
    assert abs(expected.value - accuracy) < 0.05
    details = classifier.details(X[test])
    kept = ~details.abstain
    assert classifier.abstention_.threshold is not None
    assert kept.mean() > 0.5
    assert (classifier.classes_[details.label] != Y[test])[kept].mean() < 0.1
    probability = classifier.predict_proba(X[test])
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    np.testing.assert_allclose(probability.max(axis=1), details.probability)
    np.testing.assert_allclose(np.sort(probability)[:, -2], details.second_probability)
    assert (details.second != details.label).all()
    assert details.far.mean() < 0.05
    noise = np.random.default_rng(0).uniform(0, 16, (50, 64)).astype(np.float32)
    assert classifier.details(noise).far.mean() > 0.9
    assert classifier.confusion_.sum() == len(train)


def test_one_label_a_class_cannot_be_estimated() -> None:
    train, test = drawn(1)
    classifier = jessl.fit_classifier(X[train], Y[train], max_error=0.05)
    expected = classifier.expected_accuracy_
    assert (expected.value, expected.low, expected.high) == (None, 0, 1)
    assert "cannot be estimated" in expected.text
    assert classifier.abstention_.threshold is None
    assert "cannot be promised" in classifier.abstention_.text
    assert classifier.details(X[test]).abstain.all()
    assert classifier.score(X[test], Y[test]) > 0.4


def test_a_class_with_one_row_widens_the_interval() -> None:
    train, _ = drawn(5)
    all_classes = jessl.fit_classifier(X[train], Y[train]).expected_accuracy_
    fewer = np.delete(train, np.flatnonzero(Y[train] == 3)[1:])
    one_alone = jessl.fit_classifier(X[fewer], Y[fewer]).expected_accuracy_
    assert one_alone.alone == 1
    assert "1 class has one labelled image" in one_alone.text
    assert one_alone.high - one_alone.low > all_classes.high - all_classes.low


def test_embeddings_bring_labels_names_and_groups() -> None:
    train, test = drawn(10)
    labels = np.full(len(Y), -1)
    labels[train] = Y[train]
    z = Embeddings(X, labels, meta={"classes": NAMES})
    classifier = jessl.fit_classifier(z)
    assert list(classifier.classes_) == NAMES
    bare = jessl.fit_classifier(X[np.sort(train)], Y[np.sort(train)])
    np.testing.assert_array_equal(
        classifier.predict(z.subset(test)), [NAMES[k] for k in bare.predict(X[test])]
    )
    # a group never lies on both sides of a fold
    groups = np.where(labels >= 0, np.arange(len(Y)) // 300, -1)
    grouped = jessl.fit_classifier(Embeddings(X, labels, groups=groups))
    assert grouped.expected_accuracy_.folds == 6
    assert grouped.expected_accuracy_.independent < bare.expected_accuracy_.independent


def test_files_hold_the_whole_classifier(tmp_path) -> None:
    train, test = drawn(5)
    classifier = jessl.fit_classifier(X[train], np.array(NAMES)[Y[train]], max_error=0.2)
    classifier.save(tmp_path / "c", {"note": "é"})
    assert sorted(p.suffix for p in (tmp_path / "c").iterdir()) == [".json", ".safetensors"]
    back = EmbeddingClassifier.load(tmp_path / "c")
    np.testing.assert_array_equal(back.predict_proba(X[test]), classifier.predict_proba(X[test]))
    for name, values in vars(classifier.details(X[test])).items():
        np.testing.assert_array_equal(getattr(back.details(X[test]), name), values)
    assert back.expected_accuracy_ == classifier.expected_accuracy_
    assert back.abstention_ == classifier.abstention_
    assert back.about_ == {"note": "é"}
    with pytest.raises(ValueError, match="which exists"):
        classifier.save(tmp_path / "c")
    header = json.loads((tmp_path / "c" / "classifier.json").read_text())
    header["temperature"] = 2
    (tmp_path / "c" / "classifier.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match="changed since it was written"):
        EmbeddingClassifier.load(tmp_path / "c")
    back.save(tmp_path / "d")
    data = bytearray((tmp_path / "d" / "classifier.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "d" / "classifier.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"classifier\.safetensors: changed"):
        EmbeddingClassifier.load(tmp_path / "d")
    with pytest.raises(ValueError, match="no folder"):
        EmbeddingClassifier.load(tmp_path / "e")


def test_it_stands_in_pipelines() -> None:
    train, test = drawn(10)
    pipeline = make_pipeline(StandardScaler(), EmbeddingClassifier())
    assert pipeline.fit(X[train], Y[train]).score(X[test], Y[test]) > 0.8
    assert cross_val_score(EmbeddingClassifier(), X[train], Y[train], cv=3).mean() > 0.7
    again = pickle.loads(pickle.dumps(pipeline))
    np.testing.assert_array_equal(again.predict(X[test]), pipeline.predict(X[test]))


@pytest.mark.parametrize(
    ("x", "y", "options", "words"),
    [
        (X[:20], np.zeros(20), {}, "at least two classes, got one class"),
        (X[:20], Y[:20], {"max_error": 0}, "max_error: expected a share above 0"),
        (X[:20], Y[:20], {"max_error": 2}, "max_error"),
        (X[:20], Y[:20], {"folds": 1}, "folds"),
        (X[:20], Y[:20], {"C": -1}, "C: expected a finite number above 0"),
        (X[:20], Y[:20], {"groups": [1, 2]}, "groups: expected 20"),
        (Embeddings(X[:20]), None, {}, "the embeddings have none"),
        (Embeddings(X[:20], [-1] * 20), None, {}, "0 sample"),
    ],
)
def test_mistakes_are_one_line(x, y, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        jessl.fit_classifier(x, y, **options)
