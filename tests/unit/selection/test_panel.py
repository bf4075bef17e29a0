"""The panel of unlike criteria: votes, the guard, abstention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from jessl.cli.main import main
from jessl.selection import select
from jessl.selection.panel import FAMILIES, vote
from jessl.selection.ties_and_plateaus import SettingComparison


def compared(utilities: Sequence[float], tied: Sequence[int] = ()) -> SettingComparison:
    finite = [u for u in utilities if math.isfinite(u)]
    best = list(utilities).index(max(finite)) if finite else None
    none = tuple(None for _ in utilities)
    return SettingComparison(
        means=tuple(utilities), utilities=tuple(utilities), seed_sds=none, image_sds=none,
        log=False, noise="seeds", df=5.0, best=best, chosen=best, rule="",
        tied=tuple(k == best or k in tied for k in range(len(utilities))),
    )  # fmt: skip


def test_the_families_agree() -> None:
    result = vote({"views": compared([1, 3, 2]), "task": compared([1, 5, 4])}, [False] * 3)
    assert (result.chosen, result.mean_ranks) == (1, (3.0, 1.0, 2.0))
    assert result.best == {"views": (1,), "task": (1,)}


def test_ties_share_their_ranks_and_let_families_meet() -> None:
    views, task = compared([3, 2.9, 1], tied=[1]), compared([2, 5, 1])
    result = vote({"views": views, "task": task}, [False] * 3)
    assert result.mean_ranks == ((1.5 + 2) / 2, (1.5 + 1) / 2, 3.0)
    assert result.chosen == 1
    # both agree on two: the lower mean rank, and if equal what the first family prefers
    both = vote({"views": compared([3, 2.9], [1]), "task": compared([2, 2.1], [0])}, [False] * 2)
    assert both.chosen == 0


def test_families_that_do_not_meet_keep_the_default() -> None:
    result = vote({"views": compared([3, 2, 1]), "task": compared([1, 2, 3])}, [False] * 3)
    assert result.chosen is None
    assert result.rule == "the families do not meet: keep the default"
    assert result.mean_ranks == (2.0, 2.0, 2.0)


def test_settings_below_the_untrained_encoder_are_dropped() -> None:
    collapsed = {"views": compared([0.5, 3, 9]), "task": compared([1, 5, 9])}
    result = vote(collapsed, [False, False, True])
    assert (result.chosen, result.dropped) == (1, (2,))
    assert math.isnan(result.mean_ranks[2])
    nothing = vote(collapsed, [True] * 3)
    assert nothing.chosen is None
    assert nothing.rule == "all settings are below the untrained encoder, or lack a score"


def test_a_setting_without_a_value_is_dropped() -> None:
    result = vote({"views": compared([math.nan, 1, 2]), "task": compared([9, 1, 2])}, [False] * 3)
    assert (result.chosen, result.dropped) == (2, (0,))


def test_one_setting_is_the_choice() -> None:
    assert vote({"views": compared([1.0])}, [False]).chosen == 0


def test_select_by_the_panel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {
        "run": list("abcdef"),
        "method": "simclr",
        "lr": [1, 1, 2, 2, 3, 3],
        "seed": [0, 1] * 3,
        "view_retrieval_backbone": [0.1, 0.11, 0.3, 0.31, 0.2, 0.21],
        "cross_view_reliability_backbone": [0.2, 0.21, 0.4, 0.41, 0.3, 0.31],
        "rotation_backbone": [0.4, 0.41, 0.6, 0.61, 0.5, 0.51],
        "accuracy_logistic": [0.5, 0.5, 0.7, 0.7, 0.6, 0.6],
    }
    table = tmp_path / "study.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    selection = select(table, by="panel", scores=("view_retrieval/backbone",))
    assert (selection.by, selection.chosen) == ("panel", {"simclr": "d"})
    (group,) = selection.groups
    assert [c.score for c in group.choices] == ["panel", *FAMILIES.values()]
    assert [s.mean for s in group.settings] == [1.0, 2.0, 3.0]
    assert group.choices[0].regret is not None
    assert group.choices[0].regret.regret == 0
    assert "task (rotation/backbone) votes for lr=2" in "\n".join(selection.warnings)
    assert main(["select", str(table), "--by", "panel"]) == 0
    assert "by panel: the lowest mean rank (1)" in capsys.readouterr().out
    # families that do not meet
    rows["rotation_backbone"] = [0.9, 0.91, 0.6, 0.61, 0.5, 0.51]
    pd.DataFrame(rows).to_csv(table, index=False)
    selection = select(table, by="panel")
    assert selection.chosen == {}
    assert selection.groups[0].choices[0].setting is None
    assert main(["select", str(table), "--by", "panel"]) == 0
    told = capsys.readouterr()
    assert "No run can be chosen by panel: the families do not meet: keep the default" in told.out
    assert "votes for lr=1" in told.err


def _table(path: Path, **columns: list[float]) -> Path:
    rows = {"run": ["a", "b", "c"], "method": ["vicreg"] * 3, "lr": [0.1, 0.2, 0.4], **columns}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_view_retrieval_is_the_default_where_it_is_there(tmp_path: Path) -> None:
    ranks = {"rankme_projector": [9.0, 8.0, 1.0]}
    both = _table(tmp_path / "all.csv", **ranks, view_retrieval_backbone=[0.1, 0.5, 0.2])
    result = select(both)
    assert (result.by, result.chosen) == ("view_retrieval/backbone", {"vicreg": "b"})
    assert select(both, by="rankme").chosen == {"vicreg": "a"}
    older = select(_table(tmp_path / "older.csv", **ranks))
    assert (older.by, older.chosen) == ("rankme/projector", {"vicreg": "a"})
    assert "not all runs have view_retrieval/backbone" in older.warnings[-1]
