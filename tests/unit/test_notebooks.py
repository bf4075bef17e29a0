"""How results show themselves as text and in notebooks."""

from __future__ import annotations

import numpy as np
import pytest

import jessl
from jessl.selection.result import Selection


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
    assert repr(result).startswith("ScoreResult(")


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
    with pytest.raises(ValueError, match=r"views: expected a recipe of jessl\.views"):
        jessl.Loader("digits", transforms.Compose([transforms.RandomCrop(8)]), 16)
