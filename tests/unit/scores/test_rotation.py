"""The rotation probe: worlds where the rotation is known to the features, and where it is not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import jessl
from jessl.data import open_source
from jessl.encoders import build_encoder
from jessl.extraction.rotations import embed_rotations


def world(signal: float, *, n: int = 200, d: int = 12, seed: int = 0) -> np.ndarray:
    """[4, n, d] noise, with the rotation in one corner of the features."""
    z = np.random.default_rng(seed).standard_normal((4, n, d))
    for turn in range(4):
        z[turn, :, turn] += signal
    return z


def rotation(z: object, **options: object) -> jessl.scores.ScoreResult:
    return jessl.score(None, "rotation", views=z, **options)["rotation"]


def test_known_answers() -> None:
    clear = rotation(world(20.0))
    assert clear.value == 1.0
    chance = rotation(world(0.0, n=1000))
    assert chance.low <= 0.25 <= chance.high
    weak, strong = rotation(world(0.7)), rotation(world(1.5))
    assert 0.25 < weak.value < strong.value < 1
    # signal in few of many features, and features of unlike scale
    scaled = world(1.5) * np.geomspace(1e-3, 1e3, 12)
    assert rotation(scaled).value == pytest.approx(strong.value, abs=0.02)


def test_features_that_one_image_alone_has_are_no_error() -> None:
    """Without its block they are constant but for the rounding of the sums."""
    z = np.random.default_rng(0).standard_normal((4, 24, 12))
    z[:, :, 4:] = 0
    z[:, 0, 4:] = np.random.default_rng(1).standard_normal((4, 8)) * 30
    assert 0 <= rotation(z).value <= 1


def test_the_probe_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    z = world(1.0, n=60)
    result = rotation(z, ids=np.arange(60), jackknife=0)
    from jessl.scores.score import MultiView, _shuffle

    x = _shuffle(MultiView(z, np.arange(60)), 0, None).z
    hits = 0
    for fit, test in ((x[:, :30], x[:, 30:]), (x[:, 30:], x[:, :30])):
        rows, turns = fit.reshape(-1, 12), np.repeat(np.arange(4), 30)
        scaler = StandardScaler().fit(rows)
        model = Ridge(alpha=1e-2 * len(rows)).fit(scaler.transform(rows), np.eye(4)[turns])
        told = model.predict(scaler.transform(test.reshape(-1, 12))).argmax(axis=1)
        hits += int((told == turns).sum())
    assert result.value == pytest.approx(hits / 240, abs=1e-12)


def test_the_jackknife_covers_the_spread_between_samples() -> None:
    results = [rotation(world(1.0, n=200, seed=s)) for s in range(30)]
    spread = np.std([r.value for r in results], ddof=1)
    assert 0.6 < np.mean([r.sd for r in results]) / spread < 1.7


def test_images_are_turned(tmp_path: Path) -> None:
    """An encoder that sees where the light comes from, and one that does not."""
    x = np.zeros((40, 8, 8, 3), np.uint8)
    x[:, :4] = np.random.default_rng(0).integers(100, 255, (40, 1, 1, 3))
    np.savez(tmp_path / "lit.npz", x=x)
    source = open_source(tmp_path / "lit.npz")
    z = embed_rotations(build_encoder("smallconv:4", size=8), source)
    assert (z.n, list(z.ids[:2]), list(z.ids[40:42])) == (160, [0, 1], [0, 1])
    assert jessl.score(z, "rotation")["rotation"].value > 0.95
    np.savez(tmp_path / "flat.npz", x=np.broadcast_to(x[:, :1, :1], x.shape))
    z = embed_rotations(build_encoder("smallconv:4", size=8), open_source(tmp_path / "flat.npz"))
    assert jessl.score(z, "rotation")["rotation"].value == pytest.approx(0.25, abs=0.1)


def test_other_views_are_refused() -> None:
    z = np.random.default_rng(0).standard_normal((80, 6)).astype(np.float32)
    views = jessl.Embeddings(z, None, np.arange(80) // 4, {"views": {"views": []}})
    with pytest.raises(ValueError, match="rotation: expected embeddings of rotations"):
        jessl.score(views, "rotation")
    with pytest.raises(ValueError, match="needs the 4 rotations of each image, got 3"):
        rotation(world(1.0)[:3])
    with pytest.raises(ValueError, match="ridge: expected a number above 0"):
        jessl.score(None, "rotation:ridge=0", views=world(1.0))
    assert math.isnan(rotation(world(1.0, n=5)).value)
    assert rotation(np.ones((4, 50, 3))).value == 0.25
