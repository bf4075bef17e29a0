import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from jessl.embeddings import Embeddings
from jessl.probes import online_probes, probe, split, standardize
from jessl.probes.kinds import knn, logistic
from jessl.probes.result import wilson_interval


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return Embeddings(x[:600], y[:600]), Embeddings(x[600:1100], y[600:1100])


def blobs(n, classes=3, d=4, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = np.random.default_rng(99).standard_normal((classes, d)) * 3
    return Embeddings(centres[y] + spread * rng.standard_normal((n, d)), y)


def test_logistic_reads_digits(digits):
    found = probe(*digits)
    assert 0.03 < found.error < 0.10  # 0.06; chance is 0.9
    assert found.accuracy + found.error == pytest.approx(1, abs=1e-15)
    assert found.low < found.error < found.high
    assert found.top5 > 0.97
    assert found.correct.shape == (500,)
    assert found.correct.mean() == found.accuracy
    C, errors = found.curve["C"], found.curve["error"]
    assert found.params["C"] == C[int(np.argmin(errors))]
    assert found.params["converged"] is True
    assert json.loads(json.dumps(found.as_json()))["params"]["kind"] == "logistic"


def test_scale_and_shift_of_features_do_not_matter(digits):
    train, test = digits
    moved = [
        Embeddings(e.features * np.geomspace(1e-3, 1e3, 64) + 5, e.labels) for e in (train, test)
    ]
    assert probe(*moved, C=0.1).error == pytest.approx(probe(train, test, C=0.1).error, abs=0.005)


def test_c_is_chosen_without_the_test_rows(digits):
    train, test = digits
    nonsense = Embeddings(test.features, np.roll(test.labels, 1))
    assert probe(train, nonsense).curve == probe(train, test).curve


def test_too_few_iterations_are_told_not_raised(digits, monkeypatch):
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 2)
    assert probe(*digits, C=10.0).params["converged"] is False


def test_logistic_agrees_with_scikit_learn(digits):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    train, test = digits
    scaler = StandardScaler().fit(train.features)
    model = LogisticRegression(C=0.05, max_iter=1000).fit(
        scaler.transform(train.features), train.labels
    )
    expected = model.predict(scaler.transform(test.features)) == test.labels
    np.testing.assert_array_equal(probe(train, test, C=0.05).correct, expected)


def knn_by_hand(train, test, k, t):
    a = train.features / np.linalg.norm(train.features, axis=1, keepdims=True)
    b = test.features / np.linalg.norm(test.features, axis=1, keepdims=True)
    best = []
    for row in b:
        cosine = a @ row
        near = np.argsort(-cosine)[:k]
        votes = np.zeros(train.labels.max() + 1)
        np.add.at(votes, train.labels[near], np.exp(cosine[near] / t))
        best.append(votes.argmax())
    return np.array(best) == test.labels


@pytest.mark.parametrize(("k", "t"), [(20, 0.07), (5, 1.0), (1, 0.07)])
def test_knn_by_hand_and_in_chunks(digits, monkeypatch, k, t):
    expected = knn_by_hand(*digits, k, t)
    whole = probe(*digits, kind="knn", k=k, temperature=t)
    np.testing.assert_array_equal(whole.correct, expected)
    monkeypatch.setattr(knn, "_CHUNK_ENTRIES", 600 * 7)
    np.testing.assert_array_equal(probe(*digits, kind="knn", k=k, temperature=t).correct, expected)


def test_knn_ties_all_vote():
    # four equal rows at the k-th place: three say 1, whatever their order
    x, y = np.ones((4, 2)), np.array([0, 1, 1, 1])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        votes = knn.build(x[order], y[order], k=1).decision_function(np.ones((1, 2)))
        np.testing.assert_allclose(votes, [[1, 3]], rtol=1e-5)
    few = knn.build(np.eye(3), np.arange(3), k=20)
    assert few.k == 3
    assert few.decision_function(np.eye(3)).argmax(axis=1).tolist() == [0, 1, 2]
    assert np.isfinite(few.decision_function(np.zeros((1, 3)))).all()


def test_top5_only_from_six_classes():
    assert probe(blobs(60, 5), blobs(50, 5, seed=1), kind="knn").top5 is None
    assert probe(blobs(60, 6), blobs(60, 6, seed=1), kind="knn").top5 == 1.0


