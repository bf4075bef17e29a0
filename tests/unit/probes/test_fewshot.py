import json

import numpy as np
import pytest

from jessl.embeddings import Embeddings
from jessl.probes import few_shot, probe, split
from jessl.probes.bootstrap import Resampled, percentile_interval
from jessl.probes.registry import KINDS
from jessl.probes.tuning import default_folds, tune

CENTRES = np.random.default_rng(3).standard_normal((6, 10))


def world(n, seed, **more):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 6
    return Embeddings(CENTRES[y] + 1.2 * rng.standard_normal((n, 10)), y, **more)


def test_more_shots_less_error_and_an_interval_over_draws():
    train, test = world(600, 1), world(300, 2)
    found = few_shot(train, test, shots=(3, 10, 30), fractions=(0.1,), draws=4)
    errors = [one.error.value for one in found]
    assert errors[0] > errors[1] > errors[2]
    assert [one.rows for one in found] == [18, 60, 180, 60]
    assert [(one.shots, one.fraction) for one in found][2:] == [(30, None), (None, 0.1)]
    for one in found:
        assert len(set(one.errors)) > 1
        assert np.mean(one.errors) == pytest.approx(one.error.value)
        assert np.std(one.errors, ddof=1) == pytest.approx(one.sd)
        assert one.error.low < one.error.value < one.error.high
        assert one.accuracy.low == pytest.approx(1 - one.error.high)
        assert all("C" in chosen for chosen in one.chosen)
    alone = probe(train, test, shots=3, seed=2000, duplicates=False)
    assert alone.error == found[0].errors[2]
    assert json.loads(json.dumps(found[0].as_json()))["error"]["value"] == errors[0]


def test_the_interval_holds_the_mean_of_many_draws():
    test = world(400, 2)
    many = few_shot(world(3000, 1), test, shots=(5,), draws=60, C=0.01)[0].error.value
    held = 0
    for seed in range(12):
        one = few_shot(world(3000, 1), test, shots=(5,), draws=4, C=0.01, seed=seed)[0]
        held += one.error.low <= many <= one.error.high
    assert held >= 10


def test_one_draw_has_the_interval_of_the_test_rows():
    one = few_shot(world(600, 1), world(300, 2), shots=(5,), draws=1)[0]
    alone = probe(world(600, 1), world(300, 2), shots=5)
    assert (one.sd, one.error.low, one.error.high) == (None, alone.low, alone.high)


def test_the_published_protocol_tunes_on_other_training_labels():
    train, test = world(600, 1), world(300, 2)
    few = probe(train, test, shots=3)
    rest = probe(train, test, shots=3, protocol="published")
    assert few.params["tuned_on"].endswith("cross-validation of train")
    assert rest.params["tuned_on"] == "582 other training rows (published few-shot protocol)"
    assert rest.curve["error"] != few.curve["error"]
    # labels that the few-shot probe must not see change the published choice only
    y = train.labels.copy()
    hidden = np.setdiff1d(np.arange(600), split.sample_per_class(train.labels, 3, 0))
    y[hidden] = np.random.default_rng(0).permutation(y[hidden])
    mixed = Embeddings(train.features, y)
    with pytest.raises(ValueError, match="expected shots or fraction"):
        probe(mixed, test, protocol="published")
    kind, x = KINDS["logistic"], train.features
    kept = split.sample_per_class(train.labels, 3, 0)
    one = tune(kind, x[kept], train.labels[kept], {}, seed=0)
    assert one.curve == few.curve


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "draws: expected a whole number of at least 1"),
        ({"shots": 3}, "shots: expected a sequence of numbers"),
        ({"shots": (), "fractions": ()}, "expected at least one value"),
        ({"shots": (101,)}, "shots: expected at most 100 images per class .class 0., got 101"),
        ({"fractions": (2.0,)}, "fraction: expected a share"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        few_shot(world(600, 1), world(60, 2), **options)


def test_groups_stay_whole_in_folds():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 400)
    units = rng.integers(0, 60, 400)
    place = split.assign_folds(y, 5, 3, units)
    for unit in range(60):
        assert len(set(place[units == unit])) <= 1
    sizes = np.bincount(place, minlength=5)
    assert sizes.min() > 60
    shares = [np.bincount(y[place == k], minlength=5) for k in range(5)]
    assert np.min(shares) >= 8
    with pytest.raises(ValueError, match="folds: expected at most 3, the number of groups, got 5"):
        split.assign_folds(y, 5, 0, units % 3)


