"""How a decomposition spreads: draws, choices, groups; what is held out; what makes it doubtful."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from jessl.embeddings import Embeddings
from jessl.probes import probe, split
from jessl.probes.labelled import LabelledRows, labelled_rows
from jessl.probes.registry import KINDS
from jessl.probes.tuning import tune
from jessl.risk import decompose
from jessl.risk.resampling import resampled
from jessl.risk.terms import DecompositionPlan, RiskTerms, measure_few
from jessl.schema import COMPONENT_NAMES


def world(n, seed, noise=1.0, classes=3, d=6, **more):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = np.random.default_rng(5).standard_normal((classes, d))
    return Embeddings(centres[y] + noise * rng.standard_normal((n, d)), y, **more)


def chance(n, seed, d=20, **more):
    """Labels that the features say nothing of: every held-out risk is .5."""
    rng = np.random.default_rng(seed)
    return Embeddings(rng.standard_normal((n, d)), rng.integers(0, 2, n), **more)


def rows(n, units=None):
    return LabelledRows(np.zeros((n, 1), np.float32), np.arange(n) % 2, np.arange(n), units, 0)


def terms_of(train, test, choices=None, draws=None):
    """Risks whose items are made up: equal ones for both risks of a set."""
    on_train = {"train_train": train, "part_rest": train}
    on_test = {"train_test": test, "union_test": test}
    return RiskTerms(on_train, on_test, choices or {}, draws or {}, {}, True, None)


def few_asked(seed=0, by="error", **options):
    return DecompositionPlan(KINDS["ridge"], options, by, True, None, None, seed, "cpu")


@pytest.mark.parametrize("count", [2, 3, 5])
def test_draws_spread_as_their_mean_does(count):
    train, test = labelled_rows("train", world(300, 1)), labelled_rows("test", world(200, 2))
    picked = lambda seed: split.sample_per_class(train.y, 1, seed)  # noqa: E731
    terms = measure_few(few_asked(), train, test, picked, count)
    drawn = terms.draws
    assert all(len(means) == count and means.std() > 0 for means in drawn.values())
    _, wide, _ = resampled(terms, train, test, None, 0)
    terms.draws = {}
    _, narrow, _ = resampled(terms, train, test, None, 0)
    for name, means in drawn.items():
        more = wide[name] - narrow[name]
        assert more.std() == pytest.approx(means.std(ddof=1) / np.sqrt(count), rel=0.06)
        assert abs(more.mean()) < 0.1 * more.std() + 1e-12
    # a draw has its part in both risks
    one, two = (wide[name] - narrow[name] for name in drawn)
    centred = [means - means.mean() for means in drawn.values()]
    expected = (centred[0] * centred[1]).sum() / np.sqrt(np.prod([(c**2).sum() for c in centred]))
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(expected, abs=0.08)
    for name in ("train_train", "union_test", "all_part_rest"):
        np.testing.assert_array_equal(wide[name], narrow[name])


def test_few_shots_hold_out_whole_groups_and_are_tuned_on_whole_groups():
    # near copies with labels of chance: a torn group looks easy
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    x = np.repeat(rng.standard_normal((40, 30)), 5, axis=0) + 0.01 * rng.standard_normal((200, 30))
    e = Embeddings(x, np.repeat(np.arange(40) % 2, 5), groups=groups)
    train, test = labelled_rows("train", e), labelled_rows("test", chance(40, 1, 30))
    seen, torn = [], []
    for seed in range(5):
        kept = split.sample_per_class(train.y, 20, seed)
        terms = measure_few(few_asked(seed), train, test, lambda _, kept=kept: kept, 1)
        out = np.isnan(terms.on_train["part_rest"])
        np.testing.assert_array_equal(out, np.isin(groups, groups[kept]))
        few = train.rows(kept)
        seen.append(terms.params["options_by_draw"][0])
        asked = {"by": "error", "seed": seed}
        assert seen[-1] == tune(KINDS["ridge"], few.x, few.y, {}, units=few.units, **asked).options
        torn.append(tune(KINDS["ridge"], few.x, few.y, {}, **asked).options)
    assert seen != torn


def test_per_term_takes_the_strongest_of_equal_candidates():
    # more features than rows: many penalties fit every row
    train, test = chance(24, 0, 40), chance(30, 1, 40)
    found = decompose(train, test, probe="ridge", tuning="per-term", duplicates=False)
    both = Embeddings(np.r_[train.features, test.features], np.r_[train.labels, test.labels])
    path = [one["penalty"] for one in KINDS["ridge"].candidates({})]
    for name, own in (("train_train", train), ("union_test", both)):
        errors = [probe(own, own, kind="ridge", penalty=p, duplicates=False).error for p in path]
        assert errors[0] > min(errors)
        assert errors.count(min(errors)) > 1
        chosen = found.params["options_by_risk"][name]["penalty"]
        assert chosen == path[int(np.argmin(errors))]
    assert found.params["risks"]["train_train"] == 0.0


def test_the_choice_is_made_anew_on_test_as_on_train():
    # two candidates, equally good when held out: one is right on
    # all of train and test, one on none of them
    first = np.arange(100) % 2 * 1.0
    choices = {"criterion": [first, 1 - first], "part_rest": [first, 1 - first]}
    choices["train_train"] = choices["train_test"] = [np.zeros(100), np.ones(100)]
    terms = terms_of(np.zeros(100), np.zeros(100), choices)
    _, samples, _ = resampled(terms, rows(100), rows(100), None, 0)
    assert set(samples["train_test"]) == {0.0, 1.0}
    assert 0.1 < samples["train_test"].mean() < 0.9
    np.testing.assert_array_equal(samples["train_test"], samples["train_train"])
    assert samples["part_rest"].max() <= 0.5 + resampled(terms, rows(100), rows(100), None, 0)[2]
    assert set(samples["union_test"]) == {0.0}


def test_train_and_test_are_drawn_in_their_own_groups():
    # ten copies of each item: as many as there are items, and ten times the variance
    one = np.random.default_rng(0).integers(0, 2, 40).astype(float)
    many, units = np.repeat(one, 10), np.repeat(np.arange(40), 10)
    alone, grouped = rows(400), rows(400, units)
    for train, test in ((grouped, alone), (alone, grouped)):
        _, samples, _ = resampled(terms_of(many, many), train, test, None, 0)
        for names, which in ((("train_train", "part_rest"), train), (("train_test",), test)):
            count = 400 if which.units is None else 40
            for name in names:
                expected = one.std() / np.sqrt(count)
                assert samples[name].std() == pytest.approx(expected, rel=0.06)


def test_groups_widen_the_interval_of_the_risk():
    images, groups = world(40, 2, 1.5), np.repeat(np.arange(40), 8)
    train = world(300, 1, 1.5)
    x, y = np.repeat(images.features, 8, axis=0), np.repeat(images.labels, 8)
    torn = decompose(train, Embeddings(x, y), duplicates=False)
    whole = decompose(train, Embeddings(x, y, groups=groups), duplicates=False)
    for name in ("risk", "encoder_generalization"):
        one, two = getattr(torn, name), getattr(whole, name)
        assert one.value == two.value
        assert two.high - two.low > 1.5 * (one.high - one.low)
    x, y = np.repeat(train.features, 8, axis=0), np.repeat(train.labels, 8)
    spread = []
    for ids in (None, np.repeat(np.arange(300), 8)):
        found = decompose(Embeddings(x, y, ids=ids), images, C=0.01, duplicates=False)
        spread.append(found.midpoint.high - found.midpoint.low)
    assert spread[1] > 2 * spread[0]


@pytest.mark.parametrize("tuning", ["shared", "per-term"])
def test_the_union_is_judged_by_its_log_loss(tuning):
    train, test = world(90, 1), world(60, 2)
    found = decompose(
        train, test, risk="log_loss", tuning=tuning, C=0.05, duplicates=False, order="union"
    )
    both = Embeddings(np.r_[train.features, test.features], np.r_[train.labels, test.labels])
    own = probe(both, test, C=0.05, duplicates=False)
    assert found.params["risks"]["union_test"] == pytest.approx(own.log_loss, rel=1e-4)
    assert abs(own.log_loss - own.error) > 0.05


@pytest.mark.parametrize(("name", "seeds"), [("ridge", 40), ("logistic", 10)])
def test_the_held_out_risk_of_labels_of_chance_is_a_half(name, seeds):
    held, least = [], []
    for seed in range(seeds):
        found = decompose(chance(60, seed), chance(20, 99), probe=name, seed=seed, duplicates=False)
        params = found.params
        held.append(params["risks"]["part_rest"])
        least.append(min(params["tuning_curve"]["error"]))
        assert held[-1] == pytest.approx(least[-1] + params["optimism"])
    assert np.mean(held) == pytest.approx(0.5, abs=0.075)
    assert np.mean(held) > np.mean(least) + 0.012
    # without a choice there is nothing to be optimistic about
    fixed = decompose(chance(60, 0), chance(20, 99), probe="ridge", penalty=1.0, duplicates=False)
    assert fixed.params["optimism"] == 0


def test_the_optimism_of_a_choice_among_coins_is_added():
    held, least = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        coins = list((rng.random((8, 60)) < 0.5).astype(float))
        best = min(coins, key=np.mean)
        terms = terms_of(coins[0], coins[0], {"criterion": coins, "part_rest": coins})
        terms.on_train["part_rest"] = best
        risks, _, optimism = resampled(terms, rows(60), rows(60), None, seed)
        held.append(risks["part_rest"])
        least.append(best.mean())
        assert risks["part_rest"] == pytest.approx(best.mean() + optimism)
    assert np.mean(least) < 0.43
    assert np.mean(held) == pytest.approx(0.5, abs=0.04)
    # of copies that stay together the optimism is that of the items
    units = np.repeat(np.arange(60), 6)
    many = [np.repeat(coin, 6) for coin in coins]
    terms = terms_of(many[0], many[0], {"criterion": many, "part_rest": many})
    copied = resampled(terms, rows(360, units), rows(360), None, 0)[2]
    assert copied == pytest.approx(optimism, rel=0.1)


def test_the_published_estimator_is_tuned_on_the_rest_alone():
    held = []
    for seed in range(30):
        train = chance(60, seed)
        found = decompose(train, chance(20, 99), probe="ridge", estimator="published", n_sub=30,
                          seed=seed, duplicates=False)  # fmt: skip
        rest = np.setdiff1d(np.arange(60), split.stratified_sample(train.labels, 30, seed))
        alone = tune(KINDS["ridge"], train.features[rest], train.labels[rest], {}, seed=seed)
        assert found.params["tuning_curve"] == alone.curve
        assert found.params["penalty"] == alone.options["penalty"]
        held.append(found.params["risks"]["part_rest"])
    assert np.mean(held) == pytest.approx(0.5, abs=0.06)


def test_the_published_part_of_groups_tells_its_size():
    train = world(140, 1, groups=np.arange(140) // 7)
    found = decompose(train, world(40, 2), estimator="published", n_sub=30, duplicates=False)
    part = split.sample_units(30, 0, train.groups)
    assert found.params["n_sub"] == len(part) == 28
    assert 28 * found.params["risks"]["part_rest"] == pytest.approx(
        round(28 * found.params["risks"]["part_rest"])
    )


@pytest.mark.parametrize("noise", [0.05, 1.5])
def test_the_interval_of_the_risk_is_that_of_the_probe(noise):
    train, test = world(90, 1, noise), world(40, 2, noise)
    own = probe(train, test, kind="ridge", duplicates=False)
    for order in ("published", "union"):
        found = decompose(train, test, probe="ridge", order=order, duplicates=False)
        told = found.risk.value, found.risk.low, found.risk.high
        assert told == pytest.approx((own.error, own.low, own.high), abs=1e-12)
        assert found.risk.high > found.risk.low


@examples(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(8, 40),
    m=st.integers(1, 30),
    noise=st.sampled_from([0.01, 1.0, 5.0]),
    asked=st.sampled_from([{}, {"shots": 2, "draws": 2}, {"tuning": "per-term"}]),
    twin=st.booleans(),
)
def test_intervals_hold_their_values_and_errors_stay_errors(seed, n, m, noise, asked, twin):
    train, test = world(n, seed, noise, 2, 3), world(m, seed + 1, noise, 2, 3)
    pair = (world(n, seed + 2, 0.5, 2, 3), world(m, seed + 3, 0.5, 2, 3)) if twin else None
    for order in ("published", "union"):
        found = decompose(train, test, supervised=pair, probe="ridge", order=order, seed=seed,
                          duplicates=False, **asked)  # fmt: skip
        for name in (*COMPONENT_NAMES, "risk", "midpoint", "bias"):
            one = getattr(found, name)
            assert -1 <= one.low <= one.value <= one.high <= 1, name
        for name in ("approximation", "risk", "midpoint"):
            assert getattr(found, name).low >= 0, name
        for key, one in found.differences.items():
            assert one.low <= one.value <= one.high, key
        assert sum(getattr(found, name).value for name in COMPONENT_NAMES) == found.risk.value


def test_classes_of_two_rows_are_doubtful():
    rng = np.random.default_rng(0)
    test = Embeddings(rng.standard_normal((200, 60)), np.arange(200) % 8)
    for each, weak in ((2, True), (6, False)):
        y = np.repeat(np.arange(8), each)
        x = rng.standard_normal((len(y), 60))
        found = decompose(Embeddings(x, y), test, C=1.0, duplicates=False)
        # labels of chance that the probe learns by heart: all is lost on held-out rows
        apart = [v.low for k, v in found.differences.items() if k.startswith("probe_gen")]
        assert min(apart) > 0
        assert found.dominant == (None if weak else "probe_generalization")
        told = [one for one in found.params["warnings"] if "classes have fewer than 5" in one]
        assert len(told) == weak
        assert not told or told[0].startswith("8 of 8 classes have fewer than 5 training rows")


@pytest.mark.parametrize(("groups", "what"), [(None, "9 rows"), (np.arange(45) // 5, "9 groups")])
def test_a_test_of_fewer_than_ten_is_doubtful(groups, what):
    m = 9 if groups is None else 45
    train = chance(300, 0, 2)
    full, few = chance(60, 1, 2), chance(m, 3, 2, groups=groups)
    asked = {"probe": "ridge", "penalty": 1.0, "duplicates": False}
    assert decompose(train, full, **asked).params["warnings"] == []
    found = decompose(train, few, **asked)
    assert found.dominant is None
    [told] = found.params["warnings"]
    assert told.startswith(f"test has {what}: ")


def test_the_mlp_is_tuned_on_a_part_and_pooled_over_folds():
    train, test = world(60, 2), world(30, 9)
    options = {"hidden": "16", "epochs": 5, "lr": 0.18, "duplicates": False}
    own = probe(train, test, kind="mlp", **options)
    found = decompose(train, test, probe="mlp", folds=3, **options)
    for params in (own.params, found.params):
        assert params["tuned_on"] == "a stratified fifth of train, held out"
        assert params["weight_decay"] in (1.0, 0.1)
        assert (params["hidden"], params["epochs"]) == ("16", 5)
    assert own.curve == found.params["tuning_curve"]
    assert len(own.curve["weight_decay"]) == 3
    assert found.params["folds"] == 3
    assert sum(getattr(found, name).value for name in COMPONENT_NAMES) == found.risk.value
    assert found.risk.value == pytest.approx(own.error)
    # every row is held out once, with the weight decay that was chosen
    chosen = {name: own.params[name] for name in ("hidden", "epochs", "lr", "weight_decay")}
    pooled = tune(KINDS["mlp"], train.features, train.labels, chosen, tuning="folds", folds=3)
    assert found.params["risks"]["part_rest"] == pytest.approx(pooled.held_out.wrong.mean())
    options["weight_decay"] = 1.0
    loss = decompose(train, test, probe="mlp", risk="log_loss", folds=3, **options)
    assert loss.risk.value == pytest.approx(probe(train, test, kind="mlp", **options).log_loss)
    open_ended = probe(train, test, kind="mlp", hidden="4", weight_decay=0.1, duplicates=False)
    assert open_ended.params["epochs"] == 100