@pytest.mark.parametrize("kind", ["logistic", "knn"])
def test_two_classes_and_labels_with_gaps(kind):
    train, test = blobs(40, 2), blobs(20, 2, seed=1)
    train = Embeddings(train.features, train.labels * 7 + 3)
    test = Embeddings(test.features, test.labels * 7 + 3)
    assert probe(train, test, kind=kind).error == 0


def test_missing_labels_are_left_out_and_counted():
    train, test = blobs(60), blobs(30, seed=1)
    y, y_test = train.labels.copy(), test.labels.copy()
    y[:10], y_test[:3] = -1, -1
    found = probe(Embeddings(train.features, y), Embeddings(test.features, y_test))
    assert (found.params["train_rows"], found.params["test_rows"]) == (50, 27)
    assert found.params["unlabelled_train_rows"] == 10
    assert found.params["unlabelled_test_rows"] == 3
    assert found.correct.shape == (27,)


@pytest.mark.parametrize("kind", ["logistic", "knn"])
def test_unseen_classes_are_errors(kind):
    train, test = blobs(60, 3), blobs(40, 4, seed=1)
    found = probe(train, test, kind=kind)
    assert found.params["unseen_classes"] == [3]
    assert found.params["unseen_test_rows"] == 10
    assert found.error == 0.25


def test_few_shots(digits):
    train, test = digits
    one = probe(train, test, shots=1)
    assert one.params["train_rows"] == 10
    assert one.curve is None
    assert one.params["C"] == 1.0
    five = probe(train, test, shots=5, seed=3)
    assert five.params["train_rows"] == 50
    assert one.error > five.error > probe(train, test).error
    assert not np.array_equal(five.correct, probe(train, test, shots=5, seed=4).correct)
    np.testing.assert_array_equal(five.correct, probe(train, test, shots=5, seed=3).correct)
    tenth = probe(train, test, kind="knn", fraction=0.1)
    assert tenth.params["train_rows"] == 60


def test_splits_keep_the_classes():
    y = np.repeat([0, 1, 2], [50, 30, 20])
    part = split.stratified_sample(y, 10, 0)
    assert np.bincount(y[part]).tolist() == [5, 3, 2]
    assert len(split.stratified_sample(y, 33, 0)) == 33
    assert np.bincount(y[split.stratified_sample(y, 1, 0, at_least=1)]).tolist() == [1, 1, 1]
    assert np.bincount(y[split.sample_per_class(y, 20, 1)]).tolist() == [20, 20, 20]
    place = split.assign_folds(y, 5, 0)
    for k in range(5):
        assert np.bincount(y[place == k]).tolist() == [10, 6, 4]


@pytest.mark.parametrize(("wrong", "n"), [(0, 20), (3, 20), (20, 20)])
def test_wilson(wrong, n):
    from scipy.stats import binomtest

    low, high = wilson_interval(wrong, n)
    expected = binomtest(wrong, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= wrong / n <= high


def with_nan(e):
    x = e.features.copy()
    x[2, 0] = np.nan
    return Embeddings(x, e.labels)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (None, {"kind": "logistc"}, "unknown kind 'logistc'; did you mean 'logistic'"),
        (None, {"kind": "ridge", "C": 1.0}, "unknown option of the ridge probe 'C'"),
        (None, {"kind": "ridge", "penalty": 0}, "penalty: expected"),
        (None, {"tuning": "fold"}, "unknown tuning 'fold'"),
        (None, {"tuning": "leave-one-out"}, "expected folds or part, got leave-one-out"),
        (None, {"protocol": "published"}, "protocol: expected shots or fraction with .published."),
        (None, {"protocol": "publishd"}, "unknown protocol"),
        (None, {"kind": "knn", "C": 1.0}, "unknown option of the knn probe 'C'"),
        (None, {"c": 1.0}, "unknown option of the logistic probe 'c'"),
        (None, {"C": -1.0}, "C: expected"),
        (None, {"kind": "knn", "k": 0}, "k: expected"),
        (None, {"kind": "knn", "temperature": float("nan")}, "temperature: expected"),
        (None, {"shots": 21}, "shots: expected at most 20 .*class 0.*, got 21"),
        (None, {"shots": 0}, "shots: expected a whole number of at least 1"),
        (None, {"fraction": 1.5}, "fraction: expected"),
        (None, {"fraction": 0.5, "shots": 2}, "expected one of them"),
        (lambda e: Embeddings(e.features), {}, "train: none of the 60 rows has a label"),
        (lambda e: Embeddings(e.features, np.full(60, 4)), {}, "at least two classes.*class 4"),
        (lambda e: Embeddings(e.features[:, :3], e.labels), {}, "expected 3 features.*got 4"),
        (with_nan, {}, "train: 1 of 60"),
        (lambda e: e.features, {}, r"got ndarray; .*jessl.Embeddings\(features, labels\)"),
    ],
)
def test_mistakes_are_named(change, options, words):
    train, test = blobs(60), blobs(30, seed=1)
    with pytest.raises(ValueError, match=words):
        probe(change(train) if change else train, test, **options)


