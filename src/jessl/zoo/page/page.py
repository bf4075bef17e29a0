"""The page of `jessl zoo`: which design choices move which component, and how far to trust it."""

from __future__ import annotations

from jessl.report.charts.svg import Markup, join, tag
from jessl.report.formatting import finite
from jessl.report.pages.document import document
from jessl.report.pages.sections import together
from jessl.zoo.page import (
    correlations,
    explained_variance,
    rank_shifts,
    stacks,
)
from jessl.zoo.page import (
    effects as zoo_effects,
)
from jessl.zoo.page import (
    law as zoo_law,
)
from jessl.zoo.page.labels import (
    COMPONENTS,
    LONG,
    Row,
    amount,
    both,
    figure,
    in_words,
    rows_of,
)
from jessl.zoo.page.tables import folded

# sections in the order in which a reader asks; others follow as they come
HEADS = {
    "components": "Where the error comes from",
    "controlled": "What one choice changes",
    "linear": "Other things given",
    "trees": "What trees look at",
    "validation": "Can it be trusted?",
    "ranking": "Does the order hold with few labels?",
    "few_shot": "The error with few labels, told",
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
            keys that are not there are left out.
    """
    sections = answer.get("sections") or {}
    order = [*(name for name in HEADS if name in sections)]
    order += [name for name in sections if name not in HEADS]
    source = answer.get("source") or {}
    title = f"Models of {str(source.get('name') or 'a table').rpartition('/')[2]}"
    body = tag(
        "main",
        tag("p", "jessl zoo", class_="kicker"),
        tag("h1", title),
        tag("ul", *(tag("li", together(s)) for s in findings(answer)), class_="findings"),
        tag(
            "nav",
            *(tag("a", _head(name), href=f"#{_key(i)}") for i, name in enumerate(order)),
            tag("a", "About", href="#about"),
            aria_label="Contents",
        ),
        *(_section(answer, name, _key(i)) for i, name in enumerate(order)),
        tag("section", tag("h2", "About"), _about(answer), id="about"),
        tag("footer", "Written by jessl. One file; it loads nothing and sends nothing."),
    )
    return document(title, body)


def findings(answer: Row) -> list[str]:
    """The headlines, each computed from the numbers below it."""
    found = [
        *zoo_effects.sentences(answer),
        *explained_variance.sentences(answer),
        *_trend(answer),
        *correlations.sentences(answer),
        *rank_shifts.sentences(answer),
        *zoo_law.sentences(answer),
    ]
    if found:
        return found
    count = (answer.get("source") or {}).get("rows")
    return ["No section has a number to tell." if count is None else f"Models: {count}."]


def _trend(answer: Row) -> list[str]:
    """Which component changed most between the first and the last year of five models or more."""
    rows = [
        row
        for row in rows_of(answer, "components", "by_year")
        if (finite(row.get("models")) or 0) >= 5
    ]
    if len(rows) < 2:
        return []
    first, last = rows[0], rows[-1]
    known = [
        c
        for c in COMPONENTS
        if finite(first.get(c)) is not None and finite(last.get(c)) is not None
    ]
    if not known:
        return []
    known.sort(key=lambda c: -abs(last[c] - first[c]))
    moved = " and ".join(
        f"that of {LONG[c]} from {first[c]:.1f} to {last[c]:.1f} points" for c in known[:2]
    )
    said = f"From {first['year']} to {last['year']} the mean error by part changed: {moved}"
    said = said.replace("-", "−")
    largest = max(known, key=lambda c: last[c])
    if len(known) > 1:
        said += f"; in {last['year']} {LONG[largest]} is the largest part"
    return [f"{said}."]


def _key(place: int) -> str:
    return f"part{place}"


def _head(name: str) -> str:
    return HEADS.get(name, in_words(name).capitalize())


def _section(answer: Row, name: str, key: str) -> Markup:
    held = answer["sections"][name]
    notes = held.get("notes") or []
    return tag(
        "section",
        tag("h2", _head(name)),
        tag("p", str(held.get("question") or ""), class_="lead"),
        *_drawings(answer, name),
        tag("ul", *(tag("li", note) for note in notes), class_="notes") if notes else None,
        folded(held.get("tables") or {}),
        id=key,
    )


def _drawings(answer: Row, name: str) -> list[Markup | None]:
    draw = {
        "components": _components,
        "controlled": _controlled,
        "linear": _linear,
        "trees": _trees,
        "validation": _validation,
        "ranking": _ranking,
        "few_shot": _few_shot,
    }.get(name)
    return draw(answer) if draw is not None else []


def _components(answer: Row) -> list[Markup | None]:
    found: list[Markup | None] = []
    if (drawn := both(stacks.draw, answer)) is not None:
        caption = (
            f"Percentage points; nothing is cut at zero. {_meanings(stacks.shown(answer))} The "
            "number is the sum of the bars, the diamond the error with all labels: they differ "
            "where a component is not known for every model. The best models are those of each "
            "setting among models with every component known."
        )
        found.append(figure(caption, stacks.stack_legend(answer), drawn))
    if (drawn := both(correlations.draw, answer)) is not None:
        caption = (
            "Rank correlation of each component with each error: 1 orders the models alike, 0 "
            "says nothing. Thick lines draw models again (95 %)"
        )
        if correlations.is_grouped(answer):
            caption += (
                "; thin lines draw whole objectives again, and are the ones to believe, as models "
                "of one objective are near twins"
            )
        caption += ". Filled dots and bold numbers: the widest interval excludes 0."
        found.append(figure(caption, drawn))
    return found


def _meanings(components: list[str]) -> str:
    """What each component is."""
    said = dict(MEANINGS)
    if "approx" not in components:
        said["usability"] += " or the architecture cannot express (approximation is not known)"
    return " ".join(f"{LONG[c].capitalize()}: {said[c]}." for c in components)


def _controlled(answer: Row) -> list[Markup | None]:
    drawn = both(zoo_effects.draw_controlled, answer)
    rows = rows_of(answer, "controlled", "effects")
    shown = zoo_effects.outcomes(zoo_effects.told(rows))
    lost = zoo_effects.unestimated(r for r in rows if not shown or r.get("outcome") in shown)
    said = (
        f"No effect on these can be told of {', '.join(lost)}: too few models differ in it alone."
    )
    if drawn is None:
        return [tag("p", said)] if lost else []
    beside = bool(rows_of(answer, "linear", "effects"))
    caption = (
        "Models that differ in this choice and in nothing else, with 95 % intervals. Filled: the "
        "interval excludes 0 and, by permutation, p is at most .05; the rest may be chance. An "
        "arrow says that an interval goes on. per ln: for e times as much; a doubling changes "
        "0.69 times as much, which is what the headlines say."
    )
    if beside:
        caption += (
            " The small grey diamond is the linear model's effect over all models (below); where "
            "both agree, trust is best placed."
        )
    if lost:
        caption += " " + said
    return [figure(caption, zoo_effects.effect_legend(linear_beside=beside), drawn)]


def _linear(answer: Row) -> list[Markup | None]:
    drawn = both(zoo_effects.draw_linear, answer)
    if drawn is None:
        return []
    caption = (
        "Ordinary least squares over all models, with 95 % intervals: what goes with less error, "
        "other columns given. Nothing was varied on purpose here, so choices that come along with "
        "what is not in the table get its credit. Filled: the interval excludes 0."
    )
    return [figure(caption, zoo_effects.effect_legend(linear_beside=False), drawn)]


def _trees(answer: Row) -> list[Markup | None]:
    panels = explained_variance.shap(answer)
    if not any(panels):
        return []
    caption = (
        f"The choices that boosted trees tell each outcome by, the {explained_variance.MOST} "
        "largest of each. What they look at is no effect: it is only worth what the validation "
        "below leaves."
    )
    return [figure(caption, tag("div", *panels, class_="panels"))]


def _validation(answer: Row) -> list[Markup | None]:
    panels = explained_variance.validation(answer)
    if not any(panels):
        return []
    caption = (
        "R² of models that were not fitted on: 1 is perfect, 0 as good as the mean of all models, "
        "below 0 worse than it (bars are cut at −1, the numbers are not). random: near twins of "
        "a model stand in the other folds, which flatters. checkpoint: all layers of a training "
        "are left out together. objective, year: a whole one is left out, as for a new method."
    )
    legend = explained_variance.validation_legend(answer)
    return [figure(caption, legend, tag("div", *panels, class_="panels"))]


def _ranking(answer: Row) -> list[Markup | None]:
    drawn, pair = both(rank_shifts.draw, answer), rank_shifts.settings(answer)
    if drawn is None or pair is None:
        return []
    caption = (
        f"Each line is a model: its place with {in_words(pair[0])} on the left, with "
        f"{in_words(pair[1])} on the right; place 1, on top, is the smallest error. Named and "
        f"coloured are the {rank_shifts.LARGEST} that move farthest, green upwards, orange "
        "downwards."
    )
    return [figure(caption, drawn)]


def _few_shot(answer: Row) -> list[Markup | None]:
    found: list[Markup | None] = []
    if any(scatters := zoo_law.scatters(answer)):
        count = amount(
            len({r.get("model") for r in rows_of(answer, "few_shot", "predictions")}), "model"
        )
        caption = (
            f"Measured errors and those that a law tells, of {count} in every setting; on the "
            "dashed line they are equal. Fitted on these same models, which flatters. Left the "
            "law that fits best, right the one that fits worst."
        )
        legend = zoo_law.scatter_legend(answer)
        found.append(figure(caption, legend, tag("div", *scatters, class_="panels")))
    if any(bars := zoo_law.transfer(answer)):
        caption = (
            "R² on errors with few labels (errors with all labels are told to the laws, so they "
            "are left out). nothing and random folds flatter; a year, a kind of objective or a "
            "family that was held out shows what is left for new models. Bars are cut at −1, the "
            "numbers are not."
        )
        legend = zoo_law.transfer_legend(answer)
        found.append(figure(caption, legend, tag("div", *bars, class_="panels")))
    return found


def _about(answer: Row) -> Markup:
    source = answer.get("source") or {}
    left_out = answer.get("left_out") or []
    missing = source.get("missing") or {}
    unknown = ", ".join(f"{in_words(k)} {v}" for k, v in missing.items() if v)
    facts = [
        ("Table", str(source.get("name") or "")),
        ("sha256", str(source.get("sha256") or "")),
        ("Models", str(source.get("rows") or "")),
        ("Not known", unknown),
        ("Changed", " ".join(map(str, source.get("notes") or []))),
        ("Seed", "" if answer.get("seed") is None else str(answer["seed"])),
        (
            "Left out",
            f"{' and '.join(map(str, left_out))}: xgboost is not installed" if left_out else "",
        ),
        (
            "Numbers",
            "Errors, components and effects are in percentage points, intervals are 95 %, each "
            "for itself. A missing value is left out, never filled; every number has its n.",
        ),
    ]
    kept = (join([tag("dt", name), tag("dd", said)]) for name, said in facts if said)
    return tag("dl", *kept, class_="facts")
