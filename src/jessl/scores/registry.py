"""The available scores, and how a score with options is written: NAME:OPTION=VALUE."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass

from jessl.core.discovery import public_modules
from jessl.core.extensions import Extensions, is_outside
from jessl.core.validation import check_choice, unknown_name
from jessl.scores import metrics
from jessl.scores.base import Options, RowScore, Score, SpectralScore


def _discover() -> dict[str, Score]:
    """The SCORE of every public file of the folder, the paper's first."""
    modules = public_modules(metrics.__name__, metrics.__path__)
    scores: dict[str, Score] = {name: module.SCORE for name, module in modules.items()}
    return {"rankme": scores.pop("rankme"), **scores}


def _check_score(member: object, where: str) -> Score:
    """A score of another package.

    Raises:
        ValueError: in one line, for anything else.
    """
    if not isinstance(member, SpectralScore | RowScore):
        raise ValueError(
            f"{where}: expected a jessl.scores.SpectralScore or RowScore, got "
            f"{getattr(member, '__name__', repr(member))}"
        )
    return member


SCORES = _discover()
EXTENSIONS: Extensions[Score] = Extensions("score", SCORES, _check_score)
SPECTRAL = tuple(name for name, s in SCORES.items() if isinstance(s, SpectralScore))
OF_VIEWS = tuple(name for name, s in SCORES.items() if isinstance(s, RowScore) and s.views)


def expand_groups(names: Iterable[str], *, views: bool, recipe: Container[str] = ()) -> list[str]:
    """Names of scores, "spectral" (all that need only the spectrum) and "all" replaced by theirs.

    Args:
        views: whether there are views of images; without them "all" leaves out what needs them.
        recipe: what the metadata say of the views; "all" leaves out scores of other views.

    Example:
        >>> expand_groups(["all"], views=False)[0]
        'rankme'
    """
    groups = {
        "spectral": SPECTRAL,
        "all": tuple(
            name
            for name, s in SCORES.items()
            if name not in OF_VIEWS or (views and has_recipe(s, recipe))
        ),
    }
    return list(dict.fromkeys(n for name in names for n in groups.get(name, (name,))))


def has_recipe(score: Score, recipe: Container[str]) -> bool:
    """Whether views of this recipe are those that a score is defined for."""
    wanted = only_recipe(score)
    return wanted is None or wanted in recipe


def only_recipe(score: Score) -> str | None:
    """The only recipe of views that a score is defined for; None for any, or for no views."""
    return score.recipe if isinstance(score, RowScore) else None


@dataclass(frozen=True)
class ScoreRequest:
    """One requested score.

    Attributes:
        text: the name with options as the user wrote it.
        score: its definition.
        options: every option with its value.
    """

    text: str
    score: Score
    options: Options


def register_score(name: str, score: Score) -> None:
    """Let this process find a score of yours by its name.

    Other processes (workers of a sweep, the command line) find it as "package.module:NAME", by an
    entry point in the group jessl.scores, or where they register it too.

    Example:
        jessl.register_score("largest_share", SpectralScore(compute=share, higher_is_better=False,
                                                            source="mine"))
        jessl.score(z, "largest_share")

    Args:
        name: letters, digits and underscores; not that of a built-in score.
        score: a `jessl.scores.SpectralScore`, of eigenvalues, or a `RowScore`, of rows or views.

    Raises:
        ValueError: for something else than a score, and a name that is taken.
    """
    EXTENSIONS.register(name, score)


def split_options(text: str) -> tuple[str, list[str]]:
    """The name of a score, "package.module:NAME" included, and its options.

    Example:
        >>> split_options("alpha_req:first=2"), split_options("mine.scores:SHARE:first=2")
        (('alpha_req', ['first=2']), ('mine.scores:SHARE', ['first=2']))
    """
    name, *rest = text.split(":")
    if name not in SCORES and rest and is_outside(f"{name}:{rest[0]}"):
        return f"{name}:{rest[0]}", rest[1:]
    return name, rest


def find_score(text: str) -> Score:
    """The definition of a score; options in its text are left aside.

    Raises:
        ValueError: for an unknown name, with the nearest.
    """
    return EXTENSIONS.find(split_options(text)[0])


def is_of_views(text: str) -> bool:
    """Whether a score is of several views of each image."""
    score = find_score(text)
    return isinstance(score, RowScore) and score.views


def parse_score(text: str) -> ScoreRequest:
    """Read "NAME" or "NAME:OPTION=VALUE:OPTION=VALUE".

    Example:
        parse_score("alpha_req:first=2:last=20").options  # {"first": 2, "last": 20}

    Raises:
        ValueError: for an unknown name or option (with the nearest), or a value of another type.
    """
    name, settings = split_options(text)
    score = EXTENSIONS.find(name)
    options = dict(score.options)
    for setting in settings:
        option, sign, value = setting.partition("=")
        if option not in options:
            raise ValueError(unknown_name(f"option of {name}", option, options))
        if not sign:
            raise ValueError(f"{text}: expected OPTION=VALUE, got {setting}")
        if [s.partition("=")[0] for s in settings].count(option) > 1:
            raise ValueError(f"{text}: expected option {option} once, got it twice")
        options[option] = _parse_value(type(options[option]), value, f"{name}:{option}")
    return ScoreRequest(text, score, options)


def _parse_value(kind: type[float | int | bool], value: str, argument: str) -> float | int | bool:
    """`value` as the type of the option's default."""
    if kind is bool:
        choice = check_choice(argument, value.lower(), ("true", "false"))
        return choice == "true"
    try:
        number = kind(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        expected = "a whole number" if kind is int else "a number"
        raise ValueError(f"{argument}: expected {expected}, got {value!r}")
    return number
