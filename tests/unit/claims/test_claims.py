"""The declared claims, their rows and the page that is computed from them."""

from __future__ import annotations

import json
import re

import pytest

from helpers.paths import ROOT
from jessl.claims.claim import (
    EXPERIMENT,
    NONE,
    RECORD,
    SCRIPT,
    load_claim,
    load_claims,
    parse_claim,
)
from jessl.claims.experiments import BASELINES, load_experiment
from jessl.claims.extraction import extract_parts
from jessl.claims.page import claims_page
from jessl.claims.rows import read_rows
from jessl.cli.main import main

RECORDS = ROOT / "benchmarks" / "records"
CLAIMS = load_claims()


def test_the_page_is_what_the_rows_say() -> None:
    page = claims_page(CLAIMS, read_rows(RECORDS / "claims"))
    assert (ROOT / "docs" / "claims.md").read_text(encoding="utf-8") == page, "make claims-page"


def test_every_claim_is_whole() -> None:
    for claim in CLAIMS:
        if claim.source == EXPERIMENT:
            experiment = load_experiment(claim.experiment or "")
            for one in claim.contrasts:
                assert {one.arm, one.against} <= {*experiment.arms, *BASELINES}, claim.id
                assert set(one.data) <= set(experiment.data), claim.id
            assert any(one.rule for one in claim.contrasts), claim.id
        elif claim.source == SCRIPT:
            file, name = (claim.script or "").split()
            assert f'"{name}"' in (ROOT / file).read_text(), claim.id
            assert name == claim.id
        elif claim.source == RECORD:
            assert claim.extractions, claim.id
        else:
            assert claim.source == NONE
            assert claim.reason, claim.id


def test_rows_are_of_claims_and_numbers_still_stand_in_the_records() -> None:
    rows = read_rows(RECORDS / "claims")
    assert set(rows) <= {claim.id for claim in CLAIMS}
    for claim in CLAIMS:
        if claim.source == RECORD:
            assert list(rows[claim.id].parts) == extract_parts(claim, RECORDS), claim.id
    for name, row in rows.items():
        text = (RECORDS / "claims" / f"{name}.md").read_text(encoding="utf-8")
        assert f"**{row.outcome}**" in text, name


def test_links_to_claims_lead_to_one() -> None:
    known = {claim.id for claim in CLAIMS}
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    links = 0
    for page in pages:
        text = page.read_text(encoding="utf-8")
        pattern = r"\]\((?:docs/)?claims\.md#([\w-]+)\)"
        if page.name == "claims.md":
            pattern = r"\]\(#([\w-]+)\)"
        for name in re.findall(pattern, text):
            assert name in known, f"{page.name}: {name}"
            links += 1
    assert links > len(known)


def test_mistakes_of_a_declaration() -> None:
    table = {"source": "none", "paper": "ours", "sentence": "s", "place": "p", "comparison": "c"}
    with pytest.raises(ValueError, match="claim x: expected the field reason"):
        parse_claim("x", table)
    with pytest.raises(ValueError, match="claim x: unknown field seed"):
        parse_claim("x", {**table, "reason": "r", "seed": 1})
    with pytest.raises(ValueError, match="unknown claim 'simclr-noise-onl'; did you mean"):
        load_claim("simclr-noise-onl")


def test_the_command(capsys: pytest.CaptureFixture, tmp_path) -> None:
    assert main(["claims", "show", "rankme-half-a-pont"]) == 2
    assert "did you mean 'rankme-half-a-point'" in capsys.readouterr().err
    records = ["--records", str(RECORDS / "claims")]
    assert main(["claims", "list", "--json", *records]) == 0
    listed = json.loads(capsys.readouterr().out)["claims"]
    assert [one["id"] for one in listed] == [claim.id for claim in CLAIMS]
    assert main(["claims", "show", "runs-stopped", *records]) == 0
    assert "VICReg, CIFAR-10" in capsys.readouterr().out
    assert main(["claims", "list", "--quick", *records]) == 2
    assert "--quick has no meaning with list" in capsys.readouterr().err
    assert main(["claims", "list", "--records", "nowhere"]) == 0
    assert "no results in nowhere: they lie in a checkout" in capsys.readouterr().err
    unmeasured = next(claim for claim in CLAIMS if claim.source == NONE)
    assert main(["claims", "run", unmeasured.id, "--records", str(tmp_path)]) == 2
    assert "not measured" in capsys.readouterr().err
    assert main(["claims", "show", unmeasured.id, "--records", str(tmp_path / "none")]) == 0
