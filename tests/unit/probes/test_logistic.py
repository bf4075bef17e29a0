import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from jessl.embeddings import Embeddings
from jessl.probes import probe, standardize
from jessl.probes.base import UNKNOWN_CLASS_LOSS, FitRequest, evaluate
from jessl.probes.kinds import logistic
from jessl.probes.softmax import SoftmaxLoss, TorchSoftmaxLoss
from jessl.probes.standardize import StandardisedRows


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:700].astype(np.float32), y[:700]


def objective(one, x, y, C):
    """scikit-learn's: C times the sum of the losses plus half the squared norm."""
    loss = evaluate(one, x, y).loss.sum()
    return C * loss + 0.5 * (one.weights**2).sum()


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("classes", [10, 3])
def test_the_minimum_is_that_of_scikit_learn(digits, C, classes):
    x, y = digits
    x, y = x[y < classes], y[y < classes]
    mask = np.arange(len(y)) % 4 > 0
    every = np.ones(len(y), bool)
    found = next(logistic.fit_path(FitRequest(x, y, [every, mask], [{"C": C}])))
    for one, kept in zip(found, (every, mask), strict=True):
        z = (x - one.mean) / one.scale
        model = LogisticRegression(C=C, max_iter=10_000, tol=1e-8).fit(z[kept], y[kept])
        assert one.converged
        ours = objective(one, x[kept], y[kept], C)
        p = model.predict_proba(z[kept])[np.arange(kept.sum()), y[kept]]
        theirs = -C * np.log(p).sum() + 0.5 * (model.coef_**2).sum()
        assert ours == pytest.approx(theirs, rel=2e-4)
        assert (one.decision_function(x).argmax(axis=1) != model.predict(z)).mean() <= 0.002


def test_of_two_classes_the_penalty_is_scikit_learns(digits):
    x, y = digits
    x, y = x[(y == 3) | (y == 8)], y[(y == 3) | (y == 8)]
    [one] = next(logistic.fit_path(FitRequest(x, y, [np.ones(len(y), bool)], [{"C": 0.01}])))
    z = (x - one.mean) / one.scale
    model = LogisticRegression(C=0.01, max_iter=10_000, tol=1e-8).fit(z, y)
    apart = one.weights[:, 1] - one.weights[:, 0]
    np.testing.assert_allclose(apart, model.coef_[0], atol=1e-4)


def test_folds_together_are_folds_alone(digits):
    x, y = digits
    masks = [np.arange(len(y)) % 3 != k for k in range(3)]
    path = [{"C": 1e-4}, {"C": 1e-2}]
    together = list(logistic.fit_path(FitRequest(x, y, masks, path)))
    for k, mask in enumerate(masks):
        alone = list(logistic.fit_path(FitRequest(x, y, [mask], path)))
        for a, b in zip(together, alone, strict=True):
            assert objective(a[k], x[mask], y[mask], 1.0) == pytest.approx(
                objective(b[0], x[mask], y[mask], 1.0), rel=2e-3
            )
            assert (evaluate(a[k], x, y).wrong != evaluate(b[0], x, y).wrong).mean() < 0.01


def test_fewer_rows_than_features_and_one_class(digits):
    x, y = digits
    few, labels = x[:12], y[:12]
    [one] = next(logistic.fit_path(FitRequest(few, labels, [np.ones(12, bool)], [{"C": 1.0}])))
    assert not evaluate(one, few, labels).wrong.any()
    [alone] = next(logistic.fit_path(FitRequest(few, labels, [labels == 3], [{"C": 1.0}])))
    assert alone.classes.tolist() == [3]
    assert alone.decision_function(few).shape == (12, 1)
    request = FitRequest(np.full((6, 4), 0.1), np.arange(6) % 2, [np.ones(6, bool)], [{"C": 1.0}])
    [flat] = next(logistic.fit_path(request))
    assert np.isfinite(flat.decision_function(np.zeros((2, 4)))).all()


@pytest.mark.parametrize("classes", [10, 300])
def test_the_gradient_is_the_slope(classes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 6)).astype(np.float32)
    y = rng.integers(0, classes, 80)
    masks = [np.ones(80, bool), np.arange(80) < 50]
    loss = SoftmaxLoss(StandardisedRows(x, np.float64), y, classes, masks)
    both = np.arange(2)
    w, b = rng.standard_normal((6, 2, classes)), rng.standard_normal((2, classes))
    value, by_w, by_b = loss(w, b, both)
    step = rng.standard_normal(w.shape), rng.standard_normal(b.shape)
    more, _, _ = loss(w + 1e-6 * step[0], b + 1e-6 * step[1], both)
    less, _, _ = loss(w - 1e-6 * step[0], b - 1e-6 * step[1], both)
    # a gradient of the sum over sets is that of each set
    slope = (more - less) / 2e-6
    expected = (by_w * step[0]).sum(axis=(0, 2)) + (by_b * step[1]).sum(axis=1)
    np.testing.assert_allclose(slope, expected, atol=1e-7)
    assert value.shape == (2,)


def test_torch_and_chunks_give_the_same(digits, monkeypatch):
    x, y = digits
    masks = [np.arange(len(y)) % 3 != k for k in range(3)]
    rng = np.random.default_rng(0)
    three = np.arange(3)
    w, b = rng.standard_normal((64, 3, 10)) * 0.1, rng.standard_normal((3, 10))
    rows = StandardisedRows(x)
    whole = SoftmaxLoss(rows, y, 10, masks)(w, b, three)
    other = TorchSoftmaxLoss(rows, y, 10, masks, "cpu")(w, b, three)
    for ours, theirs in zip(whole, other, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)
    some = SoftmaxLoss(rows, y, 10, masks)(w[:, 1:], b[1:], three[1:])
    np.testing.assert_allclose(some[0], whole[0][1:], rtol=1e-5)
    np.testing.assert_allclose(some[1], whole[1][:, 1:], rtol=2e-4, atol=1e-5)
    monkeypatch.setattr("jessl.probes.softmax._ENTRIES", 30 * 70)
    monkeypatch.setattr(standardize, "HELD_BYTES", 0)
    for ours, theirs in zip(
        whole, SoftmaxLoss(StandardisedRows(x), y, 10, masks)(w, b, three), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)


def test_a_fit_on_a_device_of_torch_is_the_same(digits, monkeypatch):
    x, y = digits
    every = [np.ones(len(y), bool)]
    [plain] = next(logistic.fit_path(FitRequest(x, y, every, [{"C": 1e-3}])))
    # "cpu:0" is torch's name of the CPU: the code that a GPU runs, without one
    [there] = next(logistic.fit_path(FitRequest(x, y, every, [{"C": 1e-3}], 0, "cpu:0")))
    assert (evaluate(plain, x, y).wrong != evaluate(there, x, y).wrong).sum() <= 2
    np.testing.assert_allclose(there.weights, plain.weights, atol=2e-3)


def test_the_loss_of_what_is_unknown_is_finite():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 3)), np.arange(40) % 2
    test = Embeddings(x[:10], np.r_[y[:9], 7])
    found = probe(Embeddings(x, y), test, C=0.1, duplicates=False)
    assert found.losses[-1] == UNKNOWN_CLASS_LOSS
    assert found.log_loss == pytest.approx(found.losses.mean())
    low, high = found.intervals["log_loss"]
    assert low <= found.log_loss <= high
