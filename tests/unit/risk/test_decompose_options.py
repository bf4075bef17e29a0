"""Decompositions beyond the default: ridge, log-loss, few shots, per-term tuning, groups."""

import numpy as np
import pytest

from jessl.embeddings import Embeddings
from jessl.probes import probe
from jessl.probes.bootstrap import Estimate
from jessl.risk import decompose
from jessl.risk.components import differences, dominant
from jessl.schema import COMPONENT_NAMES

CENTRES = np.random.default_rng(5).standard_normal((6, 16)) * 0.5


def world(n, seed, noise=1.0, **more):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 6
    return Embeddings(CENTRES[y] + noise * rng.standard_normal((n, 16)), y, **more)


def total(found):
    return sum(getattr(found, name).value for name in COMPONENT_NAMES)


@pytest.mark.parametrize("estimator", ["crossfit", "published"])
@pytest.mark.parametrize("tuning", ["shared", "per-term"])
@pytest.mark.parametrize("options", [{"probe": "ridge"}, {"risk": "log_loss"}, {"shots": 5}])
def test_every_variant_adds_up_exactly(estimator, tuning, options):
    if "shots" in options and estimator == "published":
        pytest.skip("few-shot decompositions hold out all other rows: there is no part to choose")
    twin = (world(240, 3, 0.3), world(100, 4))
    found = decompose(world(240, 1), world(100, 2), supervised=twin, estimator=estimator,
                      tuning=tuning, duplicates=False, **options)  # fmt: skip
    assert total(found) == found.risk.value
    for name in (*COMPONENT_NAMES, "risk", "midpoint", "bias"):
        one = getattr(found, name)
        assert one.low - 1e-9 <= one.value <= one.high + 1e-9, name
    risks = found.params["risks"]
    held = risks["all_part_rest" if "shots" in options else "part_rest"]
    assert found.midpoint.value == pytest.approx((risks["train_train"] + held) / 2)
    assert found.bias.value == pytest.approx(risks["train_train"] - found.midpoint.value)


def test_ridge_holds_each_row_out():
    train = world(120, 1)
    found = decompose(train, world(100, 2), probe="ridge", penalty=0.2, duplicates=False)
    # brute force: the probe of all other rows, with the penalty and standardisation of all
    x = (train.features - train.features.mean(axis=0)) / train.features.std(axis=0)
    wrong = 0
    for i in range(120):
        rest = np.arange(120) != i
        a = np.hstack([x[rest], np.ones((119, 1))])
        pull = np.diag(np.r_[np.full(16, 0.2 * 120), 0.0])
        w = np.linalg.solve(a.T @ a + pull, a.T @ np.eye(6)[train.labels[rest]])
        wrong += int((np.r_[x[i], 1] @ w).argmax() != train.labels[i])
    assert found.params["risks"]["part_rest"] == pytest.approx(wrong / 120)
    assert found.params["folds"] == 120
    folded = decompose(train, world(100, 2), probe="ridge", folds=4, duplicates=False)
    assert folded.params["folds"] == 4


def test_per_term_takes_the_least_train_error_and_never_the_test_rows():
    train, test = world(300, 1), world(100, 2)
    shared = decompose(train, test, duplicates=False)
    own = decompose(train, test, tuning="per-term", duplicates=False)
    errors = [probe(train, train, C=C, duplicates=False).error for C in shared.params[
        "tuning_curve"]["C"]]  # fmt: skip
    assert own.params["risks"]["train_train"] <= min(errors)
    assert own.params["risks"]["train_train"] < shared.params["risks"]["train_train"]
    for name in ("part_rest", "train_test"):
        assert own.params["risks"][name] == shared.params["risks"][name]
    nonsense = Embeddings(test.features, np.roll(test.labels, 1))
    other = decompose(train, nonsense, tuning="per-term", duplicates=False).params
    chosen = {k: v for k, v in own.params["options_by_risk"].items() if k != "union_test"}
    assert chosen.items() <= other["options_by_risk"].items()


def test_few_shots_move_the_probe_and_nothing_else():
    train, test = world(1200, 1), world(2000, 2)
    full = decompose(train, test, duplicates=False)
    few = decompose(train, test, shots=5, draws=4, duplicates=False)
    assert few.usability.value == full.usability.value
    assert few.midpoint.value == full.midpoint.value
    assert few.probe_generalization.value > full.probe_generalization.value + 0.05
    # no encoder was trained: the few-shot probe errs alike on rows held out and on test
    assert few.encoder_generalization.low < 0 < few.encoder_generalization.high
    assert abs(few.encoder_generalization.value) < 0.05
    assert (few.params["shots"], few.params["draws"], few.params["folds"]) == (5, 4, None)
    assert len(few.params["options_by_draw"]) == 4
    tenth = decompose(train, test, fraction=0.1, draws=2, duplicates=False)
    assert few.probe_generalization.value > tenth.probe_generalization.value
    one = decompose(train, test, shots=5, draws=1, duplicates=False)
    assert one.risk.low < one.risk.value < one.risk.high


