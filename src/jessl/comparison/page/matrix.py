"""Who stands where by which column, and how far the columns agree: two drawn matrices."""

from __future__ import annotations

from collections.abc import Sequence

from jessl.comparison.page.labels import ERROR, SCORES, Row, good_of, title_of
from jessl.report.charts.svg import Markup, fit, picture, tag, text
from jessl.report.formatting import finite

CELL, HEIGHT, LABEL, HEAD = 84.0, 30.0, 170.0, 40.0

# what is written, the class of its colour, how strong it is (0..1), what the tip says
Cell = tuple[str, str, float, str]


def places(answer: Row) -> Markup | None:
    """The place of each encoder by each column; None where nothing is in order."""
    orders = [o for o in answer.get("orders") or [] if isinstance(o.get("names"), list)]
    if not orders:
        return None
    names = [str(row.get("name")) for row in good_of(answer)]
    rows: list[list[Cell | None]] = []
    for name in names:
        rows.append([_place(order, name) for order in orders])
    heads = [_head(str(o.get("column"))) for o in orders]
    return _matrix(names, heads, rows, "Places of the encoders by each column", runs=True)


def _place(order: Row, name: str) -> Cell | None:
    known = [str(n) for n in order["names"]]
    if name not in known:
        return None
    place, count = known.index(name) + 1, len(known)
    leads = name in (order.get("leaders") or [])
    said = f"{place}{'=' if leads and len(order['leaders']) > 1 else ''}"
    tip = f"{name}: {title_of(str(order.get('column')))} {place} of {count}"
    if leads and place > 1:
        tip += ", not told apart from the first"
    strength = 0.75 * (count - place) / max(count - 1, 1)
    return said, "k1", strength, tip


def agreement(answer: Row) -> Markup | None:
    """Kendall's tau between the orders of columns; None below three encoders."""
    pairs = [p for p in answer.get("agreement") or [] if finite(p.get("tau")) is not None]
    if not pairs:
        return None
    tau = {(str(p["a"]), str(p["b"])): p for p in pairs}
    tau |= {(b, a): p for (a, b), p in tau.items()}
    columns = [c for c in (*SCORES, ERROR) if any(c in pair for pair in tau)]
    rows: list[list[Cell | None]] = []
    for a in columns:
        rows.append([_tau(a, b, tau.get((a, b))) for b in columns])
    names = [title_of(c) for c in columns]
    return _matrix(names, [_head(c) for c in columns], rows, "Kendall's tau between columns")


def _tau(a: str, b: str, pair: Row | None) -> Cell | None:
    if pair is None:
        return None
    value = float(pair["tau"])
    said = f"{value:+.2f}".replace("-", "−")
    tip = f"{title_of(a)} and {title_of(b)}: tau {said}, {pair.get('n')} encoders"
    return said, "k1" if value > 0 else "m1", 0.75 * abs(value), tip


def _head(column: str) -> str:
    return {"twonn": "Intr. dim."}.get(column, title_of(column))


def _matrix(
    names: Sequence[str],
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell | None]],
    says: str,
    *,
    runs: bool = False,
) -> Markup:
    width = LABEL + CELL * len(heads)
    parts: list[Markup] = []
    for k, head in enumerate(heads):
        parts.append(text(LABEL + CELL * (k + 0.5), HEAD - 12, fit(head, CELL + 10), "mid small"))
    for i, (name, row) in enumerate(zip(names, rows, strict=True)):
        y = HEAD + HEIGHT * i
        drawn: list[Markup] = [text(0, y + 19, fit(name, LABEL - 6), "number")]
        for k, cell in enumerate(row):
            if cell is None:
                drawn.append(text(LABEL + CELL * (k + 0.5), y + 19, "–", "mid tick"))
                continue
            said, class_, strength, tip = cell
            x = LABEL + CELL * k
            box = tag(
                "rect",
                x=x + 2,
                y=y + 2,
                width=CELL - 4,
                height=HEIGHT - 4,
                rx=5,
                class_=f"{class_} fill",
                fill_opacity=f"{strength:.2f}",
            )
            number = text(x + CELL / 2, y + 19, said, "mid number")
            drawn.append(tag("g", box, number, class_="hot", data_tip=tip))
        parts.append(tag("g", *drawn, data_run=name if runs else None))
    height = HEAD + HEIGHT * len(names) + 4
    drawing = picture(width, height, says, *parts)
    return tag("div", drawing, class_="scroll", tabindex="0")
