"""Which columns of a table are measurements, and on which scale seeds are held against settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from jessl import select
from jessl.selection.candidates import DistanceFromStart, RunSummary, run_summaries
from jessl.selection.criteria import CriterionValue, parse_criterion
from jessl.selection.grouping import ComparableRuns, Setting
from jessl.selection.selection_warnings import setting_warnings
from jessl.selection.ties_and_plateaus import compare_settings

MEASURED = (
    *("rankme_backbone", "rankme_projector", "rankme_projector_sd", "lidar_projector.2"),
    *("alpha_req:first=5_backbone", "alpha_req:first=5:last=50_projector_low", "loss", "loss_sd"),
    *("nesum_projector_debiased", "accuracy_knn", "accuracy_ridge_high", "online_accuracy_linear"),
    *("risk_total", "risk_usability_low", "risk_merged", "images_per_second", "rankme_backbone_n"),
)
FIELDS = (
    *("loss_weight", "risk_weight", "accuracy_weight", "rankme_weight", "lr", "lr_n", "crop_low"),
    *("rankme_backbone_weight", "lidar_projectors", "online_accuracy", "risk_total_weight"),
)


def test_only_whole_names_are_measurements(tmp_path: Path) -> None:
    frame = pd.DataFrame({"method": ["vicreg"], **dict.fromkeys((*MEASURED, *FIELDS), 1.0)})
    frame["crop"] = 1.0
    frame.to_csv(tmp_path / "t.csv", index=False)
    by = [parse_criterion("rankme"), parse_criterion("alpha_req:first=5/backbone")]
    (entry,) = run_summaries(tmp_path / "t.csv", by, "accuracy/mine").runs
    assert set(entry.fields) == {*FIELDS, "crop"}
    assert entry.measured[by[0].text].sd == 1


def test_a_weight_of_the_loss_tells_settings_apart(tmp_path: Path) -> None:
    rows = {"method": "vicreg", "seed": [0, 1] * 2, "loss_weight": [1, 1, 2, 2]}
    ranks = {"rankme_projector": [5.0, 5.1, 9.0, 9.1]}
    pd.DataFrame({**rows, **ranks}).to_csv(tmp_path / "t.csv", index=False)
    (group,) = select(tmp_path / "t.csv").groups
    assert [s.name for s in group.settings] == ["loss_weight=2", "loss_weight=1"]


def _told(rows: Sequence[Sequence[float]], by: str) -> str:
    wanted = parse_criterion(by)
    settings = tuple(
        Setting(
            f"lr={k}",
            {"lr": k},
            tuple(
                RunSummary(
                    run=f"{k}-{seed}", path="", method="x", seed=seed, fields={"lr": k},
                    measured={wanted.text: CriterionValue(float(value))},
                )
                for seed, value in enumerate(row)
            ),
        )
        for k, row in enumerate(rows)
    )  # fmt: skip
    found = compare_settings(settings, wanted, along=None, plateau=False)
    return "\n".join(setting_warnings(ComparableRuns("x", settings), wanted, found))


@pytest.mark.parametrize(
    ("rows", "by", "told"),
    [
        # ratios count: ln 9 apart at one setting, 3 between the two; differences say no (4, 7.07)
        ([[1, 9], [14.9, 15.1]], "rankme", "(sd 1.1 and 0.777 of the logarithms)"),
        # and the other way round (18 and 13.4)
        ([[1, 1.1], [2, 38]], "rankme", ""),
        # ten seeds that agree outweigh two that do not; a loss is compared as it is
        ([[0.99, 1.01] * 5, [1.0, 2.0]], "loss", ""),
        ([[0.9, 1.1] * 5, [1.0, 1.2]], "loss", "(sd 0.11 and 0.0707)"),
        # near 1 either side is as good
        ([[0.5, 0.7], [1.3, 1.5]], "alpha_req", "(sd 0.141 and"),
    ],
)
def test_seeds_are_held_against_settings_as_ties_are(
    rows: list[list[float]], by: str, told: str
) -> None:
    said = _told(rows, by)
    assert ("seeds of one setting disagree as much" in said) == bool(told)
    assert told in said


def _chosen_warnings(
    ranks: Sequence[float],
    field: str,
    *,
    by: str = "rankme",
    start: DistanceFromStart | None = None,
) -> str:
    """Warnings of a sweep of one field, 1, 2, 3, ..., with these ranks; the best is chosen."""
    wanted = parse_criterion(by)
    settings = tuple(
        Setting(
            f"{field}={k}",
            {field: k},
            (
                RunSummary(
                    run=str(k), path="", method="x", seed=0, fields={field: k}, start=start,
                    measured={wanted.text: CriterionValue(float(rank))},
                ),
            ),
        )
        for k, rank in enumerate(ranks, 1)
    )  # fmt: skip
    comparison = compare_settings(settings, wanted, along=None, plateau=False)
    return "\n".join(setting_warnings(ComparableRuns("x", settings), wanted, comparison))


def test_a_choice_at_the_edge_of_the_grid_is_named() -> None:
    assert "the largest lr of the 3 tried (3)" in _chosen_warnings([1, 2, 3], "lr")
    assert "the smallest lr of the 3 tried (1)" in _chosen_warnings([3, 2, 1], "lr")
    assert "may lie beyond" not in _chosen_warnings([1, 3, 2], "lr")
    assert "may lie beyond" not in _chosen_warnings([1, 2], "lr")
    # of a loss as well
    assert "the smallest lr" in _chosen_warnings([1, 2, 3], "lr", by="loss")


def test_a_rank_that_follows_an_option_of_the_loss_is_named() -> None:
    cov = "objective_options.cov"
    told = _chosen_warnings([10, 20, 30, 40], cov)
    assert "grows with objective_options.cov (Spearman +1.00 over 4 settings)" in told
    assert "falls with objective_options.cov (Spearman -1.00" in _chosen_warnings([4, 3, 2, 1], cov)
    assert "of the loss drives" not in _chosen_warnings([10, 40, 20, 30], cov)
    assert "of the loss drives" not in _chosen_warnings([10, 20, 30, 40], "lr")
    # a score that counts no directions is not driven
    assert "of the loss drives" not in _chosen_warnings([1, 2, 3, 4], cov, by="idest")


def test_an_encoder_that_has_hardly_trained_is_named() -> None:
    near, far = DistanceFromStart(0.04, 0.05, 0.01), DistanceFromStart(0.04, 0.09, 0.01)
    told = _chosen_warnings([1, 3, 2], "lr", start=near)
    assert (
        "hardly left its initialization: view retrieval 0.05 ± 0.01, before training 0.04" in told
    )
    assert "initialization" not in _chosen_warnings([1, 3, 2], "lr", start=far)
    assert "initialization" not in _chosen_warnings([1, 3, 2], "lr")
    assert "initialization" not in _chosen_warnings([1, 3, 2], "lr", by="idest", start=near)
