import itertools
import json
import math

import numpy as np
import pytest

from jessl.embeddings import Embeddings
from jessl.probes import probe
from jessl.probes.bootstrap import Resampled, percentile_interval
from jessl.risk import decompose
from jessl.risk.components import components
from jessl.schema import COMPONENT_NAMES

D, CLASSES = 16, 4
CENTRES = np.random.default_rng(5).standard_normal((CLASSES, D)) * 0.45


def world(n, seed, shift=0.0, noise=1.0):
    """Gaussian classes: no encoder is trained, so that encoder generalization is 0 by design."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n)
    x = CENTRES[y] + noise * rng.standard_normal((n, D)) + shift * rng.standard_normal((n, D))
    return Embeddings(x, y)


def bayes_error():
    """Of the best linear classifier (equal covariances), from 200,000 draws."""
    e = world(200_000, 12345)
    scores = e.features @ CENTRES.T - (CENTRES**2).sum(axis=1) / 2
    return float((scores.argmax(axis=1) != e.labels).mean())


def values(found):
    return [getattr(found, name).value for name in COMPONENT_NAMES]


@pytest.mark.parametrize("estimator", ["crossfit", "published"])
@pytest.mark.parametrize("order", ["published", "union"])
@pytest.mark.parametrize("twin", [False, True])
def test_components_add_up_exactly(estimator, order, twin):
    train, test = world(211, 1), world(97, 2)
    supervised = (world(211, 3, noise=0.3), world(97, 4)) if twin else None
    found = decompose(train, test, supervised=supervised, estimator=estimator, order=order)
    for some_order in itertools.permutations(values(found)):
        total = 0.0
        for value in some_order:
            total += value
        assert total == found.risk.value
    assert math.fsum(values(found)) == found.risk.value
    error = probe(train, test, C=found.params["C"]).error
    assert found.risk.value == pytest.approx(error, abs=1e-15)
    assert found.merged is not twin
    if not twin:
        one = found.approximation
        assert (one.value, one.low, one.high) == (0.0, 0.0, 0.0)
    for name in (*COMPONENT_NAMES, "risk"):
        one = getattr(found, name)
        assert one.low <= one.value <= one.high


def test_sums_of_any_fractions_are_exact():
    rng = np.random.default_rng(0)
    names = ["supervised_train_train", "train_train", "part_rest", "union_test", "train_test"]
    draws = {name: np.zeros(1) for name in names}
    for _ in range(300):
        n = rng.integers(3, 10**6, 5)
        risks = {
            name: int(rng.integers(0, m + 1)) / int(m) for name, m in zip(names, n, strict=True)
        }
        for order in ("published", "union"):
            found, _ = components(risks, draws, order, True, "error")
            parts = [found[name].value for name in COMPONENT_NAMES]
            for some in itertools.permutations(parts):
                assert ((some[0] + some[1]) + some[2]) + some[3] == found["risk"].value
            assert found["risk"].value == pytest.approx(risks["train_test"], abs=1e-15)


def test_terms_by_hand():
    train, test = world(150, 1), world(80, 2)
    supervised = (world(150, 3, noise=0.3), world(80, 4, noise=0.3))
    found = decompose(train, test, supervised=supervised)
    C = found.params["C"]
    both = Embeddings(
        np.concatenate([train.features, test.features]), np.concatenate([train.labels, test.labels])
    )
    risks = {
        "train_train": probe(train, train, C=C).error,
        "train_test": probe(train, test, C=C).error,
        "union_test": probe(both, test, C=C).error,
        "supervised_train_train": probe(supervised[0], supervised[0], C=C).error,
        "part_rest": found.params["risks"]["part_rest"],
    }
    assert found.params["risks"] == pytest.approx(risks)
    assert found.params["supervised_test_risk"] == probe(*supervised, C=C).error
    assert found.approximation.value == pytest.approx(risks["supervised_train_train"])
    assert found.usability.value == pytest.approx(
        risks["train_train"] - risks["supervised_train_train"]
    )
    assert found.probe_generalization.value == pytest.approx(
        risks["part_rest"] - risks["train_train"]
    )
    assert found.encoder_generalization.value == pytest.approx(
        risks["train_test"] - risks["part_rest"]
    )
    other = decompose(train, test, supervised=supervised, order="union")
    assert other.encoder_generalization.value == pytest.approx(
        risks["union_test"] - risks["train_train"]
    )
    assert other.probe_generalization.value == pytest.approx(
        risks["train_test"] - risks["union_test"]
    )
    assert found.params["union_order"] == {
        name: getattr(other, name).value for name in COMPONENT_NAMES[2:]
    }
    assert other.params["published_order"]["probe_generalization"] == (
        found.probe_generalization.value
    )


def test_known_answers():
    # n well above d: the train error and the held-out error enclose the best error
    best = bayes_error()
    found = decompose(world(3000, 1), world(3000, 2))
    assert found.usability.value == pytest.approx(best, abs=0.03)
    assert found.risk.value == pytest.approx(best, abs=0.03)
    assert abs(found.probe_generalization.value) < 0.03
    assert found.encoder_generalization.low < 0 < found.encoder_generalization.high
    assert found.midpoint.value == pytest.approx(best, abs=0.02)


def test_an_encoder_that_knows_its_training_images():
    # noise that only new images carry is the encoder's generalization error
    train, test = world(800, 1), world(800, 2, shift=2.0)
    found = decompose(train, test)
    plain = decompose(train, world(800, 2))
    assert found.encoder_generalization.low > 0.1
    assert abs(plain.encoder_generalization.value) < 0.06
    assert found.usability.value == plain.usability.value
    assert found.probe_generalization.value == plain.probe_generalization.value


def test_probe_generalization_shrinks_with_rows():
    few, many = decompose(world(100, 1), world(1000, 2)), decompose(world(2000, 1), world(1000, 2))
    assert few.probe_generalization.value > many.probe_generalization.value + 0.02


def test_crossfit_is_less_noisy_than_one_split_and_both_are_signed():
    draws = {"crossfit": [], "published": []}
    signed = []
    for seed in range(12):
        train, test = world(200, 10 + seed), world(1000, 99)
        for estimator, kept in draws.items():
            found = decompose(train, test, estimator=estimator, seed=seed, n_sub=None)
            kept.append(found.encoder_generalization.value)
        signed.append(found.encoder_generalization.value)
    assert np.std(draws["crossfit"]) < np.std(draws["published"])
    assert min(signed) < 0 < max(signed)


def test_intervals_cover_the_expected_risk():
    # one fixed probe judged on new draws: the spread of items, which the interval is for
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        wrong = {
            "a": (rng.random(300) < 0.3).astype(float),
            "b": np.where(rng.random(300) < 0.5, np.nan, rng.random(300) < 0.2),
        }
        draws = Resampled(wrong, rng)
        low, high = percentile_interval(draws["a"] - draws["b"])
        covered += low <= 0.1 <= high
    assert 180 <= covered <= 199


def test_resampling_is_paired():
    rng = np.random.default_rng(0)
    wrong = (rng.random(500) < 0.3).astype(float)
    draws = Resampled({"a": wrong, "b": wrong, "c": 1 - wrong}, rng)
    assert np.ptp(draws["a"] - draws["b"]) == 0
    np.testing.assert_allclose(draws["a"] + draws["c"], 1)
    assert draws["a"].std() == pytest.approx(
        math.sqrt(wrong.mean() * (1 - wrong.mean()) / 500), rel=0.1
    )


def test_the_twin_is_paired_by_ids():
    train, test = world(120, 1), world(60, 2)
    twin = Embeddings(world(120, 3).features, train.labels)
    assert decompose(train, test, supervised=(twin, test)).params["supervised_paired"] is True
    other = Embeddings(twin.features, twin.labels, ids=np.arange(120) + 1)
    assert decompose(train, test, supervised=(other, test)).params["supervised_paired"] is False
    mixed = Embeddings(twin.features, np.roll(train.labels, 1))
    found = decompose(train, test, supervised=(mixed, test))
    assert found.params["supervised_paired"] is False
    assert found.params["warnings"] == ["the supervised twin has other labels on the same images"]
    with pytest.raises(ValueError, match="expected the classes of train, got others"):
        decompose(train, test, supervised=(Embeddings(twin.features, twin.labels + 1), test))


def test_seeds_and_sizes():
    train, test = world(150, 1), world(60, 2)
    a, b = decompose(train, test, seed=1), decompose(train, test, seed=1)
    assert a.as_json() == b.as_json()
    assert decompose(train, test).params["folds"] == 10
    assert decompose(train, test, folds=3).params["folds"] == 3
    assert decompose(train, test, estimator="published").params["n_sub"] == 30
    assert decompose(train, test, estimator="published", n_sub=50).params["n_sub"] == 50
    with pytest.raises(ValueError, match="got knn, which has no train error"):
        decompose(train, test, probe="knn")


def test_missing_labels_are_counted():
    train, test = world(150, 1), world(60, 2)
    y = train.labels.copy()
    y[:30] = -1
    found = decompose(Embeddings(train.features, y), test)
    assert found.params["unlabelled_train_rows"] == 30
    assert found.params["train_rows"] == 120


def test_for_people_and_machines():
    train, test = world(150, 1), world(60, 2)
    merged = decompose(train, test)
    whole = decompose(train, test, supervised=(world(150, 3), world(60, 4)))
    assert json.loads(json.dumps(merged.as_json()))["risk"]["value"] == merged.risk.value
    assert "approximation and usability" in merged.table()
    assert "approximation " in whole.table()
    assert f"{100 * whole.risk.value:.2f}" in whole.table()
    assert merged.plot().data[0].name == "approximation and usability"
    bars = whole.plot()
    assert len(bars.data) == 4
    assert bars.layout.barmode == "relative"
    assert sum(bar.y[0] for bar in bars.data) == pytest.approx(100 * whole.risk.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probe": "logistics"}, "unknown probe 'logistics'"),
        ({"estimator": "loo"}, "unknown estimator 'loo'"),
        ({"order": "unoin"}, "did you mean 'union'"),
        ({"n_sub": 10}, "n_sub: expected estimator=.published., got .crossfit."),
        (
            {"folds": 3, "estimator": "published"},
            "folds: expected estimator=.crossfit., got .published.",
        ),
        ({"folds": 1}, r"folds: expected 2 \.\. 40"),
        ({"n_sub": 40, "estimator": "published"}, r"n_sub: expected 1 \.\. 36"),
        ({"supervised": 3}, "supervised: expected a pair"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        decompose(world(40, 1), world(40, 2), **options)


def test_labels_are_needed():
    train, test = world(40, 1), world(40, 2)
    with pytest.raises(ValueError, match="test: none of the 40 rows"):
        decompose(train, Embeddings(test.features))
    with pytest.raises(ValueError, match="two classes with two"):
        decompose(Embeddings(train.features, np.zeros(40)), test)
    with pytest.raises(ValueError, match="test: expected 16 features"):
        decompose(train, Embeddings(test.features[:, :3], test.labels))
