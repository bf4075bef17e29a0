"""The result of `jessl.select`: candidates, settings, choices and groups, as plain values."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from jessl.core.deprecation import RenamedMember
from jessl.core.notebook import WARNING, Described
from jessl.core.rank_correlation import Agreement
from jessl.schema import is_share, score_title
from jessl.selection.regret import RegretEstimate

ORACLE = "accuracy/logistic"


@dataclass(frozen=True)
class Candidate:
    """A run in a selection.

    Attributes:
        run: its name; path: its folder; method: its objective.
        value: the criterion, NaN where the run diverged; sd: over samples of images (block
            jackknife), None where unknown.
        n, d: rows and features that the criterion was computed from; None where unknown.
        data: checksum of the images.
        chosen: whether it is the run to take from its group.
        setting: the fields in which it differs from the other runs of the group, except the seed.
        seed: of its training.
        diverged: whether the score or the last loss is not finite; such a run is never chosen.
        counted: False where a newer run has the same setting and seed.
        scores: the other requested scores.
        warnings: reasons to doubt its value.
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
class RankedSetting:
    """A setting in the order of its group.

    Attributes:
        name: the fields that distinguish it from the others; fields: the same as values.
        seeds: number of runs that count; diverged: how many of them diverged.
        mean: the criterion over the seeds; seed_sd: its standard deviation between them, None for
            one; sd: over samples of images, root mean square of the runs'.
        tied: whether it cannot be distinguished from the best; chosen: whether it is the choice.
        scores: means of the other scores.
        oracle, oracle_sd: mean and standard deviation over seeds of the number with labels, None
            where it was not measured.
    """

    name: str
    fields: dict[str, object]
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
    """The choice of one score in a group.

    Attributes:
        score: its name; setting: its choice, path: the run to take, None where all diverged.
        rule: the rule that decided, in words.
        tied: settings that cannot be distinguished from the best, which is one of them.
        noise: where the spread comes from: "seeds", "images" (jackknife alone) or "none".
        df: its degrees of freedom.
        agreement: Kendall's tau-b with the order by the selection's own score.
        regret: the regret of the choice by the numbers with labels, where there are any.
        warnings: reasons to doubt the order.
    """

    score: str
    setting: str | None
    path: str | None
    rule: str
    tied: tuple[str, ...]
    noise: str
    df: float | None
    agreement: Agreement
    regret: RegretEstimate | None
    warnings: tuple[str, ...]

    verdict = RenamedMember("regret")


@dataclass(frozen=True)
class Group:
    """Runs that can be compared: settings, best first, and one choice per score, `by` first."""

    name: str
    settings: tuple[RankedSetting, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True, repr=False)
class Selection(Described):
    """The result of `select`.

    Attributes:
        by: the criterion.
        chosen: group -> folder of the run to take. A group is a method, where the method has one
            width and one set of images.
        ranking: all candidates, group by group, best setting first, diverged ones last.
        warnings: reasons to doubt the order.
        groups: the settings with their error bars, and the choice of every score.
        oracle: the record that holds the number with labels.
    """

    by: str
    chosen: dict[str, str]
    ranking: tuple[Candidate, ...]
    warnings: tuple[str, ...]
    groups: tuple[Group, ...] = ()
    oracle: str = ORACLE

    @property
    def conclusion(self) -> str:
        """The run to take of every group, its score and how certain the choice is.

        Example:
            >>> jessl.select("studies/lr").conclusion  # doctest: +SKIP
            'Take studies/lr/runs/lr0.1-s0 (lr=0.1): view retrieval 17.3 % ± 0.5 (sd over seeds),
            the best of 4 settings; 1 other cannot be distinguished from it'
        """
        texts = [_choice_in_words(group) for group in self.groups if group.choices]
        if not texts:
            texts = [f"Take {path}" for path in self.chosen.values()]
        if len(texts) > 1:
            names = [group.name for group in self.groups if group.choices]
            texts = [f"{name}: {text}" for name, text in zip(names, texts, strict=False)]
        return ". ".join(texts) or "No run can be chosen"

    def describe(self) -> list[tuple[str, str]]:
        """The run to take of every group, and warnings."""
        chosen = [(f"take for {group}:", run) for group, run in self.chosen.items()]
        return [*chosen, ("chosen by", self.by), *((WARNING, text) for text in self.warnings)]

    def as_json(self) -> dict[str, object]:
        """All fields as values that JSON holds; None for what is not finite."""
        values = asdict(self)
        for group in values["groups"]:
            group["choices"] = [
                # the key of the file format
                {"verdict" if name == "regret" else name: value for name, value in choice.items()}
                for choice in group["choices"]
            ]
        plain = {name: finite_json(value) for name, value in values.items()}
        return {"conclusion": self.conclusion, **plain}


def _choice_in_words(group: Group) -> str:
    """The choice of the score that decides."""
    choice = group.choices[0]
    setting = next((s for s in group.settings if s.name == choice.setting), None)
    if choice.path is None or setting is None:
        return f"No run can be chosen by {score_in_words(choice.score)}: {choice.rule}"
    name = f" ({setting.name})" if setting.name else ""
    text = f"Take {choice.path}{name}: {value_in_words(choice.score, setting.mean)}"
    spread, over = setting.seed_sd, "seeds"
    if spread is None:
        spread, over = setting.sd, "images"
    if spread is not None:
        text += f" ± {spread_in_words(choice.score, spread)} (sd over {over})"
    if len(group.settings) > 1:
        place = "the best" if setting is group.settings[0] else "chosen"
        text += f", {place} of {len(group.settings)} settings"
    others = sum(s.tied and s is not setting for s in group.settings)
    if others:
        text += f"; {others} other{'' if others == 1 else 's'} cannot be distinguished from it"
    if choice.regret is not None:
        text += f"; labels: {choice.regret.chosen:.3f}, "
        text += (
            "no setting is better"
            if choice.regret.regret <= 0
            else f"the best ({choice.regret.best_setting}) {choice.regret.best:.3f}"
        )
    return text


def score_in_words(score: str) -> str:
    """`view retrieval`, `RankMe at the projector`; other texts as they are.

    Example:
        >>> score_in_words("rankme/projector")
        'RankMe at the projector'
    """
    name, _, layer = score.partition("/")
    title = score_title(name)
    return title if layer in ("", "backbone") else f"{title} at the {layer}"


def value_in_words(score: str, value: float) -> str:
    """A score with its name: `view retrieval 17.3 %`, `RankMe at the projector 24.25`."""
    number = f"{100 * value:.1f} %" if is_share(score) else f"{value:.4g}"
    return f"{score_in_words(score)} {number}"


def spread_in_words(score: str, spread: float) -> str:
    """A standard deviation of it, in the same unit, with two digits."""
    return f"{100 * spread if is_share(score) else spread:.2g}"


def finite_json(value: object) -> object:
    """The value without NaN and infinities, which JSON does not hold, at any depth."""
    if isinstance(value, dict):
        return {k: finite_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite_json(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