def test_log_loss_is_the_mean_log_loss():
    train, test = world(300, 1), world(200, 2)
    found = decompose(train, test, risk="log_loss", duplicates=False)
    own = probe(train, test, C=found.params["C"], duplicates=False)
    assert found.risk.value == pytest.approx(own.log_loss, rel=1e-3)
    assert "log_loss" in found.params["tuning_curve"]
    assert "nats" in found.table()
    assert found.plot().layout.yaxis.title.text == "log-loss, nats"
    with pytest.raises(ValueError, match="expected error, got log_loss: it needs probabilities"):
        decompose(train, test, risk="log_loss", probe="ridge")


def test_groups_are_held_out_whole():
    # eight near copies of each image, labels of chance: only whole groups show that
    rng = np.random.default_rng(0)
    images = np.repeat(rng.standard_normal((50, 40)), 8, axis=0)
    x = images + 0.01 * rng.standard_normal(images.shape)
    y = np.repeat(np.arange(50) % 2, 8)
    test = Embeddings(rng.standard_normal((100, 40)), np.arange(100) % 2)
    groups = np.repeat(np.arange(50), 8)
    for options in ({}, {"probe": "ridge"}, {"estimator": "published"}):
        torn = decompose(Embeddings(x, y), test, duplicates=False, **options)
        whole = decompose(Embeddings(x, y, groups=groups), test, duplicates=False, **options)
        assert torn.params["risks"]["part_rest"] < 0.15
        assert whole.params["risks"]["part_rest"] > 0.25
        spread = [f.usability.high - f.usability.low for f in (torn, whole)]
        assert spread[1] > 0 or whole.usability.value == 0
    same = Embeddings(x, y, ids=groups)  # rows of one image
    assert decompose(same, test, duplicates=False).params["risks"]["part_rest"] > 0.25


def test_a_test_row_of_a_training_group_is_told():
    a, b = world(120, 1, groups=np.arange(120) // 3), world(60, 2, groups=np.arange(60) + 30)
    assert decompose(a, b, duplicates=False).params["test_rows_of_train_groups"] == 10
    assert probe(a, b, duplicates=False).params["test_rows_of_train_groups"] == 10
    assert probe(world(120, 1), b, duplicates=False).params["test_rows_of_train_groups"] is None


def test_near_duplicates_are_told():
    train = world(120, 1)
    both = Embeddings(np.r_[train.features[:7], world(60, 2).features],
                      np.r_[train.labels[:7], world(60, 2).labels])  # fmt: skip
    assert decompose(train, both).params["near_duplicates"]["identical"] == 7
    assert probe(train, both).params["near_duplicates"]["identical"] == 7
    assert probe(train, both, duplicates=False).params["near_duplicates"] is None


def test_what_dominates_is_told_only_where_the_intervals_tell():
    tight = decompose(world(3000, 1, 0.9), world(3000, 2, 0.9), duplicates=False)
    assert tight.dominant == "usability"
    key = "usability - encoder_generalization"
    expected = tight.usability.value - tight.encoder_generalization.value
    assert tight.differences[key].value == pytest.approx(expected, abs=1e-9)
    assert tight.differences[key].low > 0
    assert "approximation - usability" not in tight.differences
    rng = np.random.default_rng(0)
    found = {name: Estimate(0.3 if name == "usability" else 0.1, 0, 1) for name in COMPONENT_NAMES}
    for width, told in ((0.01, "usability"), (0.3, None)):
        spread = {name: rng.normal(one.value, width, 2000) for name, one in found.items()}
        assert dominant(differences(found, spread, True)) == told


def with_noise(e):
    """Sixty features that say nothing: how many of them are fitted hangs on the penalty."""
    more = np.random.default_rng(abs(int(e.features[0, 0] * 1e6))).standard_normal((e.n, 60))
    return Embeddings(np.hstack([e.features, more]), e.labels)


def test_the_choice_of_the_penalty_widens_the_interval():
    # the train error hangs on the penalty: resamples that choose anew spread more
    wide = narrow = 0.0
    for seed in range(6):
        train, test = with_noise(world(150, seed)), with_noise(world(150, 90 + seed))
        free = decompose(train, test, probe="ridge", duplicates=False)
        chosen = free.params["penalty"]
        fixed = decompose(train, test, probe="ridge", penalty=chosen, duplicates=False)
        assert free.usability.value == fixed.usability.value
        wide += free.usability.high - free.usability.low
        narrow += fixed.usability.high - fixed.usability.low
    assert wide > 1.1 * narrow


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probe": "ridge", "C": 1.0}, "unknown option of the ridge probe 'C'"),
        ({"tuning": "own"}, "unknown tuning 'own'"),
        ({"risk": "brier"}, "unknown risk 'brier'"),
        ({"shots": 5, "fraction": 0.1}, "one of them"),
        ({"shots": 21}, "expected at most 20 images per class .class 0."),
        ({"shots": 20}, "expected training rows to hold out"),
        ({"fraction": 1.0}, "below 1"),
        ({"shots": 5, "draws": 0}, "draws: expected a whole number of at least 1"),
        (
            {"shots": 5, "estimator": "published"},
            "estimator: expected crossfit with shots or fraction",
        ),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        decompose(world(120, 1), world(40, 2), **options)
