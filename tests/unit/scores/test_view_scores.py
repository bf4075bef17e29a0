"""Scores of what views of an image share: worlds where the right order is known, and where not."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jessl

NAMES = (
    "view_retrieval:distractors=50",
    "cross_view_reliability:first=3:last=12",
    "canonical_sum",
    "plda_information",
)


def world(
    reliabilities: list[float], *, n: int = 400, q: int = 2, seed: int = 0, noise: bool = True
) -> np.ndarray:
    """[q, n, d] with this correlation between two views of an image along each axis."""
    r = np.random.default_rng(seed)
    share = np.array(reliabilities)
    own = np.sqrt(share) * r.standard_normal((1, n, len(share)))
    return own + noise * np.sqrt(1 - share) * r.standard_normal((q, n, len(share)))


def value(z: np.ndarray, name: str, **options: object) -> float:
    return jessl.score(None, name, views=z, jackknife=0, **options)[name].value


@pytest.mark.parametrize("q", [2, 3])
def test_retrieval_is_the_count_by_hand(q: int) -> None:
    z = world([0.7] * 6, n=60, q=q)
    x = z - z.mean(axis=(0, 1))
    x /= np.linalg.norm(x, axis=2, keepdims=True)
    expected = []
    for a in range(q):
        for b in range(q):
            if a == b:
                continue
            cosines = x[a] @ x[b].T
            nearer = (cosines > np.diag(cosines)[:, None]).sum(axis=1)
            expected += [math.comb(59 - k, 20) / math.comb(59, 20) for k in nearer]
    assert value(z, "view_retrieval:distractors=20") == pytest.approx(np.mean(expected), rel=1e-12)


def test_retrieval_does_not_depend_on_the_number_of_images() -> None:
    few, many = (
        jessl.score(None, "view_retrieval:distractors=50", views=world([0.6] * 8, n=n, seed=n))
        for n in (300, 1500)
    )
    a, b = (r["view_retrieval:distractors=50"] for r in (few, many))
    assert abs(a.value - b.value) < 3 * math.hypot(a.sd or 0, b.sd or 0)
    assert (b.sd or 0) < (a.sd or 0)


def test_retrieval_jackknife_leaves_images_out_as_queries_and_distractors() -> None:
    from jessl.scores.metrics.view_retrieval import compute_view_retrieval

    z = world([0.5] * 5, n=40, q=3)
    block = np.arange(40) % 4
    deleted = compute_view_retrieval(z, block, distractors=20).deleted
    assert deleted is not None
    for b in range(4):
        # centring is that of all images; the rest is as without the block
        x = z - z.mean(axis=(0, 1))
        x = x[:, block != b] / np.linalg.norm(x[:, block != b], axis=2, keepdims=True)
        successes = []
        for i in range(3):
            for j in range(3):
                if i != j:
                    cosines = x[i] @ x[j].T
                    nearer = (cosines > np.diag(cosines)[:, None]).sum(axis=1)
                    successes += [math.comb(29 - k, 20) / math.comb(29, 20) for k in nearer]
        assert deleted[b] == pytest.approx(np.mean(successes), rel=1e-12)


def test_retrieval_of_ties_is_chance() -> None:
    result = jessl.score(None, "view_retrieval:distractors=9", views=np.ones((2, 60, 3)))
    assert result["view_retrieval:distractors=9"].value == pytest.approx(0.1)
    assert "all rows are equal" in " ".join(result["view_retrieval:distractors=9"].warnings)
    # pairs of equal images: half of the time the wrong one of the pair is taken
    twice = np.repeat(world([1.0] * 8, n=30, q=2), 2, axis=1)
    assert value(twice, "view_retrieval:distractors=59") == pytest.approx(0.5)


def test_reliability_and_canonical_sum_are_those_of_the_world() -> None:
    z = world([0.6] * 15 + [0.2] * 5, n=6000, q=3)
    z *= np.linspace(2, 1, 20)  # places in the order of the axes
    assert value(z, "cross_view_reliability:first=3:last=12") == pytest.approx(0.6, abs=0.01)
    assert value(z, "cross_view_reliability:first=16:last=16") == pytest.approx(0.2, abs=0.05)
    assert value(z, "canonical_sum") == pytest.approx(15 * 0.6 + 5 * 0.2, abs=0.2)
    nats = -(15 * math.log(1 - 0.36) + 5 * math.log(1 - 0.04)) / 2
    assert value(z, "plda_information") == pytest.approx(nats, rel=0.03)


def test_noise_is_worth_nothing() -> None:
    z = world([0.0] * 20, n=1000)
    results = jessl.score(None, NAMES, views=z)
    assert results[NAMES[0]].low <= 1 / 51 <= results[NAMES[0]].high
    for name in NAMES[1:3]:
        assert results[name].low <= 0 <= results[name].high, name
    assert results[NAMES[3]].value <= 0.05  # overconfidence costs


@pytest.mark.parametrize("name", NAMES)
def test_more_signal_is_better(name: str) -> None:
    weak, strong = world([0.3] * 20, n=800), world([0.5] * 20, n=800)
    assert value(strong, name) > value(weak, name)
    # rank alone does not count: noise dimensions beside the signal do not help
    beside = np.concatenate([strong, world([0.0] * 20, n=800, seed=1)], axis=2)
    assert value(beside, name) <= value(strong, name) + 0.3
    assert jessl.rankme(beside[0]) > 1.5 * jessl.rankme(strong[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_shortcut_that_views_keep_wins(name: str) -> None:
    """The known failure: a code of each image that no task asks for."""
    useful = world([0.5] * 20, n=800)
    code = world([0.99] * 20, n=800, seed=1)
    assert value(code, name) > value(useful, name)


@pytest.mark.parametrize("name", NAMES[2:])
def test_linear_maps_change_little(name: str) -> None:
    z = world([0.6] * 12, n=4000)
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((12, 12)))[0]
    assert value(z @ (turn * np.linspace(1, 3, 12)), name) == pytest.approx(
        value(z, name), rel=0.02
    )


@pytest.mark.parametrize("name", NAMES)
def test_scale_offset_and_order_of_images_do_not_matter(name: str) -> None:
    z = world([0.5] * 16, n=300)
    expected = jessl.score(None, name, views=z, ids=np.arange(300))[name]
    order = np.random.default_rng(1).permutation(300)
    for other, ids in ((1e-3 * z, np.arange(300)), (z + 5, np.arange(300)), (z[:, order], order)):
        again = jessl.score(None, name, views=other, ids=ids)[name]
        assert again.value == pytest.approx(expected.value, rel=1e-6)
        assert again.sd == pytest.approx(expected.sd, rel=1e-5)


def test_the_jackknife_covers_the_spread_between_samples() -> None:
    for name in NAMES[:3]:
        results = [
            jessl.score(None, name, views=world([0.5] * 16, n=300, seed=s))[name] for s in range(30)
        ]
        spread = np.std([r.value for r in results], ddof=1)
        assert 0.6 < np.mean([r.sd for r in results]) / spread < 1.7, name


def test_too_few_images_or_features_are_named() -> None:
    few = jessl.score(None, NAMES[0], views=world([0.5] * 16, n=20))[NAMES[0]]
    assert any("among 19 other images, not 50" in w for w in few.warnings)
    assert any("20 images are few" in w for w in few.warnings)
    narrow = jessl.score(None, "cross_view_reliability", views=world([0.5] * 16, n=300))
    assert any("components 11 to 12" in w for w in narrow["cross_view_reliability"].warnings)
    none = jessl.score(None, "cross_view_reliability", views=world([0.5] * 8, n=300))
    assert math.isnan(none["cross_view_reliability"].value)
    assert any("no components 11 to 100" in w for w in none["cross_view_reliability"].warnings)
    for name in ("canonical_sum", "plda_information"):
        tiny = jessl.score(None, name, views=world([0.5] * 8, n=6))[name]
        assert math.isnan(tiny.value)
        assert any("6 are too few" in w for w in tiny.warnings)
        constant = jessl.score(None, name, views=np.ones((2, 50, 4)))[name]
        assert constant.value == 0.0
    one = jessl.score(None, "view_retrieval", views=np.ones((2, 1, 4)))["view_retrieval"]
    assert math.isnan(one.value)


@pytest.mark.parametrize(
    "text",
    [
        "view_retrieval:distractors=0",
        "cross_view_reliability:first=0",
        "canonical_sum:ridge=0",
        "cross_view_reliability:first=9:last=3",
        "plda_information:ridge=-1",
    ],
)
def test_options_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        jessl.score(None, text, views=world([0.5] * 16, n=60))
