"""A probe as the classifier that a training starts from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.start_head import write_start_head
from jessl.objectives import Supervised, build_objective

NAMES = ("10", "9", "none", "2")


def _objective(file: Path) -> Supervised:
    objective = build_objective("supervised", 6, {"classes": 4, "classifier": str(file)})
    assert isinstance(objective, Supervised)
    return objective


def test_a_new_training_starts_from_the_probe(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.array(["10", "9", "2"])[np.arange(60) % 3]
    x = (rng.normal(size=(60, 6)) * 3 + 5 + (np.arange(60) % 3)[:, None]).astype(np.float32)
    fitted = EmbeddingClassifier().fit(x, y)
    write_start_head(tmp_path / "start" / "head.safetensors", fitted, NAMES)
    objective = _objective(tmp_path / "start" / "head.safetensors")
    objective.load_start()
    with torch.no_grad():
        logits = objective.classify(torch.from_numpy(x))
    # the class without an image never wins against all others
    assert (logits[:, 2] < logits.max(dim=1).values).all()
    known = logits[:, [NAMES.index(name) for name in fitted.classes_]]
    np.testing.assert_allclose(known.softmax(dim=1), fitted.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (None, "No such file"),
        ({"weight": torch.zeros(4, 6)}, r"bias: expected \(4,\), got None"),
        ({"weight": torch.zeros(3, 6), "bias": torch.zeros(4)}, r"expected \(4, 6\), got \(3, 6\)"),
        ({"weight": torch.full((4, 6), torch.nan), "bias": torch.zeros(4)}, "finite"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, tensors: dict[str, torch.Tensor] | None, reason: str
) -> None:
    if tensors is not None:
        save_file(tensors, tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=reason) as caught:
        _objective(tmp_path / "head.safetensors").load_start()
    assert len(str(caught.value).splitlines()) == 1
