"""Comparing encoders on a user's images: whole, resumable, and true to what labels may touch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.report_page import Page
from helpers.run_samples import small_config
from jessl import Embeddings, Run, pretrain
from jessl.comparison import rows as encoder_rows
from jessl.comparison.compare import compare_encoders
from jessl.comparison.encoder_specs import folder_name, parse_encoder_specs
from jessl.comparison.page.page import write_encoders_page
from jessl.comparison.table import SCORES, EncoderTable
from jessl.core.files import locked
from jessl.core.interruption import Stopped
from jessl.core.log import Log
from jessl.data import open_source
from jessl.encoders import Encoder
from jessl.extraction import embed_to_folder
from jessl.extraction.embed import embed
from jessl.extraction.part_folder import PARTS
from jessl.zoo.table import read_table

Compare = Callable[..., EncoderTable]
FREE = ("scores", "d", "parameters", "weights_sha256")


@pytest.fixture(scope="session")
def runs(stripes: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three tiny runs: two of one method, one twice as wide."""
    folder = tmp_path_factory.mktemp("contenders")
    found: list[Run] = []
    for name, changes in (
        ("one", {"seed": 1}),
        ("two", {"seed": 2}),
        ("wide", {"encoder": "smallconv:8", "objective": "vicreg"}),
    ):
        config = small_config(stripes, folder / name, epochs=1, **changes)
        found.append(pretrain(config, quiet=True))
    return [str(run.path) for run in found]


def compare(encoders: list[str], data: Any, out: Path, **asked: Any) -> EncoderTable:
    quick: dict[str, Any] = {
        "view_images": 24,
        "n_views": 3,
        "workers": 1,
        "log": Log(lambda _: None),
    }
    return compare_encoders(encoders, data, out=out, **{**quick, **asked})


@pytest.fixture(scope="module")
def labelled(
    runs: list[str], stripes: Path, tmp_path_factory: pytest.TempPathFactory
) -> EncoderTable:
    return compare([*runs, "nope:x"], stripes, tmp_path_factory.mktemp("table") / "out")


def free(table: EncoderTable) -> list[Any]:
    """Every column that labels must not touch."""
    return [[getattr(row, key) for key in FREE] for row in table.rows]


def test_a_row_an_encoder_with_every_score_and_its_features_as_embed_makes_them(
    labelled: EncoderTable, runs: list[str], stripes: Path
) -> None:
    assert [row.name for row in labelled.rows] == ["one", "two", "wide", "nope:x"]
    good = labelled.rows[:3]
    for row, run in zip(good, runs, strict=True):
        assert set(row.scores) == set(SCORES)
        here = Embeddings.load(labelled.path / row.slug / "embeddings")
        np.testing.assert_array_equal(here.features, embed(run, stripes, workers=1).features)
        assert here.n == 96
        assert here.d == row.d
        assert row.scores["rankme"]["n"] == 96
        assert row.scores["lidar"]["n"] == 24
        assert row.cost is not None
        assert row.cost["ms_per_image"] > 0
        assert (labelled.path / str(row.neighbours)).read_bytes().startswith(b"\x89PNG")
        assert not (labelled.path / row.slug / "embeddings" / PARTS).exists()
    assert good[2].d == 2 * (good[0].d or 0)
    assert good[2].method == "vicreg"
    assert json.loads((labelled.path / "encoders.json").read_text())["format"] == "jessl.encoders"


def test_the_page_is_made_of_what_was_written(labelled: EncoderTable) -> None:
    page = Page(write_encoders_page(labelled.path).read_text(encoding="utf-8"))
    kept = ["table", "labels", "scores", "orders", "neighbours", "map", "reading", "about"]
    assert page.sections() == kept
    for row in labelled.rows:
        assert row.name in page.text
    for note in labelled.notes:
        assert note.replace(" %", "\N{NO-BREAK SPACE}%") in page.text
    assert page.count("img") == 3