def test_rows_of_one_image_or_group_are_units():
    ids = np.array([5, 6, 7, 7])
    assert split.inseparable_units(np.arange(4), None) is None
    assert split.inseparable_units(ids, None).tolist() == [0, 1, 2, 2]
    units = split.inseparable_units(ids, np.array([3, 3, -1, -1]))
    assert units[0] == units[1]
    assert units[2] == units[3] != units[0]
    assert len(set(split.inseparable_units(np.arange(4), np.array([-1, -1, 9, -7])).tolist())) == 4


def test_groups_that_repeat_make_a_leak_and_whole_groups_close_it():
    # ten near copies of each image: folds of rows see the label, folds of groups do not
    rng = np.random.default_rng(0)
    image = np.repeat(rng.standard_normal((40, 30)), 10, axis=0)
    x = image + 0.01 * rng.standard_normal(image.shape)
    y = np.repeat(rng.integers(0, 2, 40), 10)  # labels of pure chance
    kind = KINDS["logistic"]
    leaking = tune(kind, x, y, {})
    whole = tune(kind, x, y, {}, units=np.repeat(np.arange(40), 10))
    assert leaking.held_out.wrong.mean() < 0.1
    assert whole.held_out.wrong.mean() > 0.25


def test_fewer_than_two_rows_of_two_classes_cannot_be_tuned():
    x, y = np.random.default_rng(0).standard_normal((4, 3)), np.arange(4)
    for name, kind in KINDS.items():
        if name == "mlp":
            continue
        one = tune(kind, x, y, {})
        assert (one.curve, one.held_out) == (None, None)
        assert kind.fallback_options.items() <= one.options.items()
    assert (default_folds(3), default_folds(5000), default_folds(5001)) == (3, 10, 5)


def test_paired_differences_are_narrower():
    train, test = world(600, 1), world(500, 2)
    a, b = probe(train, test, C=0.01), probe(train, test, C=0.003)
    apart = a.minus(b)
    assert apart.value == pytest.approx(a.error - b.error)
    assert apart.low <= apart.value <= apart.high
    assert apart.high - apart.low < 0.7 * (a.high - a.low)
    with pytest.raises(ValueError, match="expected the 500 test rows of this probe, got others"):
        a.minus(probe(train, world(60, 2)))


def test_the_bootstrap_knows_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(50), 8)
    wrong = np.repeat(rng.random(50) < 0.4, 8).astype(float)  # a group is right or wrong
    alone = Resampled({"e": wrong}, rng)["e"]
    whole = Resampled({"e": wrong}, rng, group)["e"]
    assert whole.std() == pytest.approx(np.sqrt(8) * alone.std(), rel=0.15)
    # groups of groups of one: the same as none
    each = Resampled({"e": wrong}, rng, np.arange(400))["e"]
    assert each.std() == pytest.approx(alone.std(), rel=0.1)


def test_many_units_are_drawn_as_normal(monkeypatch):
    rng = np.random.default_rng(0)
    values = {"a": rng.exponential(size=900), "b": np.where(rng.random(900) < 0.5, np.nan, 1.5)}
    values["b"][::3] = 0.3
    drawn = Resampled(values, np.random.default_rng(1))
    monkeypatch.setattr("jessl.probes.bootstrap._MOST_DRAWN_UNITS", 0)
    normal = Resampled(values, np.random.default_rng(1))
    for name in values:
        assert normal[name].mean() == pytest.approx(drawn[name].mean(), rel=0.01)
        assert normal[name].std() == pytest.approx(drawn[name].std(), rel=0.1)
        np.testing.assert_allclose(
            percentile_interval(normal[name]), percentile_interval(drawn[name]), rtol=0.03
        )
