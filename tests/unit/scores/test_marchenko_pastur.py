"""The law behind the debiased value, for rows of equal and of unlike length."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jessl.scores import Spectrum, compute_spectra, score
from jessl.scores.debiasing import log_remaining_bias
from jessl.scores.gram.row_norms import BINS, RowScales, row_scales, squared_norm_histogram
from jessl.scores.marchenko_pastur import scaled_rank_share, white_rank_share


def even(t):
    t = np.asarray(t, float)
    return RowScales(t / t.mean(), np.full(len(t), 1 / len(t)))


@pytest.mark.parametrize("c", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_equal_scales_are_marchenko_and_pastur_s(c):
    assert scaled_rank_share(c, even([1.0])) == pytest.approx(white_rank_share(c), abs=1e-12)
    assert scaled_rank_share(c, even([1.0, 1.0, 1.0])) == pytest.approx(
        white_rank_share(c), abs=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.45), st.floats(0.0, 0.9), st.integers(0, 99))
def test_rows_of_zeros_are_rows_that_are_missing(c, zeros, seed):
    t = np.exp(np.random.default_rng(seed).standard_normal(20))
    t /= t.mean()
    there = 1 - zeros
    with_zeros = RowScales(np.append(t / there, 0.0), np.append(np.full(20, there / 20), zeros))
    found = scaled_rank_share(c, with_zeros)
    if c / there < 0.95:
        assert found == pytest.approx(scaled_rank_share(c / there, even(t)), abs=1e-9)
    elif c / there > 1:
        assert math.isnan(found)


@pytest.mark.parametrize("c", [0.25, 0.1])
def test_by_simulation(c):
    rng = np.random.default_rng(0)
    d, n = 120, round(120 / c)
    # drawn anew each time from few scales, so that the limit is near
    scales = np.array([0.5, 1.0, 3.0])
    found = []
    for _ in range(20):
        z = rng.standard_normal((n, d)) * np.sqrt(np.resize(scales, n))[:, None]
        s = np.linalg.svd(z, compute_uv=False)
        p = s / s.sum()
        found.append(math.exp(-(p * np.log(p)).sum()) / d)
    law = scaled_rank_share(c, even(scales))
    assert law < white_rank_share(c) - 0.001
    assert abs(np.mean(found) - law) < 4 * np.std(found) / math.sqrt(20) + 2e-4


def test_gaussian_rows_have_one_scale():
    rng = np.random.default_rng(0)
    for z in (
        rng.standard_normal((4000, 6)),  # lengths differ much in few dimensions
        rng.standard_normal((4000, 30)) / np.arange(1, 31),
        rng.standard_normal((4000, 30)) / np.arange(1, 31) + 2 * np.eye(30)[0],
    ):
        counts = squared_norm_histogram(z)
        assert counts.sum() == 4000
        found = row_scales(counts, compute_spectra(z))
        assert found is None or float(found.share @ (found.value - 1) ** 2) < 0.05


def test_scales_are_found():
    rng = np.random.default_rng(0)
    s = np.exp(0.5 * rng.standard_normal((20_000, 1)))
    z = rng.standard_normal((20_000, 40)) * np.arange(1, 41) ** -0.5
    found = row_scales(squared_norm_histogram(z * s), compute_spectra(z * s))
    assert found.share @ found.value == pytest.approx(1)
    t = s[:, 0] ** 2 / (s**2).mean()
    assert found.share @ (found.value - 1) ** 2 == pytest.approx(t.var(), rel=0.1)


def test_lengths_of_all_sizes_are_counted():
    z = np.array([[0.0, 0], [1, 0], [1e-160, 0], [1e150, 1e150], [5e-324, 0], [1e300, 1e300]])
    counts = squared_norm_histogram(z)
    assert counts.shape == (BINS,)
    assert counts.sum() == 6
    assert counts[0] == 2  # the square of 5e-324 is 0
    assert counts[-1] == 1
    np.testing.assert_array_equal(counts, sum(squared_norm_histogram(row[None]) for row in z))


def test_a_state_that_streams_knows_the_lengths(tmp_path):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((600, 20)) * np.exp(0.5 * rng.standard_normal((600, 1)))
    whole = score(z)["rankme"]
    parts = [Spectrum(20, blocks=20).update(z[i::3], np.arange(600)[i::3]) for i in range(3)]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    merged.save(tmp_path / "s.safetensors")
    for state in (merged, Spectrum.load(tmp_path / "s.safetensors")):
        assert state.score()["rankme"].debiased == pytest.approx(whole.debiased, rel=1e-8)
    # the unlike lengths make a difference
    assert (
        log_remaining_bias(20 / 600, 20, row_scales(squared_norm_histogram(z), compute_spectra(z)))
        < 0
    )


@pytest.mark.parametrize("tails", ["log-normal", "student"])
def test_intervals_cover_where_lengths_have_heavy_tails(tails):
    # population: covariance eigenvalues 1/k; without the lengths .60 to .75 were covered
    d, n, draws = 128, 512, 60
    s = np.arange(1.0, d + 1) ** -0.5
    p = s / s.sum()
    truth = math.exp(-(p * np.log(p)).sum())
    rng = np.random.default_rng(1)
    covered = 0
    for seed in range(draws):
        z = rng.standard_normal((n, d)) * s
        if tails == "log-normal":
            z *= np.exp(0.5 * rng.standard_normal((n, 1)))
        else:
            z /= np.sqrt(rng.chisquare(5, (n, 1)) / 5)
        found = score(z, seed=seed)["rankme"]
        covered += found.low <= truth <= found.high
    assert covered >= 0.9 * draws


def test_too_few_rows_with_weight_are_not_corrected():
    z = np.random.default_rng(0).standard_normal((200, 40))
    z[30:] *= 1e-6
    found = score(z)["rankme"]
    assert found.debiased is None
    assert any("too few rows" in w for w in found.warnings)
    assert found.sd is not None
