"""The page of `jessl zoo`: which design choices move which component, and how reliable that is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jessl.report.charts.svg import in_both_sizes
from jessl.report.formatting import count
from jessl.report.json_values import mapping, number, texts, word
from jessl.report.pages.content import (
    Block,
    Fact,
    Facts,
    Lead,
    Notes,
    Page,
    Section,
    figure,
)
from jessl.report.pages.document import render
from jessl.zoo.page import components as stacks
from jessl.zoo.page import correlations, effects, explained_variance, law, rank_shifts
from jessl.zoo.page.answer import Row, rows_of
from jessl.zoo.page.labels import LONG, in_words
from jessl.zoo.page.tables import folded_tables

# sections in the order in which a reader asks; others follow in the order of the analysis
HEADS = {
    "components": "Where the error comes from",
    "controlled": "What one choice changes",
    "linear": "Choices associated with less error",
    "trees": "What predicts the error",
    "validation": "How reliable is this?",
    "ranking": "Does the order hold with few labels?",
    "few_shot": "The error with few labels, predicted",
    "measures": "Numbers that need no labels",
    "counts": "What is in the table",
}

MEANINGS = {
    "approx": "what the architecture cannot express",
    "usability": "what a linear probe cannot read out",
    "probe_gen": "what the probe loses for lack of labels",
    "enc_gen": "what is lost on images that pretraining has not seen",
}


def zoo_page(answer: Row) -> str:
    """The whole page as text, one file that loads nothing.

    Args:
        answer: what `jessl.zoo.analyse` returns, or zoo.json read again. Sections, tables and
            keys that are missing are left out.
    """
    sections, source = mapping(answer.get("sections")), mapping(answer.get("source"))
    order = [*(name for name in HEADS if name in sections)]
    order += [name for name in sections if name not in HEADS]
    parts = [
        Section(f"part{i}", HEADS.get(name) or in_words(name).capitalize(), _blocks(answer, name))
        for i, name in enumerate(order)
    ]
    return render(
        Page(
            kicker="jessl zoo",
            title=f"Models of {(word(source, 'name') or 'a table').rpartition('/')[2]}",
            findings=findings(answer),
            sections=[*parts, Section("about", "About", [_about(answer)])],
        )
    )


def findings(answer: Row) -> list[str]:
    """The headlines, each computed from the numbers below it."""
    sentences = [
        *effects.effect_sentences(answer),
        *explained_variance.validation_sentences(answer),
        *stacks.trend_sentences(answer),
        *correlations.correlation_sentences(answer),
        *rank_shifts.shift_sentences(answer),
        *law.law_sentences(answer),
    ]
    if sentences:
        return sentences
    models = word(mapping(answer.get("source")), "rows")
    return [f"Models: {models}." if models else "No section has a number."]


def _blocks(answer: Row, name: str) -> list[Block]:
    section = mapping(mapping(answer.get("sections")).get(name))
    notes = texts(section.get("notes"))
    blocks: list[Block] = [Lead(word(section, "question"))]
    if name in _FIGURES:
        blocks += _FIGURES[name](answer)
    if notes:
        blocks.append(Notes.of(notes))
    return blocks + folded_tables(mapping(section.get("tables")))


def _components(answer: Row) -> list[Block]:
    caption = (
        f"Percentage points; nothing is cut at zero. {_meanings(stacks.drawn_components(answer))} "
        "The number is the sum of the bars, the diamond the error with all labels: they differ "
        "where a component is not known for every model. The best models are those of each "
        "setting among models with every component known."
    )
    drawn = in_both_sizes(partial(stacks.draw_components, answer))
    blocks: list[Block] = [*figure(caption, [drawn], stacks.component_legend(answer))]
    caption = (
        "Rank correlation of each component with each error: 1 means that both order the models "
        "alike, 0 that they are unrelated. Thick lines resample models (95 %)"
    )
    if correlations.has_group_intervals(answer):
        caption += (
            "; thin lines resample whole objectives. Rely on the thin ones, as models of one "
            "objective are near twins"
        )
    caption += ". Filled dots and bold numbers: the widest interval excludes 0."
    drawn = in_both_sizes(partial(correlations.draw_correlations, answer))
    return [*blocks, *figure(caption, [drawn])]


def _meanings(components: list[str]) -> str:
    """What each component is."""
    meanings = dict(MEANINGS)
    if "approx" not in components:
        meanings["usability"] += " or the architecture cannot express (approximation is not known)"
    return " ".join(f"{LONG[c].capitalize()}: {meanings[c]}." for c in components)


def _controlled(answer: Row) -> list[Block]:
    missing = ", ".join(effects.unestimated_choices(answer))
    unestimated = f"No effect of {missing} can be estimated: too few models differ in it alone."
    drawn = in_both_sizes(partial(effects.draw_controlled, answer))
    if drawn is None:
        return [Lead(unestimated)] if missing else []
    beside = bool(rows_of(answer, "linear", "effects"))
    caption = (
        "Models that differ in this choice and in nothing else, with 95 % intervals. Filled: the "
        "interval excludes 0 and, by permutation, p is at most .05; the rest may be chance. An "
        "arrow marks an interval that continues beyond the picture. per ln: for e times as much; "
        "a doubling, as in the headlines, changes 0.69 times as much."
    )
    if beside:
        caption += (
            " The small grey diamond is the linear model's effect over all models (below); an "
            "effect is most reliable where both agree."
        )
    if missing:
        caption += f" {unestimated}"
    return [*figure(caption, [drawn], effects.effect_legend(linear_beside=beside))]


def _linear(answer: Row) -> list[Block]:
    caption = (
        "Ordinary least squares over all models, with 95 % intervals: choices associated with "
        "less error, "
        "adjusted for other columns. Nothing was varied on purpose here, so a choice gets the "
        "credit of whatever comes along with it and is not in the table. Filled: the interval "
        "excludes 0."
    )
    drawn = in_both_sizes(partial(effects.draw_linear, answer))
    return [*figure(caption, [drawn], effects.effect_legend(linear_beside=False))]


def _trees(answer: Row) -> list[Block]:
    caption = (
        "The choices from which boosted trees predict each outcome, the "
        f"{explained_variance.MOST} largest of each. Their weight is not an effect; it is only "
        "as reliable as the validation below."
    )
    return [*figure(caption, explained_variance.shap_panels(answer), panels=True)]


def _validation(answer: Row) -> list[Block]:
    caption = (
        "R² on models that were left out of the fit: 1 is perfect, 0 as good as the mean of all "
        "models, below 0 worse than it (bars are cut at −1, the numbers are not). random: near "
        "twins of a model are in the other folds, which flatters. checkpoint: all layers of a "
        "training are left out together. objective, year: a whole one is left out, as for a new "
        "method."
    )
    panels = explained_variance.validation_panels(answer)
    return [*figure(caption, panels, explained_variance.validation_legend(answer), panels=True)]


def _ranking(answer: Row) -> list[Block]:
    pair = rank_shifts.compared_settings(answer)
    drawn = in_both_sizes(partial(rank_shifts.draw_shifts, answer))
    if pair is None:
        return []
    caption = (
        f"Each line is a model: its rank with {in_words(pair[0])} on the left, with "
        f"{in_words(pair[1])} on the right; rank 1, on top, is the smallest error. Names and "
        f"colours mark the {rank_shifts.LARGEST} that move farthest, green upwards, orange "
        "downwards."
    )
    return [*figure(caption, [drawn])]


def _few_shot(answer: Row) -> list[Block]:
    models = {word(row, "model") for row in rows_of(answer, "few_shot", "predictions")}
    caption = (
        f"Measured errors and those that a law predicts, of {count(len(models), 'model')} in every "
        "setting; on the dashed line they are equal. Fitted on these same models, which flatters. "
        "The first is the law that fits best, the second the one that fits worst."
    )
    scatters, legend = law.law_scatters(answer), law.scatter_legend(answer)
    blocks: list[Block] = [*figure(caption, scatters, legend, panels=True)]
    caption = (
        "R² on errors with few labels (the laws are given the errors with all labels, so these "
        "are left out). nothing and random folds flatter; a year, a kind of objective or a "
        "family that was held out shows what remains for new models. Bars are cut at −1, the "
        "numbers are not."
    )
    panels, legend = law.transfer_panels(answer), law.transfer_legend(answer)
    return [*blocks, *figure(caption, panels, legend, panels=True)]


def _about(answer: Row) -> Facts:
    source = mapping(answer.get("source"))
    left_out = " and ".join(texts(answer.get("left_out")))
    missing = mapping(source.get("missing"))
    return Facts.of(
        [
            Fact("Table", word(source, "name")),
            Fact("sha256", word(source, "sha256")),
            Fact("Models", word(source, "rows")),
            Fact("Not known", ", ".join(f"{in_words(k)} {v}" for k, v in missing.items() if v)),
            Fact("Changed", " ".join(texts(source.get("notes")))),
            Fact("Seed", "" if number(answer, "seed") is None else word(answer, "seed")),
            Fact("Left out", f"{left_out}: xgboost is not installed" if left_out else ""),
            Fact(
                "Numbers",
                "Errors, components and effects are in percentage points, intervals are 95 %, "
                "each on its own. A missing value is left out, never filled; every number has "
                "its n.",
            ),
        ]
    )


_FIGURES: dict[str, Callable[[Row], list[Block]]] = {
    "components": _components,
    "controlled": _controlled,
    "linear": _linear,
    "trees": _trees,
    "validation": _validation,
    "ranking": _ranking,
    "few_shot": _few_shot,
}
