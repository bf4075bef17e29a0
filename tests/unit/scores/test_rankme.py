import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.paths import TESTS
from jessl.embeddings import Embeddings
from jessl.scores import SPECTRAL, Spectrum, rankme, score
from jessl.scores.debiasing import jackknife_estimate, log_remaining_bias
from jessl.scores.gram.gram import RowSums
from jessl.scores.metrics.rankme import largest_rankme
from jessl.scores.rows import jackknife_blocks

GOLDEN = json.loads((TESTS / "golden" / "rankme.json").read_text())


def by_svd(z, eps=1e-7, center=False):
    z = np.asarray(z, np.float64)
    s = np.linalg.svd(z - z.mean(axis=0) if center else z, compute_uv=False)
    p = s / s.sum() + eps
    return math.exp(-(p * np.log(p)).sum())


@pytest.fixture(scope="module")
def golden_inputs():
    r = np.random.RandomState(0)
    n, d = 4096, 512
    g = r.randn(n, d)
    k = np.arange(1.0, d + 1)
    return {
        "gaussian": g,
        "rank8": r.randn(n, 8) @ r.randn(8, d),
        "rank1": np.outer(r.randn(n), r.randn(d)),
        "powerlaw-1": g * k**-1,
        "powerlaw-.5": g * k**-0.5,
        "offset": g + 3,
        "relu": np.maximum(g, 0),
    }


@pytest.mark.parametrize("key", ["paper (eps 1e-7 outside, uncentred)", "centred first"])
def test_golden_values(golden_inputs, key):
    for name, expected in GOLDEN[key].items():
        decimals = max(len(str(expected).partition(".")[2]), 2)
        found = rankme(golden_inputs[name], center=key == "centred first")
        assert found == pytest.approx(expected, abs=0.51 * 10**-decimals), name


@pytest.mark.parametrize("d", [64, 256])
def test_golden_gaussians(d):
    z = np.random.RandomState(3).randn(2 * d, d)
    expected = GOLDEN["iid gaussian RandomState(3).randn(2d, d), paper form"][str(d)]
    assert rankme(z) == pytest.approx(expected, abs=0.00051)


@pytest.mark.parametrize("n", [1, 5, 40, 300])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("power", [0.0, 2.0])
def test_float64_svd(n, center, power):
    rng = np.random.default_rng(n)
    z = (rng.standard_normal((n, 40)) * np.arange(1.0, 41) ** -power + 0.1).astype(np.float32)
    if n == 1 and center:
        assert rankme(z, center=True) == 0.0
    else:
        expected = by_svd(z, center=center)
        assert rankme(z, center=center) == pytest.approx(expected, rel=3e-6)
        streamed = Spectrum(40).update(z).rankme(center=center)
        assert streamed == pytest.approx(expected, rel=3e-6)


matrices = st.tuples(st.integers(2, 60), st.integers(1, 12), st.integers(0, 2**31))


@settings(max_examples=25, deadline=None)
@given(matrices, st.integers(1, 30), st.sampled_from([0, 3]))
def test_chunks_and_merges_equal_the_whole(shape, chunk, blocks):
    n, d, seed = shape
    rng = np.random.default_rng(seed)
    z, ids = rng.standard_normal((n, d)).astype(np.float32), rng.permutation(n)
    whole = Spectrum(d, blocks=blocks).update(z, ids)
    parts = [
        Spectrum(d, blocks=blocks).update(torch.from_numpy(z[i : i + chunk]), ids[i : i + chunk])
        for i in range(0, n, chunk)
    ]
    forth = Spectrum(d, blocks=blocks)
    back = Spectrum(d, blocks=blocks)
    stream = Spectrum(d, blocks=blocks)
    for i, part in enumerate(parts):
        forth.merge(part)
        back = Spectrum(d, blocks=blocks).merge(parts[-1 - i]).merge(back)
        stream.update(z[i * chunk : (i + 1) * chunk], ids[i * chunk : (i + 1) * chunk])
    for other in (forth, back, stream):
        assert other.n == n
        np.testing.assert_array_equal(other.counts, whole.counts)
        np.testing.assert_allclose(other.eigenvalues(), whole.eigenvalues(), atol=1e-9)
        for b in range(blocks):
            if whole.counts[b] < n:
                np.testing.assert_allclose(
                    other.eigenvalues(without=b), whole.eigenvalues(without=b), atol=1e-9
                )


def test_eigenvalues_are_min_n_d_largest_first():
    z = np.random.default_rng(0).standard_normal((5, 9))
    lam = Spectrum(9).update(z).eigenvalues()
    assert len(lam) == 5
    np.testing.assert_allclose(lam, np.linalg.svd(z, compute_uv=False) ** 2)