def test_constant_features():
    train, test = (Embeddings(np.full((30, 4), 0.1), np.arange(30) % 3) for _ in range(2))
    for kind in ("logistic", "knn"):
        assert probe(train, test, kind=kind).error == pytest.approx(2 / 3)


def test_online_probes(digits):
    train, test = digits
    found = online_probes(
        torch.from_numpy(np.array(train.features)),
        torch.from_numpy(np.array(train.labels)),
        test.features,
        test.labels,
    )
    assert set(found) == {"linear", "knn"}
    assert found["linear"] > 0.85
    assert found["knn"] == pytest.approx(probe(train, test, kind="knn").accuracy)
    y = train.labels.copy()
    y[100:] = -1
    few = online_probes(train.features, y, test.features, test.labels)
    assert few["knn"] < found["knn"]
    with pytest.raises(ValueError, match="two classes"):
        online_probes(train.features, np.zeros(600, int), test.features, test.labels)


def test_online_linear_is_ridge(digits):
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    train, test = digits
    scaler = StandardScaler().fit(train.features)
    model = RidgeClassifier(alpha=0.05 * 600).fit(scaler.transform(train.features), train.labels)
    expected = (model.predict(scaler.transform(test.features)) == test.labels).mean()
    found = online_probes(train.features, train.labels, test.features, test.labels)
    assert found["linear"] == pytest.approx(expected, abs=1e-12)


def test_the_function_is_not_shadowed_by_its_file():
    code = (
        "import jessl.probes.probe, sys; from jessl.probes import probe; import jessl.probes\n"
        "assert callable(probe) and callable(jessl.probes.probe)\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_embeddings_that_no_probe_can_be_carried_over_to_are_refused() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    meta = {"encoder": "smallconv:4", "weights": "run a", "classes": ["cat", "dog"]}
    train = Embeddings(x, y, meta=meta)
    unnamed = {k: v for k, v in meta.items() if k != "classes"}
    assert probe(train, Embeddings(x, y, meta={"classes": ["cat", "dog"]})).accuracy >= 0
    for what, other in (("weights", "run b"), ("encoder", "timm:x")):
        test = Embeddings(x, y, meta={**meta, what: other})
        with pytest.raises(ValueError, match=f"test: expected {what} "):
            probe(train, test)
    for one, two, argument in (
        (train, Embeddings(x, y, meta=unnamed), "test"),
        (Embeddings(x, y, meta=unnamed), train, "train"),
    ):
        with pytest.raises(ValueError, match=rf"{argument}: expected class names .*--class-names"):
            probe(one, two)
        assert probe(one, two, class_names=["cat", "dog"]).accuracy >= 0


def test_standardisation_in_chunks_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(103, 4)).astype(np.float32)
    x[:, 2] = 0.1
    monkeypatch.setattr(standardize, "CHUNK", 10)
    mean, scale = standardize.mean_and_scale(x)
    np.testing.assert_allclose(mean, x.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(scale[[0, 1, 3]], x.std(axis=0, dtype=np.float64)[[0, 1, 3]])
    assert scale[2] == 1.0
    z = standardize.standardise(x, mean, scale)
    np.testing.assert_allclose(z[:, [0, 1, 3]].std(axis=0), 1, rtol=1e-5)