def test_an_encoder_that_fails_stays_with_its_reason(labelled: EncoderTable) -> None:
    failed = labelled.rows[3]
    assert failed.failed is not None
    assert "unknown encoder 'nope'" in failed.failed
    assert "\n" not in failed.failed
    assert failed.scores == {}
    assert any(note.startswith("1 of 4 encoders failed") for note in labelled.notes)
    assert all("nope:x" not in order.names for order in labelled.orders)


def test_all_failing_is_an_error_that_names_the_first(images: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"all 2 failed; the first, nope:a: unknown encoder"):
        compare(["nope:a", "nope:b"], images, tmp_path / "out")


def test_features_that_are_not_finite_fail_the_encoder_only(
    runs: list[str], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = encoder_rows.open_identified

    def broken(spec: Any, **options: Any) -> Any:
        found = opened(spec, **options)
        if spec == runs[0]:
            with torch.no_grad():
                next(found.encoder.parameters()).fill_(torch.nan)
        return found

    monkeypatch.setattr(encoder_rows, "open_identified", broken)
    table = compare(runs[:2], images, tmp_path / "out")
    assert table.rows[0].failed == "NaN or infinite features in 48 of 48 rows"
    assert table.rows[1].failed is None


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 24 images; of 12 with three views."""
    monkeypatch.setattr(embed_to_folder, "PART_ROWS", 24)
    monkeypatch.setattr(embed_to_folder, "_LEAST_PARTS", 1)


def _interrupted(encoders: list[str], data: Any, out: Path) -> Path:
    """The folder of the finished parts of a comparison that was stopped in its fourth part."""
    batches: list[int] = []

    def stop() -> bool:
        batches.append(1)
        return len(batches) > 6

    with pytest.raises(Stopped):
        compare(encoders, data, out, stop=stop, batch_size=12)
    embeddings = out / folder_name(encoders[0]) / "embeddings"
    assert len(list((embeddings / PARTS).glob("0*"))) == 3
    assert not (embeddings / "meta.json").exists()
    return embeddings / PARTS


@pytest.mark.usefixtures("small_parts")
def test_killed_between_parts_the_same_bits_come_out(
    runs: list[str], stripes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare(runs[:1], stripes, tmp_path / "whole", batch_size=12)
    parts = _interrupted(runs[:1], stripes, tmp_path / "cut")
    (parts / ".jessl-1-0123456789abcdef.part").mkdir()  # what a killed writer leaves
    batches: list[int] = []
    monkeypatch.setattr(Encoder, "forward", _counted(Encoder.forward, batches))
    lines: list[str] = []
    resumed = compare(runs[:1], stripes, tmp_path / "cut", batch_size=12, log=Log(lines.append))
    assert batches == 2 * [12] + 6 * [12]  # the fourth part, then 24 images of 3 views
    assert not any("embedded again" in line for line in lines)
    for what in ("embeddings", "views"):
        a, b = (
            Embeddings.load(tmp_path / at / folder_name(runs[0]) / what) for at in ("whole", "cut")
        )
        assert a.checksum() == b.checksum()
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert len(a.meta["forwards"]) == len(b.meta["forwards"])
    assert free(whole) == free(resumed)
    assert not parts.exists()


@pytest.mark.usefixtures("small_parts")
def test_a_damaged_part_is_computed_again(runs: list[str], stripes: Path, tmp_path: Path) -> None:
    whole = compare(runs[:1], stripes, tmp_path / "whole", batch_size=12)
    parts = _interrupted(runs[:1], stripes, tmp_path / "cut")
    file = parts / "000000001" / "backbone.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    lines: list[str] = []
    resumed = compare(runs[:1], stripes, tmp_path / "cut", batch_size=12, log=Log(lines.append))
    assert sum("this part is removed" in line for line in lines) == 1
    assert resumed.rows[0].failed is None
    assert free(whole) == free(resumed)


def test_unfinished_parts_of_an_earlier_release_are_removed_with_a_note(
    runs: list[str], images: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / folder_name(runs[0])
    Embeddings(np.ones((1, 2))).save(folder / "embeddings.parts" / "000000000")
    (folder / "views.parts").mkdir()
    (folder / "views.parts" / "diary.txt").write_text("mine")
    lines: list[str] = []
    compare(runs[:1], images, tmp_path / "out", log=Log(lines.append))
    assert sum("of an earlier release" in line for line in lines) == 1
    assert not (folder / "embeddings.parts").exists()
    assert (folder / "views.parts" / "diary.txt").exists()


def _counted(forward: Any, into: list[int]) -> Any:
    def counted(self: Encoder, seen: torch.Tensor) -> torch.Tensor:
        into.append(len(seen))
        return forward(self, seen)

    return counted


def test_a_second_time_nothing_is_computed_and_other_images_are_told(
    runs: list[str], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare(runs[:2], images, tmp_path / "out")
    batches: list[int] = []
    monkeypatch.setattr(Encoder, "forward", _counted(Encoder.forward, batches))
    told: list[str] = []
    again = compare(runs[:2], images, tmp_path / "out", log=Log(told.append))
    assert batches == []
    assert again.rows == first.rows
    assert not any("embedded again" in line for line in told)
    other = compare(runs[:2], images[::-1].copy(), tmp_path / "out", log=Log(told.append))
    assert batches != []
    assert sum("embedded again" in line for line in told) == 4
    assert other.rows[0].scores != first.rows[0].scores


def test_labels_change_errors_only_and_nothing_is_embedded_again(
    runs: list[str], stripes: Path, labelled: EncoderTable, tmp_path: Path
) -> None:
    source = open_source(stripes)
    assert source.labels is not None
    x, y = np.stack([source.read(i) for i in range(96)]), source.labels
    plain = compare(runs, x, tmp_path / "plain")
    assert all(row.labelled is None for row in plain.rows)
    shuffled = compare(runs, (x, np.random.default_rng(1).permutation(y)), tmp_path / "shuffled")
    assert free(plain) == free(shuffled) == free(labelled)[:3]
    errors = [[row.value("error") for row in table.rows[:3]] for table in (labelled, shuffled)]
    assert max(errors[0]) < 0.2 < min(errors[1])  # type: ignore[type-var]
    names = ("one", "two", "wide")
    without = [o for o in labelled.orders if o.column != "error"]
    assert list(plain.orders) == without
    assert all(set(order.names) == set(names) for order in plain.orders)


def test_labels_of_a_file_are_put_to_the_cached_rows(
    runs: list[str], images: np.ndarray, tmp_path: Path
) -> None:
    first = compare(runs[:2], images, tmp_path / "out")
    csv = tmp_path / "labels.csv"
    csv.write_text("path,label\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)))
    told: list[str] = []
    second = compare(runs[:2], images, tmp_path / "out", labels=csv, log=Log(told.append))
    assert not any("embedded again" in line for line in told)
    assert free(first) == free(second)
    kept = Embeddings.load(tmp_path / "out" / folder_name(runs[0]) / "embeddings")
    assert kept.labels is not None
    assert kept.labels.tolist() == [i % 2 for i in range(40)] + [-1] * 8
    found = second.rows[0].labelled
    assert found is not None
    assert (found["train_rows"], found["test_rows"], found["folds"]) == (36, 40, 10)
    assert found["risk"] is None
    assert any("not decomposed" in note for note in second.notes)


def test_the_winner_is_told_with_paired_differences(labelled: EncoderTable) -> None:
    by_error = next(o for o in labelled.orders if o.column == "error")
    best = next(row for row in labelled.rows if row.name == by_error.names[0])
    assert best.to_best == {"value": 0.0, "low": 0.0, "high": 0.0}
    for row in labelled.rows[:3]:
        assert row.to_best is not None
        least, error = best.value("error"), row.value("error")
        assert least is not None
        assert error is not None
        assert row.to_best["value"] == pytest.approx(error - least)
        assert (row.name in by_error.leaders) == (row.to_best["low"] <= 0)
        assert row.labelled is not None
        assert [few["shots"] for few in row.labelled["few_shot"]] == [3, 5, 30]
    assert labelled.notes[0].startswith(labelled.conclusion)
    assert labelled.conclusion.startswith(f"Use {best.name}: it names the class of ")
    assert str(labelled) == labelled.conclusion


def test_labels_that_would_settle_a_difference() -> None:
    from jessl.comparison.labels import labels_to_settle

    # half the width falls with the square root: .04 becomes .03 with (4/3)^2 times the labels
    assert labels_to_settle({"value": 0.03, "low": -0.01, "high": 0.07}, 90) == 70
    assert labels_to_settle({"value": 0.02, "low": -0.02, "high": 0.06}, 100) == 300
    assert labels_to_settle({"value": 0.02, "low": 0.01, "high": 0.03}, 100) is None  # settled
    assert labels_to_settle({"value": 0.0, "low": -0.02, "high": 0.02}, 100) is None
    assert labels_to_settle({"value": 0.001, "low": -0.5, "high": 0.5}, 100) is None


def test_without_labels_no_winner_is_named(
    runs: list[str], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_rows, "_WIDEST_LIDAR_SPREAD", 32)
    table = compare(runs, images, tmp_path / "out")
    said = " ".join(table.notes)
    assert table.notes[0].startswith("No encoder can be recommended without labels")
    assert "section 3.2" in said
    assert "Arputharaj" in said
    assert "48 are fewer than 4 d" in said  # d is 32 and 64
    assert "3 random views of 24 images (simclr)" in said
    assert any("fewer than 4 d" in w for w in table.rows[2].warnings)
    # where the jackknife of LiDAR would take minutes there is no interval
    assert [row.scores["lidar"]["low"] is None for row in table.rows] == [False, False, True]
    assert any("lidar: no interval" in w for w in table.rows[2].warnings)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_images_give_what_is_defined(
    runs: list[str], images: np.ndarray, tmp_path: Path, n: int
) -> None:
    table = compare(runs[:2], images[:n], tmp_path / "out", n_views=2)
    assert all(row.failed is None for row in table.rows)
    assert (table.rows[0].value("twonn") is None) == (n < 3)
    assert (table.rows[0].neighbours is None) == (n < 2)
    assert table.rows[0].value("alignment") is not None


def test_grey_images(runs: list[str], images: np.ndarray, tmp_path: Path) -> None:
    grey = images[..., 0]
    table = compare(runs[:1], grey, tmp_path / "grey")
    three = compare(runs[:1], np.repeat(grey[..., None], 3, axis=3), tmp_path / "rgb")
    assert table.rows[0].value("rankme") == pytest.approx(three.rows[0].value("rankme"))


def test_unreadable_images_are_left_out_even_a_part_of_them(
    runs: list[str], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(images[i]).save(folder / f"{i:02d}.png")
    for i in range(4, 8):
        (folder / f"{i:02d}.png").write_bytes(b"no image")
    monkeypatch.setattr(embed_to_folder, "PART_ROWS", 4)
    monkeypatch.setattr(embed_to_folder, "_LEAST_PARTS", 1)
    table = compare(runs[:1], folder, tmp_path / "out", view_images=0, batch_size=4)
    held = Embeddings.load(tmp_path / "out" / table.rows[0].slug / "embeddings")
    assert held.n == 8
    assert len(held.meta["unreadable"]) == 4
    assert any("4 images cannot be read" in w for w in table.rows[0].warnings)
    assert "lidar" not in table.rows[0].scores
    for path in folder.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="not one image"):
        compare(runs[:1], folder, tmp_path / "none", view_images=0)


def test_groups_stay_on_one_side(runs: list[str], images: np.ndarray, tmp_path: Path) -> None:
    from jessl.comparison.labels import held_out_quarter

    y = np.arange(48) % 2
    groups = np.arange(48) // 8
    z = Embeddings(np.random.default_rng(0).standard_normal((48, 3)), y, groups=groups)
    parts = held_out_quarter(z, 0)
    assert parts is not None
    train, test = parts
    assert train.groups is not None
    assert test.groups is not None
    assert not set(train.groups) & set(test.groups)
    assert train.n + test.n == 48


def test_test_images_are_what_errors_are_measured_on(
    runs: list[str], stripes: Path, tmp_path: Path
) -> None:
    source = open_source(stripes)
    assert source.labels is not None
    x = np.stack([source.read(i) for i in range(96)])
    fit, held = (x[:60], source.labels[:60]), (x[60:], source.labels[60:])
    table = compare(runs[:2], fit, tmp_path / "out", test=held, shots=(4, 50))
    found = table.rows[0].labelled
    assert found is not None
    assert (found["train_rows"], found["test_rows"]) == (60, 36)
    assert [few["shots"] for few in found["few_shot"]] == [4]
    assert any("50 shots are left out" in note for note in table.notes)
    with pytest.raises(ValueError, match=r"train: the images of .* have no labels"):
        compare(runs[:2], x[:60], tmp_path / "none", test=held)
    with pytest.raises(ValueError, match="have no labels"):
        compare(runs[:2], fit, tmp_path / "none", test=x[60:])


def test_the_table_is_read_by_the_analysis_of_tables(labelled: EncoderTable) -> None:
    for name in ("table.csv", "table.parquet"):
        models = read_table(labelled.path / name)
        assert list(models.frame.index) == ["one", "two", "wide", "nope:x"]
        row = labelled.rows[0].labelled
        assert row is not None
        risk = row["risk"]["risk"]["value"]
        assert models.frame.loc["one", "train_test"] == pytest.approx(100 * risk)
        parts = models.frame.loc["one", list(models.components)].sum()
        assert parts == pytest.approx(100 * risk)
        rankme = labelled.rows[0].value("rankme")
        assert models.frame.loc["one", "rankme_backbone"] == pytest.approx(rankme)


def test_the_same_encoder_stands_once(
    runs: list[str], images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(runs[0]).parent)
    table = compare([runs[0], runs[0], "./one", runs[1]], images, tmp_path / "out")
    assert len(table.rows) == 2
    assert any("was named 2 times" in note for note in table.notes)
    twin = f"./one is {runs[0]} with another name: both share one row"
    assert twin in table.notes


def test_slugs_stay_inside_and_apart() -> None:
    specs = ["../../x", "/", "a/b", "a-b", "a b", "A-b", "timm:x", "timm_x", ".", "..", "ä" * 300]
    slugs = [folder_name(spec) for spec in specs]
    assert len({slug.lower() for slug in slugs}) == len(specs)
    for slug in slugs:
        assert Path(slug).name == slug
        assert not slug.startswith(".")
        assert len(slug) < 70
    found, notes = parse_encoder_specs(
        ["x/a.pt", "y/a.pt", "timm:resnet18", "r/checkpoints/step-7"]
    )
    assert [c.name for c in found] == ["x/a.pt", "y/a.pt", "timm:resnet18", "r/step-7"]
    assert notes == []
    found, _ = parse_encoder_specs(["x/b", "y/b", "z/x/checkpoints/b"])
    assert [c.name for c in found] == ["x/b", "y/b", "z/x/checkpoints/b"]


def test_one_writer(runs: list[str], images: np.ndarray, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ValueError, match="another process is writing"):
        compare(runs[:1], images, tmp_path)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"encoders": []}, "encoders: expected at least one"),
        ({"encoders": "one"}, "encoders: expected a list of names"),
        ({"n_views": 1}, "n_views: expected 2 to 256"),
        ({"views": "nope"}, "nope"),
        ({"shots": (0,)}, "shots: expected a whole number of at least 1"),
        ({"most_images": 0}, "most_images: expected a whole number of at least 1"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_mistakes_are_told_before_anything_is_opened(
    images: np.ndarray, tmp_path: Path, asked: dict[str, Any], said: str
) -> None:
    given = {"encoders": ["nope:x"], **asked}
    with pytest.raises(ValueError, match=said):
        compare(given.pop("encoders"), images, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()
