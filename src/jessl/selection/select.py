"""Choosing among runs without labels: the verb `jessl.select`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jessl.core.rank_correlation import Agreement, kendall, mean, pooled
from jessl.core.validation import unknown_name
from jessl.runs import Run
from jessl.selection.candidates import RunSummary, run_summaries
from jessl.selection.criteria import Criterion, criterion
from jessl.selection.grouping import Comparable, Setting, grouped
from jessl.selection.regret import RegretEstimate, estimate_regret
from jessl.selection.selection_warnings import warnings_of_runs, warnings_of_settings
from jessl.selection.ties_and_plateaus import Compared, axis_of, compared

ORACLE = "accuracy/logistic"


@dataclass(frozen=True)
class Candidate:
    """A run as a selection sees it.

    Attributes:
        run: its name; path: its folder; method: its objective.
        value: the criterion, NaN where the run diverged; sd: over samples of images (block
            jackknife), None where unknown.
        n, d: rows and features that it was taken on; None where unknown.
        data: checksum of the images.
        chosen: whether it is the one to take of its group.
        setting: what tells it from the other runs of the group, but the seed.
        seed: of its training.
        diverged: whether the score or the last loss is not finite: never chosen.
        counted: False where a newer run has the same setting and seed.
        scores: the other scores asked for.
        warnings: what makes its value doubtful.
    """

    run: str
    path: str
    method: str
    value: float
    sd: float | None
    n: int | None
    d: int | None
    data: str
    chosen: bool
    setting: str = ""
    seed: int | None = None
    diverged: bool = False
    counted: bool = True
    scores: dict[str, float] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rank:
    """A setting in the order of its group.

    Attributes:
        name: the fields that tell it from the others; fields: the same as values.
        seeds: runs that count; diverged: how many of them are no number.
        mean: the criterion over the seeds; seed_sd: its standard deviation between them, None for
            one; sd: over samples of images, root mean square of the runs'.
        tied: whether the best cannot be told from it; chosen: whether it is to be taken.
        scores: means of the other scores.
        oracle, oracle_sd: mean and standard deviation over seeds of what labels say, None where
            that was not measured.
    """

    name: str
    fields: dict[str, Any]
    seeds: int
    diverged: int
    mean: float
    seed_sd: float | None
    sd: float | None
    tied: bool
    chosen: bool
    scores: dict[str, float]
    oracle: float | None
    oracle_sd: float | None


@dataclass(frozen=True)
class Choice:
    """What one score chooses in a group.

    Attributes:
        score: its name; setting: its choice, path: the run to take, None where all diverged.
        rule: what decided, in words.
        tied: settings that cannot be told from the best, itself among them.
        noise: where the spread comes from: "seeds", "images" (jackknife alone) or "none".
        df: its degrees of freedom.
        agreement: Kendall's tau-b with the order by the selection's own score.
        verdict: what labels say of the choice, where they were asked.
        warnings: why the order may mean less than it seems.
    """

    score: str
    setting: str | None
    path: str | None
    rule: str
    tied: tuple[str, ...]
    noise: str
    df: float | None
    agreement: Agreement
    verdict: RegretEstimate | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Runs that can be compared: settings best first, and a choice a score, `by` first."""

    name: str
    settings: tuple[Rank, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Selection:
    """The answer of `select`.

    Attributes:
        by: the criterion.
        chosen: per group (a method, where it has one width and one set of images) the run to take.
        ranking: all candidates, group by group, best setting first, diverged ones last.
        warnings: why the order may mean less than it seems.
        groups: the settings with their error bars, and what every score chooses.
        oracle: the name of what labels say.
    """

    by: str
    chosen: dict[str, str]
    ranking: tuple[Candidate, ...]
    warnings: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    oracle: str = ORACLE

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds; None for what is not finite."""
        return _finite(asdict(self))


def select(
    runs_or_table: Iterable[Run | str | Path] | Run | str | Path,
    *,
    by: str = "rankme",
    scores: Sequence[str] = (),
    oracle: str = ORACLE,
    along: str | None = None,
    plateau: bool = True,
    force: bool = False,
) -> Selection:
    """Choose the best run of each method by a label-free score of its training images.

    RankMe compares runs of one method only (Garrido et al. 2023, section 3.2), and every score
    moves with n, d and the images by itself: runs of another method, width or data set are another
    group. In a group, runs that differ in their seed only are one setting. Fields that change
    nothing but rounding or speed (workers, device, ...) make no other setting.

    Ties: a setting is tied with the best where the difference of their means is below
    q sqrt(v_best + v). v is the variance between seeds, pooled over the settings with two or more
    (df = the sum of seeds - 1), divided by the setting's seeds; where none has two, the jackknife's
    variance alone, which does not cover the spread between trainings. q is the quantile of
    Student's t at .975, and beyond three settings at 1 - .05 / (settings - 1): then the setting
    that is truly best is among the tied in at least 95 % of all cases. Values that are all positive
    are compared by their logarithms.

    Plateaus: of scores that count directions (rankme, effective_rank, normalized_rank, lidar,
    nesum, stable_rank, participation_ratio, numerical_rank, matrix_entropy) the first value that
    reaches the plateau around the best is taken, where one numeric hyperparameter orders the
    settings (see ties_and_plateaus.py; figure 4 of the paper). Of all others the best.

    The run to take is the best seed of the chosen setting. Diverged runs (a score or last loss that
    is not finite, or so marked by a sweep) stay in the ranking and are never taken.

    Args:
        runs_or_table: run folders, folders that hold runs, Runs; or one .csv or .parquet file with
            a row a run (columns as of `jessl report --table`, hyperparameters under their names).
        by: NAME, NAME/LAYER, with options NAME:OPTION=VALUE, such as "rankme" (the projector, as
            published), "rankme/backbone"; or "loss", the last training loss.
        scores: others to be told beside it; they choose nothing.
        oracle: record of the split "test" (accuracy/..., risk/...) that says how much the choices
            lose against the best setting. It is told, and chooses nothing.
        along: the hyperparameter of the plateau, "lr" or "objective_options.cov" or "cov".
        plateau: False: always the best value.
        force: one group of all runs.

    Raises:
        ValueError: for an unknown score, field or oracle, a folder that holds no run, or when none
            of the runs was judged to its end.
    """
    others = [scores] if isinstance(scores, str) else scores
    wanted = [criterion(by), *(criterion(text, "scores") for text in others)]
    wanted = list({c.text: c for c in wanted}.values())
    if oracle.partition("/")[0] not in ("accuracy", "risk") or "/" not in oracle:
        raise ValueError(f"oracle: accuracy/NAME or risk/NAME wanted, got {oracle!r}")
    read = run_summaries(runs_or_table, wanted, oracle)
    if not read.found:
        raise ValueError(
            f"none of the runs has a final {wanted[0].text}: no training was finished; go on with "
            f"{read.left_out[0]} by pretrain --resume"
        )
    if oracle != ORACLE and all(e.oracle is None for e in read.found):
        raise ValueError(f"oracle: none of the runs has a record {oracle} of test images")
    comparable, warnings = grouped(read.found, wanted[0], force=force)
    if read.left_out:
        warnings.append(f"left out, not finished: {', '.join(read.left_out)}")
    _check_axis(comparable, along)
    ranking: list[Candidate] = []
    groups = []
    chosen: dict[str, str] = {}
    for group in comparable:
        made, candidates = _group(group, wanted, oracle, along, plateau)
        groups.append(made)
        ranking += candidates
        first = made.choices[0]
        if first.path is not None:
            chosen[group.name] = first.path
        warnings += [f"{group.name}: {told}" for told in warnings_of_runs(group)]
        for choice in made.choices:
            of = "" if choice is first else f" {choice.score}:"
            warnings += [f"{group.name}:{of} {told}" for told in choice.warnings]
    return Selection(wanted[0].text, chosen, tuple(ranking), tuple(warnings), tuple(groups), oracle)


def _check_axis(groups: Sequence[Comparable], along: str | None) -> None:
    """`along` has to put the settings of one group at least in order."""
    if along is None or any(axis_of(group.settings, along) for group in groups):
        return
    names = sorted({name for group in groups for s in group.settings for name in s.fields})
    if any(along in (name, name.rpartition(".")[2]) for name in names):
        raise ValueError(f"along: the values of {along} are no numbers in one group, or not unique")
    if not names:
        raise ValueError(f"along: no hyperparameter varies between the runs, {along!r} neither")
    raise ValueError(unknown_name("along", along, names))


def _group(
    group: Comparable, wanted: list[Criterion], oracle: str, along: str | None, plateau: bool
) -> tuple[Group, list[Candidate]]:
    settings = group.settings
    found = {c.text: compared(settings, c, along=along, plateau=plateau) for c in wanted}
    first = found[wanted[0].text]
    labels = [[e.oracle for e in s.sound if e.oracle is not None] for s in settings]
    choices = []
    for one in wanted:
        mine = found[one.text]
        verdict = None
        if mine.chosen is not None:
            verdict = estimate_regret(
                mine.merits,
                labels,
                [s.name for s in settings],
                mine.chosen,
                higher_is_better=oracle.startswith("accuracy/"),
            )
        choices.append(
            Choice(
                score=one.text,
                setting=None if mine.chosen is None else settings[mine.chosen].name,
                path=None if mine.chosen is None else _run_of(settings[mine.chosen], one).path,
                rule=mine.rule,
                tied=tuple(
                    s.name for s, is_tied in zip(settings, mine.tied, strict=True) if is_tied
                ),
                noise=mine.noise,
                df=mine.df,
                agreement=kendall(mine.merits, first.merits),
                verdict=verdict,
                warnings=tuple(warnings_of_settings(group, one, mine)),
            )
        )
    order = sorted(
        range(len(settings)),
        key=lambda k: math.inf if math.isnan(first.merits[k]) else -first.merits[k],
    )
    ranks = [_rank(settings[k], k, found, wanted, labels[k]) for k in order]
    taken = None if first.chosen is None else _run_of(settings[first.chosen], wanted[0])
    ranking = [
        _candidate(entry, settings[k], wanted, entry is taken)
        for k in order
        for entry in _in_order(settings[k], wanted[0])
    ]
    ranking.sort(key=lambda c: c.diverged)
    return Group(group.name, tuple(ranks), tuple(choices)), ranking


def _in_order(setting: Setting, by: Criterion) -> list[RunSummary]:
    """The runs of a setting, best first."""

    def place(entry: RunSummary) -> float:
        value = by.merit(entry.measured[by.text].value)
        return math.inf if math.isnan(value) else -value

    return [*sorted(setting.runs, key=place), *setting.older]


def _run_of(setting: Setting, by: Criterion) -> RunSummary:
    """The run that stands for a setting: its best seed."""
    return next(e for e in _in_order(setting, by) if e.diverged is None)


def _rank(
    setting: Setting,
    k: int,
    found: dict[str, Compared],
    wanted: list[Criterion],
    labels: list[float],
) -> Rank:
    first = found[wanted[0].text]
    variance, _ = pooled([labels])
    return Rank(
        name=setting.name,
        fields=setting.fields,
        seeds=len(setting.runs),
        diverged=len(setting.runs) - len(setting.sound),
        mean=first.means[k],
        seed_sd=first.seed_sds[k],
        sd=first.image_sds[k],
        tied=first.tied[k],
        chosen=k == first.chosen,
        scores={c.text: found[c.text].means[k] for c in wanted[1:]},
        oracle=mean(labels) if labels else None,
        oracle_sd=None if variance is None else math.sqrt(variance),
    )


def _candidate(
    entry: RunSummary, setting: Setting, wanted: list[Criterion], chosen: bool
) -> Candidate:
    own = entry.measured[wanted[0].text]
    return Candidate(
        run=entry.run,
        path=entry.path,
        method=entry.method,
        value=own.value,
        sd=own.sd,
        n=own.n,
        d=own.d,
        data=entry.data,
        chosen=chosen,
        setting=setting.name,
        seed=entry.seed,
        diverged=entry.diverged is not None,
        counted=all(entry is not older for older in setting.older),
        scores={c.text: entry.measured[c.text].value for c in wanted[1:]},
        warnings=own.warnings,
    )


def _finite(value: Any) -> Any:
    """The same without NaN and infinities, at any depth."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
