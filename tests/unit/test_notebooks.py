"""How results show themselves as text and in notebooks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import jessl
from jessl.classification.finetune_result import FinetuneResult
from jessl.core.notebook import Described
from jessl.curation.result import Curation
from jessl.exporting import ExportResult
from jessl.selection.result import Selection
from jessl.views import View
from jessl.views.description import describe_view
from jessl.views.recipe import _PROBABILITIES


@pytest.fixture(scope="module")
def z() -> jessl.Embeddings:
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    return jessl.Embeddings(rng.standard_normal((200, 8)) + y[:, None], y, meta={"encoder": "<b>"})


def test_a_score_shows_the_number_of_its_interval_first(z: jessl.Embeddings) -> None:
    result = jessl.score(z)["rankme"]
    text = str(result)
    assert result.debiased is not None
    assert text.startswith(f"{result.debiased:.4g} ({result.low:.4g} to {result.high:.4g}), as pub")
    assert "of 200 x 8" in text
    assert "\n" not in text
    assert result._repr_html_().count("<tr>") == 3 + len(result.warnings)
    assert repr(result) == f"<{type(result).__name__}: {result.conclusion}>"


def test_a_probe_and_a_decomposition_are_lines_and_tables(z: jessl.Embeddings) -> None:
    train, test = z.subset(range(100)), z.subset(range(100, 200))
    result = jessl.probe(train, test, kind="ridge")
    assert str(result).startswith(
        f"A ridge probe on 100 labels names the class of {100 * result.accuracy:.1f} % (95 %: "
    )
    assert str(result).endswith("the most frequent class alone would be right in 50.0 %")
    risks = jessl.decompose(train, test, probe="ridge")
    assert str(risks) == f"{risks.conclusion}\n{risks.table()}"
    assert risks.conclusion.startswith("The error is ")
    assert risks._repr_html_().count("<tr>") == len(risks.rows())


def test_names_of_others_are_escaped(z: jessl.Embeddings) -> None:
    assert "&lt;b&gt;" in z._repr_html_()
    chosen = Selection("view_retrieval", {"simclr": "<i>run"}, (), ("one warning",))
    assert str(chosen) == "Take <i>run\nwarning: one warning"
    assert "&lt;i&gt;run" in chosen._repr_html_()


def test_a_source_is_indexed_and_shows_its_first_images() -> None:
    source = jessl.open_source("digits")
    np.testing.assert_array_equal(source[-1], source.read(1796))
    np.testing.assert_array_equal(source[np.int64(3)], source.read(3))
    with pytest.raises(IndexError, match=r"index: expected -1797 \.\. 1796, got 1797"):
        source[1797]
    assert repr(source) == "ArraySource('digits', 1,797 images, 10 classes)"
    shown = source._repr_html_()
    assert "data:image/png;base64," in shown
    assert "1,797 images" in shown


def test_dir_lists_public_names_only() -> None:
    names = [name for name in dir(jessl) if not name.startswith("__")]
    assert {"pretrain", "embed", "Embeddings"} <= set(names)
    assert all(not name.startswith("_") for name in names)
    assert {"TYPE_CHECKING", "annotations", "import_module"}.isdisjoint(names)


def test_torchvision_transforms_are_refused_with_the_way_out() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    transform = transforms.Compose([transforms.RandomCrop(8)])
    with pytest.raises(ValueError, match=r"views: expected a recipe of jessl\.views.* Compose$"):
        jessl.Loader("digits", transform, 16)
    expected = r"views: expected a preset .* fields of jessl\.views\.View.* of type Compose$"
    with pytest.raises(ValueError, match=expected):
        jessl.pretrain(jessl.Pretrain(data="digits", views=transform))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=expected):
        jessl.show_views("digits", transform)  # type: ignore[arg-type]


def test_views_are_a_sentence_a_table_and_a_picture() -> None:
    views = jessl.views.presets.multicrop(32, num_local=2)
    assert str(views).startswith("4 views of an image: views 1 to 2: 32 px, random crop of ")
    assert "; views 3 to 4: " in str(views)
    assert views._repr_html_().count("<tr>") == 2
    assert "grayscale 20 %" in str(jessl.views.presets.simclr(32))
    grid = jessl.show_views("digits", views, size=16, count=3)
    assert repr(grid) == "ViewGrid(3 images, 4 views each)"
    assert grid.views.recipes[0].size == 16
    assert "data:image/png;base64," in grid._repr_html_()
    assert grid.picture().width > grid.picture().height
    with pytest.raises(ValueError, match="options: expected none beside a recipe"):
        jessl.show_views("digits", views, options={"gray": 0})


def test_every_operation_of_a_view_is_named() -> None:
    every = dict.fromkeys(_PROBABILITIES, 0.5)
    view = View(size=8, **every, brightness=0.4, hue=0.1, noise_sigma=(0.1, 0.2))
    text = ", ".join(describe_view(view))
    assert text.count("50 %") == len(_PROBABILITIES)
    assert "colour jitter 50 % (brightness 0.4, hue 0.1)" in text
    assert "noise 50 % (sigma 0.1 to 0.2)" in text
    assert "pad" in describe_view(View(size=8, crop="pad"))[1]
    assert "center crop of 50 %" in describe_view(View(size=8, crop="center", crop_share=0.5))[1]


def test_a_batch_is_a_line_and_thumbnails() -> None:
    views = jessl.views.presets.dino(16, num_local=2)
    batch = next(iter(jessl.Loader("digits", views, 5)))
    assert repr(batch).startswith("Batch(5 images, 2 views of 3 x 16 x 16 float32, 2 views of 3 x ")
    assert repr(batch).endswith("labels)")
    assert "data:image/png;base64," in batch._repr_html_()
    raw = next(iter(jessl.Loader("digits", views, 5, dtype="uint8")))
    assert "uint8" in repr(raw)
    assert "data:image/png;base64," in raw._repr_html_()


def test_a_run_says_how_far_it_is_and_what_comes_next(tmp_path: Path) -> None:
    config = jessl.Pretrain(
        data="digits", encoder="smallconv:4", epochs=1, log=("none",), out=str(tmp_path / "<b>run")
    )
    run = jessl.pretrain(config, quiet=True)
    assert re.match(r"<b>run: (the training|no gain by)", str(run))
    assert "\n" not in str(run)
    rows = dict(run.describe())
    assert (rows["encoder"], rows["state"]) == ("smallconv:4", "finished")
    assert {"view retrieval, backbone", "RankMe, projector"} <= set(rows)
    assert rows["next"] == f"jessl.embed(jessl.Run.open({str(run.path)!r}), 'digits')"
    shown = run._repr_html_()
    assert "&lt;b&gt;run" in shown
    assert "<b>" not in shown
    assert repr(run) == f"Run(path={run.path!r})"
    (run.path / "records.jsonl").unlink()
    assert str(run) == "<b>run: not trained yet"
    assert "resume=True" in dict(run.describe())["next"]
    (run.path / "config.json").write_text("[]")
    assert "cannot be read" in str(run)
    assert "holds no JSON object" in run._repr_html_()


@pytest.mark.parametrize("kind", [Curation, FinetuneResult, ExportResult, Selection])
def test_every_result_is_described(kind: type) -> None:
    assert issubclass(kind, Described)


def test_a_matrix_file_is_scored(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", np.random.default_rng(0).standard_normal((60, 4)))
    assert jessl.score(tmp_path / "features.npy")["rankme"].d == 4
    assert jessl.score(str(tmp_path / "features.npy"))["rankme"].n == 60
