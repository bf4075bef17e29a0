"""How results show themselves, in a prompt, in a list and in a notebook."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np

import jessl
from jessl.classification.classify import Classification
from jessl.comparison.table import EncoderTable
from jessl.core.notebook import Described
from jessl.curation.result import Curation
from jessl.selection.checkpoints import CheckpointSelection
from jessl.selection.result import Selection
from jessl.sweeps.results import SweepResult

SHOWN = (Classification, EncoderTable, Curation, CheckpointSelection, Selection, SweepResult)


def test_a_dict_of_results_can_be_read() -> None:
    z = np.random.default_rng(0).standard_normal((200, 8))
    scores = jessl.score(z, ("rankme", "uniformity"))
    assert repr(scores["rankme"]) == f"<ScoreResult: {scores['rankme'].conclusion}>"
    assert f"'uniformity': <ScoreResult: {scores['uniformity'].conclusion}>" in str(scores)


def test_no_dataclass_shows_its_fields_instead_of_its_conclusion() -> None:
    assert set(SHOWN) <= set(Described.__subclasses__())
    # the conclusion of a run is read from its files: its repr is the path
    for result in set(Described.__subclasses__()) - {jessl.Run}:
        assert dataclasses.is_dataclass(result), result
        assert inspect.getattr_static(result, "__repr__") is Described.__repr__, result


def test_a_matrix_is_curated_and_shown() -> None:
    z = np.random.default_rng(0).standard_normal((60, 8))
    result = jessl.curate(z, budget=5)
    assert str(result).startswith("Of 60 images: 5 images to label first (medoids), no near-dup")
    assert repr(result) == f"<Curation: {result.conclusion}>"
    assert "<th style='text-align:left'>outliers</th>" in result._repr_html_()
    assert jessl.curate(z.tolist(), budget=5).label_first.rows.tolist() == (
        result.label_first.rows.tolist()
    )
