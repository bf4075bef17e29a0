"""What is kept of an encoder goes with its weights, its preprocessing and the seed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jessl import Embeddings
from jessl.comparison.compare import compare_encoders
from jessl.comparison.labels import LabelledResults, differences_to_best
from jessl.comparison.table import EncoderTable
from jessl.core.log import Log
from jessl.core.random import seeded
from jessl.encoders import build_encoder
from jessl.probes.probe import probe


def _weights(path: Path, seed: int) -> None:
    with seeded(seed):
        torch.save(build_encoder("smallconv:4", size=8).body.state_dict(), path)


class Kept(SimpleNamespace):
    """One encoder from a file, judged again and again in one folder."""

    def compare(self, images: np.ndarray, **asked: int) -> EncoderTable:
        self.told: list[str] = []
        return compare_encoders(
            [f"ckpt:{self.folder / 'w.pt'}@smallconv:4"],
            images,
            out=self.folder / "out",
            view_images=0,
            workers=1,
            log=Log(self.told.append),
            **asked,
        )

    def again(self) -> int:
        """How often the last call embedded anew."""
        return sum("embedded again" in line for line in self.told)

    def features(self, table: EncoderTable) -> np.ndarray:
        return Embeddings.load(table.path / table.rows[0].slug / "embeddings").features


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    _weights(tmp_path / "w.pt", 1)
    return Kept(folder=tmp_path)


def test_other_weights_in_the_same_file_are_embedded_again(kept: Kept, images: np.ndarray) -> None:
    first = kept.features(kept.compare(images, size=8))
    np.testing.assert_array_equal(kept.features(kept.compare(images, size=8)), first)
    assert kept.again() == 0
    _weights(kept.folder / "w.pt", 2)
    second = kept.features(kept.compare(images, size=8))
    assert kept.again() == 1
    assert not np.allclose(first, second)


def test_another_size_is_embedded_again(kept: Kept, images: np.ndarray) -> None:
    first = kept.features(kept.compare(images, size=8))
    second = kept.features(kept.compare(images, size=16))
    assert kept.again() == 1
    assert not np.allclose(first, second)


def test_scores_are_kept_with_their_seed(kept: Kept, images: np.ndarray) -> None:
    tables = [kept.compare(images, size=8, seed=seed) for seed in (0, 1)]
    assert kept.again() == 0
    a, b = (table.rows[0].scores["rankme"] for table in tables)
    assert a["value"] == pytest.approx(b["value"])
    assert a["sd"] != b["sd"]  # other blocks of the jackknife


def test_encoders_that_were_tested_on_other_rows_are_not_compared() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    z = Embeddings(rng.standard_normal((60, 3)) + 3 * y[:, None], y)
    noise = Embeddings(rng.standard_normal((60, 3)), y)

    def labelled(z: Embeddings, rows: np.ndarray) -> LabelledResults:
        train, test = z.subset(np.arange(30)), z.subset(rows)
        return LabelledResults(probe(train, test, kind="ridge"), (), None, train.n, test.n)

    same, other = np.arange(30, 60), np.arange(30, 60)[::-1]
    found = {"a": labelled(z, same), "b": labelled(noise, same), "c": labelled(noise, other)}
    best, apart = differences_to_best(found, 0)
    assert best == "a"
    assert set(apart) == {"a", "b"}
    assert apart["b"]["value"] == pytest.approx(found["b"].probe.error - found["a"].probe.error)
    # as many rows and the same errors do not make them the same rows
    moved = dataclasses.replace(found["b"].probe, ids=found["b"].probe.ids + 1)
    assert set(
        differences_to_best(
            {"a": found["a"], "b": dataclasses.replace(found["b"], probe=moved)}, 0
        )[1]
    ) == {"a"}
