"""Scores of rows and of views: reference values, definitions, deletions, and what fools them."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import pdist, squareform
from scipy.special import hyp0f1
from scipy.stats import ortho_group

from helpers.paths import TESTS
from jessl import objectives
from jessl.scores.metrics import alignment, coherence, idest, sigreg, twonn, uniformity

GOLDEN = json.loads((TESTS / "golden" / "row_scores.json").read_text())
FILES = (alignment, coherence, idest, sigreg, twonn, uniformity)
SCORES = {file.__name__.rpartition(".")[2]: file.SCORE for file in FILES}


def rng(seed=0):
    return np.random.default_rng(seed)


def of(name, z, block=None, **options):
    """The score of rows [n, d]; alignment takes them and a shaken copy as views."""
    if name == "alignment" and np.ndim(z) == 2:
        z = np.stack([z, z + np.sin(np.arange(z.size, dtype=z.dtype)).reshape(z.shape)])
    return SCORES[name].compute(z, block, **options)


def inputs():
    r, n = rng(), 1000
    q = np.linalg.qr(r.standard_normal((20, 20)))[0]
    made = {"cube3": r.random((n, 3)) @ q[:3], "cube10": r.random((n, 10)) @ q[:10]}
    g = r.standard_normal((n, 6))
    made["sphere5"] = (g / np.linalg.norm(g, axis=1, keepdims=True)) @ q[:6]
    made["gauss20"] = r.standard_normal((n, 20))
    t = 1.5 * np.pi * (1 + 2 * r.random(n))
    made["swiss"] = np.stack([t * np.cos(t), 21 * r.random(n), t * np.sin(t)], axis=1)
    made["copies"] = r.standard_normal((n, 5))
    made["copies"][900:950] = made["copies"][:50]
    return made


def test_twonn_golden():
    for name, z in inputs().items():
        found = of("twonn", z).value
        assert found == pytest.approx(GOLDEN["twonn"]["values"][name], rel=1e-9), name
        if name != "copies":  # the packages treat duplicates differently
            second = GOLDEN["twonn by a second package"]["values"][name]
            assert found == pytest.approx(second, rel=1e-8), name


def test_idest_golden():
    golden = GOLDEN["idest"]
    for name, z in inputs().items():
        assert of("idest", z).value == pytest.approx(golden["values"][name], rel=1e-9), name
        whole = idest._tree_length(idest._distances(twonn.centred_rows(z)), np.arange(1000))
        scale = np.abs(z).max()
        expected = golden["length of the tree of all rows"][name]
        assert whole * scale == pytest.approx(expected, rel=1e-9), name


def by_pairs(z, t=2.0, chunk=2048, kept=None):
    """As published: torch's pdist on unit rows, over the pairs of each chunk."""
    x = torch.nn.functional.normalize(torch.from_numpy(z).double(), dim=1)
    kept = np.ones(len(z), bool) if kept is None else kept
    parts = [x[s : s + chunk][kept[s : s + chunk]] for s in range(0, len(z), chunk)]
    pairs = torch.cat([torch.pdist(part).pow(2).mul(-t).exp() for part in parts])
    return float(pairs.mean().log())


@pytest.mark.parametrize(("n", "t", "chunk"), [(2, 2.0, 2048), (300, 0.5, 2048), (300, 7.0, 64)])
def test_uniformity_is_the_published_formula(n, t, chunk):
    z = (rng(n).standard_normal((n, 5)) + 0.3).astype(np.float32)
    found = of("uniformity", z, t=t, chunk=chunk)
    assert found.value == pytest.approx(by_pairs(z, t, chunk), rel=1e-12)


