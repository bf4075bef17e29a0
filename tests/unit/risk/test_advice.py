"""Advice is made of rows of evidence, or withheld; the packaged rows are those of the table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from helpers.paths import SHARED
from jessl.risk import Estimate
from jessl.risk.advice import (
    BOTH,
    NONE,
    ONE,
    Advice,
    advise,
)
from jessl.risk.evidence import published_evidence, read_evidence
from jessl.zoo.evidence import evidence, main
from jessl.zoo.table import read_table

TABLE = SHARED / "zoo" / "all_results.csv"
SHA256 = "75da2ec8fb7a4586d4324bdbe89b1953ac3cba4125c45e7f8940d668ddff0daa"


def found(dominant: str | None, **changed: Any) -> Any:
    """A stand-in for a RiskDecomposition with what advice reads of it."""
    told = {
        "approximation": Estimate(0.0, 0.0, 0.0),
        "usability": Estimate(0.31, 0.29, 0.33),
        "probe_generalization": Estimate(0.10, 0.08, 0.12),
        "encoder_generalization": Estimate(0.02, 0.01, 0.03),
        "differences": {"probe_generalization - usability": Estimate(-0.21, -0.24, -0.18)},
        "dominant": dominant,
        "params": {"risk": "error"},
        "merged": True,
    }
    return SimpleNamespace(**{**told, **changed})


def row(method: str, choice: str, component: str, effect: float, half: float, **more: Any) -> dict:
    levels = f":{more['level']} for {more['reference']}" if "level" in more else ""
    return {
        "name": f"{method}/{choice}{levels}/{component}",
        "choice": choice,
        "words": f"the {choice}",
        "level": "",
        "reference": "",
        "component": component,
        "effect": effect,
        "low": effect - half,
        "high": effect + half,
        "unit": "points" if levels else "points per ln",
        "n_models": 20,
        "n_groups": 5 if method == "controlled" else None,
        "p": 0.01,
        "p_permuted": None,
        "method": method,
        "source": "made up",
        **more,
    }


def numbers(text: str) -> set[float]:
    return {abs(float(n)) for n in re.findall(r"\d+\.\d+", text)}


def test_nothing_is_advised_where_no_component_dominates() -> None:
    (one,) = advise(found(None))
    assert (one.component, one.evidence, one.sure) == ("", (), NONE)
    assert "do not show which component dominates" in one.text
    assert "usability is 31.0 % (95 %: 29.0 to 33.0)" in one.text
    assert "their difference is 21.0 % (95 %: 18.0 to 24.0)" in one.text
    told = found(None, differences={}, params={"risk": "log_loss"})
    (one,) = advise(told)
    assert "0.310 nats" in one.text
    assert "difference" not in one.text
    assert "%)" not in one.text


def test_two_methods_that_agree_come_first_with_price_and_whole() -> None:
    rows = [
        row("linear", "epochs", "usability", -2.0, 1.0, p=1e-9),
        row("controlled", "z_dim", "usability", -3.8, 1.0),
        row("linear", "z_dim", "usability", -4.0, 1.0),
        row("controlled", "z_dim", "probe_gen", 3.7, 1.0),
        row("linear", "z_dim", "probe_gen", 0.5, 1.0),
        row("controlled", "z_dim", "full", -0.1, 1.0),
    ]
    first, second = advise(found("usability"), rows)
    assert (first.sure, second.sure) == (BOTH, ONE)
    assert first.component == second.component == "usability"
    assert first.evidence == (
        "controlled/z_dim/usability",
        "linear/z_dim/usability",
        "controlled/z_dim/probe_gen",
        "controlled/z_dim/full",
    )
    assert "consider raising the z_dim: -3.80 points per ln in usability" in first.text
    assert "(95 %: -4.80 to -2.80; controlled, 20 models in 5 groups)" in first.text
    assert "The cost: +3.70 points per ln in probe generalization" in first.text
    assert "-0.10 points per ln in full error (95 %: -1.10 to +0.90; includes 0;" in first.text
    assert second.evidence == ("linear/epochs/usability",)
    assert "cost" not in second.text
    assert "groups" not in second.text


def test_an_effect_that_hurts_is_turned_round() -> None:
    rows = [
        row("linear", "z_dim", "probe_gen", 3.4, 1.0),
        row("linear", "z_dim", "usability", -4.0, 1.0),
        row("linear", "head", "probe_gen", 2.5, 1.0, level="linear", reference="mlp", p=0.02),
    ]
    dim, head = advise(found("probe_generalization"), rows)
    assert "consider lowering the z_dim: -3.40 points per ln" in dim.text
    assert "(95 %: -4.40 to -2.40;" in dim.text
    assert "The cost: +4.00 points per ln in usability (95 %: +3.00 to +5.00;" in dim.text
    assert dim.text.endswith("Effects are for lowering it.")
    assert "consider the head mlp instead of linear: -2.50 points in probe" in head.text


def test_rows_that_hold_zero_or_contradict_each_other_suggest_nothing() -> None:
    rows = [
        row("controlled", "epochs", "usability", -1.0, 2.0),
        row("controlled", "z_dim", "usability", -3.0, 1.0),
        row("linear", "z_dim", "usability", 3.0, 1.0),
        row("controlled", "nviews", "probe_gen", -3.0, 1.0),
    ]
    (one,) = advise(found("usability"), rows)
    assert (one.evidence, one.sure, one.component) == ((), NONE, "usability")
    assert "Of 4 rows of evidence, none" in one.text
    (none,) = advise(found("usability"), [])
    assert none.sure == NONE


def test_the_same_choice_at_other_levels_is_another_choice() -> None:
    rows = [
        row("controlled", "head", "usability", -12.0, 5.0, level="mlp", reference="identity"),
        row("linear", "head", "usability", -2.0, 1.0, level="mlp", reference="linear"),
    ]
    told = advise(found("usability"), rows)
    assert [one.sure for one in told] == [ONE, ONE]
    assert all(len(one.evidence) == 1 for one in told)


def test_encoder_generalization_tells_what_it_means_only_above_zero() -> None:
    large = Estimate(0.3, 0.2, 0.4)
    (one,) = advise(found("encoder_generalization", encoder_generalization=large), [])
    assert "labels may have entered the pretraining" in one.text
    assert "Of 0 rows" in one.text
    around = Estimate(0.3, -0.2, 0.8)
    (none,) = advise(found("encoder_generalization", encoder_generalization=around), [])
    assert "labels" not in none.text
    assert "does not exclude 0" in none.text
    rows = [row("linear", "data", "enc_gen", -2.5, 1.0), row("linear", "x", "enc_gen", 1.0, 2.0)]
    (told,) = advise(found("encoder_generalization", encoder_generalization=large), rows)
    assert "Of 2 rows of evidence on this component, 1 exclude 0" in told.text
    assert told.evidence == ("linear/data/enc_gen",)


def test_an_advice_is_frozen_and_plain() -> None:
    one = Advice("text", "usability", ("a", "b"), ONE)
    assert json.loads(json.dumps(one.as_json())) == {
        "text": "text",
        "component": "usability",
        "evidence": ["a", "b"],
        "sure": ONE,
    }
    with pytest.raises(AttributeError):
        one.text = "other"  # type: ignore[misc]


@pytest.mark.parametrize("dominant", ["usability", "probe_generalization", "approximation"])
def test_every_number_of_a_text_is_one_of_its_rows(dominant: str) -> None:
    by_name = {r["name"]: r for r in published_evidence()}
    told = advise(found(dominant))
    assert told
    for one in told:
        assert one.component == dominant
        assert one.evidence
        known = {
            round(abs(by_name[name][key]), 2)
            for name in one.evidence
            for key in ("effect", "low", "high")
        }
        assert numbers(one.text) <= known
        column = {"usability": "usability", "approximation": "approx"}.get(dominant, "probe_gen")
        about = [by_name[n] for n in one.evidence if by_name[n]["component"] == column]
        assert about
        assert all(r["low"] > 0 or r["high"] < 0 for r in about)
        assert one.sure == (BOTH if len({r["method"] for r in about}) == 2 else ONE)
    sures = [one.sure for one in told]
    assert sures == sorted(sures, key=lambda s: s != BOTH)


def test_the_published_rows_suggest_the_tradeoff_of_the_dimension() -> None:
    first = advise(found("usability"))[0]
    assert first.sure == BOTH
    assert "raising the dimension of the representation" in first.text
    assert "The cost: +3.75 points per ln in probe generalization" in first.text
    first = advise(found("probe_generalization"))[0]
    assert "lowering the dimension of the representation" in first.text


def test_names_are_unique_and_rows_say_where_they_come_from() -> None:
    rows = published_evidence()
    names = [r["name"] for r in rows]
    assert len(set(names)) == len(names) > 100
    assert {r["source"] for r in rows} == {f"all_results.csv sha256:{SHA256}"}
    assert all(r["low"] < r["effect"] < r["high"] and 0 <= r["p"] <= 1 for r in rows)
    assert all((r["p"] < 0.05) == (r["low"] > 0 or r["high"] < 0) for r in rows)
    assert "train_rank" not in {r["choice"] for r in rows}


def test_the_packaged_rows_are_those_of_the_table(tmp_path: Path) -> None:
    if not TABLE.exists():
        pytest.skip("the table of 169 models beside the checkout (../shared/data/zoo) is not here")
    assert main([str(TABLE), str(tmp_path / "rows.json")]) == 0
    made = json.loads((tmp_path / "rows.json").read_text())
    packaged = published_evidence()
    assert [r["name"] for r in made] == [r["name"] for r in packaged]
    for a, b in zip(made, packaged, strict=True):
        assert {k: v for k, v in a.items() if not isinstance(v, float)} == {
            k: v for k, v in b.items() if not isinstance(v, float)
        }
        for key in ("effect", "low", "high", "p"):
            assert a[key] == pytest.approx(b[key], rel=1e-5, abs=1e-9)


def test_rows_of_another_table_are_read_back(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "objective": list("aabbcc"),
            "epochs": [100, 200] * 3,
            "usability": [20.0, 18.1, 30.0, 28.2, 25.0, 22.8],
        },
        index=list("uvwxyz"),
    )
    frame.to_csv(tmp_path / "t.csv", index_label="model")
    rows = evidence(read_table(tmp_path / "t.csv"))
    (controlled,) = [r for r in rows if r["name"] == "controlled/epochs/usability"]
    assert controlled["effect"] == pytest.approx(-(1.9 + 1.8 + 2.2) / 3 / 0.693147, rel=1e-4)
    path = tmp_path / "rows.json"
    for held in (rows, {"evidence": rows}):
        path.write_text(json.dumps(held))
        assert read_evidence(path) == rows
    assert "raising the epochs" in advise(found("usability"), read_evidence(path))[0].text
    path.write_text(json.dumps([{k: v for k, v in controlled.items() if k != "p"}]))
    with pytest.raises(ValueError, match="row 1 of the evidence: expected a key 'p'"):
        read_evidence(path)
    path.write_text('{"rows": []}')
    with pytest.raises(ValueError, match="expected a list of rows"):
        read_evidence(path)


def test_a_mistake_on_the_command_line_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 2
    assert main([str(tmp_path / "none.csv"), str(tmp_path / "o.json")]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert "no such file" in told[1]
    assert not (tmp_path / "o.json").exists()


def test_advice_needs_no_pandas() -> None:
    code = (
        "import sys; import jessl.risk.advice as a; a.published_evidence(); "
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
