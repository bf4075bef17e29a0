"""Rows of evidence of others: a wrong one is told with its file, row and key, and never used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jessl.risk.evidence import published_evidence, read_evidence


def written(folder: Path, **changed: Any) -> Path:
    rows = published_evidence()[:2]
    (folder / "rows.json").write_text(json.dumps([rows[0], {**rows[1], **changed}]))
    return folder / "rows.json"


def test_the_published_rows_pass(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(published_evidence()))
    assert read_evidence(path) == published_evidence()
    del (row := published_evidence()[0])["p_permuted"]
    path.write_text(json.dumps([row]))
    assert read_evidence(path) == [row]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"low": "a"}, "low: expected a finite number, got 'a'"),
        ({"low": None}, "low: expected a finite number, got None"),
        ({"high": float("nan")}, "high: expected a finite number, got nan"),
        ({"high": float("inf")}, "high: expected a finite number, got inf"),
        ({"effect": "x"}, "effect: expected a finite number"),
        ({"effect": True}, "effect: expected a finite number"),
        ({"low": 2.0, "effect": 1.5, "high": 1.0}, "expected this order, got 2, 1.5, 1$"),
        ({"low": 1.0, "effect": 3.0, "high": 2.0}, "expected this order"),
        ({"p": "x"}, "p: expected a finite number"),
        ({"p": 1.5}, "p: expected 0 to 1"),
        ({"p_permuted": -0.1}, "p_permuted: expected 0 to 1"),
        ({"choice": ["a"]}, "choice: expected a text, got list"),
        ({"choice": " "}, "choice: expected a text"),
        ({"method": ["linear"]}, "method: expected a text, got list"),
        ({"method": "guess"}, "method: expected one of controlled, linear, got 'guess'"),
        ({"component": "usabilty"}, "component: expected one of approx, usability, .*'usabilty'"),
        ({"unit": None}, "unit: expected a text, got None"),
        ({"level": 3}, "level: expected a text, got 3"),
        ({"level": "b", "reference": ""}, "level and reference: expected two texts"),
        ({"words": {"a": 1}}, "words: expected a text, got dict"),
        ({"n_models": 2.5}, "n_models: expected a whole number above 0, got 2.5"),
        ({"n_models": None}, "n_models: expected a whole number"),
        ({"n_groups": "x"}, "n_groups: expected a whole number"),
    ],
)
def test_wrong_rows(tmp_path, changed, told):
    path = written(tmp_path, **changed)
    with pytest.raises(ValueError, match=told) as error:
        read_evidence(path)
    assert str(error.value).startswith(f"{path}: row 2 of the evidence: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000, "nested too deep"),
        ('[{"low": ' + "9" * 5000 + "}]", "a whole number of 5000 digits"),
        ("{", "is not JSON"),
        ("[1]", "expected a list of rows"),
        ("3", "expected a list of rows"),
    ],
)
def test_files_that_hold_no_rows(tmp_path, text, told):
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=told) as error:
        read_evidence(path)
    assert str(error.value).startswith(str(path))


def test_texts_steer_no_terminal(tmp_path):
    path = written(tmp_path, words="the \x1b[2Jsize\n", level="a\x07", reference="b\x00")
    row = read_evidence(path)[1]
    assert (row["words"], row["level"]) == ("the \\x1b[2Jsize\\n", "a\\x07")
    assert row["reference"] == "b\\x00"
