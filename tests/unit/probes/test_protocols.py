"""Which rows a probe is tuned on, how few-shot intervals come about, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from jessl.cli.main import main
from jessl.embeddings import Embeddings
from jessl.probes import few_shot, probe, split
from jessl.probes.base import ProbeKind, evaluate
from jessl.probes.registry import KINDS
from jessl.probes.tuning import tune
from jessl.risk import decompose

CENTRES = np.random.default_rng(3).standard_normal((3, 6)) * 2


def blobs(n, seed=0, noise=1.0, **more):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return Embeddings(CENTRES[y] + noise * rng.standard_normal((n, 6)), y, **more)


class Says:
    """A probe that gives these votes, whatever the features are."""

    converged, probabilistic, counts_votes = True, False, False

    def __init__(self, votes):
        self.said, self.classes = np.array(votes, float), np.arange(len(votes[0]))

    def decision_function(self, x):
        return self.said[: len(x)]


def test_top5_holds_the_fifth_and_not_the_sixth():
    order = np.arange(8.0)[::-1]  # class 0 is likeliest, class 7 least likely
    y = np.arange(9)  # class 8 is unknown to the probe
    said = evaluate(Says(np.tile(order, (9, 1))), np.zeros((9, 1)), y)
    assert said.top5.tolist() == [True] * 5 + [False] * 4
    assert said.wrong.tolist() == [False] + [True] * 8
    # equal votes go to the smaller label
    equal = evaluate(Says(np.zeros((8, 8))), np.zeros((8, 1)), np.arange(8))
    assert equal.top5.tolist() == [True] * 5 + [False] * 3


class Watched:
    """A kind with two candidates whose features are the numbers of their rows; notes which rows
    it fitted and which it judged."""

    classes, converged, probabilistic, details = np.arange(2), True, False, {}
    counts_votes = False

    def __init__(self):
        self.fitted, self.judged = [], []
        path = [{"a": 1.0}, {"a": 2.0}]
        self.kind = ProbeKind(
            ("a",), lambda options: path, self.fit_path, "not at all", "part", {"a": 1.0}
        )

    def fit_path(self, request):
        for _ in request.candidates:
            self.fitted += [request.x[mask, 0].astype(int) for mask in request.masks]
            yield [self for _ in request.masks]

    def decision_function(self, x):
        self.judged.append(x[:, 0].astype(int))
        return np.tile([1.0, 0.0], (len(x), 1))


@pytest.mark.parametrize("groups", [None, np.arange(60) // 4])
def test_a_part_is_judged_by_the_fit_of_the_rest(groups):
    y = np.arange(60) // 4 % 2
    watched = Watched()
    tune(watched.kind, np.arange(60.0)[:, None], y, {}, tuning="part", units=groups)
    assert len(watched.fitted) == len(watched.judged) == 2
    for fitted, judged in zip(watched.fitted, watched.judged, strict=True):
        assert sorted([*fitted, *judged]) == list(range(60))
        assert 8 <= len(judged) <= 16
        if groups is not None:
            assert not np.isin(groups[fitted], groups[judged]).any()


def test_folds_are_judged_by_the_fit_of_the_others():
    groups, watched = np.arange(60) // 4, Watched()
    y = groups % 2
    tune(watched.kind, np.arange(60.0)[:, None], y, {}, tuning="folds", folds=5, units=groups)
    for fitted, judged in zip(watched.fitted, watched.judged, strict=True):
        assert sorted([*fitted, *judged]) == list(range(60))
        assert not np.isin(groups[fitted], groups[judged]).any()


def test_published_few_shots_are_tuned_on_whole_other_groups():
    groups = np.arange(120) // 6
    y = np.arange(120) % 3
    for name in ("groups", "ids"):
        train = Embeddings(blobs(120).features, y, **{name: groups})
        for seed in range(3):
            kept = split.sample_per_class(y, 2, seed)
            left = int((~np.isin(groups, groups[kept])).sum())
            assert 0 < left < 114
            found = probe(train, blobs(30, 1), shots=2, protocol="published", seed=seed)
            assert found.params["tuned_on"].startswith(f"{left} other training rows")


def copies(images, each, seed, d=20):
    """Near copies of images with labels of chance: rows that are held out alone look easy."""
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.standard_normal((images, d)), each, axis=0)
    y = np.repeat(rng.permutation(images) % 2, each)
    groups = np.repeat(np.arange(images), each)
    return Embeddings(x + 0.01 * rng.standard_normal(x.shape), y, groups=groups)


def test_a_part_of_whole_groups_does_not_see_their_copies():
    test = Embeddings(np.random.default_rng(1).standard_normal((20, 20)), np.arange(20) % 2)
    for tuning in ("part", "folds"):
        least = []
        for seed in range(6):
            train = copies(60, 8, seed)
            whole = probe(train, test, tuning=tuning, duplicates=False)
            torn = Embeddings(train.features, train.labels)
            torn = probe(torn, test, tuning=tuning, duplicates=False)
            least.append((min(torn.curve["error"]), min(whole.curve["error"])))
        assert np.mean(least, axis=0)[0] < 0.25
        assert np.mean(least, axis=0)[1] > 0.33
    few = probe(train, test, shots=100, duplicates=False)
    assert few.params["tuned_on"].endswith("(groups whole)")


@pytest.mark.parametrize("each", [1, 10])
def test_the_few_shot_interval_holds_draws_and_test_rows(each):
    # the same hard rows in every draw: the test rows spread more than the draws do
    train = blobs(300, 1, 1.5)
    images = blobs(60, 2, 2.5)
    y, groups = np.repeat(images.labels, each), np.repeat(np.arange(60), each)
    test = Embeddings(np.repeat(images.features, each, axis=0), y, groups=groups)
    found = few_shot(train, test, shots=(40,), draws=4, C=0.01, duplicates=False)[0]
    wrong = np.mean([~probe(train, test, shots=40, seed=1000 * k, C=0.01).correct
                     for k in range(4)], axis=0)  # fmt: skip
    apart = wrong.reshape(60, each).mean(axis=1)  # equal groups: as many rows as images
    spread = np.sqrt(found.sd**2 / 4 + apart.var() / 60)
    assert found.sd**2 / 4 < 0.2 * apart.var() / 60
    half = (found.error.high - found.error.low) / 2
    assert half == pytest.approx(student.ppf(0.975, 3) * spread, rel=0.06)


def test_rows_of_one_image_or_group_are_one_unit():
    def same(ids, groups):
        units = split.inseparable_units(np.array(ids), None if groups is None else np.array(groups))
        return None if units is None else (units[:, None] == units).astype(int).tolist()

    # each image has two rows, of which one bears the group
    together = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert same([1, 1, 2, 2], [7, -1, 8, -1]) == together
    assert same([1, 1, 2, 2], [-1, 7, -1, 8]) == together
    assert same([1, 1, 2, 2], [-1, 7, 7, -1]) == [[1] * 4] * 4
    assert same([1, 1, 2, 3], [7, -1, 7, -1]) == [[1, 1, 1, 0]] * 3 + [[0, 0, 0, 1]]
    # an image of two groups joins them
    assert same([1, 1, 2, 3], [7, 8, 7, 8]) == [[1] * 4] * 4
    assert same([1, 2, 3], [-1, -1, -1]) is None
    assert same([1, 2, 3], None) is None
    ends = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    assert same([1, 2, 1], None) == same([1, 2, 1], [-1, -1, -1]) == ends


def test_a_part_has_whole_units_and_about_the_size():
    units = np.repeat(np.arange(40), 7)
    for seed in range(5):
        part = split.sample_units(30, seed, units)
        assert abs(len(part) - 30) <= 3
        assert (np.bincount(units[part])[np.unique(units[part])] == 7).all()
    uneven = np.repeat(np.arange(11), [50] + [5] * 10)
    largest = [0 in uneven[split.sample_units(20, seed, uneven)] for seed in range(40)]
    assert 0 < sum(largest) < 20
    assert len({tuple(split.sample_units(20, seed, uneven)) for seed in range(10)}) > 5
    assert len(split.sample_units(999, 0, units)) == 39 * 7  # never all
    assert len(split.sample_units(1, 0, units)) == 7  # never none


def test_the_number_of_a_fold_does_not_tell_its_size():
    units = np.repeat(np.arange(11), [50] + [5] * 10)
    y = np.arange(100) % 2
    places = [split.assign_folds(y, 4, seed, units)[0] for seed in range(40)]
    assert set(places) == {0, 1, 2, 3}
    assert max(np.bincount(places)) < 25


def test_the_interval_of_the_balanced_accuracy():
    # 45 and 15 rows under the wrong names
    y = np.repeat([0, 1], [45, 15])
    train = Embeddings(np.where(y, 5.0, -5.0)[:, None] + np.zeros((60, 2)), y)
    swapped = Embeddings(train.features, 1 - y)
    none = probe(train, swapped, kind="ridge", penalty=0.1)
    assert (none.balanced_accuracy, none.intervals["balanced_accuracy"]) == (0.0, (0.0, 0.0))
    # 39 of 41 and 13 of 19 are right
    told = y.copy()
    told[:6], told[45:47] = 1, 0
    test = Embeddings(train.features, told)
    found = probe(train, test, kind="ridge", penalty=0.1)
    rights = np.array([39 / 41, 13 / 19])
    assert found.balanced_accuracy == pytest.approx(rights.mean())
    low, high = found.intervals["balanced_accuracy"]
    half = 1.96 * np.sqrt((rights * (1 - rights) / [41, 19]).sum()) / 2
    assert low < rights.mean() < high
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    # twelve groups of five rows that are right or wrong together
    grouped = Embeddings(test.features, told, groups=np.arange(60) // 5)
    wide = probe(train, grouped, kind="ridge", penalty=0.1).intervals["balanced_accuracy"]
    assert wide[1] - wide[0] > 1.3 * (high - low)
    # many resamples lack a class of one row: that is no error
    rare = Embeddings(
        np.repeat(np.eye(3), [30, 29, 1], axis=0), np.repeat(np.arange(3), [30, 29, 1])
    )
    for groups in (None, np.arange(60)):
        test = Embeddings(rare.features, rare.labels, groups=groups)
        known = Embeddings(np.eye(3).repeat(5, axis=0), np.arange(3).repeat(5))
        all_right = probe(known, test, kind="ridge", penalty=0.1, duplicates=False)
        assert all_right.balanced_accuracy == 1.0
        assert all_right.intervals["balanced_accuracy"] == (1.0, 1.0)


def test_fewer_groups_than_folds():
    train = blobs(48, groups=np.arange(48) // 12)
    test = blobs(30, 1)
    found = probe(train, test)
    assert found.params["tuned_on"] == "4-fold cross-validation of train (groups whole)"
    assert found.params["train_groups"] == 4
    pooled = decompose(train, test, duplicates=False)
    assert pooled.params["tuned_on"] == found.params["tuned_on"]
    three = blobs(48, groups=np.arange(48) // 16)
    assert probe(three, test, tuning="part").params["tuned_on"].startswith("a stratified fifth")
    one = blobs(48, groups=np.zeros(48, int))
    for verb in (probe, decompose):
        for options in ({}, {"tuning": "part"} if verb is probe else {"estimator": "published"}):
            with pytest.raises(ValueError, match=r"^train: expected at least two groups, got one"):
                verb(one, test, **options)
    with pytest.raises(ValueError, match=r"^folds: expected 2 \.\. 4 \(groups of training rows\)"):
        probe(train, test, folds=5)


def test_groups_that_are_all_unknown_are_none():
    test = blobs(30, 1)
    unknown = probe(blobs(48, groups=np.full(48, -1)), test)
    assert unknown.params["train_groups"] is None
    assert unknown.curve == probe(blobs(48), test).curve
    either = probe(blobs(48), blobs(30, 1, groups=np.full(30, -1)))
    assert either.params["interval"] == "Wilson, over test rows"


def counted(monkeypatch, name):
    calls = []

    def fit_path(request):
        calls.append((len(request.masks), len(request.candidates)))
        return FIT_PATHS[name](request)

    monkeypatch.setitem(KINDS, name, replace(KINDS[name], fit_path=fit_path))
    return calls


FIT_PATHS = {name: kind.fit_path for name, kind in KINDS.items()}
ONE = {"logistic": {"C": 1.0}, "ridge": {"penalty": 0.1}}
ONE |= {"mlp": {"weight_decay": 1.0, "hidden": "8", "epochs": 2}, "knn": {}}


@pytest.mark.parametrize("name", KINDS)
def test_where_nothing_is_to_choose_there_is_one_fit(monkeypatch, name):
    calls = counted(monkeypatch, name)
    found = probe(blobs(48), blobs(30, 1), kind=name, duplicates=False, **ONE[name])
    assert calls == [(1, 1)]
    assert (found.curve, found.params["tuned_on"]) == (None, None)
    for asked in ({"folds": 3}, {"tuning": "folds"}, {"tuning": "part"}):
        words = f"^{next(iter(asked))}: expected no value, as there is nothing to choose"
        with pytest.raises(ValueError, match=words):
            probe(blobs(48), blobs(30, 1), kind=name, **ONE[name], **asked)
    few_shot(blobs(48), blobs(30, 1), kind=name, shots=(3,), draws=2, **ONE[name])
    assert calls == [(1, 1)] * 3


@pytest.mark.parametrize("verb", [probe, decompose])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("folds", [1, 0, -1, 2.5, "3", 1000, True]),
        ("seed", [-1, 1.5, None, True]),
        ("shots", [2.5, "3", True]),
        ("device", ["tpu", "cuda", "", None]),
        ("kind", [None]),
    ],
)
def test_what_is_no_number_device_or_kind_is_named(verb, name, values):
    if verb is decompose and name == "kind":
        name = "probe"
    for value in values:
        if value == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ValueError, match=f"^{name}\\b") as told:
            verb(blobs(48), blobs(30, 1), **{name: value})
        assert "\n" not in str(told.value)
        if name not in ("shots", "probe"):
            with pytest.raises(ValueError, match=f"^{name}\\b"):
                few_shot(blobs(48), blobs(30, 1), shots=(3,), **{name: value})


def test_numbers_of_numpy_are_numbers():
    train, test = blobs(48), blobs(30, 1)
    one, two = np.int64(1), np.int64(2)
    found = probe(train, test, C=np.float32(1), seed=two, duplicates=False)
    assert found.params["C"] == 1.0
    json.dumps(found.as_json())
    near = {"k": np.int32(3), "temperature": np.float32(0.5)}
    assert probe(train, test, kind="knn", **near).params["k"] == 3
    few = few_shot(train, test, shots=(3,), draws=two, seed=one, duplicates=False)[0]
    assert len(few.errors) == 2
    assert probe(train, test, folds=np.int64(3), shots=two).params["train_rows"] == 6
    split_up = decompose(train, test, shots=3, draws=two, seed=one, duplicates=False)
    assert split_up.params["draws"] == 2
    json.dumps(split_up.as_json())


def test_few_shots_tell_what_their_draws_have(monkeypatch):
    train, test = blobs(90), blobs(30, 1)
    y = np.r_[test.labels, [7] * 5, train.labels[:4]]
    more = Embeddings(np.r_[test.features, test.features[:5] + 50, train.features[:4]], y)
    asked = {"shots": (4,), "draws": 2, "C": 1.0}
    params = few_shot(train, more, **asked)[0].params
    assert params["converged"] is True
    assert params["unseen_test_rows"] == 5
    assert params["near_duplicates"]["identical"] == 4
    assert few_shot(train, test, **asked)[0].params["unseen_test_rows"] == 0
    assert few_shot(train, test, duplicates=False, **asked)[0].params["near_duplicates"] is None
    # a single draw that does not converge is told
    fits, calls = KINDS["logistic"].fit_path, []

    def second_fails(*given):
        calls.append(given)
        for found in fits(*given):
            yield [replace(one, converged=len(calls) != 2) for one in found]

    monkeypatch.setitem(KINDS, "logistic", replace(KINDS["logistic"], fit_path=second_fails))
    assert few_shot(train, test, duplicates=False, **asked)[0].params["converged"] is False


@pytest.mark.parametrize(("verb", "name"), [("probe", "shots"), ("decompose", "seed")])
def test_commands_refuse_options_that_are_no_options_of_the_probe(capsys, verb, name):
    assert main([verb, "--train", "a", "--test", "b", "--options", name, "3"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert f"unknown option of the logistic probe '{name}'" in said.err
