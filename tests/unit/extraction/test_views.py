"""Embeddings of random views: what LiDAR and alignment judge."""

from pathlib import Path

import numpy as np
import pytest

import jessl
from jessl import Run
from jessl.cli.main import main
from jessl.encoders import build_encoder
from jessl.extraction.embed import repeat_views
from jessl.views.presets import preset


def test_each_view_is_a_row_with_the_image_s_id(finished: Run, stripes: Path) -> None:
    z = jessl.embed(finished, str(stripes), views="simclr", n_views=3, layers=("projector",))
    central = jessl.embed(finished, str(stripes), layers=("projector",))
    assert z.n == 3 * central.n
    ids, counts = np.unique(z.ids, return_counts=True)
    assert set(counts) == {3}
    np.testing.assert_array_equal(ids, np.sort(central.ids))
    labels = dict(zip(central.ids, central.labels, strict=True))
    assert all(labels[i] == y for i, y in zip(z.ids, z.labels, strict=True))
    assert len(np.unique(z.features, axis=0)) == z.n  # no view twice
    assert z.meta["views_seed"] == 0
    assert len(z.meta["views"]["views"]) == 3
    # views are a function of seed and image, whatever the batch
    again = jessl.embed(
        finished, str(stripes), views="simclr", n_views=3, layers=("projector",), batch_size=7
    )
    order, other = (np.lexsort((e.features[:, 0], e.ids)) for e in (z, again))
    np.testing.assert_allclose(z.features[order], again.features[other], atol=1e-5)
    reseeded = jessl.embed(
        finished, str(stripes), views="simclr", n_views=3, layers=("projector",), seed=1
    )
    assert not np.isin(reseeded.features, z.features).all()
    found = jessl.score(z, ("lidar", "alignment", "rankme"))
    assert (found["lidar"].n, found["lidar"].params["views"]) == (96, 3)
    assert found["rankme"].n == 288
    assert found["alignment"].value > 0
    assert found["lidar"].sd > 0


def test_local_crops_are_left_out_and_unlike_views_take_turns() -> None:
    p = build_encoder("smallconv:4", size=16).preprocess
    multi = repeat_views("multicrop", 4, p)
    assert {v.size for v in multi.recipes} == {16}
    byol = repeat_views("byol", 5, p)
    first, second = preset("byol", 16).recipes
    assert byol.recipes[0].blur == byol.recipes[2].blur == first.blur
    assert byol.recipes[1].blur == byol.recipes[3].blur == second.blur
    assert (byol.mean, byol.std) == (p.mean, p.std)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"n_views": 3}, "give views as well"),
        ({"views": "simclr", "n_views": 1}, "in 2..256, got 1"),
        ({"views": "simclrr"}, "did you mean 'simclr'"),
    ],
)
def test_what_is_refused(stripes: Path, options: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        jessl.embed("smallconv:4", str(stripes), init="random", **options)


def test_the_story_by_commands(stripes: Path, tmp_path: Path, capsys) -> None:
    for seed, recipe in ((0, "simclr"), (1, "coarse")):
        args = ["embed", "smallconv:8", "--data", str(stripes), "--init", "random"]
        args += ["--out", str(tmp_path / f"e{seed}"), "--seed", str(seed)]
        assert main([*args, "--views", recipe, "--n-views", "4"]) == 0
    assert "384 views of images" in capsys.readouterr().out
    both = [str(tmp_path / f"e{seed}") for seed in (0, 1)]
    assert main(["score", *both, "--scores", "lidar,alignment,rankme", "--converge"]) == 0
    out, err = capsys.readouterr()
    assert "not ranked (--force ranks them): they are not of the same recipe of views" in err
    assert "with fewer rows" in out
    assert main(["score", *both, "--scores", "all", "--force", "--jackknife", "0"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[2].split()[:3] == ["score", "#", "embeddings"]
    assert "lidar" in out
    assert "ranked anyway" in err
    assert main(["score", both[0], "--scores", "lidarr"]) == 2
    assert "did you mean 'lidar'" in capsys.readouterr().err


def test_help_names_every_score(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    told = capsys.readouterr().out
    from jessl.scores import SCORES

    assert all(name in told for name in SCORES)