def test_a_deleted_block_is_the_rows_without_it():
    for n in (8, 60):  # the Gram matrix of rows, and that of features
        z = np.random.default_rng(n).standard_normal((n, 10))
        ids = np.arange(n) + 1000
        block = jackknife_blocks(ids, 4, 7)
        values = np.array([by_svd(z[block != b]) for b in range(4) if (block == b).any()])
        plain, sd = jackknife_estimate(by_svd(z), values)
        found = score(z, jackknife=4, ids=ids, seed=7)["rankme"]
        if n == 8:
            assert found.debiased is None
            assert found.sd == pytest.approx(sd, rel=1e-4)
        else:
            shrink = math.exp(-log_remaining_bias(10 / n, 4))
            assert found.debiased == pytest.approx(plain * shrink, rel=1e-5)
            assert found.sd == pytest.approx(sd * shrink, rel=1e-4)
            # Student's t, 3 degrees of freedom
            assert found.high - found.debiased == pytest.approx(3.182446 * found.sd, rel=1e-5)


def test_cuda_path_sums_the_same_on_any_device():
    z = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    sums = RowSums.empty(6)
    sums._add_on_cuda([torch.from_numpy(z[:20]), torch.from_numpy(z[20:])])
    sums.count = 50
    expected = Spectrum(6).update(z).eigenvalues(center=True)
    np.testing.assert_allclose(sums.spectra().centred, expected)


@pytest.mark.parametrize(("c", "g"), [(1 / 4, 0.00297), (1 / 6, 0.00122), (1 / 10, 0.00042)])
def test_marchenko_pastur_correction(c, g):
    assert log_remaining_bias(c) == pytest.approx(g, abs=0.51e-5)


def test_correction_by_simulation():
    # white rows: what the jackknife leaves of the bias, d = 40, n = 160
    rng = np.random.default_rng(0)
    left = []
    for _ in range(60):
        z = rng.standard_normal((160, 40))
        deleted = np.array([by_svd(np.delete(z, np.arange(8) + 8 * b, 0)) for b in range(20)])
        left.append(jackknife_estimate(by_svd(z), deleted)[0] / 40)
    left = np.log(left)
    assert abs(left.mean() - log_remaining_bias(1 / 4)) < 4 * left.std() / math.sqrt(60)


def test_intervals_cover():
    # population value: covariance eigenvalues 1/k^2, so singular values 1/k
    d, n = 24, 144
    s = 1 / np.arange(1.0, d + 1)
    p = s / s.sum()
    truth = math.exp(-(p * np.log(p)).sum())
    rng = np.random.default_rng(0)
    covered = biased = 0
    for seed in range(120):
        found = score(rng.standard_normal((n, d)) * s, seed=seed)["rankme"]
        covered += found.low <= truth <= found.high
        biased += found.value < truth
    assert covered >= 105  # of 114 expected; the raw value's own bias would give far fewer
    assert biased > 90


def test_order_of_rows_does_not_matter():
    z = np.repeat(np.eye(8), 40, axis=0) * 3 + np.random.default_rng(0).standard_normal((320, 8))
    shuffled = np.random.default_rng(1).permutation(320)
    a, b = score(z)["rankme"], score(Embeddings(z).subset(shuffled))["rankme"]
    assert (a.value, a.sd, a.debiased) == pytest.approx((b.value, b.sd, b.debiased), rel=1e-6)
    c = score(z, seed=1)["rankme"]
    assert c.value == pytest.approx(a.value, rel=1e-9)
    assert c.sd != a.sd


def test_duplicated_rows():
    z = np.random.default_rng(0).standard_normal((30, 8))
    twice = np.concatenate([z, z])
    assert rankme(twice) == pytest.approx(rankme(z), rel=1e-9)
    # copies that share their id leave together; the spread is not made too small
    shared = score(twice, ids=np.tile(np.arange(30), 2))["rankme"]
    assert shared.sd == pytest.approx(score(z)["rankme"].sd, rel=1e-2)
    assert score(twice)["rankme"].sd < 0.9 * shared.sd


def texts(z, **options):
    return " | ".join(score(z, **options)["rankme"].warnings)


def test_warnings():
    rng = np.random.default_rng(0)
    decaying = rng.standard_normal((400, 10)) / np.arange(1, 11) ** 2
    assert texts(decaying) == ""
    assert "fewer than 4 d" in texts(decaying[:39])
    assert "does not include its bias" in texts(decaying[:19])
    assert "does not include its bias" not in texts(decaying[:20])
    assert "near the largest possible" in texts(rng.standard_normal((400, 10)))
    assert "constant" in texts(np.full((400, 3), 0.1, np.float32))
    assert "zero" in texts(np.zeros((400, 3)))
    assert "jackknife blocks" in texts(decaying[:12])


