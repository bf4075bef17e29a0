"""What every spectral score keeps, found from the folder: definition, bounds, invariances."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessl.scores import SCORES, SPECTRAL, score
from jessl.scores.base import RowScore, SpectralScore
from jessl.scores.metrics.rankme import largest_rankme


def singular(z):
    return np.linalg.svd(np.asarray(z, np.float64), compute_uv=False)


def covariance(z):
    return np.linalg.eigvalsh(np.atleast_2d(np.cov(z.T)))[::-1][: min(z.shape)].clip(0)


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def unit(z):
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def fitted(z):
    low = covariance(z)[10:100]
    low = low[low > 1e-12 * low[0]]
    i = np.arange(11, 11 + len(low))
    return -np.polyfit(np.log(i), np.log(low), 1, w=i**-0.5)[0]


def by_products(z):
    """SelfCluster by all pairs, as the paper writes it."""
    n, d = z.shape
    products = unit(z) @ unit(z).T
    random = n + n * (n - 1) / d
    return ((products**2).sum() - random) / (n * n - random)


# name -> its definition, from the rows in float64
DEFINITIONS = {
    "rankme": lambda z: math.exp(entropy(singular(z) / singular(z).sum() + 1e-7)),
    "effective_rank": lambda z: math.exp(entropy(singular(z) / singular(z).sum())),
    "normalized_rank": lambda z: (
        math.exp(entropy(singular(z) / singular(z).sum() + 1e-7)) / z.shape[1]
    ),
    "stable_rank": lambda z: (np.linalg.norm(z) / np.linalg.norm(z, 2)) ** 2,
    "numerical_rank": lambda z: np.linalg.matrix_rank(z, rtol=max(z.shape) * 1e-7),
    "condition_number": lambda z: np.linalg.cond(z),
    "nesum": lambda z: covariance(z).sum() / covariance(z)[0],
    "participation_ratio": lambda z: np.trace(np.cov(z.T)) ** 2 / (np.cov(z.T) ** 2).sum(),
    "alpha_req": fitted,
    "matrix_entropy": lambda z: entropy(singular(unit(z)) ** 2 / len(z)) / math.log(min(z.shape)),
    "self_cluster": by_products,
}
RANKS = ("rankme", "effective_rank", "stable_rank", "numerical_rank", "nesum")
matrices = st.tuples(st.integers(3, 60), st.integers(2, 14), st.integers(0, 2**31))


def drawn(shape):
    n, d, seed = shape
    return np.random.default_rng(seed).standard_normal((n, d)) + 0.3


def test_every_score_has_its_definition_here():
    assert set(DEFINITIONS) == set(SPECTRAL)
    assert next(iter(SCORES)) == "rankme"
    for name, one in SCORES.items():
        assert isinstance(one, SpectralScore | RowScore)
        assert one.source
        assert one.compute.__doc__ or name == "rankme"


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize("shape", [(400, 20, 0), (300, 130, 1), (40, 60, 2)])
def test_definition(name, shape):
    n, d, seed = shape
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.7 + 0.2
    expected = DEFINITIONS[name](z)
    assert float(score(z, name, jackknife=0)[name]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", RANKS)
@pytest.mark.parametrize("n", [6, 200])
def test_a_known_rank(name, n):
    rng = np.random.default_rng(2)
    u = np.linalg.qr(rng.standard_normal((n, 5)))[0]
    u = np.linalg.qr(u - u.mean(axis=0))[0][:, :4]  # columns of mean zero
    z = u @ np.linalg.qr(rng.standard_normal((30, 4)))[0].T
    assert float(score(z, name, jackknife=0)[name]) == pytest.approx(4, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(matrices)
def test_bounds(shape):
    z = drawn(shape) ** 3
    n, d = z.shape
    k = min(n, d)
    found = {name: float(r) for name, r in score(z, SPECTRAL, jackknife=0).items()}
    above = 1 + 1e-9
    assert 1 / above <= found["effective_rank"] <= k * above
    # as published it may exceed the rank, by eps, and no more than this
    assert found["rankme"] <= largest_rankme(k) * above
    for name in ("stable_rank", "participation_ratio", "nesum", "numerical_rank"):
        assert 1 / above <= found[name] <= k * above
    assert found["condition_number"] >= 1 / above
    assert -1e-9 <= found["matrix_entropy"] <= above
    assert -1 / (d - 1) - 1e-9 <= found["self_cluster"] <= above
    for name in SPECTRAL:
        one = SCORES[name]
        if one.cap is not None:
            assert found[name] <= one.cap(k, d, one.options) * above


@settings(max_examples=20, deadline=None)
@given(matrices)
def test_rotation_order_scale_and_copies_change_nothing(shape):
    z = drawn(shape)
    n, d = z.shape
    rng = np.random.default_rng(1)
    ids = np.arange(n)
    q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    order = rng.permutation(n)
    names = [name for name in SPECTRAL if name not in ("condition_number", "numerical_rank")]
    whole = score(z, names, jackknife=4)
    for same, who in ((z @ q, ids), (z[order], ids[order]), (z * 1e3, ids)):
        other = score(same, names, jackknife=4, ids=who)
        for name in names:
            a, b = whole[name], other[name]
            assert b.value == pytest.approx(a.value, rel=1e-6, abs=1e-9, nan_ok=True), name
            if a.sd is None:
                assert b.sd is None
            else:
                assert b.sd == pytest.approx(a.sd, rel=1e-4, abs=1e-5), name
    twice = score(np.concatenate([z, z]), names, jackknife=0)
    for name in names:
        # it knows n; the others, how many eigenvalues there are
        if name != "self_cluster" and n >= d:
            assert twice[name].value == pytest.approx(whole[name].value, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("name", [name for name in SPECTRAL if SCORES[name].smooth])
def test_a_deletion_is_the_score_without_the_block(name):
    from jessl.scores.debiasing import jackknife_estimate
    from jessl.scores.rows import jackknife_blocks

    z = np.random.default_rng(0).standard_normal((300, 25)) * np.arange(1, 26) ** -0.5
    block = jackknife_blocks(np.arange(300), 6, 0)
    left = np.array([DEFINITIONS[name](z[block != b]) for b in range(6)])
    _, sd = jackknife_estimate(DEFINITIONS[name](z), left)
    found = score(z, name, jackknife=6)[name]
    if found.debiased is not None:
        sd *= found.debiased / jackknife_estimate(DEFINITIONS[name](z), left)[0]
    assert found.sd == pytest.approx(sd, rel=1e-5, abs=1e-12)
    assert found.params["jackknife"] == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rankme:eps=0", "effective_rank"),
        ("matrix_entropy:order=2:normalized=false", None),
        ("alpha_req:first=2:last=9", None),
        ("numerical_rank:eps=0", None),
    ],
)
def test_options_ride_in_the_name(text, expected):
    z = np.random.default_rng(0).standard_normal((80, 12)) * np.arange(1, 13) ** -1.0
    found = score(z, [text], jackknife=0)[text]
    if expected:
        assert found.value == pytest.approx(score(z, expected)[expected].value)
    if text.startswith("matrix"):
        p = singular(unit(z)) ** 2 / 80
        assert found.value == pytest.approx(-math.log((p**2).sum()))
    if text.startswith("alpha"):
        assert found.value == pytest.approx(2, abs=0.4)
        low = covariance(z)[1:9]
        i = np.arange(2, 10)
        expected = -np.polyfit(np.log(i), np.log(low), 1, w=i**-0.5)[0]
        assert found.value == pytest.approx(expected)
        assert (found.params["first"], found.params["last"]) == (2, 9)
    if text.startswith("numerical"):
        assert found.value == 12


def test_an_exact_power_law_has_its_exponent():
    rng = np.random.default_rng(0)
    u = np.linalg.qr(np.linalg.qr(rng.standard_normal((500, 201)))[0])[0]
    u = np.linalg.qr(u - u.mean(axis=0))[0][:, :200]
    for power in (0.5, 1.0, 2.0):
        z = u * np.arange(1, 201) ** (-power / 2)
        for _ in range(3):  # the range of the fit is not shifted from call to call
            assert score(z, "alpha_req", jackknife=0)["alpha_req"].value == pytest.approx(power)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alpha_req:first=5:last=5", "1 <= first < last"),
        ("alpha_req:first=a", "whole number"),
        ("alpha_req:frist=3", "did you mean 'first'"),
        ("alpha_req:first", "expected OPTION=VALUE, got first"),
        ("matrix_entropy:order=0", "above 0"),
        ("matrix_entropy:order=nan", "a number"),
        ("matrix_entropy:normalized=1", "true"),
        ("numerical_rank:eps=-1", "0 .. 1"),
        ("rankme:eps=-1", "0 .. 1"),
        ("entropy", "matrix_entropy"),
    ],
)
def test_options_that_are_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        score(np.eye(30), [text])


# a matrix on which each score says the wrong thing: why none of them is enough alone
def noise_added(z, rng):
    return np.hstack([z, rng.standard_normal(z.shape)])


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("rankme", 1.5),
        ("effective_rank", 1.5),
        ("participation_ratio", 1.5),
        ("nesum", 1.5),
        ("matrix_entropy", 1.02),
    ],
)
def test_noise_dimensions_raise_it(name, by):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2000, 40)) * np.arange(1, 41) ** -0.5
    assert score(noise_added(z, rng), name)[name].value > by * score(z, name)[name].value


@pytest.mark.parametrize(
    ("name", "worse"),
    [("rankme", 0.8), ("normalized_rank", 0.8), ("stable_rank", 0.5), ("matrix_entropy", 0.9)],
)
def test_a_shared_mean_lowers_it(name, worse):
    z = np.random.default_rng(0).standard_normal((2000, 40))
    assert score(z + 3, name)[name].value < worse * score(z, name)[name].value
    assert any("mean that they share" in w for w in score(z + 3, "rankme")["rankme"].warnings)


def test_what_is_not_defined_says_so():
    found = score(np.random.default_rng(0).standard_normal((50, 12)), "alpha_req")["alpha_req"]
    assert math.isnan(found.value)  # two eigenvalues in its range
    assert found.sd is None
    assert any("not defined" in w for w in found.warnings)
    assert found.as_json()["value"] is None


def test_other_failures():
    z = np.random.default_rng(0).standard_normal((2000, 40))
    tail = z.copy()
    tail[:, -1] *= 1e-9  # one dead feature
    assert score(tail, "condition_number")["condition_number"].value > 1e6
    assert score(tail, "effective_rank")["effective_rank"].value > 38
    dead = z.copy()
    dead[:, -1] = 0
    found = score(dead, "condition_number")["condition_number"]
    assert found.value == math.inf
    assert found.sd is None
    assert any("no jackknife" in w for w in found.warnings)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["value"] is None
    faint = z * np.r_[1, np.full(39, 1e-4)]  # 39 faint directions, all below the threshold
    assert score(faint, "numerical_rank")["numerical_rank"].value == 1
    # tight classes, which a probe likes, count as clustered; so does a mean
    means = np.repeat(np.eye(40)[:4] * 9, 500, axis=0)
    assert score(z + means, "self_cluster")["self_cluster"].value > 0.08
    assert abs(score(z, "self_cluster")["self_cluster"].value) < 0.01
