"""Choosing among runs without labels: the verb `jessl.select`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from jessl.config import Select
from jessl.config.verb import takes_options
from jessl.core.rank_correlation import kendall, mean, pooled
from jessl.core.validation import unknown_name
from jessl.runs import Run
from jessl.selection.candidates import RunSummary, is_table, run_summaries
from jessl.selection.criteria import Criterion, parse_criterion
from jessl.selection.default_criterion import default_criterion
from jessl.selection.grouping import ComparableRuns, Setting, group_runs
from jessl.selection.panel import PANEL, deciding_criteria, panel_comparison
from jessl.selection.regret import estimate_regret
from jessl.selection.result import ORACLE, Candidate, Choice, Group, RankedSetting, Selection
from jessl.selection.selection_warnings import run_warnings, setting_warnings
from jessl.selection.ties_and_plateaus import SettingComparison, compare_settings, plateau_parameter
from jessl.views.presets import check_preset


@takes_options(Select, runs="runs_or_table")
def select(
    runs_or_table: Iterable[Run | str | Path] | Run | str | Path,
    *,
    by: str | None = None,
    scores: Sequence[str] = (),
    score_views: str | None = None,
    oracle: str = ORACLE,
    along: str | None = None,
    plateau: bool = True,
    force: bool = False,
) -> Selection:
    """Choose the best run of each method by label-free scores of its training images.

    By default view retrieval at the backbone chooses: the share of images whose view finds the
    other view of its own image among 500 others. Where not all runs have it, RankMe chooses, with a
    warning. by="panel": view retrieval, cross-view reliability and the rotation probe vote;
    settings below their untrained encoders are left out, and a group in which the three do not
    agree has no choice: keep the default.

    Scores compare runs of one method only (Garrido et al. 2023, section 3.2), and every score
    depends on n, d and the images: runs of another method, width or data set form another group.
    Within a group, runs that differ only in their seed are one setting. Fields that affect only
    rounding or speed (workers, device, ...) do not distinguish settings.

    Ties: a setting is tied with the best where the difference of their means is below
    q sqrt(v_best + v). v is the variance between seeds, pooled over the settings with two or more
    (df = the sum of seeds - 1), divided by the number of seeds of the setting. Where none has two,
    v is the variance of the jackknife alone, which does not cover the spread between trainings. q
    is the quantile of Student's t at .975, and beyond three settings at 1 - .05 / (settings - 1):
    then the setting that is truly best is among the tied ones in at least 95 % of all cases. Values
    that are all positive are compared by their logarithms.

    Plateaus: for scores that count directions (rankme, effective_rank, normalized_rank, lidar,
    nesum, stable_rank, participation_ratio, numerical_rank, matrix_entropy) the choice is the first
    value that reaches the plateau around the best, where one numeric hyperparameter orders the
    settings (see ties_and_plateaus.py; figure 4 of the paper). For all other scores it is the best.

    The run to take is the best seed of the chosen setting. Diverged runs (their score or last loss
    is not finite, or a sweep marked them) stay in the ranking and are never chosen.

    Example:
        >>> jessl.select("studies/cov").chosen  # doctest: +SKIP

    Args:
        runs_or_table: run folders, folders that hold runs, Runs; or one .csv or .parquet file with
            one row per run (columns as written by `jessl report --table`, hyperparameters under
            their names).

    Raises:
        ValueError: for an unknown score, field or oracle, a folder that holds no run, or when no
            run has finished its training.
    """
    others = [scores] if isinstance(scores, str) else scores
    if not isinstance(runs_or_table, str | Path | Run):
        runs_or_table = [*runs_or_table]  # read twice
    notes: list[str] = []
    if by is None:
        by, notes = default_criterion(runs_or_table)
    by_panel = by == PANEL
    criteria = [*deciding_criteria(by), *(parse_criterion(text, "scores") for text in others)]
    criteria = list({c.text: c for c in criteria}.values())
    if oracle.partition("/")[0] not in ("accuracy", "risk") or "/" not in oracle:
        raise ValueError(f"oracle: expected accuracy/NAME or risk/NAME, got {oracle!r}")
    if score_views is not None:
        _rescore(runs_or_table, criteria, check_preset(score_views, "score_views"))
    summaries = run_summaries(runs_or_table, criteria, oracle)
    if not summaries.runs:
        raise ValueError(
            f"none of the runs has a final {criteria[0].text}: no training was finished; resume "
            f"{summaries.unfinished[0]} with pretrain --resume"
        )
    if oracle != ORACLE and all(e.oracle is None for e in summaries.runs):
        raise ValueError(f"oracle: none of the runs has a record {oracle} of test images")
    comparable, warnings = group_runs(summaries.runs, criteria[0], force=force)
    if summaries.unfinished:
        warnings.append(f"left out, not finished: {', '.join(summaries.unfinished)}")
    _check_along(comparable, along)
    ranking: list[Candidate] = []
    groups = []
    chosen: dict[str, str] = {}
    for group in comparable:
        result, candidates = _choose(group, criteria, oracle, along, plateau, by_panel=by_panel)
        groups.append(result)
        ranking += candidates
        first = result.choices[0]
        if first.path is not None:
            chosen[group.name] = first.path
        warnings += [f"{group.name}: {warning}" for warning in run_warnings(group)]
        for choice in result.choices:
            score = "" if choice is first else f" {choice.score}:"
            warnings += [f"{group.name}:{score} {warning}" for warning in choice.warnings]
    warnings += notes
    return Selection(
        by=PANEL if by_panel else criteria[0].text,
        chosen=chosen,
        ranking=tuple(ranking),
        warnings=tuple(warnings),
        groups=tuple(groups),
        oracle=oracle,
    )


def _rescore(
    runs_or_table: Iterable[Run | str | Path] | Run | str | Path,
    criteria: list[Criterion],
    recipe: str,
) -> None:
    """Take the scores of views under a recipe, where they were not; a table has no images."""
    # imports torch, which choosing by records does not need
    from jessl.selection.run_evaluation import rescore_runs

    runs = [runs_or_table] if isinstance(runs_or_table, str | Path | Run) else [*runs_or_table]
    if any(is_table(run) for run in runs):
        raise ValueError("score_views: a table holds no images to take views of; give run folders")
    rescore_runs(runs, criteria, recipe)


def _check_along(groups: Sequence[ComparableRuns], along: str | None) -> None:
    """Require that `along` orders the settings of at least one group."""
    if along is None or any(plateau_parameter(group.settings, along) for group in groups):
        return
    names = sorted({name for group in groups for s in group.settings for name in s.fields})
    if any(along in (name, name.rpartition(".")[2]) for name in names):
        raise ValueError(
            f"along: the values of {along} are not numbers in one group, or not unique"
        )
    if not names:
        raise ValueError(f"along: no hyperparameter varies between the runs, got {along!r}")
    raise ValueError(unknown_name("along", along, names))


def _choose(
    group: ComparableRuns,
    criteria: list[Criterion],
    oracle: str,
    along: str | None,
    plateau: bool,
    *,
    by_panel: bool,
) -> tuple[Group, list[Candidate]]:
    """A group with the choice of every criterion, and its runs in order."""
    settings = group.settings
    comparisons = {
        c.text: compare_settings(settings, c, along=along, plateau=plateau) for c in criteria
    }
    first = comparisons[criteria[0].text]
    votes: list[str] = []
    if by_panel:
        first, votes = panel_comparison(settings, comparisons)
    labels = [[e.oracle for e in s.sound if e.oracle is not None] for s in settings]
    choices = []
    compared = [(c.text, c, comparisons[c.text]) for c in criteria]
    if by_panel:
        compared.insert(0, (PANEL, criteria[0], first))
    for name, criterion, comparison in compared:
        regret = chosen = None
        if comparison.chosen is not None:
            chosen = settings[comparison.chosen]
            regret = estimate_regret(
                comparison.utilities,
                labels,
                [s.name for s in settings],
                comparison.chosen,
                higher_is_better=oracle.startswith("accuracy/"),
            )
        choices.append(
            Choice(
                score=name,
                setting=None if chosen is None else chosen.name,
                path=None if chosen is None else _best_run(chosen, criterion).path,
                rule=comparison.rule,
                tied=tuple(
                    s.name for s, is_tied in zip(settings, comparison.tied, strict=True) if is_tied
                ),
                noise=comparison.noise,
                df=comparison.df,
                agreement=kendall(comparison.utilities, first.utilities),
                regret=regret,
                warnings=tuple(
                    votes if name == PANEL else setting_warnings(group, criterion, comparison)
                ),
            )
        )
    order = sorted(
        range(len(settings)),
        key=lambda k: math.inf if math.isnan(first.utilities[k]) else -first.utilities[k],
    )
    beside = criteria if by_panel else criteria[1:]
    ranked = [_ranked(settings[k], k, first, comparisons, beside, labels[k]) for k in order]
    best = None if first.chosen is None else _best_run(settings[first.chosen], criteria[0])
    ranking = [
        _candidate(run, settings[k], criteria, run is best)
        for k in order
        for run in _runs_best_first(settings[k], criteria[0])
    ]
    ranking.sort(key=lambda c: c.diverged)
    return Group(group.name, tuple(ranked), tuple(choices)), ranking


def _runs_best_first(setting: Setting, by: Criterion) -> list[RunSummary]:
    """The runs of a setting, best first."""

    def order(run: RunSummary) -> float:
        utility = by.utility(run.measured[by.text].value)
        return math.inf if math.isnan(utility) else -utility

    return [*sorted(setting.runs, key=order), *setting.older]


def _best_run(setting: Setting, by: Criterion) -> RunSummary:
    """The run that represents a setting: its best seed."""
    return next(run for run in _runs_best_first(setting, by) if run.diverged is None)


def _ranked(
    setting: Setting,
    k: int,
    first: SettingComparison,
    comparisons: dict[str, SettingComparison],
    beside: list[Criterion],
    labels: list[float],
) -> RankedSetting:
    variance, _ = pooled([labels])
    return RankedSetting(
        name=setting.name,
        fields=setting.fields,
        seeds=len(setting.runs),
        diverged=len(setting.runs) - len(setting.sound),
        mean=first.means[k],
        seed_sd=first.seed_sds[k],
        sd=first.image_sds[k],
        tied=first.tied[k],
        chosen=k == first.chosen,
        scores={c.text: comparisons[c.text].means[k] for c in beside},
        oracle=mean(labels) if labels else None,
        oracle_sd=None if variance is None else math.sqrt(variance),
    )


def _candidate(
    run: RunSummary, setting: Setting, criteria: list[Criterion], chosen: bool
) -> Candidate:
    measured = run.measured[criteria[0].text]
    return Candidate(
        run=run.run,
        path=run.path,
        method=run.method,
        value=measured.value,
        sd=measured.sd,
        n=measured.n,
        d=measured.d,
        data=run.data,
        chosen=chosen,
        setting=setting.name,
        seed=run.seed,
        diverged=run.diverged is not None,
        counted=all(run is not older for older in setting.older),
        scores={c.text: run.measured[c.text].value for c in criteria[1:]},
        warnings=measured.warnings,
    )
