"""Training from packed shards: the same views, ids and losses as from the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.run_samples import losses, same_weights, small_config
from jessl import open_source, pack, pretrain


@pytest.fixture(scope="module")
def packed(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "shards"
    pack(stripes, out, shard_mb=0.05)
    assert len(list(out.glob("*.tar"))) > 2
    return out


def test_packing_losslessly_changes_no_loss_and_no_weight(
    stripes: Path, packed: Path, tmp_path: Path
) -> None:
    one = pretrain(small_config(stripes, tmp_path / "one", epochs=1), quiet=True)
    two = pretrain(small_config(packed, tmp_path / "two", epochs=1), quiet=True)
    assert losses(one) == losses(two)
    same_weights(one, two)


def test_windows_are_for_shards(stripes: Path, packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="window: expected None for all sources but tar shards"):
        pretrain(small_config(stripes, tmp_path / "a", window=32), quiet=True)
    whole = pretrain(small_config(packed, tmp_path / "b", epochs=1), quiet=True)
    windows = pretrain(small_config(packed, tmp_path / "c", epochs=1, window=32), quiet=True)
    assert len(losses(whole)) == len(losses(windows))
    assert losses(whole) != losses(windows)


def test_faster_decoding_is_refused_where_nothing_is_decoded(packed: Path, stripes: Path) -> None:
    assert open_source(packed, fast_decode=True).fast_decode
    with pytest.raises(ValueError, match="fast_decode"):
        open_source(stripes, fast_decode=True)
