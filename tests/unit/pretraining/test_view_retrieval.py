"""View retrieval during training: one recipe for all runs, the untrained value first."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.run_samples import same_weights, small_config
from jessl import Run, pretrain
from jessl.data import Subset, open_source
from jessl.embeddings import Embeddings
from jessl.encoders import build_encoder
from jessl.extraction.open_encoder import build_untrained, open_encoder, open_untrained
from jessl.pretraining.evaluate_views import (
    evaluate_views,
    view_retrieval_record,
)
from jessl.records import Record
from jessl.schema import VIEW_RETRIEVAL
from jessl.scores import score
from jessl.selection import select
from jessl.views.presets import preset
from jessl.views.recipe_key import recipe_key


def curve(run: Run) -> dict[float, float]:
    return {
        r.epoch: r.value
        for r in run.records()
        if r.name == VIEW_RETRIEVAL and r.split != "pretrain"
    }


def test_the_curve_begins_with_the_untrained_net(tmp_path: Path) -> None:
    run = pretrain(
        small_config("digits", tmp_path / "run", epochs=2, evaluate_epochs=1, batch_size=64),
        quiet=True,
    )
    values = curve(run)
    assert sorted(values) == [0, 1, 2]
    assert all(0 <= v <= 1 for v in values.values())
    # the net of the seed, made again, has the value of epoch 0; the trained one that of the end
    from jessl.data.options import open_configured
    from jessl.pretraining.images import split_images

    config = run.resolved_config()
    _, sample = split_images(open_configured(config), config)
    untrained, _ = open_untrained(run)
    assert evaluate_views(untrained, sample, workers=1)[VIEW_RETRIEVAL] == values[0]
    trained, *_ = open_encoder(run)
    assert evaluate_views(trained, sample, workers=1)[VIEW_RETRIEVAL] == values[2]


def test_no_evaluation_is_no_record(tmp_path: Path) -> None:
    run = pretrain(
        small_config("digits", tmp_path / "run", epochs=1, evaluate_epochs=0, batch_size=256),
        quiet=True,
    )
    assert curve(run) == {}


def test_the_training_is_not_changed(tmp_path: Path) -> None:
    first, second = (
        pretrain(
            small_config(
                "digits", tmp_path / str(every), epochs=2, evaluate_epochs=every, batch_size=256
            ),
            quiet=True,
        )
        for every in (0, 1)
    )
    same_weights(first, second)


def test_a_run_that_started_from_weights_was_never_untrained(tmp_path: Path) -> None:
    first = pretrain(small_config("digits", tmp_path / "a", epochs=1, batch_size=256), quiet=True)
    second = pretrain(
        small_config("digits", tmp_path / "b", epochs=1, batch_size=256, init=str(first.path)),
        quiet=True,
    )
    with pytest.raises(ValueError, match="has no untrained encoder"):
        open_untrained(second)
    # its configuration alone would make one, of the seed
    build_untrained(second.resolved_config())


def test_few_images_and_diverged_nets() -> None:
    encoder = build_encoder("smallconv:4", size=8)
    source = open_source("digits")
    assert evaluate_views(encoder, Subset(source, np.arange(1)), workers=1) == {}
    two = evaluate_views(encoder, Subset(source, np.arange(2)), workers=1)
    assert 0 <= two[VIEW_RETRIEVAL] <= 1
    with torch.no_grad():
        next(encoder.parameters()).fill_(math.nan)
    assert math.isnan(evaluate_views(encoder, source, workers=1)[VIEW_RETRIEVAL])


def test_the_end_has_an_error_bar_and_keeps_the_views(tmp_path: Path) -> None:
    # other views than those of the comparison
    run = pretrain(
        small_config("digits", tmp_path / "run", epochs=1, batch_size=256, views="grayscale"),
        quiet=True,
    )
    record = next(r for r in run.records() if r.name == VIEW_RETRIEVAL and r.split == "pretrain")
    assert record.low < record.value < record.high
    assert record.extra["untrained"] == curve(run)[0]
    z = Embeddings.load(run.embeddings("views/backbone"))
    assert float(score(z, "view_retrieval")["view_retrieval"]) == record.value
    recipe = preset("simclr", 8).as_dict()["views"][0]
    kept = z.meta["views"]["views"]
    assert len(kept) == 4
    assert kept[0] == recipe
    assert record.extra["params"]["recipe"] == recipe_key(z.meta["views"])
    # the same criterion is what select reads, and what other scores of views are computed from
    assert select(run, by="view_retrieval/backbone").ranking[0].value == record.value
    assert (
        select(run, by="cross_view_reliability:first=3/backbone").ranking[0].n == record.extra["n"]
    )


def test_a_net_below_its_start_is_named() -> None:
    r = np.random.default_rng(0)
    ids = np.repeat(np.arange(300), 4)
    meta = {"views": preset("simclr", 8).as_dict()}
    here = Record(run="a", step=1, split="pretrain", name="x", value=0.0)
    noise = Embeddings(r.standard_normal((1200, 8)).astype(np.float32), None, ids, meta)
    record = view_retrieval_record(noise, 0.5, here)
    assert any("below the encoder before training (0.5)" in w for w in record.extra["warnings"])
    record = view_retrieval_record(noise, None, here)
    assert not any("below the encoder" in w for w in record.extra["warnings"])