@pytest.mark.parametrize(("q", "alpha"), [(2, 2.0), (2, 1.0), (4, 2.0), (4, 3.0)])
def test_alignment_is_the_published_formula(q, alpha):
    z = torch.randn(q, 50, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1
    x = torch.nn.functional.normalize(z, dim=2)
    pairs = [(x[i] - x[j]).norm(p=2, dim=1).pow(alpha).mean() for i in range(q) for j in range(i)]
    found = of("alignment", z.numpy(), alpha=alpha)
    assert found.value == pytest.approx(float(torch.stack(pairs).mean()), rel=1e-12)


@pytest.mark.parametrize(
    ("n", "d", "rank"), [(300, 20, 20), (300, 20, 3), (20, 50, 5), (20, 20, 9)]
)
@pytest.mark.parametrize("power", [0.0, 3.0])
def test_coherence_by_svd(n, d, rank, power):
    r = rng(n + rank)
    z = (r.standard_normal((n, rank)) * np.arange(1.0, rank + 1) ** -power) @ r.random((rank, d))
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    assert (s > 1e-9 * s[0]).sum() == rank
    expected = n / rank * (u[:, :rank] ** 2).sum(axis=1).max()
    assert of("coherence", z).value == pytest.approx(expected, rel=1e-5)


def twonn_by_hand(z, discard=0.1):
    r1, r2 = np.sort(squareform(pdist(z)), axis=1)[:, 1:3].T
    mu = np.sort(r2[r1 > 0] / r1[r1 > 0])
    used = int(len(mu) * (1 - discard))
    y = -np.log(1 - np.arange(1, used + 1) / len(mu))
    return np.linalg.lstsq(np.log(mu[:used, None]), y, rcond=None)[0][0]


def idest_by_hand(z, sizes=10):
    counts = [math.ceil(i * len(z) / sizes) for i in range(1, sizes + 1)]
    runs = [[z[i * m : (i + 1) * m] for i in range(len(z) // m)] for m in counts]
    trees = [[minimum_spanning_tree(squareform(pdist(x))).sum() for x in each] for each in runs]
    return 1 / (1 - np.polyfit(np.log(counts), np.log([np.mean(each) for each in trees]), 1)[0])


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_dimensions_by_hand(offset):
    z = rng(3).standard_normal((197, 7)) + offset
    assert of("twonn", z).value == pytest.approx(twonn_by_hand(z), rel=1e-8)
    assert of("twonn", z, discard=0.3).value == pytest.approx(twonn_by_hand(z, 0.3), rel=1e-8)
    assert of("idest", z).value == pytest.approx(idest_by_hand(z), rel=1e-8)
    assert of("idest", z, sizes=4).value == pytest.approx(idest_by_hand(z, 4), rel=1e-8)


def test_distances_of_close_rows_keep_their_digits():
    # two tight clusters far from each other: squares by BLAS are up to 30 % off within them
    far = np.where(np.arange(120) % 2, 1e3, -1e3)[:, None]
    rows = twonn.centred_rows(1e-4 * rng(5).standard_normal((120, 6)) + far)
    exact = squareform(pdist(rows))
    two = pytest.approx(np.sort(exact, axis=1)[:, 1:3], rel=1e-9, abs=0)
    assert twonn.nearest_neighbours(rows, np.arange(120), 2)[0] == two
    assert idest._distances(rows) == pytest.approx(exact, rel=1e-9, abs=0)


@pytest.mark.parametrize(("n", "knots"), [(1, 17), (3, 2), (400, 17), (400, 40)])
def test_sigreg_is_the_objective(n, knots):
    z = rng(n).standard_normal((n, 9)) * 1.7 + 0.2
    directions = torch.from_numpy(sigreg.draw_directions(9, 64, seed=4))
    assert directions.norm(dim=0).numpy() == pytest.approx(np.ones(64))
    expected = objectives.sigreg(torch.from_numpy(z), directions=directions, knots=knots)
    found = of("sigreg", z, directions=64, knots=knots, directions_seed=4)
    assert found.value == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("d", [2, 8, 64])
def test_uniformity_of_the_sphere(d):
    found = of("uniformity", rng(d).standard_normal((8192, d)))
    limit = -4 + math.log(hyp0f1(d / 2, 4.0))
    assert found.value == pytest.approx(limit, abs=0.01)


def test_uniformity_and_alignment_by_hand():
    assert of("uniformity", np.array([[1.0, 0], [-3, 0]])).value == pytest.approx(-8)
    assert of("uniformity", np.eye(4)).value == pytest.approx(-4)
    views = np.stack([np.eye(2), np.eye(2)[::-1], -np.eye(2)])
    assert of("alignment", views).value == pytest.approx((2 + 4 + 2) / 3)
    zero = of("uniformity", np.array([[1.0, 0], [0, 0], [0, 1]]))
    assert zero.value == pytest.approx(math.log((2 * math.exp(-2) + math.exp(-4)) / 3))
    assert "1 of 3 rows are zero" in zero.warnings[0]


def test_coherence_by_hand():
    assert of("coherence", np.kron(np.eye(3), np.ones((4, 1)))).value == pytest.approx(1)
    spike = np.zeros((10, 2))
    spike[0, 0], spike[1:, 1] = 5, 1
    assert of("coherence", spike).value == pytest.approx(10 / 2)


@pytest.mark.parametrize("name", ["twonn", "idest"])
@pytest.mark.parametrize(("k", "width"), [(1, 0.05), (2, 0.15), (5, 0.6)])
def test_dimension_of_cubes_in_more_features(name, k, width):
    z = rng(k).random((2000, k)) @ ortho_group.rvs(24, random_state=0)[:k] + 5
    assert of(name, z).value == pytest.approx(k, abs=width)


def test_sigreg_of_a_normal_cloud():
    clouds = [
        of("sigreg", rng(i).standard_normal((500 * (1 + i % 3), 16))).value for i in range(30)
    ]
    assert np.mean(clouds) == pytest.approx(1.05, abs=0.1)


@pytest.mark.parametrize("name", sorted(SCORES))
@settings(max_examples=8)
@given(seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 1e200]), n=st.integers(60, 99))
def test_rotation_and_scale_change_nothing(name, seed, scale, n):
    q = ortho_group.rvs(5, random_state=seed)
    z = rng(seed).standard_normal((2, n, 5))
    z, turned = (z, z @ q) if name == "alignment" else (z[0], z[0] @ q)
    if name == "sigreg":  # scale is what it measures; the directions turn along
        found = sigreg._characteristic_sums(turned, q.T @ sigreg.draw_directions(5, 256, 0), 17)
        assert sigreg._statistic(found, n, 17) == pytest.approx(of(name, z).value, rel=1e-9)
        return
    assert of(name, scale * turned).value == pytest.approx(of(name, z).value, rel=1e-7)


@pytest.mark.parametrize("name", sorted(SCORES.keys() - {"idest"}))  # idest: another draw
@settings(max_examples=8)
@given(seed=st.integers(0, 99))
def test_the_order_of_the_rows_changes_nothing(name, seed):
    z = rng(seed).standard_normal((2, 40, 5))
    order = rng(seed).permutation(40)
    z = z if name == "alignment" else z[0]
    assert of(name, z[..., order, :]).value == pytest.approx(of(name, z).value, rel=1e-9)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_float32_is_taken_as_it_is_and_left_so(name):
    z = rng(1).standard_normal((90, 6)).astype(np.float32)
    z = np.stack([z, -z]) if name == "alignment" else z
    z.flags.writeable = False
    assert of(name, z).value == of(name, z.astype(np.float64)).value


@pytest.mark.parametrize("name", sorted(SCORES.keys() - {"coherence"}))
@pytest.mark.parametrize(("n", "blocks"), [(300, 20), (60, 2), (40, 40), (30, 3)])
def test_deletion_is_the_score_of_the_others(name, n, blocks):
    z = rng(n).standard_normal((2, n, 4))
    z[:, 7] = z[:, 3]
    z = z if name == "alignment" else z[0]
    block = 3 * rng(blocks).permutation(np.arange(n) % blocks) + 1  # numbers with gaps
    found = of(name, z, block)
    names = np.unique(block)
    assert len(found.deleted) == len(names)
    for b, left in zip(names, found.deleted, strict=True):
        kept = block != b
        expected = of(name, z[..., kept, :]).value
        if name == "sigreg":  # with the factor n of all rows
            expected *= n / kept.sum()
        assert left == pytest.approx(expected, rel=1e-9)
    assert found.value == pytest.approx(of(name, z).value, rel=1e-13)


def test_uniformity_deletes_within_its_chunks():
    z, block = rng(2).standard_normal((300, 4)), rng(3).integers(0, 5, 300)
    found = of("uniformity", z, block, chunk=64)
    for b in range(5):
        expected = by_pairs(z, chunk=64, kept=block != b)
        assert found.deleted[b] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_one_block_has_no_spread(name):
    found = of(name, rng().standard_normal((50, 4)), np.zeros(50, np.int64))
    assert found.deleted is None
    assert "no spread" in found.warnings[-1]
    assert math.isfinite(found.value)


def test_the_spread_is_that_of_new_draws():
    # far from normal, with blocks of unequal sizes: see the docstring of sigreg
    values, spreads = [], []
    for i in range(25):
        z = np.maximum(rng(i).standard_normal((1000, 16)), 0)
        found = of("sigreg", z, rng(i).integers(0, 20, 1000), directions=64)
        left = found.deleted
        values.append(found.value)
        spreads.append(math.sqrt(19 / 20 * ((left - left.mean()) ** 2).sum()))
    assert np.mean(spreads) == pytest.approx(np.std(values, ddof=1), rel=0.5)


@pytest.mark.parametrize("name", sorted(SCORES))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny(name, n):
    # 1-d: in more dimensions three rows have trees that grow faster than the rows
    found = of(name, rng(n).standard_normal((n, 1 if name == "idest" else 4)), np.arange(n))
    least = {"uniformity": 2, "twonn": 3, "idest": 3}.get(name, 1)
    assert math.isfinite(found.value) == (n >= least)
    if n < least:
        assert "not defined" in found.warnings[0]
        assert found.deleted is None
    if found.deleted is not None:
        assert np.isfinite(found.deleted).all()
    elif math.isfinite(found.value):
        assert "no spread" in found.warnings[-1]


@pytest.mark.parametrize("name", ["twonn", "idest"])
@pytest.mark.parametrize(("level", "noise"), [(0.0, 0.0), (0.7, 0.0), (0.7, 1e-8)])
def test_constant_features_have_no_dimension(name, level, noise):
    found = of(name, level + noise * rng().standard_normal((100, 6)), np.arange(100) % 5)
    assert math.isnan(found.value)
    assert found.deleted is None
    assert "constant" in found.warnings[0]


def test_features_of_zeros():
    z = np.zeros((2, 20, 3))
    assert "collapsed" in of("uniformity", z[0]).warnings[-1]
    assert of("alignment", z).value == 0
    assert math.isnan(of("coherence", z[0]).value)
    assert of("sigreg", z[0]).value > 1


def test_duplicates():
    z = rng().standard_normal((200, 4))
    z[150:] = z[:50]
    found = of("twonn", z)
    assert found.value == pytest.approx(twonn_by_hand(z), rel=1e-8)
    assert found.warnings == ("100 of 200 rows have a duplicate: they were left out",)
    pairs = of("twonn", np.repeat(z[:50], 2, axis=0))
    assert math.isnan(pairs.value)
    few = of("idest", np.repeat(rng().standard_normal((3, 4)), 200, axis=0)[rng().permutation(600)])
    assert few.value == pytest.approx(1, abs=0.1)


def test_equal_distances_have_no_two_nn_dimension():
    found = of("twonn", np.eye(30) @ ortho_group.rvs(30, random_state=0))
    assert math.isnan(found.value)
    assert "different distances" in found.warnings[0]


@pytest.mark.parametrize("name", sorted(SCORES))
def test_fewer_rows_than_features(name):
    z = rng(4).standard_normal((40, 300))
    found = of(name, z, np.arange(40) % 5)
    assert math.isfinite(found.value) == (name != "idest")
    if name == "idest":  # all distances are nearly equal: m rows have trees of m - 1 such edges
        assert "trees grow with the rows" in found.warnings[0]
    if name == "coherence":
        assert found.value == pytest.approx(1)
        assert "the number of rows, 40" in found.warnings[0]
        assert "a maximum has no jackknife" in found.warnings[1]
    assert (found.deleted is None) == (name in ("coherence", "idest"))


MISTAKES = "uniformity:t=0 uniformity:chunk=1 alignment:alpha=0 twonn:discard=1 idest:sizes=1"
MISTAKES += " sigreg:knots=1 sigreg:directions_seed=-1"


@pytest.mark.parametrize("mistake", MISTAKES.split())
def test_mistakes(mistake):
    name, option, told = mistake.replace("=", ":").split(":")
    assert option in SCORES[name].options
    with pytest.raises(ValueError, match=rf"^{option}: expected .*{told}"):
        of(name, rng().standard_normal((9, 4)), **{option: int(told)})
    with pytest.raises(ValueError, match="at least 2 views of each image, got 1"):
        of("alignment", rng().standard_normal((1, 9, 4)))


def classes(n, d, spread, seed=0):
    """Ten classes, told apart without error: [n, d]."""
    r = rng(seed)
    return 4 * np.eye(d)[np.arange(n) % 10] + spread * r.standard_normal((n, d))


def test_uniformity_prefers_noise_to_classes():
    noise, good = rng().standard_normal((1000, 16)), classes(1000, 16, 0.2)
    assert of("uniformity", noise).value < of("uniformity", good).value - 1


def test_alignment_of_constant_features_is_perfect():
    z = np.full((2, 100, 8), 0.7, np.float32)
    found = of("alignment", z, np.arange(100) % 5)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert "all rows are equal" in found.warnings[0]
    good = np.stack([classes(100, 16, 0.2, seed) for seed in (0, 1)])
    found = of("alignment", good)
    assert found.value > 0.01
    assert not found.warnings


def test_coherence_of_constant_features_is_perfect():
    found = of("coherence", np.full((100, 8), 0.7))
    assert found.value == pytest.approx(1)
    assert "rank 1" in found.warnings[0]
    good = classes(1000, 16, 0.2)
    assert of("coherence", good).value > 1.1
    good[0] *= 100  # and one row decides it
    assert of("coherence", good).value > 50


def test_twonn_takes_noise_below_the_manifold_for_dimensions():
    line = np.outer(np.linspace(0, 1, 2000), np.ones(30))
    noisy = line + 1e-2 * rng().standard_normal(line.shape)
    assert of("twonn", noisy).value > 10
    assert of("twonn", rng().random((2000, 50))).value < 40


def test_idest_prefers_a_line_to_classes():
    good = classes(1000, 16, 0.2)
    line = np.outer(rng().random(1000), np.ones(16))
    assert of("idest", line).value == pytest.approx(1, abs=0.05)
    assert of("idest", good).value > 4


def test_sigreg_prefers_noise_and_minds_the_scale():
    noise = rng().standard_normal((2000, 64))
    assert of("sigreg", noise).value < 1.3
    assert of("sigreg", 2 * noise).value > 100
    assert of("sigreg", classes(2000, 64, 0.2)).value > 100
    # two values a feature: normal in every random direction
    assert of("sigreg", np.sign(rng().standard_normal((2000, 512)))).value < 1.3
