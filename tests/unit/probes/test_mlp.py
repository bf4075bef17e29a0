"""The perceptron probe: what only it can read, its shape, its options, repeatability."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from jessl.objectives._heads import build_head
from jessl.probes.base import FitRequest
from jessl.probes.kinds import logistic, mlp

Rows = tuple[np.ndarray, np.ndarray]


def parity(n: int, seed: int) -> Rows:
    """Labels that no plane separates: whether two of four features have the same sign."""
    x = np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)
    return x * [1, 1, 0.1, 100] + 7, ((x[:, 0] > 0) == (x[:, 1] > 0)).astype(np.int64)


def blobs(n: int, classes: int, d: int = 16, seed: int = 0) -> Rows:
    y = np.arange(n) % classes
    centres = np.random.default_rng(99).standard_normal((classes, d)) * 3
    noise = 0.3 * np.random.default_rng(seed).standard_normal((n, d))
    return (centres[y] + noise).astype(np.float32), y


def fitted(x: np.ndarray, y: np.ndarray, seed: int = 0, **given: object) -> mlp.PerceptronProbe:
    path = mlp.candidates({"hidden": "64", "weight_decay": 0.1, **given})
    (one,) = next(mlp.fit_path(FitRequest(x, y, [np.ones(len(y), bool)], path, seed)))
    assert isinstance(one, mlp.PerceptronProbe)
    return one


def error(probe: object, x: np.ndarray, y: np.ndarray) -> float:
    return float((probe.classes[probe.decision_function(x).argmax(axis=1)] != y).mean())


def test_it_reads_what_no_plane_separates() -> None:
    train, test = parity(1000, 0), parity(1000, 1)
    everyone = [np.ones(1000, bool)]
    (plane,) = next(logistic.fit_path(FitRequest(*train, everyone, [{"C": 1.0}])))
    assert error(plane, *test) > 0.4
    # narrow layers of few rows learn little in 300 steps of 1e-3
    assert error(fitted(*train, lr=0.01), *test) < 0.1
    assert error(fitted(*train, lr=0.01, hidden="32-32"), *test) < 0.1
    assert error(fitted(*train, hidden="1024"), *test) < 0.1


def test_votes_are_logits_of_probabilities() -> None:
    # one feature, equal Gaussians at -1 and 1: the log-odds are 2 x
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 4000)
    x = (rng.standard_normal(4000) + 2 * y - 1)[:, None].astype(np.float32)
    votes = fitted(x, y, weight_decay=10.0).decision_function(
        np.array([[-1.0], [0.0], [1.0]], np.float32)
    )
    np.testing.assert_allclose(votes[:, 1] - votes[:, 0], [-2, 0, 2], atol=0.5)
    assert mlp.PerceptronProbe.probabilistic


@pytest.mark.parametrize("hidden", ["24", "24-8", "2048-2048"])
def test_its_shape_is_that_of_an_objectives_head(hidden: str) -> None:
    x, y = blobs(40, 5)
    probe = fitted(x, y, hidden=hidden, epochs=1)
    other = build_head(f"{hidden}-5", 16, "", last_bias=True)
    shapes = [tuple(weight.shape) for weight, _ in probe.layers]
    assert shapes == [tuple(m.weight.shape) for m in other if isinstance(m, torch.nn.Linear)]


def test_folding_is_the_head_in_evaluation_mode() -> None:
    x, _ = blobs(64, 4)
    z = torch.from_numpy(x)
    rows = mlp._DeviceRows(x, torch.device("cpu"))
    net = mlp._Network([16, 24, 8, 4], np.random.default_rng(0), torch.device("cpu"))
    with torch.no_grad():
        for k, parameter in enumerate([*net.gains, *net.biases]):
            parameter += 0.1 * torch.randn(len(parameter), generator=torch.manual_seed(k))
    other = build_head("24-8-4", 16, "", last_bias=True)
    linear = [m for m in other if isinstance(m, torch.nn.Linear)]
    norms = [m for m in other if isinstance(m, torch.nn.BatchNorm1d)]
    z = rows.take(np.arange(64))
    with torch.no_grad():
        for module, weight in zip(linear, net.weights, strict=True):
            module.weight.copy_(weight)
        linear[-1].bias.copy_(net.biases[-1])
        for module, gain, bias in zip(norms, net.gains, net.biases[:-1], strict=True):
            module.weight.copy_(gain)
            module.bias.copy_(bias)
        expected = other.train()(z)
        torch.testing.assert_close(net(z), expected, rtol=1e-4, atol=1e-4)
        found = mlp._forward(net.folded(rows, np.arange(64)), z)
    # the statistics of all rows are those of this batch
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_same_seed_gives_the_same_votes() -> None:
    x, y = blobs(300, 7)
    torch.manual_seed(1)
    one = fitted(x, y, seed=3, epochs=3).decision_function(x)
    torch.manual_seed(2)
    np.testing.assert_array_equal(one, fitted(x, y, seed=3, epochs=3).decision_function(x))
    assert not np.array_equal(one, fitted(x, y, seed=4, epochs=3).decision_function(x))


@pytest.mark.parametrize(("n", "classes"), [(2, 2), (10, 10), (10, 2), (1200, 300)])
def test_few_rows_and_many_classes_and_labels_with_gaps(n: int, classes: int) -> None:
    x, y = blobs(n, classes)
    probe = fitted(x, y * 11 + 5, lr=1e-3 if n < 100 else 1e-2)
    assert probe.classes.tolist() == [k * 11 + 5 for k in range(classes)]
    assert probe.decision_function(x).shape == (n, classes)
    # of two rows the spread of a feature is chance, and so is what is divided by it
    test, labels = blobs(classes, classes, seed=1) if n > 2 else (x, y)
    assert error(probe, test, labels * 11 + 5) < 0.1


def test_a_mask_without_a_choice_still_gives_votes() -> None:
    x, y = blobs(4, 2)
    for mask in ([True, False, True, False], [True, False, False, False]):
        (probe,) = next(
            mlp.fit_path(FitRequest(x, y, [np.array(mask)], mlp.candidates({"epochs": 2})[:1]))
        )
        assert probe.decision_function(x).shape == (4, 1)
        assert np.isfinite(probe.decision_function(x)).all()


def test_each_mask_is_fitted_on_its_rows_alone() -> None:
    x, y = blobs(90, 3)
    changed = y.copy()
    mask = np.arange(90) % 3 != 0
    changed[~mask] = 1
    path = mlp.candidates({"hidden": "16", "epochs": 3})
    masks = [~mask, mask]
    for before, after in zip(
        mlp.fit_path(FitRequest(x, y, masks, path)),
        mlp.fit_path(FitRequest(x, changed, masks, path)),
        strict=True,
    ):
        np.testing.assert_array_equal(before[1].decision_function(x), after[1].decision_function(x))
        assert before[0].classes.tolist() == [0]
    assert len(path) == 3
    assert sorted((one["weight_decay"] for one in path), reverse=True) == [10.0, 1.0, 0.1]


def test_weight_decay_makes_probabilities_less_certain() -> None:
    x, y = blobs(300, 3)
    weak, strong = (
        np.ptp(fitted(x, y, weight_decay=decay).decision_function(x), axis=1).mean()
        for decay in (0, 100)
    )
    assert strong < 0.5 * weak


def test_chunks_and_features_that_are_not_held_change_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    x, y = blobs(600, 3)
    whole = fitted(x, y, epochs=2).decision_function(x)
    stored = np.memmap(f"{tmp_path}/x", np.float32, "w+", shape=x.shape)
    stored[:] = x
    stored.flags.writeable = False
    monkeypatch.setattr(mlp, "HELD_BYTES", 0)
    monkeypatch.setattr(mlp, "_ENTRIES", 64 * 7)
    np.testing.assert_allclose(
        fitted(stored, y, epochs=2).decision_function(stored), whole, atol=1e-4
    )


def test_constant_features_tell_nothing() -> None:
    x, y = np.full((30, 4), 0.1, np.float32), np.arange(30) % 3
    votes = fitted(x, y).decision_function(x)
    assert np.ptp(votes, axis=0).max() == 0
    np.testing.assert_allclose(votes - votes[:, :1], 0, atol=0.05)


def test_the_number_of_passes() -> None:
    assert [mlp.epochs_for(n) for n in (10, 1000, 8000, 50_000, 1_281_167)] == [
        100,
        100,
        65,
        10,
        10,
    ]
    assert fitted(*blobs(10, 2)).epochs == 100
    assert fitted(*blobs(10, 2), epochs=7).epochs == 7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden": "linear"}, "hidden: expected widths .* got 'linear'; .* kind='logistic'"),
        ({"hidden": "512-"}, "hidden: expected widths .* got '512-'$"),
        ({"hidden": "64-0"}, "hidden: expected"),
        ({"hidden": ""}, "hidden: expected"),
        ({"lr": 0}, "lr: expected a finite number above 0, got 0"),
        ({"lr": float("nan")}, "lr: expected"),
        ({"weight_decay": -1}, "weight_decay: expected a finite number of at least 0, got -1"),
        ({"weight_decay": True}, "weight_decay: expected"),
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"epochs": 2.5}, "epochs: expected a whole number"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mlp.candidates(given)


def test_options_are_complete() -> None:
    first = mlp.candidates({"hidden": 512})[0]
    assert first == {"weight_decay": 10.0, "hidden": "512", "lr": 1e-3, "epochs": None}
    assert mlp.candidates({})[0]["hidden"] == "2048-2048"
    assert [one["weight_decay"] for one in mlp.candidates({"weight_decay": 0})] == [0.0]


def test_a_loss_that_is_no_number_is_told() -> None:
    with pytest.raises(ValueError, match=r"lr: the loss .* in epoch \d+ of 5 with lr 1e\+30"):
        fitted(*blobs(30, 3), lr=1e30, epochs=5)


def test_torch_is_imported_by_a_fit_alone() -> None:
    code = "import sys, jessl.probes.kinds.mlp; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
