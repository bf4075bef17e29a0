"""Numbers of numpy are numbers, and what is told of them can be written as JSON."""

import json

import numpy as np
import pytest

from jessl.embeddings import Embeddings
from jessl.probes import few_shot, probe
from jessl.risk import decompose


def blobs(n, seed=0, **more):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return Embeddings(np.eye(3)[y] * 2 + rng.standard_normal((n, 3)), y, **more)


def test_fewer_groups_than_folds_are_told():
    train = blobs(48, groups=np.arange(48) // 12)
    pooled = decompose(train, blobs(30, 1), duplicates=False)
    assert pooled.params["folds"] == 4


@pytest.mark.parametrize("asked", [{"shots": np.int64(3)}, {"fraction": np.float32(0.5)}])
@pytest.mark.parametrize("verb", [probe, decompose])
def test_numbers_of_numpy_are_written_as_json(verb, asked):
    found = verb(blobs(48), blobs(30, 1), duplicates=False, **asked)
    json.dumps(found.as_json())


def test_numbers_of_numpy_are_written_as_json_more():
    for asked in ({"shots": [np.int64(3)]}, {"shots": (), "fractions": [np.float32(0.5)]}):
        [found] = few_shot(blobs(48), blobs(30, 1), draws=2, duplicates=False, **asked)
        json.dumps(found.as_json())
    json.dumps(decompose(blobs(48), blobs(30, 1), folds=np.int64(3), duplicates=False).as_json())


@pytest.mark.parametrize("decay", [np.float32(0.1), np.int64(1)])
def test_a_weight_decay_of_numpy_is_a_number(decay):
    asked = {"kind": "mlp", "hidden": "4", "epochs": np.int64(1), "lr": np.float32(0.01)}
    found = probe(blobs(48), blobs(30, 1), weight_decay=decay, duplicates=False, **asked)
    assert type(found.params["weight_decay"]) is float
    json.dumps(found.as_json())