@pytest.mark.parametrize("n", [1, 3, 400])
def test_degenerate_inputs_have_values(n):
    for z, rank in ((np.full((n, 5), 0.3, np.float32), 1.0), (np.zeros((n, 5)), 0.0)):
        found = score(z, SPECTRAL)
        for name in ("rankme", "effective_rank", "stable_rank", "numerical_rank"):
            assert float(found[name]) == pytest.approx(rank, abs=1e-4)
        for name in ("participation_ratio", "nesum", "matrix_entropy"):
            assert float(found[name]) == pytest.approx(0.0, abs=1e-9)
        assert math.isnan(found["alpha_req"].value)
        if rank:
            assert found["condition_number"].value == (math.inf if n > 1 else 1.0)
        else:
            assert math.isnan(found["condition_number"].value)  # not the best of all
            assert math.isnan(found["self_cluster"].value)
    one = score(np.ones((1, 5)))["rankme"]
    assert one.sd is None
    assert one.low is None


def test_what_is_refused():
    z = np.random.default_rng(0).standard_normal((20, 4))
    bad = z.copy()
    bad[3, 0], bad[7] = np.nan, np.inf
    for call in (rankme, score, Spectrum(4).update):
        with pytest.raises(ValueError, match="2 of 20 rows"):
            call(bad)
        with pytest.raises(ValueError, match=r"\(20,\)"):
            call(z[:, 0])
        with pytest.raises(ValueError, match=r"\(0, 4\)"):
            call(z[:0])
    with pytest.raises(ValueError, match="overflow"):
        rankme(z * 1e200)
    with pytest.raises(ValueError, match="did you mean 'rankme'"):
        score(z, ("rank_me",))
    with pytest.raises(ValueError, match="views"):
        score(z, views=[z])
    with pytest.raises(ValueError, match=r"jackknife.*1"):
        score(z, jackknife=1)
    with pytest.raises(ValueError, match="ids: expected 20"):
        score(z, ids=[1, 2])
    with pytest.raises(ValueError, match=r"eps.*-1"):
        rankme(z, eps=-1)
    with pytest.raises(ValueError, match="expected 4 features, got 3"):
        Spectrum(4).update(z[:, :3])
    with pytest.raises(ValueError, match="no rows yet"):
        Spectrum(4).rankme()
    with pytest.raises(ValueError, match="seed = 0, got 1"):
        Spectrum(4, seed=0).merge(Spectrum(4, seed=1))


def test_types_that_are_accepted():
    z = np.random.default_rng(0).standard_normal((30, 5)).astype(np.float32)
    expected = rankme(z)
    tensor = torch.from_numpy(z).requires_grad_()
    for same in (tensor, Embeddings(z), z.tolist(), np.asfortranarray(z), tensor.double()):
        assert rankme(same) == pytest.approx(expected, rel=1e-12)
    assert rankme(tensor.bfloat16()) == pytest.approx(expected, rel=1e-2)
    assert rankme(np.eye(3, dtype=np.uint8)) == pytest.approx(3, rel=1e-5)


def test_cap_of_a_flat_spectrum():
    assert rankme(np.eye(50)) == pytest.approx(largest_rankme(50), rel=1e-12)
    assert largest_rankme(8192) / 8192 == pytest.approx(1.0066, abs=5e-5)


def test_result_is_json():
    found = score(np.eye(5))["rankme"]
    assert json.loads(json.dumps(found.as_json()))["value"] == found.value == float(found)


@pytest.mark.parametrize(
    "first",
    [
        "import jessl.scores.metrics.rankme",
        "import jessl.scores.score",
        "from jessl.scores.metrics.rankme import largest_rankme",
        "from jessl.scores import Spectrum; import jessl.scores.metrics.rankme, jessl.scores.score",
        "import importlib; importlib.import_module('jessl.scores.metrics.rankme')",
    ],
)
def test_functions_are_not_shadowed_by_their_files(first):
    code = (
        f"{first}\nimport jessl.scores, jessl.scores.metrics.rankme, sys\n"
        "assert jessl.scores.rankme([[1., 0.], [0., 1.]]) > 1.9\n"
        "assert jessl.scores.score([[1., 0.], [0., 1.]])\n"
        "from jessl.scores import rankme, score\n"
        "assert callable(rankme) and callable(score)\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
