"""Recipes of views by name and by file, and what pretrain makes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import run_command
from helpers.paths import ROOT
from helpers.run_samples import losses, small_config
from jessl import Pretrain, Run, pretrain
from jessl.core.interruption import Stopped
from jessl.views import View, Views, presets

TOML = """
n_global = 2
[[views]]
size = 16
blur = 1.0
[[views]]
size = 16
blur_sigma_px = [0.5, 1.0]
flip = 0
[[views]]
size = 8
max_scale = 0.2
"""


@pytest.mark.parametrize("name", presets.__all__)
@pytest.mark.parametrize("size", [8, 32, 96, 224])
def test_every_preset_paints_at_every_size(name: str, size: int) -> None:
    views = presets.preset(name, size)
    assert max(view.size for view in views.recipes) == size
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    params = views.sample(np.arange(2), 0, 0, np.full(2, 20), np.full(2, 30))
    actual = views.apply(images, params)
    assert [tuple(x.shape) for x in actual] == [(2, 3, v.size, v.size) for v in views.recipes]
    assert Views.from_dict(json.loads(json.dumps(views.as_dict()))) == views


def test_small_images_have_simclrs_settings_for_small_images() -> None:
    assert presets.simclr(32).recipes[0].blur == 0
    assert presets.simclr(224).recipes[0].blur == 0.5
    assert presets.simclr(32).recipes[0].brightness == 0.4


def test_byol_and_vicreg_are_as_published() -> None:
    first, second = presets.byol(224).recipes
    assert (first.blur, first.solarize, second.blur, second.solarize) == (1.0, 0.0, 0.1, 0.2)
    assert presets.vicreg(224) == presets.byol(224)
    first, second = presets.vicreg(224, symmetric=True).recipes
    assert first == second
    assert (first.blur, first.solarize, first.hue, first.kernel_px) == (0.5, 0.1, 0.1, 23)


def test_swav_and_dino_are_as_published() -> None:
    views = presets.swav(224)
    assert [v.size for v in views.recipes] == [224] * 2 + [96] * 6
    assert views.n_global == 2
    assert [(v.min_scale, v.max_scale) for v in views.recipes[1:3]] == [(0.14, 1), (0.05, 0.14)]
    assert {(v.brightness, v.hue, v.blur, v.gray) for v in views.recipes} == {(0.8, 0.2, 0.5, 0.2)}
    views = presets.dino(224)
    assert [v.size for v in views.recipes] == [224] * 2 + [96] * 8
    assert [v.blur for v in views.recipes] == [1.0, 0.1] + [0.5] * 8
    assert [v.solarize for v in views.recipes] == [0.0, 0.2] + [0.0] * 8
    assert [(v.min_scale, v.max_scale) for v in views.recipes[1:3]] == [(0.4, 1), (0.05, 0.4)]


@pytest.mark.parametrize(("size", "local"), [(8, 8), (32, 16), (96, 40), (160, 72), (224, 96)])
def test_local_crops_shrink_with_the_global_ones(size: int, local: int) -> None:
    views = presets.multicrop(size)
    assert [v.size for v in views.recipes] == [size] * 2 + [local] * 6
    assert [v.size for v in presets.multicrop(size, 24.0, 1.0).recipes] == [size] * 2 + [24]  # type: ignore[arg-type]
    assert len(presets.multicrop(size, num_local=0, num_global=3)) == 3


def test_noise_alone_leaves_the_whole_image_but_for_noise() -> None:
    views = presets.gaussian_noise(20, sigma=0.2)
    images = np.full((400, 20, 20, 3), 128, np.uint8)
    sizes = np.full(400, 20)
    one, two = views.normalised((0.0,) * 3, (1.0,) * 3).apply(
        images, views.sample(np.arange(400), 0, 0, sizes, sizes)
    )
    for x in (one, two):
        assert abs(x.mean() - 128 / 255) < 1e-3
        assert abs(x.std() - 0.2) < 4e-3  # a hundredth of the values is clamped
    assert abs(np.corrcoef(one.flatten(), two.flatten())[0, 1]) < 0.01


@pytest.mark.parametrize(
    ("size", "strength", "wanted"),
    [
        (64, 1, (0.2, 0.4, 0.1, 0.1, 0.0)),
        (64, 2, (0.1, 0.8, 0.2, 0.2, 0.5)),
        (64, 0.25, (0.8, 0.1, 0.025, 0.025, 0.0)),
        (32, 1, (0.2, 0.2, 0.05, 0.1, 0.0)),
        (224, 1, (0.08, 0.8, 0.2, 0.2, 0.5)),
        (224, 0.05, (1.0, 0.04, 0.01, 0.01, 0.5)),
    ],
)
def test_one_number_makes_views_coarse(size: int, strength: float, wanted: tuple) -> None:
    view = presets.coarse(size, strength=strength).recipes[0]
    result = (view.min_scale, view.brightness, view.hue, view.gray, view.blur)
    assert result == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("simclrr", {}, "did you mean 'simclr'"),
        ("simclrr", {}, "or the path of a .toml or .json file"),
        ("simclr", {"flipp": 1}, "did you mean 'flip'"),
        ("simclr", {"flip": 2}, "flip: expected a probability in [0, 1], got 2"),
        ("simclr", {"min_scale": 0}, "0 < min_scale"),
        ("simclr", {"strength": -1}, "strength: expected at least 0"),
        ("simclr", {"size": 3}, "unknown option of views simclr 'size'"),
        ("vicreg", {"symmetric": 2}, "symmetric: expected 0 or 1, got 2"),
        (
            "multicrop",
            {"num_local": 1.5},
            "expected a whole number of at least 0, got 1.5",
        ),
        (
            "multicrop",
            {"num_global": 0},
            "expected a whole number of at least 1, got 0",
        ),
        ("dino", {"local_size": 0}, "local_size: expected a whole number of at least 1, got 0"),
        ("gaussian_noise", {"sigma": 0}, "sigma: expected a number above 0, got 0"),
        ("coarse", {"strength": 0}, "strength: expected a number above 0, got 0"),
        ("no.toml", {}, "no file no.toml"),
        ("no.json", {}, "no file no.json"),
        ("no.toml", {"flip": 0}, "views no.toml: expected no options for a file, got ['flip']"),
    ],
)
def test_mistakes_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        presets.preset(name, 32, options)


def test_a_file_holds_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    views = presets.preset(str(path), None)
    assert views == Views(
        (
            View(size=16, blur=1.0),
            View(size=16, blur_sigma_px=(0.5, 1.0), flip=0),
            View(size=8, max_scale=0.2),
        ),
        n_global=2,
    )
    assert [v.size for v in presets.preset(str(path), 64).recipes] == [64, 64, 32]
    saved = tmp_path / "deep" / "mine.json"
    presets.save(views, saved)
    assert presets.preset(str(saved), None) == views
    with pytest.raises(ValueError, match=r"path: expected a name ending in \.json"):
        presets.save(views, path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "views = [", "is not TOML"),
        ("a.toml", "views = " + "[" * 5_000, "nested too deep"),
        ("a.toml", "\xff\xfe", "is not TOML"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[]", "expected a table with views, got list"),
        ("a.toml", "size = 3", "unknown entry of views 'size'"),
        ("a.toml", "view = 3", "did you mean 'views'"),
        ("a.toml", "[[views]]\nblurr = 1", "did you mean 'blur'"),
        ("a.toml", "[[views]]\nblur = 1", "size: expected the view's side in pixels"),
        (
            "a.toml",
            "[[views]]\nsize = 8\nblur = 3",
            "blur: expected a probability in [0, 1]",
        ),
        (
            "a.toml",
            "n_global = 1.5\n[[views]]\nsize = 8",
            "n_global: expected a whole number",
        ),
        ("a.toml", "mean = 3\n[[views]]\nsize = 8", "mean: expected a number for each channel"),
    ],
)
def test_a_bad_file_is_one_line_with_its_name(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        presets.preset(str(path), None)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    with pytest.raises(ValueError, match=r"a\.toml is not a regular file"):
        presets.preset(str(tmp_path / "a.toml"), None)


def _recipe(path: Path, **changes: float) -> str:
    view = View(size=8, **changes)  # type: ignore[arg-type]
    presets.save(Views((view, view, view)), path)
    return str(path)


def _begun(stripes: Path, out: Path, views: str, **changes: object) -> None:
    calls = iter([False, False, True])
    config = small_config(stripes, out, views=views, size=None, view_options={}, **changes)
    with pytest.raises(Stopped):
        pretrain(config, quiet=True, stop=lambda: next(calls))


def test_pretrain_takes_views_from_a_file_and_keeps_them(stripes: Path, tmp_path: Path) -> None:
    mine = _recipe(tmp_path / "mine.json", flip=0.25)
    out = tmp_path / "run"
    _begun(stripes, out, mine)
    run = Run.open(out)
    assert run.resolved_config().size == 8
    assert len(presets.load(run.views)) == 3
    again = Pretrain(data=str(stripes), out=str(out), resume=True)
    _recipe(tmp_path / "mine.json", flip=0.5)
    with pytest.raises(ValueError, match=r"the views by .*mine\.json are not those that the run"):
        pretrain(again, quiet=True)
    whole = small_config(
        stripes, tmp_path / "whole", views=str(run.views), size=None, view_options={}
    )
    kept = Pretrain(data=str(stripes), out=str(out), resume=True, views=str(run.views))
    assert losses(pretrain(kept, quiet=True)) == losses(pretrain(whole, quiet=True))


def test_a_preset_that_changed_does_not_resume(stripes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _begun(stripes, out, "simclr", epochs=1)
    run = Run.open(out)
    stored = json.loads(run.views.read_text())
    stored["views"][0]["gray"] = 0.3
    run.views.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="the views by simclr are not those that the run began"):
        pretrain(Pretrain(data=str(stripes), out=str(out), resume=True), quiet=True)
    kept = Pretrain(data=str(stripes), out=str(out), resume=True, views=str(run.views))
    assert pretrain(kept, quiet=True).finished()


@pytest.mark.parametrize(
    ("views", "options", "message"),
    [
        ("multicrop", {"num_local": 0, "num_global": 1}, "are 1 an image; vicreg needs at least 2"),
    ],
)
def test_views_that_no_objective_takes_are_refused(
    stripes: Path, tmp_path: Path, views: str, options: dict, message: str
) -> None:
    out = tmp_path / "run"
    with pytest.raises(ValueError, match=message):
        pretrain(small_config(stripes, out, views=views, view_options=options), quiet=True)
    assert not out.exists()
    sizes = tmp_path / "two.json"
    presets.save(Views((View(size=16), View(size=8))), sizes)
    config = small_config(stripes, out, views=str(sizes), size=None, view_options={}, start_size=8)
    with pytest.raises(ValueError, match=r"start_size: .* of several sizes already, \[8, 16\]"):
        pretrain(config, quiet=True)


@pytest.mark.parametrize("objective", ["vicreg", "byol"])
def test_local_crops_are_trained_on(stripes: Path, tmp_path: Path, objective: str) -> None:
    config = small_config(
        stripes, tmp_path / "run", views="dino", view_options={"num_local": 2, "local_size": 8},
        size=16, epochs=1, objective=objective,
    )  # fmt: skip
    run = pretrain(config, quiet=True)
    assert run.finished()
    assert [v["size"] for v in json.loads(run.views.read_text())["views"]] == [16, 16, 8, 8]


def test_global_views_alone_are_trained_on(stripes: Path, tmp_path: Path) -> None:
    config = small_config(
        stripes, tmp_path / "run", views="dino", view_options={"num_local": 0}, epochs=1
    )
    assert pretrain(config, quiet=True).finished()


def test_a_file_of_tiny_views_is_refused(stripes: Path, tmp_path: Path) -> None:
    presets.save(Views((View(size=4), View(size=4))), tmp_path / "tiny.json")
    config = small_config(
        stripes, tmp_path / "run", views=str(tmp_path / "tiny.json"), size=None, view_options={}
    )
    with pytest.raises(ValueError, match=r"size: expected at least 8 pixels, got 4 in .*tiny"):
        pretrain(config, quiet=True)


def test_the_command_line_takes_a_file(stripes: Path, tmp_path: Path) -> None:
    mine = _recipe(tmp_path / "mine.json", flip=0.25)
    command = [
        "pretrain", "--data", str(stripes), "--views", mine,
        "--out", str(tmp_path / "run"), "--encoder", "smallconv:4", "--epochs", "1",
    ]  # fmt: skip
    done = run_command(command)
    assert done.returncode == 0, done.stderr
    assert "views     3 of 8 px by" in done.stderr
    done = run_command([*command, "--view-options", "flip", "0"])
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_page_names_all_presets() -> None:
    page = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")
    section = page.split("## Recipes as data")[1]
    assert sorted(re.findall(r"^\| `(\w+)` ", section, re.M)) == sorted(presets.__all__)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"views": [{"size": 100000}]}', "size: expected 1 to 4096 pixels, got 100000"),
        (
            '{"views": [{"size": 8}], "mean": [NaN, 0, 0], "std": [1, 1, 1]}',
            "mean: expected a finite number",
        ),
        ('{"views": [{"size": 8}], "std": [NaN, 1, 1]}', "std: expected a finite number"),
        (
            '{"views": [{"size": 8, "brightness": 1e308}]}',
            "expected a number in [0, 100]",
        ),
        ('{"views": [{"size": 8, "max_ratio": 1e300}]}', "max_ratio <= 1000"),
    ],
)
def test_numbers_out_of_all_measure_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        presets.preset(str(tmp_path / "a.json"), None)


def test_there_is_an_end_to_views() -> None:
    with pytest.raises(ValueError, match=re.escape("views: expected 1 to 256 of an image")):
        presets.multicrop(32, num_local=1000)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf[[views]]\nsize = 8\n")
    assert presets.preset(str(tmp_path / "a.toml"), None).recipes[0].size == 8


@pytest.mark.parametrize("value", [[0.0], "a", {"p": 1}, None])
def test_an_option_of_another_type_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="flip of views simclr: expected a number"):
        presets.preset("simclr", 32, {"flip": value})
    with pytest.raises(ValueError, match=r"view_options of config.json: expected dict"):
        Pretrain.from_json({"data": "digits", "view_options": {"flip": [0.0]}})
    # what is allowed stays as it is written
    assert presets.preset("vicreg", 32, {"symmetric": 1}).recipes[0].blur == 0.5
