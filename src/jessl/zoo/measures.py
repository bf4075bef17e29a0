"""Which statistics of representations correlate with the error, overall and within kinds."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from jessl.zoo.resample import MOST_ROWS, SAMPLED, correlated
from jessl.zoo.section import Row, section
from jessl.zoo.table import Models

KINDS = ("family", "architecture_exact", "ssl_mode", "objective")
FEWEST = 8  # models of a kind below which its correlation is not reported


def with_errors(models: Models) -> list[Row]:
    """Spearman's rho of every statistic with every error and component, of all models."""
    rows = []
    targets = {**models.settings, **{c: c for c in models.components}}
    for statistic in models.statistics:
        for name, column in targets.items():
            pair = models.frame[[statistic, column]].dropna()
            if len(pair) < 4 or pair.nunique().min() < 2:
                continue
            rho = stats.spearmanr(pair[statistic], pair[column])
            rows.append(
                {
                    "statistic": statistic,
                    "with": name,
                    "n": len(pair),
                    "spearman": rho.statistic,
                    "p": rho.pvalue,
                }
            )
    return rows


def ranks_within(models: Models, seed: int = 0) -> list[Row]:
    """Spearman's rho of the ranks among the statistics with every error, within kinds of models."""
    ranks = [s for s in models.statistics if "rank" in s]
    rows = []
    for statistic in ranks:
        for kind, value, part in _kinds(models.frame[models.frame[statistic].notna()]):
            for name, column in models.settings.items():
                result = correlated(part[statistic].to_numpy(), part[column].to_numpy(), seed)
                if result["n"] < FEWEST:
                    continue
                row: Row = {"statistic": statistic, "kind": kind, "value": value, "with": name}
                row |= {k: v for k, v in result.items() if k == "n" or k.startswith("spearman")}
                rows.append(row)
    return rows


def measures(models: Models, seed: int = 0) -> dict[str, object]:
    """Correlations of statistics of representations with errors."""
    question = "Does a label-free statistic, such as a rank, predict the error?"
    if not models.statistics:
        return section(question, {}, ["the table has no statistic of representations"])
    notes = [SAMPLED] if len(models.frame) > MOST_ROWS else []
    if "train_rank" in models.statistics:
        notes.append(
            "train_rank of the published table is a thresholded numerical rank, not RankMe"
        )
    return section(
        question,
        {
            "ranks_within": (
                "Spearman's rho of ranks of representations with the error, over all models and "
                f"within kinds of at least {FEWEST}; negative: a higher rank, a smaller error",
                ranks_within(models, seed),
            ),
            "all_models": (
                "Spearman's rho of every statistic with errors and components, over all models",
                with_errors(models),
            ),
        },
        notes,
    )


def _kinds(frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    kinds: list[tuple[str, str, pd.DataFrame]] = [("all", "all", frame)]
    for kind in KINDS:
        if kind in frame.columns:
            parts = frame.groupby(kind, sort=True)
            kinds += [(kind, str(value), part) for value, part in parts if len(part) >= FEWEST]
    return kinds
