"""The picture of views: what was done to each is written below it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.cli.main import main
from jessl.core.image_grid import write_grid
from jessl.data import open_source
from jessl.pretraining.view_grid import view_rows
from jessl.views import presets
from jessl.views.captions import caption
from jessl.views.params import as_params, as_table

BOX = {"crop_top_px": 0, "crop_left_px": 0, "crop_height_px": 30, "crop_width_px": 40}


def _caption(**changes: object) -> list[str]:
    named = {k: np.array([v]) for k, v in {**BOX, **changes}.items()}
    return caption(as_params(as_table([named]))[0], 0, 30, 40)


def _drawn(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def test_what_changes_nothing_is_not_told() -> None:
    assert _caption() == ["as it is"]
    assert _caption(hue_shift=0.004) == ["as it is"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_left_px": 3, "crop_width_px": 21}, ["crop 21x30"]),
        ({"place_height_px": 8, "place_width_px": 9}, ["pad"]),
        ({"flipped": True, "vflipped": True}, ["flip", "vflip"]),
        ({"rotation_degrees": -12.4}, ["turn -12°"]),
        ({"shift_down_px": -2, "shift_right_px": 3}, ["shift +3 -2"]),
        (
            {
                "jitter_order": [3, 1, 0, 2], "hue_shift": 0.071, "contrast_factor": 0.5,
                "brightness_factor": 1.234, "saturation_factor": 2.0,
            },
            ["hue +.07", "contrast 0.50", "bright 1.23", "colour 2.00"],
        ),
        ({"grayed": True, "solarized": True}, ["gray", "solarize"]),
        ({"blur_sigma_px": 1.23, "noise_sigma": 0.1}, ["blur 1.2", "noise .10"]),
        ({"erase_height_px": 4, "erase_width_px": 5}, ["erase 5x4"]),
    ],
)  # fmt: skip
def test_what_was_done_is_told_in_order(changes: dict, message: list[str]) -> None:
    assert _caption(**changes) == message


def test_a_grid_has_an_image_and_its_views_in_a_row(stripes: Path) -> None:
    two = view_rows(open_source(stripes), presets.byol(8), seed=0, count=3)
    assert two.columns == ["image", "view 1", "view 2", "view 1, again", "view 2, again"]
    many = view_rows(open_source(stripes), presets.dino(16, num_local=2), seed=0, count=3)
    assert many.columns[1:4] == ["view 1, 16 px", "view 2, 16 px", "local 1, 8 px"]
    for grid in (two, many):
        assert {len(row) for row in (*grid.rows, *grid.captions)} == {5}
        assert len(grid.rows) == len(grid.captions) == 3
        assert all(row[0] == ["8x8"] for row in grid.captions)
    assert "blur" in "".join(two.captions[0][1])


def test_captions_make_room_for_themselves(tmp_path: Path) -> None:
    rows = [[np.zeros((4, 4, 3), np.uint8)] * 2] * 2
    heights = []
    for pieces in ([], [["a"]] * 2, [["a long piece", "and another one"]] * 2):
        path = tmp_path / "grid.png"
        write_grid(path, rows, captions=[pieces] * 2 if pieces else (), cell_px=80)
        heights.append(_drawn(path).shape[0])
    assert heights[0] < heights[1] < heights[2]


def test_enlarged_pixels_are_alike(tmp_path: Path) -> None:
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)
    write_grid(tmp_path / "grid.png", [[board[:, :, None]]], cell_px=144)
    actual = _drawn(tmp_path / "grid.png")[4:148, 4:148]
    light = actual.reshape(32 // 2, 9, 144).mean(axis=(1, 2))  # pairs of rows of 4.5 pixels
    assert np.ptp(light) < 2


def test_the_command_draws_any_recipe(
    stripes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, out = tmp_path / "mine.json", tmp_path / "views.png"
    presets.save(presets.multicrop(16, num_local=1), mine)
    command = ["views", "--data", str(stripes), "--out", str(out), "--count", "2", "--json"]
    assert main([*command, "--preset", str(mine)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["size"] == 16
    assert len(answer["views"]) == 3
    assert _drawn(out).shape[1] == 4 * 152 + 8
    assert main([*command, "--preset", str(mine), "--size", "32"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 32
    assert main([*command, "--preset", str(tmp_path / "no.toml")]) == 2
    message = capsys.readouterr().err.strip().splitlines()
    assert len(message) == 1
    assert "no file" in message[0]
