import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessl.embeddings import Embeddings
from jessl.probes import probe, standardize
from jessl.probes.base import FitRequest, evaluate
from jessl.probes.kinds import ridge


def rows(n=60, d=7, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(classes), rng.integers(0, classes, n - classes)]
    centres = rng.standard_normal((classes, d))
    return (centres[y] + rng.standard_normal((n, d)) * 1.5 + 3).astype(np.float32), y


def by_hand(z, y, classes, penalty):
    """Least squares with a free intercept, by the normal equations of [z, 1]."""
    n, d = z.shape
    a = np.hstack([z, np.ones((n, 1))])
    pull = np.diag(np.r_[np.full(d, penalty), 0.0])
    return np.linalg.solve(a.T @ a + pull, a.T @ np.eye(classes)[y])


@pytest.mark.parametrize(("n", "d"), [(60, 7), (12, 40)])
def test_a_fit_is_least_squares_with_a_free_intercept(n, d):
    x, y = rows(n, d)
    mean, scale = standardize.mean_and_scale(x)
    z = (x - mean) / scale
    mask = np.arange(n) % 3 > 0
    fits = ridge.fit_path(
        FitRequest(x, y, [np.ones(n, bool), mask], [{"penalty": p} for p in (1.0, 1e-3)])
    )
    for penalty, found in zip((1.0, 1e-3), fits, strict=True):
        for one, kept in zip(found, (np.ones(n, bool), mask), strict=True):
            w = by_hand(z[kept], y[kept], 4, penalty * kept.sum())
            np.testing.assert_allclose(one.weights, w[:-1], atol=1e-9)
            np.testing.assert_allclose(one.bias, w[-1], atol=1e-9)


@settings(max_examples=25)
@given(
    n=st.integers(8, 40),
    d=st.integers(1, 30),
    classes=st.integers(2, 5),
    seed=st.integers(0, 10**6),
    penalty=st.sampled_from([10.0, 0.1, 1e-3]),
)
def test_leave_one_out_is_brute_force(n, d, classes, seed, penalty):
    x, y = rows(n, d, classes, seed)
    mean, scale = standardize.mean_and_scale(x)
    z = (x.astype(float) - mean) / scale
    [(seen, unseen)] = ridge.leave_one_out(x, y, [{"penalty": penalty}])
    whole = by_hand(z, y, classes, penalty * n)
    votes = np.hstack([z, np.ones((n, 1))]) @ whole
    left = np.empty_like(votes)
    for i in range(n):
        rest = np.arange(n) != i
        left[i] = np.r_[z[i], 1] @ by_hand(z[rest], y[rest], classes, penalty * n)
    for wrong, by_fit in ((seen, votes), (unseen, left)):
        ordered = np.sort(by_fit, axis=1)
        clear = ordered[:, -1] - ordered[:, -2] > 1e-8  # ties within rounding may go either way
        np.testing.assert_array_equal(wrong[clear], (by_fit.argmax(axis=1) != y)[clear])


def test_leave_one_out_votes_to_eight_digits():
    # the closed form itself, not only who wins
    x, y = rows(50, 9)
    mean, scale = standardize.mean_and_scale(x)
    z = (x.astype(float) - mean) / scale
    n, penalty = 50, 0.05
    solved = ridge.LeastSquares.of_rows(
        standardize.StandardisedRows(x, np.float64), y, 4, np.ones(n, bool)
    )
    w, b = solved.weights(penalty)
    h = 1 / n + ((z - solved.centre) @ solved.basis) ** 2 @ (1 / (solved.values + penalty * n))
    target = np.eye(4)[y]
    closed = (z @ w + b - h[:, None] * target) / (1 - h[:, None])
    for i in range(n):
        rest = np.arange(n) != i
        brute = np.r_[z[i], 1] @ by_hand(z[rest], y[rest], 4, penalty * n)
        np.testing.assert_allclose(closed[i], brute, atol=1e-8)


def test_in_chunks_and_from_disk(tmp_path, monkeypatch):
    x, y = rows(200, 12, 5)
    path = [{"penalty": p} for p in ridge.PATH]
    whole = ridge.leave_one_out(x, y, path)
    np.save(tmp_path / "x.npy", x)
    monkeypatch.setattr(standardize, "CHUNK", 17)
    monkeypatch.setattr(ridge, "CHUNK", 17)
    monkeypatch.setattr(standardize, "HELD_BYTES", 0)
    monkeypatch.setattr(ridge, "_ENTRIES", 12 * 70)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for (a, b), (c, d) in zip(whole, ridge.leave_one_out(mapped, y, path), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
    [one] = next(ridge.fit_path(FitRequest(mapped, y, [np.ones(200, bool)], path[2:3])))
    np.testing.assert_array_equal(evaluate(one, mapped, y).wrong, whole[2][0])
    assert np.array_equal(mapped, x)  # pages that were let go come back from the file
    # the float32 predictions of large data
    monkeypatch.setattr(ridge, "_SMALL", 0)
    rounded = ridge.leave_one_out(x, y, path)
    off = [(c != b).mean() for (_, b), (_, c) in zip(whole, rounded, strict=True)]
    assert max(off) <= 0.005


def test_the_probe_chooses_by_leave_one_out():
    x, y = rows(80, 20)
    found = probe(Embeddings(x, y), Embeddings(*rows(50, 20, seed=1)), kind="ridge")
    assert found.params["tuned_on"] == "leave-one-out on train"
    errors = found.curve["error"]
    assert len(errors) == len(ridge.PATH)
    assert found.params["penalty"] == found.curve["penalty"][int(np.argmin(errors))]
    assert found.log_loss is None
    folded = probe(Embeddings(x, y), Embeddings(x, y), kind="ridge", tuning="folds", folds=4)
    assert folded.params["tuned_on"] == "4-fold cross-validation of train"
    grouped = Embeddings(x, y, groups=np.arange(80) // 4)
    by_group = probe(grouped, Embeddings(x, y), kind="ridge").params
    assert by_group["tuned_on"] == "10-fold cross-validation of train (groups whole)"
    assert by_group["train_groups"] == 20


def test_a_class_that_a_mask_lacks_is_never_said():
    x, y = rows(40, 5)
    mask = y != 2
    [one] = next(ridge.fit_path(FitRequest(x, y, [mask], [{"penalty": 0.1}])))
    assert one.classes.tolist() == [0, 1, 3]
    said = evaluate(one, x, y)
    assert said.wrong[y == 2].all()
    assert not said.top5[y == 2].any()
