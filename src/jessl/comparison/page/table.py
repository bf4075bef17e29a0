"""The table of encoders with every number, sorted by a click on a heading; and the components."""

from __future__ import annotations

from jessl.comparison.page.labels import (
    ERROR,
    Row,
    amount,
    columns_of,
    encoders_of,
    few_rows,
    good_of,
    percents,
    score_of,
    span,
    title_of,
)
from jessl.report.charts.svg import Markup, tag
from jessl.report.formatting import finite, percent, plain
from jessl.schema import COMPONENT_NAMES, capitalized, component_title

# key of a row, heading, how it is written
_SIZES = (
    ("d", "Features d"),
    ("input_px", "Input, px"),
    ("parameters", "Parameters, million"),
    ("weights_mb", "Weights, MB"),
    ("feature_mb_per_1000", "Features, MB per 1,000 images"),
)
# without a supervised twin approximation lies in usability
_COMPONENTS = (
    ("risk", "Error"),
    *((name, capitalized(component_title(name, merged=True))) for name in COMPONENT_NAMES[1:]),
)


def table(answer: Row) -> Markup:
    """All encoders with every number; columns without any number are left out."""
    columns = columns_of(answer)
    labelled = any(row.get("labelled") for row in good_of(answer))
    heads = [_head("Encoder", word=True)]
    if labelled:
        heads += [_head("Error"), _head("More than the least")]
    heads += [_head(title_of(column)) for column in columns]
    heads += [_head("Milliseconds an image"), *(_head(head) for _, head in _SIZES)]
    body = [_row(row, columns, labelled=labelled) for row in encoders_of(answer)]
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0")


def failures(answer: Row) -> Markup | None:
    """The encoders without numbers, and why; None where all have some."""
    failed = [row for row in encoders_of(answer) if row.get("failed") is not None]
    if not failed:
        return None
    lines = [
        tag("li", tag("b", str(row.get("name"))), f" failed: {row['failed']}") for row in failed
    ]
    return tag("ul", *lines, class_="notes")


def components(answer: Row) -> Markup | None:
    """Where the error of each encoder comes from; None without a decomposition."""
    rows = [r for r in good_of(answer) if (r.get("labelled") or {}).get("risk")]
    if not rows:
        return None
    heads = [_head("Encoder", word=True), *(_head(head) for _, head in _COMPONENTS)]
    body = []
    for row in rows:
        risk, name = row["labelled"]["risk"], str(row.get("name"))
        cells = [tag("td", name, data_sort=name)]
        for key, _ in _COMPONENTS:
            held = risk.get(key) or {}
            value, low, high = (finite(held.get(k)) for k in ("value", "low", "high"))
            cells.append(_cell(percent(value), value, percents(low, high)))
        body.append(tag("tr", *cells, data_run=name))
    whole = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex="0")


def _row(row: Row, columns: list[str], *, labelled: bool) -> Markup:
    name, failed = str(row.get("name")), row.get("failed")
    told = "failed, see below" if failed is not None else _origin(row)
    whole = str(row.get("encoder") or name)
    cells = [tag("td", name, *([tag("small", told)] if told else []), data_sort=name, title=whole)]
    if labelled:
        value, low, high = score_of(row, ERROR)
        cells.append(_cell(percent(value), value, percents(low, high)))
        held = row.get("to_best") or {}
        more, least, most = (finite(held.get(key)) for key in ("value", "low", "high"))
        said = "–" if more is None else "least" if _is_least(more, least, most) else percent(more)
        between = None if said == "least" else percents(least, most)
        cells.append(_cell(said.replace(" %", " points"), more, between))
    for column in columns:
        value, low, high = score_of(row, column)
        small = [span(low, high), "n < 4 d" if few_rows(row, column) else None]
        cells.append(_cell(plain(value), value, *small))
    cost = row.get("cost") or {}
    taken = finite(cost.get("ms_per_image"))
    between = span(finite(cost.get("low")), finite(cost.get("high")))
    cold = None if cost.get("warm", True) else "first batch only"
    cells.append(_cell(plain(taken), taken, between if cold is None else cold))
    for key, _ in _SIZES:
        value = finite(row.get(key))
        if key == "parameters":
            said = "–" if value is None else plain(value / 1e6)
        else:
            said = amount(value) if key in ("d", "input_px") else plain(value)
        cells.append(_cell(said, value))
    return tag("tr", *cells, data_run=name)


def _is_least(more: float, low: float | None, high: float | None) -> bool:
    return more == 0 and low == 0 and high == 0


def _origin(row: Row) -> str:
    """What trained it and where its weights are from, or its spec where these tell nothing."""
    spec, weights = str(row.get("encoder") or ""), str(row.get("weights") or "")
    known = weights if weights not in ("", "published") else spec
    parts = (str(row.get("method") or ""), known if known != row.get("name") else "")
    return ", ".join(part for part in parts if part)


def _head(said: str, *, word: bool = False) -> Markup:
    return tag("th", tag("button", said, type="button"), class_="word" if word else None)


def _cell(said: str, value: float | None, *small: str | None) -> Markup:
    sort = "" if value is None else f"{value:.8g}"
    below = [tag("small", one) for one in small if one]
    return tag("td", said, *below, data_sort=sort)
