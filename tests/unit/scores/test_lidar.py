"""LiDAR and how views of images are given."""

import json

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from helpers.paths import TESTS
from jessl.embeddings import Embeddings
from jessl.scores import score
from jessl.scores.debiasing import jackknife_estimate
from jessl.scores.metrics.lidar import compute_lidar
from jessl.scores.rows import jackknife_blocks

GOLDEN = json.loads((TESTS / "golden" / "rankme.json").read_text())["lidar"]


def golden_input():
    r = np.random.RandomState(8)
    u = r.randn(100, 16) @ r.randn(16, 64)
    return (u[:, None, :] + 0.5 * r.randn(100, 10, 64)).swapaxes(0, 1)  # [views, images, d]


def by_definition(z, delta=1e-4, eps=1e-8):
    q, n, d = z.shape
    means = z.mean(axis=0)
    sw = sum(np.outer(v, v) for v in (z - means).reshape(-1, d)) / (n * (q - 1))
    root = np.linalg.inv(np.real(sqrtm(sw + delta * np.eye(d))))
    lam = np.linalg.eigvalsh(root @ np.cov(means.T) @ root)[::-1][: min(n - 1, d)].clip(0)
    p = lam / lam.sum() + eps
    return np.exp(-(p * np.log(p)).sum())


def lidar(*args, **options):
    return score(*args, **{"jackknife": 0, **options}, names=("lidar",))["lidar"]


def test_golden_value():
    z = golden_input()
    assert lidar(None, views=z).value == pytest.approx(GOLDEN["value"], abs=0.005)
    assert lidar(None, views=z).value == pytest.approx(by_definition(z), rel=1e-8)
    # the very failure that the grouping by image is there for
    mixed = z.swapaxes(0, 1).reshape(1000, 64)
    order = np.random.RandomState(0).permutation(1000)
    wrong = mixed[order].reshape(100, 10, 64).swapaxes(0, 1)
    assert lidar(None, views=wrong).value > 2 * GOLDEN["value"]


def test_rows_are_grouped_by_image_however_they_lie():
    z = golden_input()
    expected = lidar(None, views=z, jackknife=8)
    rows, ids = z.reshape(1000, 64), np.tile(np.arange(100), 10)
    order = np.random.default_rng(0).permutation(1000)
    shuffled = Embeddings(rows[order], ids=ids[order])
    for found in (
        lidar(shuffled, jackknife=8),
        lidar(rows, views=shuffled, jackknife=8),
        lidar(None, views=list(z), jackknife=8),
        lidar(None, views=torch.from_numpy(z), jackknife=8),
        lidar(None, views=[Embeddings(v).subset(np.roll(order[order < 100], 3)) for v in z]),
    ):
        assert found.value == pytest.approx(expected.value, rel=1e-5)
        assert (found.n, found.d, found.params["views"]) == (100, 64, 10)
        if found.sd is not None:
            assert found.sd == pytest.approx(expected.sd, rel=1e-4)


def test_a_deletion_leaves_images_out():
    z = golden_input()
    block = jackknife_blocks(np.arange(100), 5, 0)
    left = np.array([by_definition(z[:, block != b]) for b in range(5)])
    assert lidar(None, views=z, jackknife=5).sd == pytest.approx(
        jackknife_estimate(by_definition(z), left)[1], rel=1e-5
    )


def test_rotation_and_offset_change_nothing_but_scale_does():
    z = golden_input()
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[0]
    same = lidar(None, views=z).value
    assert lidar(None, views=z @ q + 100).value == pytest.approx(same, rel=1e-6)
    # delta is in squared units of the features: small features drown in it
    assert lidar(None, views=z * 1e-3).value != pytest.approx(same, rel=0.01)
    # each image its own direction: as many as there can be
    assert lidar(None, views=np.stack([np.eye(8)] * 3)).value == pytest.approx(7, rel=1e-5)


def test_scales_that_delta_cannot_serve():
    z = golden_input()
    small = lidar(None, views=z * 1e-9).value
    assert small > 1  # 0 is for equal means only
    with pytest.raises(ValueError, match=r"lidar: delta = 0\.0001 is lost beside the covariance"):
        lidar(None, views=np.random.default_rng(0).standard_normal((2, 10, 64)) * 1e9)


def test_ids_name_rows_of_z():
    z = golden_input()
    ids = np.arange(1000) + 5
    found = score(z.reshape(1000, 64), ("rankme", "lidar"), views=z, ids=ids, jackknife=5)
    assert (found["rankme"].n, found["lidar"].n) == (1000, 100)
    assert lidar(None, views=z, ids=np.arange(100) + 9, jackknife=5).sd > 0


def test_what_is_doubtful():
    z = golden_input()
    constant = lidar(None, views=np.ones((3, 20, 4)))
    assert constant.value == 0.0
    one = lidar(None, views=z[:, :1])
    assert np.isnan(one.value)
    assert any("a single image is too few" in w for w in one.warnings)
    assert any("cannot exceed 49" in w for w in lidar(None, views=z[:, :50]).warnings)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: score(np.eye(4), "lidar"), "several views of each image"),
        (lambda: score(np.eye(4), views=np.ones((2, 4, 4))), "none of the scores rankme uses"),
        (lambda: score(None, "lidar", views=np.eye(4)), r"views"),
        (lambda: score(None, "lidar", views=np.ones((1, 4, 4))), "at least 2 views"),
        (lambda: score(None, "lidar", views=[np.eye(4), np.eye(3)]), "one shape"),
        (lambda: score(None, "lidar", views=[np.eye(4), np.eye(4) * np.nan]), "NaN"),
        (lambda: score(None, ("rankme", "lidar"), views=np.ones((2, 4, 4))), "z: .* for rankme"),
        (
            lambda: score(Embeddings(np.eye(4), ids=[0, 0, 0, 1]), "lidar"),
            "same number of views of each image",
        ),
        (
            lambda: score(
                None,
                "lidar",
                views=[Embeddings(np.eye(4)), Embeddings(np.eye(4), ids=[1, 2, 3, 4])],
            ),
            "different images",
        ),
        (lambda: score(None, "lidar:delta=0", views=np.ones((2, 4, 4))), "delta above 0"),
    ],
)  # fmt: skip
def test_what_is_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()


@pytest.mark.parametrize(("n", "d"), [(30, 64), (64, 64), (12, 40)])
def test_few_images_have_the_same_spectrum_by_their_means(n: int, d: int) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5, n, d)) + 2 * rng.standard_normal((n, d))
    block = np.arange(n) % 4
    few = compute_lidar(z, block)
    assert few.deleted is not None
    for number in range(4):
        some = z[:, block != number]
        assert few.deleted[number] == pytest.approx(by_definition(some), rel=1e-9)
    assert few.value == pytest.approx(by_definition(z), rel=1e-9)
